"""One record for each format: its files, its engine, and the functions that make it.

A new format is one entry of `FORMATS` and the files that the entry names. Importing this file
imports none of them.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from landmint.runtime import mlpackage
from landmint.runtime.contract import Layout

SOURCE = "onnx"
"""The format that every other is made from."""
SOURCE_VARIANT = f"{SOURCE}/float32"
"""The variant that every other is made from."""
TORCH = "torch/float32"
"""The reference of a network that was trained here."""
ORIGINAL = "original/float32"
"""The reference of a network that was imported: its own file."""
INT8 = "int8"
"""The precision that every format has beside float, and that is made where nobody says which."""
NARROW_WEIGHTS = "int8, -64..64"
"""What the note "weights" of an INT8 variant says where no sum of products can overflow."""


@dataclass(frozen=True)
class PrecisionRecord:
    """One precision, whatever the format."""

    holds: str
    """What is stored and computed in which type."""
    purpose: str = ""
    """What it is for, where it is made only if somebody asks for it; empty for float and INT8."""


PRECISIONS: Mapping[str, PrecisionRecord] = MappingProxyType(
    {
        "float32": PrecisionRecord("weights and activations in float32"),
        "float16": PrecisionRecord("weights in float16"),
        INT8: PrecisionRecord("weights and activations in INT8"),
        "dynamic-int8": PrecisionRecord(
            "weights in INT8, activations in float32",
            purpose="for CPUs, where a small file counts and INT8 activations cost too much",
        ),
        "int16x8": PrecisionRecord(
            "weights in INT8, activations in int16",
            purpose="for NPUs; CPUs have no quick kernels for it",
        ),
        "w8a16": PrecisionRecord(
            "weights in INT8, activations in uint16",
            purpose="for NPUs, whose compilers read its Q/DQ pairs; CPUs compute it in float",
        ),
    }
)
"""Every precision by its name, in the order in which variants are listed everywhere."""


@dataclass(frozen=True)
class Color:
    """A format's colour in reports, as CSS has it."""

    light: str
    """On a light page."""
    dark: str
    """On a dark page."""


@dataclass(frozen=True)
class Maker:
    """A function that makes variants of a format, and what it needs."""

    function: str
    """As "module:function"; imported when it is called for."""
    packages: tuple[str, ...] = ()
    """Import packages without which it cannot run."""
    tools: tuple[str, ...] = ()
    """Distributions whose versions the manifest notes."""
    source: str = SOURCE_VARIANT
    """The variant that it starts from."""
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further import packages that a setting of the recipe asks for, by the setting's name."""


@dataclass(frozen=True)
class Listed:
    """How reports show a format."""

    label: str
    """Name of what runs it, as people know it."""
    color: Color
    """Its colour in tables and figures."""


@dataclass(frozen=True)
class FormatRecord(Listed):
    """One format: what its files are, what runs them, and what makes them."""

    engine: str
    """Name of the engine that runs it, in `landmint.runtime.engines`."""
    suffixes: tuple[str, ...]
    """Suffixes of a variant's files; the engine opens the first."""
    graph_suffix: str
    """Suffix of the file with the graph; other files belong to it or are built from it."""
    precisions: tuple[str, ...]
    """Precisions of its float variants."""
    export: Maker
    """Writes the float variants, as `landmint.export.forms` says."""
    quantized: Mapping[str, Maker]
    """What writes its other variants, as `landmint.quantize.forms` says, by their precision; INT8
    is among them."""
    decode: Maker | None = None
    """Puts the decode into the graph of a variant; None for a format where that is not possible."""
    layout: Layout = "NCHW"
    """Axis order of the input."""
    graph_engine: str = ""
    """Another engine that can run the graph, to check it on machines without the format's own."""
    by_default: bool = True
    """Whether it is made where nobody says which formats to make."""
    lint_rules: str = ""
    """The linter's rules for it, as "module:attribute"; empty for none."""
    probe: str = ""
    """Function that makes a probe, which reads inner tensors of a variant, as "module:function";
    see `landmint.quantize.explain.probes`. Empty for none."""

    def files(self, folder: Path, variant: str) -> tuple[str, ...]:
        """The files of a variant that are in a bundle's folder; the engine opens the first."""
        names = (f"{variant}{suffix}" for suffix in self.suffixes)
        return tuple(name for name in names if (folder / name).is_file())


