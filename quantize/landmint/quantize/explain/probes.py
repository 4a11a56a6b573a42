"""Probes: inner tensors of an artefact, as ONNX Runtime, OpenVINO or LiteRT computes them.

In ONNX Runtime and OpenVINO the graph is cut behind the wanted tensor and run up to there. LiteRT
runs the whole graph once and keeps all tensors, which it can do only without XNNPACK.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import onnx

from landmint.export.graphs import ending_at
from landmint.quantize.decide.ranges import Optimise, open_session
from landmint.quantize.explain.divergence import Probe, Values
from landmint.runtime.bundle import Bundle
from landmint.runtime.engines.engine import import_library
from landmint.runtime.engines.openvino_engine import shared_core

_SAME = 1e-3


class OnnxRuntimeProbe:
    """An ONNX graph in ONNX Runtime."""

    def __init__(
        self,
        label: str,
        model: onnx.ModelProto,
        face: Values,
        places: Mapping[str, str],
        optimise: Optimise = "all",
    ) -> None:
        """Keep the graph; nothing is run yet.

        Args:
            label: name of the artefact, for people.
            model: the graph, of batch 1.
            face: normalised crop (1, 3, S, S).
            places: name of each tensor in this graph, by its name in the float graph.
            optimise: which optimisations ONNX Runtime may do.
        """
        self.label = f"{label} in onnxruntime{', not optimised' * (optimise == 'none')}"
        made = {name for node in model.graph.node for name in node.output}
        self._places = {name: place for name, place in places.items() if place in made}
        self.tensors: Collection[str] = frozenset(self._places)
        self._model, self._face, self._optimise = model, face, optimise

    def values(self, tensor: str) -> Values:
        """Compute a tensor by its name in the float graph."""
        session = open_session(ending_at(self._model, [self._places[tensor]]), self._optimise)
        (entrance,) = session.get_inputs()
        output: Values = session.run(None, {entrance.name: self._face})[0]
        return output


class OpenVinoProbe:
    """An IR or ONNX file in OpenVINO, in float32 where it is not quantised."""

    def __init__(self, label: str, entry: Path, face: Values) -> None:
        """Read the file.

        Args:
            label: name of the artefact, for people.
            entry: .xml or .onnx file whose tensors have the names of the float graph.
            face: normalised crop (1, 3, S, S).

        Raises:
            NotMeasuredError: OpenVINO is not installed.
        """
        self._library = import_library("openvino", "pip install openvino")
        self.label, self._face = f"{label} in openvino", face
        self._model = shared_core().read_model(entry)
        self._ports = {
            name: port
            for node in self._model.get_ordered_ops()
            for port in node.outputs()
            for name in port.get_names()
        }
        self.tensors: Collection[str] = frozenset(self._ports)

    def values(self, tensor: str) -> Values:
        """Compute a tensor; where the graph quantises it, after rounding."""
        port = self._ports[tensor]
        readers = [reader.get_node() for reader in port.get_target_inputs()]
        levels = [node for node in readers if node.get_type_name() == "FakeQuantize"]
        end = levels[0].output(0) if levels else port
        cut = self._library.Model([end], self._model.get_parameters(), "cut")
        compiled = shared_core().compile_model(cut, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return np.array(compiled(self._face)[0], dtype=np.float32)


class LiteRtProbe:
    """A TFLite file in LiteRT, with its built-in kernels instead of XNNPACK's."""

    def __init__(
        self, label: str, entry: Path, plain: Path, face: Values, reference: Mapping[str, Values]
    ) -> None:
        """Run both files and keep their tensors.

        The converter renames every tensor. So a tensor of the float ONNX graph is looked for in the
        float32 TFLite file by its values; `entry` has it under the same name as that file.

        Args:
            label: name of the artefact, for people.
            entry: the .tflite file to compute tensors of.
            plain: the float32 .tflite file that `entry` was made from.
            face: normalised crop (1, 3, S, S).
            reference: all tensors of the float ONNX graph on this face, by name.

        Raises:
            NotMeasuredError: LiteRT is not installed.
        """
        self.label = f"{label} in litert, without XNNPACK"
        floats, asked = (_all_tensors(file, face) for file in (plain, entry))
        self._values = {
            name: _at_scale(asked[twin], values)
            for name, values in reference.items()
            if (twin := _twin(_channels_last(values), floats)) is not None
        }
        self.tensors: Collection[str] = frozenset(self._values)

    def values(self, tensor: str) -> Values:
        """The values of a tensor by its name in the float graph."""
        return self._values[tensor]


MakeProbe = Callable[[Bundle, str, Values, Mapping[str, Values]], Probe]
"""Makes a probe from a bundle, the name of a variant, a normalised face (1, 3, S, S), and all
tensors of the float graph on that face. Raises a NotMeasuredError where the variant was not built
or the engine is not installed."""


def openvino_probe(
    bundle: Bundle, variant: str, face: Values, reference: Mapping[str, Values]
) -> Probe:
    """The `MakeProbe` of OpenVINO."""
    return OpenVinoProbe(variant, bundle.entry(bundle.variant(variant)), face)


def litert_probe(
    bundle: Bundle, variant: str, face: Values, reference: Mapping[str, Values]
) -> Probe:
    """The `MakeProbe` of LiteRT."""
    plain, entry = (
        bundle.entry(bundle.variant(name)) for name in (f"{variant.split('/')[0]}/float32", variant)
    )
    return LiteRtProbe(variant, entry, plain, face, reference)


def _all_tensors(entry: Path, face: Values) -> dict[str, Values]:
    """Run a TFLite file; returns all its tensors by name, integers converted to real numbers."""
    library = import_library("ai_edge_litert.interpreter", "pip install ai-edge-litert")
    plain_kernels = library.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = library.Interpreter(
        model_path=str(entry),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=plain_kernels,
    )
    interpreter.allocate_tensors()
    (entrance,) = interpreter.get_input_details()
    image = _channels_last(face)
    if entrance["dtype"] is not np.float32:
        scale, zero = entrance["quantization"]
        limits = np.iinfo(entrance["dtype"])
        image = np.clip(np.rint(image / np.float32(scale)) + zero, limits.min, limits.max)
    interpreter.set_tensor(entrance["index"], image.astype(entrance["dtype"]))
    interpreter.invoke()
    tensors: dict[str, Values] = {}
    for detail in interpreter.get_tensor_details():
        values = interpreter.get_tensor(detail["index"]).astype(np.float32)
        scale, zero = detail["quantization"]
        if scale:
            values = (values - np.float32(zero)) * np.float32(scale)
        tensors[detail["name"]] = values
    return tensors


def _channels_last(values: Values) -> Values:
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def _twin(values: Values, floats: Mapping[str, Values]) -> str | None:
    """The name of the tensor that holds these values; None when none does."""
    size = float(np.abs(values).max())
    for name, candidate in floats.items():
        if candidate.shape == values.shape and size > 0:
            if np.abs(candidate - values).max() < _SAME * size:
                return name
    return None


def _at_scale(asked: Values, values: Values) -> Values:
    """A TFLite tensor in the axis order and on the scale of the float graph.

    A tensor in front of hard-swish's division by six is six times as large in TFLite. So both the
    tensor and a sixth of it are compared with the float values, and the nearer one is returned. The
    ratio of the largest values would not do: levels may clip these.

    Args:
        asked: the tensor of the TFLite file.
        values: the same tensor of the float graph.
    """
    whole = asked.transpose(0, 3, 1, 2) if asked.ndim == 4 else asked
    sixth = whole / np.float32(6)
    return min((whole, sixth), key=lambda candidate: float(np.abs(candidate - values).sum()))
