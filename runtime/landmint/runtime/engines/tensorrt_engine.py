"""TensorRT on an NVIDIA GPU: it opens a plan that was built there, or builds one of a graph.

TensorRT takes minutes to build one, so it is kept; `landmint export` puts one into the bundle where
TensorRT is installed. TensorRT-RTX takes seconds and needs no GPU, so where a GPU is it builds the
graph each time, and where none is, it builds and runs nothing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract
from landmint.runtime.engines.built import Built
from landmint.runtime.engines.cuda_driver import CudaStream
from landmint.runtime.engines.engine import (
    Engine,
    EngineSession,
    Operator,
    Tensor,
    check_input,
    loading,
    match_outputs,
)
from landmint.runtime.engines.tensorrt_build import LIBRARIES, Loaded, build_plan, load_tensorrt
from landmint.runtime.engines.tensorrt_layers import precision_of, read_layers
from landmint.runtime.engines.tensorrt_plans import kept_plan
from landmint.runtime.engines.trtexec import Trtexec, find_trtexec
from landmint.runtime.engines.trtexec_engine import TrtexecEngine
from landmint.runtime.errors import LandmintError, NotMeasuredError

_GRAPH = ".onnx"


def tensorrt_engine() -> Engine:
    """TensorRT's Python API; where it is not installed, its trtexec; else TensorRT-RTX.

    Raises:
        NotMeasuredError: this machine has none of them.
    """
    try:
        return TensorRtEngine(load_tensorrt([lib for lib in LIBRARIES if not lib.without_gpu]))
    except NotMeasuredError:
        if program := find_trtexec():
            return TrtexecEngine(Trtexec(program))
    return TensorRtEngine(load_tensorrt())


class TensorRtEngine:
    """Opens `.engine`; a variant that names an `.onnx` first has no plan yet."""

    name = "tensorrt"

    def __init__(self, loaded: Loaded) -> None:
        """Take the library."""
        self._loaded = loaded
        self._library = self._loaded.module
        self.version = self._loaded.version

    def load(self, entry: Path, contract: Contract, threads: int) -> EngineSession:
        """Open a `.engine` or build an `.onnx`, as `Engine.load` says; `threads` means nothing."""
        stream = CudaStream()
        try:
            return self._open(entry, contract, stream)
        except BaseException:
            stream.close()
            raise

    def build(self, entry: Path) -> Built | None:
        """Build a graph without a GPU, as `Builder.build` says."""
        return build_plan(self._loaded, entry)[1] if self._builds(entry) else None

    def _builds(self, entry: Path) -> bool:
        """Whether the file is a graph that this library builds where it is needed."""
        return entry.suffix == _GRAPH and self._loaded.library.without_gpu

    def _plan(self, graph: Path) -> bytes:
        """Build a graph; TensorRT takes minutes for that, so its plan is kept."""

        def build(fresh: Path) -> None:
            fresh.write_bytes(build_plan(self._loaded, graph)[0])

        if self._loaded.library.without_gpu:
            return build_plan(self._loaded, graph)[0]
        return kept_plan(graph, [self.version], build).read_bytes()

    def _open(self, entry: Path, contract: Contract, stream: CudaStream) -> EngineSession:
        with loading(self.name, entry):
            plan = self._plan(entry) if entry.suffix == _GRAPH else entry.read_bytes()
            runtime = self._library.Runtime(self._library.Logger(self._library.Logger.ERROR))
            engine = runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise NotMeasuredError(
                    f"{entry} cannot be opened by {self.version}",
                    reason="it was built by another TensorRT, or for another GPU",
                    remedy="build it again on this machine",
                )
            tensors = [self._tensor(engine, i, stream) for i in range(engine.num_io_tensors)]
            (entrance,) = [tensor for tensor in tensors if tensor.is_input]
            check_input(entrance.host.shape, contract, entry)
            exits = {tensor.name: i for i, tensor in enumerate(tensors) if not tensor.is_input}
            places = match_outputs(exits, contract, entry)
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
        return precision_of(self.operators)

    @property
    def operators(self) -> tuple[Operator, ...]:
        """From the same; without times, which only a profiler takes, that slows the layers."""
        inspector = self._engine.create_engine_inspector()
        form = self._library.LayerInformationFormat.JSON
        return read_layers(inspector.get_engine_information(form), {})

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
