"""OpenVINO on the CPU, with the precision pinned; not on its GPU or NPU plugins.

Left alone, the CPU plugin runs a float32 model in bfloat16 on a CPU that has it, and says so
nowhere. The hint f32 keeps float layers in float32; INT8 layers stay INT8.
"""

import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract
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
from landmint.runtime.engines.openvino_entrance import take_integers
from landmint.runtime.quantised import Quantisation
from landmint.runtime.telemetry import without_telemetry

_PROFILED_RUNS = 15
_PROFILED_S = 5.0  # slow devices run fewer
_WEIGHTED = frozenset(
    {"Convolution", "Deconvolution", "FullyConnected", "MatMul", "GroupConvolution"}
)


class OpenVinoEngine:
    """Opens OpenVINO IR (`.xml` with its `.bin`) and `.onnx`."""

    name = "openvino"

    def __init__(self) -> None:
        """Import the library."""
        self._library = import_library("openvino", "pip install openvino")
        self.version = f"openvino {self._library.__version__.split('-')[0]}"

    def load(self, entry: Path, contract: Contract, threads: int) -> EngineSession:
        """Open an artefact, as `Engine.load` says."""
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            # Several processes take turns: pinned, they would all wait for the same core.
            "ENABLE_CPU_PINNING": False,
        }
        with loading(self.name, entry):
            model = shared_core().read_model(str(entry))
            entrance = take_integers(model)
            compiled = shared_core().compile_model(model, "CPU", settings)
            (tensor,) = compiled.inputs
            partial = tensor.get_partial_shape()
            shape = [axis.get_length() if axis.is_static else -1 for axis in partial]
            check_input(shape, contract, entry)
            names = {
                name: i for i, output in enumerate(compiled.outputs) for name in output.get_names()
            }
            places = match_outputs(names, contract, entry)

        def watched() -> Any:
            return shared_core().compile_model(model, "CPU", {**settings, "PERF_COUNT": True})

        return _OpenVinoSession(compiled, entrance, places, watched)


@functools.cache
def shared_core() -> Any:
    """The one Core of this process, never given back.

    Each Core's CPU plugin gives the main thread a signal stack of its own and puts the one before
    it back when it ends. Two that do not end in reverse order leave a stack that is gone, and the
    next signal that Python handles (Ctrl-C, a finished child) then ends the process.
    """
    with without_telemetry():
        import openvino

    return openvino.Core()


def shared_tensor(values: NDArray[Any]) -> Any:
    """An `openvino.Tensor` that reads an array where it lies."""
    import openvino

    return openvino.Tensor(values, shared_memory=True)


class _OpenVinoSession:
    def __init__(
        self,
        compiled: Any,
        entrance: Quantisation | None,
        places: Mapping[str, int],
        watched: Callable[[], Any],
    ) -> None:
        self.entrance = entrance
        self._compiled = compiled
        self._watched = watched
        # Set once, since a call that hands over arrays costs as much as a small layer.
        kind = entrance.kind if entrance else np.float32
        self._image = np.zeros(tuple(compiled.inputs[0].shape), kind)
        self._request = compiled.create_infer_request()
        self._request.set_input_tensor(shared_tensor(self._image))
        self._outputs = {
            name: self._request.get_output_tensor(place) for name, place in places.items()
        }

    @property
    def executed_precision(self) -> str:
        """From the primitives in the runtime graph.

        The graph's runtimePrecision names the type of compressed weights; the primitive that
        computes ends in the type that it computes in.
        """
        layers = Counter[str]()
        for layer in self._compiled.get_runtime_model().get_ordered_ops():
            facts = layer.get_rt_info()
            if "layerType" in facts and facts["layerType"].astype(str) in _WEIGHTED:
                primitive = facts["primitiveType"].astype(str)
                layers[primitive.rsplit("_", 1)[-1].lower()] += 1
        return describe_precision(layers)

    @property
    def operators(self) -> tuple[Operator, ...]:
        """From a second, profiled compilation; a primitive ends in the type that it computes in."""
        request = self._watched().create_infer_request()
        face = np.zeros_like(self._image)
        runs: list[Any] = []
        begin = time.monotonic()
        while len(runs) < _PROFILED_RUNS and time.monotonic() - begin < _PROFILED_S:
            request.infer({0: face})
            runs.append(request.get_profiling_info())
        return tuple(
            Operator(
                nodes[0].node_type,
                nodes[0].exec_type.rsplit("_", 1)[-1].lower(),
                median(node.real_time.total_seconds() * 1000 for node in nodes),
                name=nodes[0].node_name,
                kernel=nodes[0].exec_type,
            )
            for nodes in zip(*runs, strict=True)
            if str(nodes[0].status).endswith("EXECUTED")
        )

    def run(self, tensor: NDArray[Any]) -> dict[str, Tensor]:
        """Run one face, as `Session.run` says."""
        if self.entrance and tensor.dtype != self.entrance.kind:
            tensor = self.entrance.quantise(tensor)
        np.copyto(self._image, tensor)
        self._request.infer(share_outputs=True)
        return {
            name: np.array(output.data, dtype=np.float32) for name, output in self._outputs.items()
        }