_PAIRING = ("onnx", "onnxruntime")
_COREML_CONVERTER = ("coremltools", "onnx2coreml")
_TFLITE_CONVERTER = ("onnx2tf", "tensorflow", "tf_keras", "onnx_graphsurgeon", "psutil")


def _tflite_maker(function: str) -> Maker:
    """A quantiser of TFLite files; all are made by the same package."""
    return Maker(
        f"landmint.quantize.forms.tflite:{function}",
        packages=("ai_edge_litert", "ai_edge_quantizer", "flatbuffers"),
        tools=("ai-edge-quantizer",),
        source="tflite/float32",
    )


FORMATS: Mapping[str, FormatRecord] = MappingProxyType(
    {
        "onnx": FormatRecord(
            label="ONNX Runtime",
            engine="onnxruntime",
            suffixes=(".onnx",),
            graph_suffix=".onnx",
            precisions=("float32",),
            color=Color("#1d5fd1", "#7aa7ff"),
            export=Maker(
                "landmint.export.forms.onnx:to_onnx",
                packages=("onnx", "onnxscript", "onnxsim"),
                tools=("onnx", "onnxscript", "onnxsim"),
            ),
            quantized={
                INT8: Maker("landmint.quantize.forms.onnx:quantize", tools=_PAIRING),
                "w8a16": Maker("landmint.quantize.forms.onnx:quantize_w8a16", tools=_PAIRING),
            },
            decode=Maker("landmint.export.fused_decode:fuse_decode"),
            lint_rules="landmint.export.lint.onnx:RULES",
        ),
        "openvino": FormatRecord(
            label="OpenVINO",
            engine="openvino",
            suffixes=(".xml", ".bin"),
            graph_suffix=".xml",
            precisions=("float32", "float16"),
            color=Color("#7b3fc4", "#c095f5"),
            export=Maker(
                "landmint.export.forms.openvino:export",
                packages=("openvino",),
                tools=("openvino",),
            ),
            quantized={
                INT8: Maker(
                    "landmint.quantize.forms.openvino:quantize",
                    packages=("openvino",),
                    tools=("openvino", "nncf"),
                    source="openvino/float32",
                    extras={"nncf": ("nncf",)},
                )
            },
            decode=Maker("landmint.export.fused_decode:fuse_decode_ir"),
            lint_rules="landmint.export.lint.openvino:RULES",
            probe="landmint.quantize.explain.probes:openvino_probe",
        ),
        "tflite": FormatRecord(
            label="LiteRT (TFLite)",
            engine="litert",
            suffixes=(".tflite",),
            graph_suffix=".tflite",
            precisions=("float32", "float16"),
            color=Color("#c2410c", "#ff9a62"),
            export=Maker(
                "landmint.export.forms.tflite:export",
                packages=_TFLITE_CONVERTER,
                tools=("onnx2tf", "tensorflow"),
            ),
            quantized={
                INT8: _tflite_maker("quantize"),
                "dynamic-int8": _tflite_maker("quantize_weights"),
                "int16x8": _tflite_maker("quantize_int16x8"),
            },
            decode=Maker(
                "landmint.export.fused_decode:fuse_decode_tflite",
                packages=(*_TFLITE_CONVERTER, "ai_edge_litert", "flatbuffers"),
            ),
            lint_rules="landmint.export.lint.tflite:RULES",
            probe="landmint.quantize.explain.probes:litert_probe",
            layout="NHWC",
        ),
        "tensorrt": FormatRecord(
            label="TensorRT",
            engine="tensorrt",
            suffixes=(".engine", ".onnx"),
            graph_suffix=".onnx",
            precisions=("float16",),
            color=Color("#2f7d32", "#7bcf80"),
            export=Maker(
                "landmint.export.forms.tensorrt:export", packages=("onnx",), tools=("tensorrt",)
            ),
            quantized={
                INT8: Maker("landmint.quantize.forms.tensorrt:quantize", tools=("tensorrt",))
            },
            lint_rules="landmint.export.lint.tensorrt:RULES",
            graph_engine="onnxruntime",
        ),
        "ncnn": FormatRecord(
            label="ncnn",
            engine="ncnn",
            suffixes=(".param", ".bin"),
            graph_suffix=".param",
            precisions=("float32", "float16"),
            color=Color("#a3195b", "#f586b5"),
            export=Maker(
                "landmint.export.forms.ncnn:export",
                packages=("ncnn", "pnnx"),
                tools=("ncnn", "pnnx"),
            ),
            quantized={
                INT8: Maker(
                    "landmint.quantize.forms.ncnn:quantize",
                    packages=("ncnn", "pnnx"),
                    tools=("ncnn", "pnnx"),
                )
            },
            lint_rules="landmint.export.lint.ncnn:RULES",
            by_default=False,
        ),
        "coreml": FormatRecord(
            label="Core ML",
            engine="coreml",
            suffixes=(mlpackage.GRAPH, mlpackage.WEIGHTS, mlpackage.LIST),
            graph_suffix=mlpackage.GRAPH,
            precisions=("float32", "float16"),
            color=Color("#8a6d00", "#d8b93a"),
            export=Maker(
                "landmint.export.forms.coreml:export",
                packages=_COREML_CONVERTER,
                tools=_COREML_CONVERTER,
            ),
            quantized={
                INT8: Maker(
                    "landmint.quantize.forms.coreml:quantize",
                    packages=_COREML_CONVERTER,
                    tools=_COREML_CONVERTER,
                )
            },
            lint_rules="landmint.export.lint.coreml:RULES",
            by_default=False,
        ),
    }
)
"""Every format by its name, in the order in which they are listed everywhere."""

