"""Core ML on macOS, through coremltools. On other systems nothing runs its packages.

A float32 program is run on the CPU, where it is computed as such. Any other may use the Neural
Engine, which computes in float16 and INT8 alone. The GPU is left out, so that two runs are alike.

A program is typed, and Core ML computes each operation in the type of its result or in a wider one.
More it does not tell: whether a layer between INT8 tensors was computed in INT8 stays open.
"""

import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
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
from landmint.runtime.errors import NotMeasuredError
from landmint.runtime.mlpackage import package_of

_TYPES = {10: "f16", 11: "f32", 21: "i8"}  # DataType of Apple's MIL.proto
_WEIGHTED = ("conv", "conv_transpose", "linear", "matmul")
_NO_OPERATORS = ("const", "constexpr_affine_dequantize")


class CoreMlEngine:
    """Opens the graph inside an `.mlpackage`."""

    name = "coreml"

    def __init__(self) -> None:
        """Import the library; a NotMeasuredError says that this is no Mac, or what to install."""
        if platform.system() != "Darwin":
            raise NotMeasuredError(
                "Core ML runs on macOS alone",
                reason=f"this machine runs {platform.system()}",
                remedy="measure the bundle on a Mac: pip install numpy coremltools",
            )
        self._library = import_library("coremltools", "pip install coremltools")
        self.version = f"coremltools {self._library.__version__}, macOS {platform.mac_ver()[0]}"

    def load(self, entry: Path, contract: Contract, threads: int) -> EngineSession:
        """Open a package, as `Engine.load` says. Core ML itself decides on threads."""
        with loading(self.name, entry):
            package = str(package_of(entry))
            spec = self._library.models.MLModel(package, skip_model_load=True).get_spec()
            (entrance,) = spec.description.input
            check_input(list(entrance.type.multiArrayType.shape), contract, entry)
            names = [output.name for output in spec.description.output]
            outputs = match_outputs({name: i for i, name in enumerate(names)}, contract, entry)
            operators = tuple(_operators(spec))
            units = self._library.ComputeUnit
            plain = all(step.precision in ("f32", "") for step in operators)
            unit = units.CPU_ONLY if plain else units.CPU_AND_NE
            model = self._library.models.MLModel(package, compute_units=unit)
        places = {name: names[place] for name, place in outputs.items()}
        return _CoreMlSession(model, entrance.name, places, contract, operators)


def _operators(spec: Any) -> Iterator[Operator]:
    """The operations of a program, each in the type of its result."""
    for function in spec.mlProgram.functions.values():
        for block in function.block_specializations.values():
            for step in block.operations:
                if step.type not in _NO_OPERATORS:
                    kind = _TYPES.get(step.outputs[0].type.tensorType.dataType, "")
                    yield Operator(step.type, kind, name=step.outputs[0].name, kernel="Core ML")


class _CoreMlSession:
    def __init__(
        self,
        model: Any,
        entrance: str,
        places: Mapping[str, str],
        contract: Contract,
        operators: tuple[Operator, ...],
    ) -> None:
        self._model = model
        self._input = entrance
        self._places = places
        self._shapes = {output.name: (1, *output.shape) for output in contract.outputs}
        self.operators = operators

    @property
    def executed_precision(self) -> str:
        """From the types of the program."""
        return describe_precision(
            Counter(step.precision for step in self.operators if step.kind in _WEIGHTED)
        )

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run one face, as `Session.run` says."""
        values = self._model.predict({self._input: tensor})
        return {
            name: np.asarray(values[own], dtype=np.float32).reshape(self._shapes[name])
            for name, own in self._places.items()
        }
