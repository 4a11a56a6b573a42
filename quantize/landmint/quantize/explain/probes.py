"""Any tensor of the float graph, as ONNX Runtime, OpenVINO or LiteRT computes it on one face.

The first two cut the graph behind the tensor, and optimise what stands before it as in the whole.
LiteRT keeps all tensors at once, which it can only without XNNPACK.
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
        """Nothing is run yet.

        Args:
            label: the artefact.
            model: batch 1.
            face: (1, 3, S, S), normalised.
            places: name in the float graph to the name in this one.
            optimise: what ONNX Runtime may do.
        """
        self.label = f"{label} in onnxruntime{', not optimised' * (optimise == 'none')}"
        made = {name for node in model.graph.node for name in node.output}
        self._places = {name: place for name, place in places.items() if place in made}
        self.tensors: Collection[str] = frozenset(self._places)
        self._model, self._face, self._optimise = model, face, optimise

    def values(self, tensor: str) -> Values:
        """The tensor."""
        session = open_session(ending_at(self._model, [self._places[tensor]]), self._optimise)
        (entrance,) = session.get_inputs()
        output: Values = session.run(None, {entrance.name: self._face})[0]
        return output


class OpenVinoProbe:
    """An IR or ONNX file in OpenVINO, in float32 where it is not quantised."""

    def __init__(self, label: str, entry: Path, face: Values) -> None:
        """Read the file.

        Args:
            label: the artefact.
            entry: .xml or .onnx, whose tensors are called as in the float graph.
            face: (1, 3, S, S), normalised.

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
        """The tensor, as its readers see it: behind a quantiser that follows it."""
        port = self._ports[tensor]
        readers = [reader.get_node() for reader in port.get_target_inputs()]
        levels = [node for node in readers if node.get_type_name() == "FakeQuantize"]
        end = levels[0].output(0) if levels else port
        cut = self._library.Model([end], self._model.get_parameters(), "cut")
        compiled = shared_core().compile_model(cut, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return np.array(compiled(self._face)[0], dtype=np.float32)


class LiteRtProbe:
    """A TFLite file in LiteRT's own kernels."""

    def __init__(
        self, label: str, entry: Path, plain: Path, face: Values, reference: Mapping[str, Values]
    ) -> None:
        """Run both files.

        The converter renames every tensor: each is known by what it holds in the float32 file.

        Args:
            label: the artefact.
            entry: the .tflite to ask.
            plain: the float32 .tflite that it was made from; its tensors have the same names.
            face: (1, 3, S, S), normalised.
            reference: the tensors of the float graph on this face.

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
        """The tensor."""
        return self._values[tensor]


MakeProbe = Callable[[Bundle, str, Values, Mapping[str, Values]], Probe]
"""From a bundle, the name of a variant, a face (1, 3, S, S), normalised, and the tensors of the
float graph on that face. Raises a NotMeasuredError where the variant was not built or the engine is
not installed."""


def openvino_probe(
    bundle: Bundle, variant: str, face: Values, reference: Mapping[str, Values]
) -> Probe:
    """A variant in OpenVINO, as `MakeProbe` says."""
    return OpenVinoProbe(variant, bundle.entry(bundle.variant(variant)), face)


def litert_probe(
    bundle: Bundle, variant: str, face: Values, reference: Mapping[str, Values]
) -> Probe:
    """A variant in LiteRT, as `MakeProbe` says; beside the float32 file that it was made from."""
    plain, entry = (
        bundle.entry(bundle.variant(name)) for name in (f"{variant.split('/')[0]}/float32", variant)
    )
    return LiteRtProbe(variant, entry, plain, face, reference)


def _all_tensors(entry: Path, face: Values) -> dict[str, Values]:
    """Every tensor of a TFLite file by name; levels as the numbers that they stand for."""
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
    """In the float graph's axis order, and a sixth of what lacks hard-swish's division by six.

    Which of the two is nearer tells: by their ratio, levels that end below a large value mislead.
    """
    whole = asked.transpose(0, 3, 1, 2) if asked.ndim == 4 else asked
    sixth = whole / np.float32(6)
    return min((whole, sixth), key=lambda candidate: float(np.abs(candidate - values).sum()))
