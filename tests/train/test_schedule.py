"""Learning rate, optimiser groups and averaged weights, against values worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from landmint.train.fit_config import FitConfig
from landmint.train.models import ModelConfig
from landmint.train.models.pfld import PFLD
from landmint.train.schedule import Average, learning_rate, optimizer_for


def rates(**settings: object) -> list[float]:
    config = FitConfig.model_validate({"learning_rate": 1.0, "warmup_epochs": 0, **settings})
    return [learning_rate(config, step, 10, 60) for step in range(60)]


def test_the_learning_rate_warms_up_linearly() -> None:
    found = rates(warmup_epochs=2, schedule="constant")
    assert found[:20] == pytest.approx(np.arange(1, 21) / 20) and set(found[20:]) == {1.0}
    assert rates(warmup_epochs=0.25, schedule="constant")[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_milestones_are_shares_of_the_run() -> None:
    found = rates(schedule="milestones")
    assert found[29:31] == [1.0, pytest.approx(0.1)]
    assert found[49:51] == pytest.approx([0.1, 0.01])


def test_the_cosine_falls_from_all_to_its_end() -> None:
    found = rates(schedule="cosine", final_factor=0.1, warmup_epochs=1)
    assert found[10] == pytest.approx(1.0) and found[35] == pytest.approx(0.55)
    assert found[59] == pytest.approx(0.1, abs=2e-3)
    assert all(a >= b for a, b in zip(found[10:], found[11:], strict=False))


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_only_weights_of_two_axes_decay(kind: str) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    module[1].bias.requires_grad_(False)
    config = FitConfig.model_validate({"optimizer": kind, "weight_decay": 0.3})
    decayed, plain = optimizer_for(module, config, fused=False).param_groups
    assert [p.ndim for p in decayed["params"]] == [4]
    assert decayed["weight_decay"] == pytest.approx(0.3)
    assert [p.ndim for p in plain["params"]] == [1, 1] and plain["weight_decay"] == 0


def make() -> PFLD:
    config = ModelConfig(name="pfld", input_size=112, width=0.25)
    return PFLD(config, PFLD.contract_for(config, np.full((68, 2), 0.5)))


def fill(model: nn.Module, value: float, count: int) -> None:
    for tensor in model.state_dict().values():
        tensor.fill_(value if tensor.is_floating_point() else count)


def test_the_average_follows_the_formula() -> None:
    model = make()
    fill(model, 0.0, 0)
    average = Average(model, decay=0.15)
    expected = 0.0
    for step in range(4):
        fill(model, float(step + 1), step + 1)
        average.update(step)
        decay = min(0.15, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step + 1)
    for tensor in average.model.state_dict().values():
        wanted = expected if tensor.is_floating_point() else 4
        assert float(tensor.flatten()[0]) == pytest.approx(wanted)
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())


def test_decay_zero_follows_exactly() -> None:
    model = make()
    average = Average(model, decay=0.0)
    fill(model, 0.3, 7)
    average.update(0)
    pairs = zip(average.model.state_dict().values(), model.state_dict().values(), strict=True)
    assert all(torch.equal(own, new) for own, new in pairs)
