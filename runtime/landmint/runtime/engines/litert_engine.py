"""LiteRT: `ai-edge-litert`, or `tflite-runtime` on older boards, on the CPU through XNNPACK."""

import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract
from landmint.runtime.engines.engine import (
    Operator,
    Tensor,
    check_input,
    describe_precision,
    import_library,
    loading,
    match_outputs,
)
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.quantised import Quantisation, Quantised

_LIBRARIES = (("ai_edge_litert", "ai-edge-litert"), ("tflite_runtime", "tflite-runtime"))
_WEIGHTED = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"}
)
_TYPES: Mapping[type, str] = MappingProxyType(
    {np.float32: "f32", np.float16: "f16", np.uint8: "u8", np.int8: "i8", np.int16: "i16"}
)


class LiteRtEngine:
    """Opens `.tflite`."""

    name = "litert"

    def __init__(self) -> None:
        """Import whichever library is installed."""
        for module, distribution in _LIBRARIES:
            try:
                self._library = import_library(f"{module}.interpreter", "")
            except NotMeasuredError:
                continue
            self.version = f"{distribution} {importlib.metadata.version(distribution)}"
            return
        raise NotMeasuredError(
            "no LiteRT on this machine",
            reason="neither ai-edge-litert nor tflite-runtime can be imported",
            remedy="pip install ai-edge-litert",
        )

    def load(self, entry: Path, contract: Contract, threads: int) -> "LiteRtSession":
        """Open an artefact, as `Engine.load` says."""
        with loading(self.name, entry):
            interpreter = self.open(entry, threads)
            (tensor,) = interpreter.get_input_details()
            check_input([int(n) for n in tensor["shape"]], contract, entry)
            details = _named_outputs(interpreter, contract, entry)
        return LiteRtSession(interpreter, tensor, details)

    def open(self, entry: Path, threads: int) -> Any:
        """LiteRT's own interpreter of a file, its tensors allocated; XNNPACK is applied."""
        # The default resolver applies XNNPACK.
        interpreter = self._library.Interpreter(model_path=str(entry), num_threads=threads)
        interpreter.allocate_tensors()
        return interpreter


def _named_outputs(interpreter: Any, contract: Contract, entry: Path) -> dict[str, Any]:
    """Details of each canonical output: by the signature, else by the tensors' own names."""
    candidates = [
        interpreter.get_signature_runner(key).get_output_details()
        for key in interpreter.get_signature_list()
    ]
    candidates.append({detail["name"]: detail for detail in interpreter.get_output_details()})
    for outputs in candidates[:-1]:
        if all(output.name in outputs for output in contract.outputs):
            return {output.name: outputs[output.name] for output in contract.outputs}
    details = list(candidates[-1].values())
    places = match_outputs({name: i for i, name in enumerate(candidates[-1])}, contract, entry)
    return {name: details[place] for name, place in places.items()}


