"""A network that INT8 spoils learns to bear it, guided by what it said before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from landmint.quantize.config import QatConfig, QuantizeConfig
from landmint.quantize.decide.decision import Decision, decide
from landmint.quantize.decide.ranges import run_all
from landmint.quantize.qat.fake_quant import FakeQuantised
from landmint.quantize.qat.training import (
    QatTask,
    calibration_crops,
    carried,
    fit_config,
    float_graph,
    int8_graph,
    simulate,
    truth_task,
)
from landmint.train.config import LossConfig
from landmint.train.faces.face import FaceSet
from landmint.train.fit import FitConfig, fit
from landmint.train.models import ModelConfig, create_model
from landmint.train.models.base import LandmarkModel

Tensors = NDArray[np.float32]
MakeFaces = Callable[..., FaceSet]
MakeTiny = Callable[[], LandmarkModel]

INT8 = QuantizeConfig(size=8)
FIT = FitConfig(
    epochs=9,
    batch_size=4,
    learning_rate=1e-2,
    precision="auto",
    accelerator="cpu",
    threads=1,
    workers=0,
    checkpoint_every_steps=1,
)


def task_of(network: LandmarkModel, faces: FaceSet, **settings: float) -> QatTask:
    config = QatConfig.model_validate(settings)
    return QatTask(truth_task(network, LossConfig(), faces), network, config)


def rounded(network: LandmarkModel, tensors: Tensors) -> tuple[FakeQuantised, Decision]:
    graph = float_graph(network)
    decision = decide(graph, tensors, INT8)
    return simulate(network, graph, decision, tensors, INT8), decision


def batch_of(tensors: Tensors) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    points = torch.rand(len(tensors), 68, 2, generator=random)
    return {"images": torch.from_numpy(tensors), "points": points}


def test_a_copy_says_nothing_to_the_network_that_it_is(
    tiny_network: LandmarkModel, make_faces: MakeFaces, tensors: Tensors
) -> None:
    task = task_of(tiny_network, make_faces("some", 2), alpha=0.25)
    parts = task(tiny_network, batch_of(tensors))
    assert set(parts) == {"loss", "points", "copy_points", "copy_features"}
    assert parts["copy_features"].item() == pytest.approx(0, abs=1e-9)
    assert parts["copy_points"].item() < 1e-3
    truth = task.own.parts((), tiny_network(batch_of(tensors)["images"]), batch_of(tensors))
    assert parts["points"].item() == pytest.approx(0.75 * truth["points"].item(), rel=1e-5)
    assert not any("network" in name for name in task.state_dict())


HEADS: dict[str, dict[str, Any]] = {
    "coordinates": {"name": "pfld", "width": 0.25},
    "heatmap": {"name": "mobilefan"},
    "pip": {"name": "pipnet", "backbone": "mobilenetv3_small_050", "stride": 16},
    "simcc": {"name": "simcc", "backbone": "mobilenetv3_small_050", "stride": 16},
}


@pytest.mark.parametrize("kind", HEADS)
def test_an_exact_copy_costs_nothing_and_any_other_does(kind: str, make_faces: MakeFaces) -> None:
    torch.manual_seed(0)
    settings = ModelConfig(input_size=64, **HEADS[kind])
    network = create_model(settings, np.random.default_rng(0).random((68, 2))).eval()
    assert network.contract.head.kind == kind
    task = task_of(network, make_faces("some", 2))
    examples = batch_of(torch.randn(2, 3, 64, 64).numpy())
    features = network.features(examples["images"])
    outputs = network.head(features)

    def costs(returned: dict[str, Tensor]) -> dict[str, float]:
        parts = task.parts(features, returned, examples)
        return {name: part.item() for name, part in parts.items() if name.startswith("copy_")}

    exact = costs(outputs)
    assert exact == pytest.approx(dict.fromkeys(exact, 0.0), abs=1e-9)
    for name, output in outputs.items():
        moved = costs({**outputs, name: output + 0.1 * torch.rand_like(output)})
        assert sum(moved.values()) > 1e-4, name


def test_rounding_is_what_the_copy_speaks_of(
    tiny_network: LandmarkModel, make_faces: MakeFaces, tensors: Tensors
) -> None:
    task = task_of(tiny_network, make_faces("some", 2))
    parts = task(rounded(tiny_network, tensors)[0], batch_of(tensors))
    assert parts["copy_features"].item() > 0


def test_the_loop_is_the_students_but_short_and_exact() -> None:
    config = fit_config(FIT, QatConfig(epochs=2, learning_rate=1e-5))
    assert (config.epochs, config.precision) == (2, "32")
    assert config.learning_rate == pytest.approx(1e-5)
    assert config.frozen_norms == 1
    assert config.batch_size == FIT.batch_size


def spoil(network: LandmarkModel, gain: float = 300.0) -> None:
    """Let one channel of the stem drown the others, and take its gain back where it is read."""
    with torch.no_grad():
        weight, bias = (network.get_parameter(f"deep.1.{name}") for name in ("weight", "bias"))
        weight[0] *= gain
        bias[0] *= gain
        for reader in ("squeeze.weight", "thin.weight"):
            network.get_parameter(reader)[:, 0] /= gain


def int8_error(
    network: LandmarkModel, decision: Decision, wanted: Tensors, tensors: Tensors
) -> float:
    graph = float_graph(network)
    twin = int8_graph(network.contract, graph, decision, tensors, INT8)
    found = run_all(twin, tensors)["coordinates"]
    return float(np.sqrt(np.mean((found - wanted) ** 2)))


def test_a_spoilt_network_recovers(
    tiny_network: LandmarkModel, make_faces: MakeFaces, tensors: Tensors
) -> None:
    spoil(tiny_network)
    with torch.no_grad():
        wanted = tiny_network(torch.from_numpy(tensors))["coordinates"].numpy()
    task = task_of(tiny_network, make_faces("some", 2), alpha=1.0)
    simulated, decision = rounded(tiny_network, tensors)
    before = int8_error(tiny_network, decision, wanted, tensors)
    optimiser = torch.optim.Adam(simulated.parameters(), lr=2e-4)
    for _ in range(60):
        optimiser.zero_grad()
        task(simulated, batch_of(tensors))["loss"].backward()
        optimiser.step()
    assert isinstance(simulated.network, LandmarkModel)
    kept = carried(decision, simulated.network)
    assert kept.activations == decision.activations
    after = int8_error(simulated.network, kept, wanted, tensors)
    assert after < 0.5 * before


class Stop:
    """Interrupts after a step, unless that is 0."""

    def __init__(self, after: int) -> None:
        self._after = after

    def at(self, done: int, total: int, note: str = "") -> None:
        if self._after and done == self._after:
            raise KeyboardInterrupt

    def step(self, note: str) -> None:
        pass


def test_an_interrupted_training_gives_the_same_weights(
    make_tiny: MakeTiny, make_faces: MakeFaces, tmp_path: Path
) -> None:
    train, val = make_faces("train", 8), make_faces("val", 4)

    def run(folder: str, stop_after: int = 0) -> dict[str, Tensor]:
        network = make_tiny()
        crops = calibration_crops(network.contract, float_graph(network), train, INT8)
        simulated, _ = rounded(network, crops)
        config = fit_config(FIT, QatConfig(epochs=2))
        task = task_of(network, train)
        weights = fit(
            simulated, task, train, val, None, config, tmp_path / folder, Stop(stop_after)
        )
        found: dict[str, Tensor] = load_file(weights)
        return found

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("halves", stop_after=3)
    resumed = run("halves")
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert any(not torch.equal(whole[name], at) for name, at in make_tiny().state_dict().items())
