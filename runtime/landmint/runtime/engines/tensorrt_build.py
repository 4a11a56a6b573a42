"""Builds TensorRT plans from strongly typed ONNX graphs, with NVIDIA's own parser and builder.

Two libraries have both, with one API: TensorRT, and TensorRT-RTX. What differs is in `Library`.
A library that crashes ends its process: `python -m landmint.runtime.engines.tensorrt_build` builds
a plan that is kept in one of its own. Its standard input is {"graph": path, "plan": path to write}.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmint.runtime.engines.built import DEQUANTIZE, QUANTIZE, Built
from landmint.runtime.engines.engine import import_library
from landmint.runtime.errors import LandmintError, NotMeasuredError

_PRODUCT = "MATRIX_MULTIPLY"
_WEIGHTED = ("CONVOLUTION", "DECONVOLUTION", _PRODUCT)
# Layers through which levels come unchanged: a matrix product's weight is turned by one.
_SHAPERS = ("SHUFFLE", "IDENTITY", "SQUEEZE", "UNSQUEEZE")
_MOST_COMPLAINTS, _MOST_WARNINGS, _LONGEST_WARNING = 3, 8, 300
_NO_GPU = "[checkMacros"
_INSTALL = (
    "install tensorrt on a machine with an NVIDIA GPU; pip install 'landmint[tensorrt-rtx]' "
    "parses and builds without one"
)


@dataclass(frozen=True)
class Library:
    """A library with NVIDIA's API, and in what it differs from the other."""

    name: str
    """Its name in measurements."""
    modules: tuple[str, ...]
    """Import names, in order; the last has the API."""
    without_gpu: bool
    """Whether it builds without a GPU, and in seconds: then no plan has to be kept."""
    caution: str = ""
    """What its plans are not."""


LIBRARIES = (
    Library("tensorrt", ("tensorrt",), without_gpu=False),
    Library(
        "tensorrt_rtx",
        ("tensorrt_rtx_libs", "tensorrt_rtx_bindings"),
        without_gpu=True,
        caution="TensorRT-RTX is not TensorRT: it promises INT8 activations nowhere, and weights "
        "may not stay INT8 in its plan, so nothing of it is a figure of TensorRT's INT8",
    ),
)
"""The libraries, the preferred first."""


@dataclass(frozen=True)
class Loaded:
    """A library that is installed here."""

    library: Library
    """Which."""
    module: Any
    """Its API."""

    @property
    def version(self) -> str:
        """Name and version, such as "tensorrt 10.9"."""
        return f"{self.library.name} {self.module.__version__}"


def load_tensorrt(libraries: Sequence[Library] = LIBRARIES) -> Loaded:
    """The first library that is installed here, imported.

    Raises:
        NotMeasuredError: none is, or none loads on this machine.
    """
    refusals = []
    for library in libraries:
        try:
            *_, module = (import_library(name, _INSTALL) for name in library.modules)
            return Loaded(library, module)
        except NotMeasuredError as error:
            refusals.append(error)
    raise refusals[0]


def build_plan(loaded: Loaded, graph: Path) -> tuple[bytes, Built]:
    """Parse a graph, read what was parsed, and build it.

    Args:
        loaded: of `load_tensorrt`.
        graph: a strongly typed ONNX file, with or without Q/DQ pairs; precision is what it says.

    Returns:
        the plan, and what it is made of.

    Raises:
        LandmintError: parser or builder refused the graph, with their words.
    """
    trt = loaded.module
    journal = _Journal(trt)
    builder = trt.Builder(journal.logger)
    # TensorRT 10 needs the flag; 11 and TensorRT-RTX ignore it, since they know nothing else.
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = trt.OnnxParser(network, journal.logger)
    if not parser.parse(graph.read_bytes()):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        raise _refused(loaded, [_complaint(error) for error in errors])
    # Read before the builder works on it: it may change the network.
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    kinds = Counter(_kind(layer) for layer in layers)
    weighted, in_float = _weighted_layers(layers)
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # the inspector then names types
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _refused(loaded, journal.errors)
    content = bytes(plan)
    return content, Built(
        builder=loaded.version,
        layers=dict(sorted(kinds.items())),
        weighted=weighted,
        float_layers=tuple(in_float),
        plan_bytes=len(content),
        warnings=tuple(journal.warnings),
        caution=loaded.library.caution,
    )