BY_DEFAULT = tuple(name for name, record in FORMATS.items() if record.by_default)
"""The formats that are made where nobody says which."""

REFERENCES: Mapping[str, Listed] = MappingProxyType(
    {
        "torch": Listed(label="PyTorch", color=Color("#4a5260", "#b6bec9")),
        "original": Listed(label="the file as it came", color=Color("#52525b", "#bfb6c9")),
    }
)
"""What every other variant is compared with: a network as it was trained here, or the file that was
imported. One of them is in every bundle; neither is a format to export to, and neither is timed."""
LISTED: Mapping[str, Listed] = MappingProxyType({**REFERENCES, **FORMATS})
"""What reports list: the reference, then all formats."""

QUANTIZED = tuple(
    name for name in PRECISIONS if any(name in record.quantized for record in FORMATS.values())
)
"""The precisions that are made of float variants."""

if TYPE_CHECKING:
    Format = str
    Precision = str
else:  # their choices stand in the messages about a recipe, and in the page of all its keys
    Format = Literal[*FORMATS]
    Precision = Literal[*QUANTIZED]
"""The name of a format, and that of a precision that is made of float variants."""


def is_reference(variant: str) -> bool:
    """Whether the variant of this name is what the others of its bundle are compared with."""
    return variant.split("/")[0] in REFERENCES


def reference_among(variants: Iterable[str]) -> str:
    """Name of the reference among a bundle's variants; that of a trained network for none."""
    return next(filter(is_reference, variants), TORCH)


def load(reference: str) -> Any:
    """Import the object that "module:attribute" names."""
    module, attribute = reference.split(":")
    return getattr(importlib.import_module(module), attribute)


def export_tools() -> tuple[str, ...]:
    """Distributions that write the float variants of all formats."""
    return tuple(tool for record in FORMATS.values() for tool in record.export.tools)


def quantize_tools() -> tuple[str, ...]:
    """Distributions that write the quantised variants of all formats."""
    makers = (maker for record in FORMATS.values() for maker in record.quantized.values())
    return tuple(dict.fromkeys(tool for maker in makers for tool in maker.tools))
