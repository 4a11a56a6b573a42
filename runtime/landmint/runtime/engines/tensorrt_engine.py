"""TensorRT on an NVIDIA GPU: it opens an engine that was built on this kind of machine.

Building is not done here: `landmint export` does it where TensorRT is installed.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract
from landmint.runtime.engines.cuda_driver import CudaStream
from landmint.runtime.engines.engine import (
    EngineSession,
    Operator,
    Tensor,
    check_input,
    describe_precision,
    import_library,
    loading,
    match_outputs,
)
from landmint.runtime.errors import LandmintError, NotMeasuredError

_SUFFIX = ".engine"
_WEIGHTED = ("conv", "gemm", "matmul", "matrix_multiply", "deconv")
_TYPES = (("int8", "i8"), ("fp8", "fp8"), ("bf16", "bf16"), ("half", "f16"), ("fp16", "f16"))


class TensorRtEngine:
    """Opens `.engine`; a variant that names an `.onnx` first has none."""

    name = "tensorrt"

    def __init__(self) -> None:
        """Import the library."""
        self._library = import_library("tensorrt", "install TensorRT on a machine with its GPU")
        self.version = f"tensorrt {self._library.__version__}"

    def load(self, entry: Path, contract: Contract, threads: int) -> EngineSession:
        """Open an artefact, as `Engine.load` says; `threads` means nothing on a GPU."""
        plan = entry.with_suffix(_SUFFIX)
        if plan != entry or not plan.is_file():
            raise NotMeasuredError(
                f"{plan} does not exist",
                reason="a TensorRT engine is built on the kind of machine that runs it",
                remedy="run `landmint export` with TensorRT on this machine",
            )
        stream = CudaStream()
        try:
            return self._open(plan, contract, stream)
        except BaseException:
            stream.close()
            raise

    def _open(self, plan: Path, contract: Contract, stream: CudaStream) -> EngineSession:
        with loading(self.name, plan):
            runtime = self._library.Runtime(self._library.Logger(self._library.Logger.ERROR))
            engine = runtime.deserialize_cuda_engine(plan.read_bytes())
            if engine is None:
                raise NotMeasuredError(
                    f"{plan} cannot be opened by {self.version}",
                    reason="it was built by another TensorRT, or for another GPU",
                    remedy="build it again on this machine",
                )
            tensors = [self._tensor(engine, i, stream) for i in range(engine.num_io_tensors)]
            (entrance,) = [tensor for tensor in tensors if tensor.is_input]
            check_input(entrance.host.shape, contract, plan)
            exits = {tensor.name: i for i, tensor in enumerate(tensors) if not tensor.is_input}
            places = match_outputs(exits, contract, plan)
        outputs = {name: tensors[place] for name, place in places.items()}
        return _TensorRtSession(self._library, engine, stream, entrance, outputs)

    def _tensor(self, engine: Any, index: int, stream: CudaStream) -> "_Tensor":
        name = engine.get_tensor_name(index)
        kind = self._library.nptype(engine.get_tensor_dtype(name))
        host = np.empty(tuple(engine.get_tensor_shape(name)), dtype=kind)
        is_input = engine.get_tensor_mode(name) == self._library.TensorIOMode.INPUT
        return _Tensor(name, is_input, host, stream.allocate(host.nbytes))


@dataclass(frozen=True, eq=False)
class _Tensor:
    """One input or output: its memory here and on the GPU."""

    name: str
    is_input: bool
    host: NDArray[Any]
    address: int


class _TensorRtSession:
    def __init__(
        self,
        library: Any,
        engine: Any,
        stream: CudaStream,
        entrance: _Tensor,
        outputs: dict[str, _Tensor],
    ) -> None:
        self._library = library
        self._engine = engine
        self._stream = stream
        self._input = entrance
        self._outputs = outputs
        self._context = engine.create_execution_context()
        for tensor in (entrance, *outputs.values()):
            self._context.set_tensor_address(tensor.name, tensor.address)

    @property
    def executed_precision(self) -> str:
        """From the engine's own description, which names types if it was built to be detailed."""
        inspector = self._engine.create_engine_inspector()
        form = self._library.LayerInformationFormat.JSON
        layers = json.loads(inspector.get_engine_information(form)).get("Layers", [])
        counts = Counter[str]()
        for layer in layers:
            if isinstance(layer, dict) and _is_weighted(layer):
                counts[_own_type(layer)] += 1
        return describe_precision(counts)

    @property
    def operators(self) -> tuple[Operator, ...]:
        """Not told: its layers are fused, and timed by a profiler that slows them."""
        return ()

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run one face, as `Session.run` says; copies to and from the GPU are part of it."""
        np.copyto(self._input.host, tensor, casting="same_kind")
        self._stream.upload(self._input.address, self._input.host)
        if not self._context.execute_async_v3(self._stream.handle):
            raise LandmintError("TensorRT could not run the engine")
        for output in self._outputs.values():
            self._stream.download(output.host, output.address)
        self._stream.wait()
        return {name: o.host.astype(np.float32) for name, o in self._outputs.items()}


def _is_weighted(layer: dict[str, Any]) -> bool:
    kind = f"{layer.get('LayerType', '')} {layer.get('ParameterType', '')}".lower()
    return any(word in kind for word in _WEIGHTED)


def _own_type(layer: dict[str, Any]) -> str:
    inputs = layer.get("Inputs") or [{}]
    datatype = str(inputs[0].get("Format/Datatype", "")).lower()
    unnamed = "f32" if datatype else "unknown"
    return next((short for word, short in _TYPES if word in datatype), unnamed)