class _Journal:
    """Errors and warnings of a library, each once."""

    def __init__(self, trt: Any) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        severity = trt.ILogger.Severity
        kept = {
            severity.INTERNAL_ERROR: self.errors,
            severity.ERROR: self.errors,
            severity.WARNING: self.warnings,
        }

        class Listener(trt.ILogger):  # type: ignore[misc]
            def log(self, severity: Any, message: str) -> None:
                words = " ".join(message.split())[:_LONGEST_WARNING]
                texts = kept.get(severity, [words])
                if words not in texts and len(texts) < _MOST_WARNINGS:
                    texts.append(words)

        self.logger = Listener()


def _refused(loaded: Loaded, complaints: list[str]) -> LandmintError:
    words = [" ".join(complaint.split()) for complaint in complaints]
    return LandmintError(
        f"{loaded.version} refused the graph",
        reason="; ".join(words[:_MOST_COMPLAINTS]) or "it does not say why",
        remedy="`landmint export --lint` says which rule the graph breaks",
    )


def _complaint(error: Any) -> str:
    """What a parser says of a node, without the lines about a GPU that is not there."""
    lines = [line for line in error.desc().splitlines() if not line.startswith(_NO_GPU)]
    node = error.node_name() or f"node {error.node()}"
    return f"{node} ({error.node_operator()}): {' '.join(lines)}"


def _kind(layer: Any) -> str:
    return f"{layer.type.name} {layer.get_output(0).dtype.name.lower()}"


def _weighted_layers(layers: list[Any]) -> tuple[int, list[str]]:
    """How many layers have weights, and the names of those that do not read INT8."""
    makers = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    weighted = [layer for layer in layers if _has_weight(layer, makers)]
    in_float = [layer.name for layer in weighted if not _reads_levels(layer, makers)]
    return len(weighted), in_float


def _has_weight(layer: Any, makers: dict[str, Any]) -> bool:
    """Whether a layer is a convolution or a product with a weight: attention's have none."""
    if layer.type.name != _PRODUCT:
        return layer.type.name in _WEIGHTED
    maker = _maker(layer.get_input(1), makers)
    while maker is not None and maker.type.name in (QUANTIZE, DEQUANTIZE, "CAST"):
        maker = _maker(maker.get_input(0), makers)
    return maker is None or maker.type.name == "CONSTANT"


def _reads_levels(layer: Any, makers: dict[str, Any]) -> bool:
    """Whether input and weight come from a DEQUANTIZE; a weight in float is no input at all."""
    return layer.num_inputs > 1 and all(
        maker is not None and maker.type.name == DEQUANTIZE
        for maker in (_maker(layer.get_input(i), makers) for i in (0, 1))
    )


def _maker(tensor: Any, makers: dict[str, Any]) -> Any:
    """The layer that makes a tensor, behind those that only reshape it."""
    maker = None if tensor is None else makers.get(tensor.name)
    while maker is not None and maker.type.name in _SHAPERS:
        maker = makers.get(maker.get_input(0).name)
    return maker


def main() -> int:
    """Build one plan, of the library whose plans are kept; why it cannot goes to stderr."""
    request = json.load(sys.stdin)
    kept = [library for library in LIBRARIES if not library.without_gpu]
    try:
        plan, _ = build_plan(load_tensorrt(kept), Path(request["graph"]))
        Path(request["plan"]).write_bytes(plan)
        return 0
    except LandmintError as error:
        print(f"{error.fact}: {error.reason}", file=sys.stderr)
    except Exception as error:  # without a GPU, TensorRT's objects fail in ways of their own
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