class LiteRtSession:
    """A model that is loaded; `EngineSession` says what it does."""

    def __init__(
        self, interpreter: Any, tensor: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> None:
        """Note the tensors.

        Args:
            interpreter: LiteRT's own, its tensors allocated.
            tensor: details of the input.
            outputs: details of each canonical output.
        """
        self._interpreter = interpreter
        self._input = tensor
        self._outputs = {
            name: (detail["index"], _quantisation(detail)) for name, detail in outputs.items()
        }
        self.entrance = _quantisation(tensor)
        """What the integers of its input stand for."""

    @property
    def executed_precision(self) -> str:
        """From the input types of the operators, which XNNPACK keeps, and its partitions."""
        try:
            operators = self._interpreter._get_ops_details()
        except (AttributeError, ValueError):
            return "unknown"  # tflite-runtime of some versions does not list its operators
        parts = sum(operator["op_name"] == "DELEGATE" for operator in operators)
        where = f"XNNPACK, {parts} partition{'s' * (parts != 1)}" if parts else "without XNNPACK"
        return f"{self.written_precision} ({where})"

    @property
    def written_precision(self) -> str:
        """The number formats of the layers with weights, as the file has them."""
        layers = Counter(o.precision for o in self.operators if o.kind in _WEIGHTED)
        return describe_precision(layers)

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The operators of the file, with their place; LiteRT's Python API gives no times."""
        try:
            details = self._interpreter._get_ops_details()
        except (AttributeError, ValueError):
            return ()
        parts = [operator for operator in details if operator["op_name"] == "DELEGATE"]
        own = [operator for operator in details if operator["op_name"] != "DELEGATE"]
        outside = _outside(own, parts) if parts else set()
        names = {t["index"]: t["name"] for t in self._interpreter.get_tensor_details()}
        return tuple(
            Operator(
                operator["op_name"],
                _TYPES.get(operator["operand_types"][0], "other"),
                place="outside XNNPACK" if place in outside else "",
                name=names.get(int(operator["outputs"][0]), ""),
                kernel="XNNPACK" if parts and place not in outside else "built-in",
            )
            for place, operator in enumerate(own)
        )

    def run(self, tensor: NDArray[Any]) -> dict[str, Tensor | Quantised]:
        """Run one face, as `Session.run` says."""
        if self.entrance and tensor.dtype != self.entrance.kind:
            tensor = self.entrance.quantise(tensor)
        self._interpreter.set_tensor(self._input["index"], tensor)
        self._interpreter.invoke()
        return {name: self._read(*place) for name, place in self._outputs.items()}

    def read_outputs(self, content: bytes) -> dict[str, Tensor | Quantised]:
        """Outputs that another LiteRT computed with this file.

        Args:
            content: the bytes of all output tensors, one after the other, in the file's order.

        Raises:
            LandmintError: they are more or fewer than the file's outputs have.
        """
        tensors: dict[int, NDArray[Any]] = {}
        details = self._interpreter.get_output_details()
        sizes = [int(np.prod(d["shape"])) * np.dtype(d["dtype"]).itemsize for d in details]
        if len(content) != sum(sizes):
            raise LandmintError(f"{len(content)} bytes of outputs, not {sum(sizes)}")
        for detail, end, size in zip(details, np.cumsum(sizes), sizes, strict=True):
            values = np.frombuffer(content[int(end) - size : int(end)], detail["dtype"])
            tensors[detail["index"]] = values.reshape(detail["shape"])
        return {
            name: _values(tensors[index], quantisation)
            for name, (index, quantisation) in self._outputs.items()
        }

    def _read(self, index: int, quantisation: Quantisation | None) -> Tensor | Quantised:
        return _values(self._interpreter.get_tensor(index), quantisation)


def _values(values: NDArray[Any], quantisation: Quantisation | None) -> Tensor | Quantised:
    if quantisation:
        return Quantised(values, quantisation)
    return values.astype(np.float32, copy=False)


def _quantisation(detail: Mapping[str, Any]) -> Quantisation | None:
    """What the integers of a tensor stand for; None for a tensor of floats."""
    kind = np.dtype(detail["dtype"])
    if not np.issubdtype(kind, np.integer):
        return None
    scale, zero_point = detail["quantization"]
    return Quantisation(float(scale), int(zero_point), kind)


def _outside(
    operators: Sequence[Mapping[str, Any]], parts: Sequence[Mapping[str, Any]]
) -> set[int]:
    """Numbers of the operators that run outside XNNPACK's partitions.

    The library lists every operator, and of a partition only its input and output tensors. So a
    tensor that leaves a partition was made inside it, one that enters it was made outside, and any
    other tensor was made where it is read.
    """
    entering = {int(tensor) for part in parts for tensor in part["inputs"]}
    leaving = {int(tensor) for part in parts for tensor in part["outputs"]}
    readers: dict[int, int] = {}
    outside: set[int] = set()
    for place in reversed(range(len(operators))):
        made = [int(tensor) for tensor in operators[place]["outputs"]]
        read_at = [readers[tensor] for tensor in made if tensor in readers]
        if not leaving.intersection(made) and (
            entering.intersection(made) or not read_at or read_at[0] in outside
        ):
            outside.add(place)
        readers |= {int(tensor): place for tensor in operators[place]["inputs"]}
    return outside
