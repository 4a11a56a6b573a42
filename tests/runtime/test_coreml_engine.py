"""Core ML's engine: not measured off macOS; on a stand-in for Apple's library it keeps its promise.

The stand-in computes packages with PyTorch. What Core ML itself does is not tested here: on a Mac
the contract suite does that.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from landmint.export.forms.coreml import convert
from landmint.export.forms.onnx import to_onnx
from landmint.runtime.contract import Contract
from landmint.runtime.engines import coreml_engine, load_engine
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.mlpackage import GRAPH
from landmint.train.models import ModelConfig, create_model
from tests.ml_program import Program, needs_coremltools


@pytest.mark.skipif(sys.platform == "darwin", reason="here it runs")
def test_off_macos_it_is_not_measured() -> None:
    with pytest.raises(NotMeasuredError, match="Core ML runs on macOS alone") as caught:
        load_engine("coreml")
    assert caught.value.reason and "Mac" in caught.value.remedy


class StandIn:
    """`coremltools.models.MLModel`, as far as the engine uses it."""

    units: list[str] = []

    def __init__(
        self, package: str, skip_model_load: bool = False, compute_units: str = ""
    ) -> None:
        self._program = Program(Path(f"{package.removesuffix('.mlpackage')}{GRAPH}"))
        if not skip_model_load:
            self.units.append(compute_units)

    def get_spec(self) -> Any:
        return self._program.model

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        (image,) = inputs.values()
        return self._program.run(image)


@pytest.fixture
def on_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("coremltools")
    library.__version__ = "9.0"  # type: ignore[attr-defined]
    library.models = SimpleNamespace(MLModel=StandIn)  # type: ignore[attr-defined]
    library.ComputeUnit = SimpleNamespace(CPU_ONLY="cpu", CPU_AND_NE="ne")  # type: ignore[attr-defined]
    mac = SimpleNamespace(system=lambda: "Darwin", mac_ver=lambda: ("26.0", ("", "", ""), "arm64"))
    monkeypatch.setattr(coreml_engine, "platform", mac)
    monkeypatch.setattr(coreml_engine, "import_library", lambda name, install: library)
    monkeypatch.setattr(StandIn, "units", [])


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], Contract]:
    """A small network in both precisions."""
    folder = tmp_path_factory.mktemp("coreml")
    shape = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    network = create_model(ModelConfig(name="pfld", input_size=64), shape)
    to_onnx(network, folder / "net.onnx")
    files = {name: folder / f"{name}{GRAPH}" for name in ("float32", "float16")}
    for name, path in files.items():
        convert(folder / "net.onnx", path, network.contract, half=name == "float16")
    return files, network.contract


@pytest.mark.slow
@needs_coremltools
@pytest.mark.parametrize(
    ("name", "kind", "unit"), [("float32", "f32", "cpu"), ("float16", "f16", "ne")]
)
def test_a_package_is_run(
    name: str,
    kind: str,
    unit: str,
    packages: tuple[dict[str, Path], Contract],
    on_a_mac: None,
) -> None:
    files, contract = packages
    session = load_engine("coreml").load(files[name], contract, threads=1)
    image = np.random.default_rng(0).normal(size=contract.input_shape).astype(np.float32)
    (output,) = contract.outputs
    returned = session.run(image)
    np.testing.assert_array_equal(
        np.asarray(returned[output.name]), Program(files[name]).run(image)[output.name]
    )
    assert session.executed_precision == kind and StandIn.units == [unit]
    assert {step.kind for step in session.operators} == Program(files[name]).kinds


@pytest.mark.slow
@needs_coremltools
def test_another_contract_is_refused(
    packages: tuple[dict[str, Path], Contract], on_a_mac: None
) -> None:
    files, contract = packages
    with pytest.raises(LandmintError, match="has no output 'co"):
        load_engine("coreml").load(files["float32"], contract.decoded(), threads=1)
