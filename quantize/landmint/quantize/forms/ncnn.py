"""INT8 for ncnn, written as its own `ncnn2int8` would write it from a table of our ranges.

ncnn's INT8 is symmetric: a layer multiplies what it reads by 127 over the greatest magnitude, and
weights have a scale for each output channel. Only weighted layers are INT8. Between two of them
values stay INT8; all others read and return floats.

pnnx keeps no names. So a layer's weights are found by their bytes, and whatever else is in the file
is passed on unread. Matrix products of several rows (`Gemm`) and transposed convolutions stay in
float.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from landmint.export.forms.ncnn import convert
from landmint.export.graphs import Wiring, attribute
from landmint.quantize.decide.decision import layers_of
from landmint.quantize.decide.ranges import Range, weight_levels
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.prepare import prepared
from landmint.runtime.errors import LandmintError
from landmint.runtime.ncnn_param import WEIGHTED, Layer, parse, render
from landmint.runtime.scratch import scratch_folder

_TOP = 127
_FLOAT_TAG, _INT8_TAG = bytes(4), (0x000D4B38).to_bytes(4, "little")
_WORD = 4
_INT8_TERMS = {"Convolution": 2, "ConvolutionDepthWise": 1, "InnerProduct": 2}
"""By the kinds that become INT8: the setting that says so."""
_RETURNS_INT8 = 100
"""Added to that setting where what the layer returns is INT8 too."""
_CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
_OUTPUTS, _GROUPS, _INT8_TERM = "0", "7", "8"
"""Keys of settings."""


def quantize(job: Job) -> dict[str, str]:
    """Write the INT8 layers and weights.

    Args:
        job: `source` is the float32 ONNX file. `target` has the suffix .param; the .bin file is
            written beside it. Of the settings it reads float_layers.

    Returns:
        notes for the manifest.

    Raises:
        LandmintError: pnnx failed, or changed a weight.
    """
    in_float = layers_in_float(job.graph.graph, job.contract, job.config)
    ready = prepared(job, in_float)
    with scratch_folder() as work:
        onnx.save(ready, work / "ready.onnx")
        convert(work / "ready.onnx", work / "ready.param", job.contract)
        layers, _ = parse((work / "ready.param").read_text(encoding="utf-8"))
        content = (work / "ready.bin").read_bytes()
    placed = place_weights(ready.graph, layers, content)
    chosen = [
        weight
        for weight in placed
        if weight.layer.kind in _INT8_TERMS and weight.node.name not in in_float
    ]
    scales = {
        weight.layer.name: _scale(job.decision.activations[weight.node.input[0]])
        for weight in chosen
    }
    onward = _scales_onward(layers, scales)
    job.target.write_text(render([_int8(layer, scales, onward) for layer in layers]), "utf-8")
    job.target.with_suffix(".bin").write_bytes(
        b"".join(_int8_content(content, chosen, scales, onward))
    )
    plain = [weight.node.name for weight in placed if weight not in chosen]
    return {"float layers": ", ".join(sorted(plain)) or "none"}


@dataclass(frozen=True, eq=False)
class PlacedWeight:
    """The weight of one layer, and where it lies in ncnn's file."""

    layer: Layer
    """ncnn's layer."""
    node: NodeProto
    """The same layer in the ONNX graph."""
    start: int
    """Offset of its first byte, behind the tag."""
    values: NDArray[np.float32]
    """The weight in ncnn's layout; where it may become INT8, a row for each scale that it gets."""

    @property
    def end(self) -> int:
        """Offset behind its last byte, where the bias begins."""
        return self.start + self.values.nbytes

    @property
    def bias_bytes(self) -> int:
        """Size of the bias; 0 where there is none."""
        has_bias = self.layer.settings.get("1" if self.layer.kind == "InnerProduct" else "5", "0")
        return _WORD * int(self.layer.settings[_OUTPUTS]) if has_bias != "0" else 0


