"""Reads what TensorRT says of the layers of a plan, in the JSON of its engine inspector.

Its Python API returns that text, and trtexec writes it to the file of `--exportLayerInfo`. Types
are told of plans that were built with detailed profiling verbosity.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from landmint.runtime.engines.engine import Operator, describe_precision
from landmint.runtime.errors import LandmintError

_WEIGHTED = ("conv", "gemm", "matmul", "matrix_multiply", "matrixmultiply", "deconv")
_TYPES = (("int8", "i8"), ("fp8", "fp8"), ("bf16", "bf16"), ("half", "f16"), ("fp16", "f16"))
_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_JOINT = " + "  # TensorRT's own, between the names of layers that it fused
_MOST_NAMED = 3
_FLOAT_LAYERS = re.compile(r"\d+ of \d+: (.*)")


def read_layers(text: str, times_ms: Mapping[str, float]) -> tuple[Operator, ...]:
    """The layers of a plan, in order.

    Args:
        text: of the inspector.
        times_ms: of a layer by TensorRT's name for it; empty where none were taken.

    Raises:
        LandmintError: it is no such text.
    """
    try:
        # TensorRT separates names by control characters, in strings too.
        layers = json.loads(text, strict=False).get("Layers", [])
        # Without detailed verbosity a layer is its name alone.
        return tuple(_operator(layer, times_ms) for layer in layers if isinstance(layer, dict))
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise LandmintError("TensorRT's description of its layers", reason=reason) from None


def precision_of(layers: Iterable[Operator]) -> str:
    """The number formats of convolutions and matrix products, with their numbers of layers."""
    return describe_precision(Counter(x.precision for x in layers if _is_weighted(x.kind)))


def against_decision(notes: Mapping[str, str], layers: Iterable[Operator]) -> str:
    """The layers that run in another type than was decided; empty where none does.

    Args:
        notes: of the variant. Its note "float layers" (`float_layers_note`) names the layers that
            stay in float: all others are INT8. Without such a note nothing was decided.
        layers: of `read_layers`; one that TensorRT fused has the names of all its nodes.
    """
    noted = _FLOAT_LAYERS.fullmatch(notes.get("float layers", ""))
    if noted is None:
        return ""
    in_float = set(noted[1].split(", "))
    departed = [
        f"{layer.name} in {layer.precision}"
        for layer in layers
        if _is_weighted(layer.kind)
        and (layer.precision == "i8") != in_float.isdisjoint(layer.name.split(_JOINT))
    ]
    more = f" and {len(departed) - _MOST_NAMED} more" if len(departed) > _MOST_NAMED else ""
    return ", ".join(departed[:_MOST_NAMED]) + more


def _operator(layer: Mapping[str, Any], times_ms: Mapping[str, float]) -> Operator:
    name = str(layer.get("Name", ""))
    kinds = [str(layer[key]) for key in ("ParameterType", "LayerType") if layer.get(key)]
    nodes = _NODE.findall(str(layer.get("Metadata", "")))
    return Operator(
        kind=next(filter(_is_weighted, kinds), kinds[0] if kinds else "unknown"),
        precision=_own_type(layer),
        ms=times_ms.get(name),
        name=_JOINT.join(nodes) or name,
        kernel=str(layer.get("TacticName", "")),
    )


def _is_weighted(kind: str) -> bool:
    return any(word in kind.lower() for word in _WEIGHTED)


def _own_type(layer: Mapping[str, Any]) -> str:
    inputs = layer.get("Inputs") or [{}]
    datatype = str(inputs[0].get("Format/Datatype", "")).lower()
    unnamed = "f32" if datatype else "unknown"
    return next((short for word, short in _TYPES if word in datatype), unnamed)
