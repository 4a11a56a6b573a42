"""The shipped models: found by name, listed in order, whole in half precision."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.train import zoo
from landmint.train.models import load_model, save_model
from landmint.train.models.base import LandmarkModel

MakeModel = Callable[..., LandmarkModel]
Ship = Callable[..., Path]


def test_kernels_are_stored_in_half_and_all_else_as_it_is(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model("pfld", input_size=64, width=0.25)
    state = model.state_dict()
    variance = next(name for name in state if name.endswith("running_var"))
    with torch.no_grad():  # neither fits half precision
        state[variance][:2] = torch.tensor([1e-9, 1e9])
    save_model(model, tmp_path / "half.safetensors", half=True)
    save_model(model, tmp_path / "full.safetensors")
    stored = load_file(tmp_path / "half.safetensors")
    for name, tensor in state.items():
        kernel = tensor.is_floating_point() and tensor.ndim > 1
        assert stored[name].dtype == (torch.float16 if kernel else tensor.dtype), name
        assert kernel or torch.equal(stored[name], tensor), name
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())

    again = load_model(tmp_path / "half.safetensors").state_dict()
    for name, tensor in state.items():
        assert again[name].dtype == tensor.dtype
        torch.testing.assert_close(again[name], tensor, rtol=2**-11, atol=2**-24)


def test_a_kernel_that_half_precision_cannot_hold_stays(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model("pfld", input_size=64, width=0.25)
    name = next(name for name, tensor in model.state_dict().items() if tensor.ndim == 4)
    with torch.no_grad():
        model.state_dict()[name].view(-1)[0] = 1e5
    save_model(model, tmp_path / "a.safetensors", half=True)
    again = load_model(tmp_path / "a.safetensors").state_dict()
    assert torch.equal(again[name], model.state_dict()[name])


def test_photographs_count_before_drawings_then_the_error(ship: Ship) -> None:
    ship("drawn", 0.03, drawn=True)
    ship("good", 0.05)
    ship("fair", 0.06)
    assert [one.name for one in zoo.shipped()] == ["good", "fair", "drawn"]
    assert zoo.best().name == "good"
    assert zoo.best().about.nme == pytest.approx(0.05)
    assert zoo.best().card.name == "good.md"
    assert load_model(zoo.best().weights).contract.input_size == 64


def test_without_models_the_remedy_is_said(ship: Ship) -> None:
    assert zoo.shipped() == ()
    with pytest.raises(NotMeasuredError, match="landmint run demo"):
        zoo.best()
    with pytest.raises(LandmintError, match="pfld is no file, no folder and no shipped model"):
        zoo.find_model("pfld")


def test_a_name_means_the_shipped_model_and_a_path_what_stands_there(
    ship: Ship, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = ship("pfld", 0.05)
    monkeypatch.chdir(tmp_path)
    Path("pfld").mkdir()
    assert zoo.find_model("pfld") == weights
    assert zoo.find_model("./pfld") == Path("pfld")
    assert zoo.find_model(str(weights)) == weights


def test_a_slip_of_the_pen_is_asked_about(ship: Ship) -> None:
    ship("pipnet-mbv3", 0.05)
    ship("mobilefan", 0.06)
    with pytest.raises(LandmintError, match=r"did you mean pipnet-mbv3\?") as caught:
        zoo.find_model("pipnet-mv3")
    assert caught.value.choices == ("mobilefan", "pipnet-mbv3")
    with pytest.raises(LandmintError, match="give weights, a bundle or a shipped model"):
        zoo.find_model("resnet")


def test_a_file_that_was_not_published_is_told_from_one_that_was(
    ship: Ship, make_model: MakeModel
) -> None:
    save_model(make_model("pfld", input_size=64, width=0.25), zoo.folder() / "mine.safetensors")
    with pytest.raises(LandmintError, match="is no published model"):
        zoo.shipped()
    (zoo.folder() / "mine.safetensors").write_bytes(b"broken")
    with pytest.raises(LandmintError, match="is no published model"):
        zoo.best()


def test_the_real_zoo_lies_within_the_package() -> None:
    assert zoo.folder() == Path(zoo.__file__).parent
