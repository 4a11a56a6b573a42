"""ONNX Runtime on the CPU; not on its other execution providers."""

import functools
import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import numpy as np

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
from landmint.runtime.errors import LandmintError

_PROFILED_RUNS = 15
_PROVIDERS = ["CPUExecutionProvider"]
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_TYPES: Mapping[str, str] = MappingProxyType(
    {"float": "f32", "float16": "f16", "bfloat16": "bf16", "uint8": "u8", "int8": "i8"}
)


class OnnxRuntimeEngine:
    """Opens `.onnx`."""

    name = "onnxruntime"

    def __init__(self) -> None:
        """Import the library."""
        self._library = import_library("onnxruntime", "pip install onnxruntime")
        self.version = f"onnxruntime {self._library.__version__}"

    def load(self, entry: Path, contract: Contract, threads: int) -> EngineSession:
        """Open an artefact, as `Engine.load` says."""
        with loading(self.name, entry):
            session = self._open(entry, self._options(threads))
            (tensor,) = session.get_inputs()
            check_input(tensor.shape, contract, entry)
            names = {output.name: i for i, output in enumerate(session.get_outputs())}
            places = match_outputs(names, contract, entry)
        return _OnnxRuntimeSession(self, session, entry, tensor.name, places)

    def _open(self, entry: Path, options: Any) -> Any:
        return self._library.InferenceSession(str(entry), options, providers=_PROVIDERS)

    def _options(self, threads: int) -> Any:
        options = self._library.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._library.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        # Idle threads that keep spinning after a run would slow whatever is timed next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return options

    def profile(self, entry: Path, feed: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        """The nodes of an inference with median times, as the library's own trace tells them.

        Raises:
            LandmintError: the temporary folder has no room for the trace.
        """
        with tempfile.TemporaryDirectory() as folder:
            options = self._options(threads=1)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "trace")
            session = self._open(entry, options)
            for _ in range(_PROFILED_RUNS):
                session.run(None, feed)
            trace = _read_trace(Path(session.end_profiling()))
        events = [event for event in trace if event.get("cat") == "Node"]
        count = len(events) // _PROFILED_RUNS  # nodes run in one order, run after run
        return [
            {**event, "dur": median(repeat["dur"] for repeat in events[place::count])}
            for place, event in enumerate(events[:count])
        ]


def _read_trace(path: Path) -> list[dict[str, Any]]:
    """The events of a trace.

    Raises:
        LandmintError: it is cut short.
    """
    try:
        events: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise LandmintError(
            "onnxruntime's trace is cut short",
            reason=f"{path.parent} has no room for it: {error.msg}",
            remedy="free some space there, or set TMPDIR to another folder",
        ) from None
    return events


class _OnnxRuntimeSession:
    def __init__(
        self,
        engine: OnnxRuntimeEngine,
        session: Any,
        entry: Path,
        input_name: str,
        places: Mapping[str, int],
    ) -> None:
        self._engine = engine
        self._session = session
        self._entry = entry
        self._input_name = input_name
        self._places = places

    @property
    def executed_precision(self) -> str:
        """From the trace of a second session."""
        layers = Counter[str]()
        for operator in self.operators:
            if any(word in operator.kind for word in _WEIGHTED):
                layers[operator.precision] += 1
        return describe_precision(layers)

    @functools.cached_property
    def operators(self) -> tuple[Operator, ...]:
        """From the trace of a second session."""
        shape = self._session.get_inputs()[0].shape
        face = np.zeros([n if isinstance(n, int) else 1 for n in shape], dtype=np.float32)
        events = self._engine.profile(self._entry, {self._input_name: face})
        return tuple(
            Operator(
                event["args"]["op_name"],
                _first_type(event["args"]),
                event["dur"] / 1000,
                name=node_name(event["name"]),
                kernel=event["args"].get("provider", ""),
            )
            for event in events
        )

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run one face, as `Session.run` says."""
        outputs = self._session.run(None, {self._input_name: tensor})
        return {name: outputs[place] for name, place in self._places.items()}


def node_name(event: str) -> str:
    """The node's name in the name of a trace's event.

    The library numbers the nodes that it adds by chance: "ReorderOutput_token_85" is
    "ReorderOutput", which several nodes may be called.
    """
    return re.sub(r"(_token_\d+)?_kernel_time$", "", event)


def _first_type(facts: Mapping[str, Any]) -> str:
    """Type of a node's first input; "" for a node without any."""
    inputs = facts["input_type_shape"]
    own = next(iter(inputs[0])) if inputs else ""
    return _TYPES.get(own, own)
