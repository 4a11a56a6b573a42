"""What there is to know of each format: one record each, read by every room.

Nothing here converts, quantises or runs a model, and importing this file imports none of what does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from landmint.runtime.contract import Layout

SOURCE = "onnx"
"""The format that every other is made from."""
SOURCE_VARIANT = f"{SOURCE}/float32"
"""The variant that every other is made from."""


@dataclass(frozen=True)
class Color:
    """A format's colour in reports, as CSS has it."""

    light: str
    """On a light page."""
    dark: str
    """On a dark page."""


@dataclass(frozen=True)
class FormatRecord:
    """One format: what its files are, what runs them, and what makes them."""

    label: str
    """What runs it, by the name that people know."""
    engine: str
    """The same by its name in `landmint.runtime.engines`."""
    suffixes: tuple[str, ...]
    """Of a variant's files; the engine opens the first."""
    graph_suffix: str
    """Of the file that holds the graph; further files belong to it or are built from it."""
    precisions: tuple[str, ...]
    """Of its float variants."""
    color: Color
    """In the tables and figures of a report."""
    layout: Layout = "NCHW"
    """Axis order of the input."""
    graph_engine: str = ""
    """Another engine that runs the file with the graph, to check it where none can be built."""


FORMATS: Mapping[str, FormatRecord] = MappingProxyType(
    {
        "onnx": FormatRecord(
            label="ONNX Runtime",
            engine="onnxruntime",
            suffixes=(".onnx",),
            graph_suffix=".onnx",
            precisions=("float32",),
            color=Color("#1d5fd1", "#7aa7ff"),
        ),
        "openvino": FormatRecord(
            label="OpenVINO",
            engine="openvino",
            suffixes=(".xml", ".bin"),
            graph_suffix=".xml",
            precisions=("float32", "float16"),
            color=Color("#7b3fc4", "#c095f5"),
        ),
        "tflite": FormatRecord(
            label="LiteRT (TFLite)",
            engine="litert",
            suffixes=(".tflite",),
            graph_suffix=".tflite",
            precisions=("float32", "float16"),
            color=Color("#c2410c", "#ff9a62"),
            layout="NHWC",
        ),
        "tensorrt": FormatRecord(
            label="TensorRT",
            engine="tensorrt",
            suffixes=(".engine", ".onnx"),
            graph_suffix=".onnx",
            precisions=("float16",),
            color=Color("#2f7d32", "#7bcf80"),
            graph_engine="onnxruntime",
        ),
    }
)
"""Every format by its name, in the order in which they are listed everywhere."""

TORCH = FormatRecord(
    label="PyTorch",
    engine="torch",
    suffixes=(".safetensors",),
    graph_suffix=".safetensors",
    precisions=("float32",),
    color=Color("#4a5260", "#b6bec9"),
)
"""The network as it was trained. It is in every bundle, and no format to export to."""
LISTED: Mapping[str, FormatRecord] = MappingProxyType({"torch": TORCH, **FORMATS})
"""What reports list: the network as it was trained, then its formats."""

if TYPE_CHECKING:
    Format = str
else:  # its choices stand in the messages about a recipe, and in the page of all its keys
    Format = Literal[*FORMATS]
"""The name of a format."""