def place_weights(
    graph: onnx.GraphProto, layers: Sequence[Layer], content: bytes
) -> list[PlacedWeight]:
    """The weights of all layers, in the order of ncnn's file.

    Args:
        graph: the ONNX graph that was converted.
        layers: of ncnn.
        content: of the .bin file, in float32.

    Raises:
        LandmintError: a weight is not there, or there are others.
    """
    wiring, places = Wiring(graph), {}
    for node in layers_of(graph):
        weight = wiring.array(node.input[1])
        assert weight is not None
        values = _as_in_ncnn(node, weight)
        start = content.find(_FLOAT_TAG + values.tobytes()) + _WORD
        while start in places:  # another layer has the same weight
            start = content.find(_FLOAT_TAG + values.tobytes(), start) + _WORD
        if start < _WORD:
            raise _changed(f"the weight of layer '{node.name}' is not in its file")
        places[start] = node, values
    weighted = [layer for layer in layers if layer.kind in WEIGHTED]
    if len(weighted) != len(places):
        raise _changed(f"it made {len(weighted)} layers with weights of {len(places)}")
    return [
        PlacedWeight(layer, node, start, _in_rows(layer, values))
        for layer, (start, (node, values)) in zip(weighted, sorted(places.items()), strict=True)
    ]


def _as_in_ncnn(node: NodeProto, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """A weight with its outputs first."""
    if node.op_type == "ConvTranspose":
        groups = attribute(node, "group", 1)
        apart = weight.reshape(groups, -1, *weight.shape[1:])
        return np.ascontiguousarray(apart.swapaxes(1, 2))
    transposed = node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not attribute(node, "transB", 0)
    )
    return np.ascontiguousarray(weight.T if transposed else weight)


def _in_rows(layer: Layer, values: NDArray[np.float32]) -> NDArray[np.float32]:
    if layer.kind not in _INT8_TERMS:
        return values
    return values.reshape(int(layer.settings.get(_GROUPS, layer.settings[_OUTPUTS])), -1)


def _changed(reason: str) -> LandmintError:
    return LandmintError(
        "pnnx changed what ranges are carried over to",
        reason=reason,
        remedy="leave ncnn out of quantize.formats to go on without it",
    )


def _scale(span: Range) -> float:
    """What ncnn multiplies a value by, for a level from -127 to 127."""
    low, high = span
    return _TOP / max(-low, high)


def _scales_onward(layers: Sequence[Layer], scales: Mapping[str, float]) -> dict[str, float]:
    """The scale of what a layer returns, for those that only INT8 convolutions read.

    Args:
        layers: of the network.
        scales: of what each INT8 layer reads, by its name.
    """
    reader = {tensor: layer for layer in layers for tensor in layer.inputs}
    onward = {}
    for layer in layers:
        if layer.name not in scales or layer.kind not in _CONVOLUTIONS:
            continue
        readers = [reader[tensor] for tensor in layer.outputs if tensor in reader]
        if [after.kind for after in readers] == ["Split"]:
            readers = [reader[tensor] for tensor in readers[0].outputs]
        if readers and all(
            after.name in scales and after.kind in _CONVOLUTIONS for after in readers
        ):
            onward[layer.name] = scales[readers[0].name]
    return onward


def _int8(layer: Layer, scales: Mapping[str, float], onward: Mapping[str, float]) -> Layer:
    """A layer as it is when its weights are INT8."""
    if layer.name not in scales:
        return layer
    term = _INT8_TERMS[layer.kind] + _RETURNS_INT8 * (layer.name in onward)
    return replace(layer, settings={**layer.settings, _INT8_TERM: str(term)})


def _int8_content(
    content: bytes,
    chosen: Iterable[PlacedWeight],
    scales: Mapping[str, float],
    onward: Mapping[str, float],
) -> Iterator[bytes]:
    """The file of weights in pieces: those of the chosen layers are INT8, all else stays."""
    cursor = 0
    for weight in chosen:
        name = weight.layer.name
        levels, steps = weight_levels(weight.values, 0)
        yield content[cursor : weight.start - _WORD]
        yield _INT8_TAG + levels.tobytes() + bytes(-levels.size % _WORD)
        cursor = weight.end + weight.bias_bytes
        yield content[weight.end : cursor]
        behind = [scales[name], *([onward[name]] if name in onward else [])]
        yield np.array([*(1 / steps), *behind], dtype="<f4").tobytes()
    yield content[cursor:]
