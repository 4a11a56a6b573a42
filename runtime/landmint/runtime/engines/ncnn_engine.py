"""ncnn on the CPU, with the precision pinned; not on its Vulkan GPUs.

Left alone, ncnn runs a float32 file in float16 on an Arm processor that can, and says so nowhere.
Here a file with float16 weights is run so, and no other. On x86 ncnn widens such weights and
computes in float32.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
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
from landmint.runtime.ncnn_param import WEIGHTED, Layer, parse

_HALF_TAG = 0x01306B47
"""Stands before float16 weights in a .bin file, whose content comes in words of four bytes."""
_NO_OPERATORS = frozenset({"Input", "Split"})


class NcnnEngine:
    """Opens `.param` with its `.bin`."""

    name = "ncnn"

    def __init__(self) -> None:
        """Import the library."""
        self._library = import_library("ncnn", "pip install ncnn")
        self.version = f"ncnn {self._library.__version__}"

    def load(self, entry: Path, contract: Contract, threads: int) -> EngineSession:
        """Open an artefact, as `Engine.load` says. ncnn's own words go to the standard error."""
        with loading(self.name, entry):
            layers, _ = parse(entry.read_text(encoding="utf-8"))
            weights = entry.with_suffix(".bin")
            half = _stores_half(weights)
            network = self._network(threads, half)
            if network.load_param(str(entry)) or network.load_model(str(weights)):
                raise ValueError("ncnn refuses it or its weights; its own words stand before this")
            check_input(_input_shape(layers), contract, entry)
            names = network.output_names()
            places = match_outputs({name: i for i, name in enumerate(names)}, contract, entry)
        outputs = {name: names[place] for name, place in places.items()}
        computes_half = half and bool(self._library.cpu_support_arm_asimdhp())
        shown = _operators(layers, network.layers(), computes_half)
        return _NcnnSession(self._library.Mat, network, contract, outputs, shown)

    def _network(self, threads: int, half: bool) -> Any:
        network = self._library.Net()
        option = network.opt
        option.num_threads = threads
        option.use_vulkan_compute = False
        option.use_bf16_storage = False
        option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = half
        return network


def _stores_half(weights: Path) -> bool:
    return bool((np.fromfile(weights, dtype="<u4") == _HALF_TAG).any())


def _input_shape(layers: Sequence[Layer]) -> list[int]:
    """Batch, channels, rows, columns of the input; 0 for an axis that the file does not tell."""
    (entrance,) = (layer for layer in layers if layer.kind == "Input")
    columns, rows, channels = (int(entrance.settings.get(key, "0")) for key in "012")
    return [1, channels, rows, columns]


def _operators(
    layers: Sequence[Layer], loaded: Sequence[Any], computes_half: bool
) -> tuple[Operator, ...]:
    def precision(layer: Layer, twin: Any) -> str:
        if layer.is_int8:
            return "i8"
        return "f16" if computes_half and twin.support_fp16_storage else "f32"

    return tuple(
        Operator(layer.kind, precision(layer, twin), name=layer.name, kernel="ncnn")
        for layer, twin in zip(layers, loaded, strict=True)
        if layer.kind not in _NO_OPERATORS
    )


class _NcnnSession:
    def __init__(
        self,
        mat: Any,
        network: Any,
        contract: Contract,
        outputs: Mapping[str, str],
        operators: tuple[Operator, ...],
    ) -> None:
        self._mat = mat
        self._network = network
        (self._input,) = network.input_names()
        self._outputs = outputs
        self._shapes = {output.name: (1, *output.shape) for output in contract.outputs}
        self.operators = operators

    @property
    def executed_precision(self) -> str:
        """From the weights of the layers, and from what ncnn says that this processor can."""
        return describe_precision(
            Counter(step.precision for step in self.operators if step.kind in WEIGHTED)
        )

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run one face, as `Session.run` says."""
        extractor = self._network.create_extractor()
        extractor.input(self._input, self._mat(np.ascontiguousarray(tensor[0])))
        return {
            name: np.array(self._extracted(extractor, own), dtype=np.float32).reshape(
                self._shapes[name]
            )
            for name, own in self._outputs.items()
        }

    def _extracted(self, extractor: Any, name: str) -> Any:
        code, values = extractor.extract(name)
        if code:
            raise RuntimeError(f"ncnn cannot compute {name}: code {code}")
        return values
