"""A saved network comes back whole, and nothing else is taken for one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from landmint.runtime.errors import LandmintError
from landmint.train.models import MODELS, load_model, save_model
from landmint.train.models.base import LandmarkModel

MakeModel = Callable[..., LandmarkModel]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_as_it_was(name: str, make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(name, input_size=64)
    model = model.to(memory_format=torch.channels_last).train()
    model(torch.randn(2, 3, 64, 64))  # moves the running statistics
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert (again.config, again.contract) == (model.config, model.contract)
    assert not again.training
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, found = model.eval()(images), again(images)
    assert list(expected) == list(found)
    for key in expected:  # the order of sums differs between memory formats
        torch.testing.assert_close(found[key], expected[key], atol=1e-3, rtol=1e-3)
    state = again.state_dict()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_equal_networks_are_equal_files(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model("pipnet")
    notes = {f"note {number}": "é" for number in range(8)}
    save_model(model, tmp_path / "a", notes=notes)
    save_model(model, tmp_path / "b", notes=dict(reversed(notes.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with safe_open(tmp_path / "a", framework="pt") as file:
        assert file.metadata().items() >= notes.items()


def test_loading_fetches_nothing(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("pipnet", input_size=64, backbone="mobilenetv3_small_050")
    model.config = model.config.model_copy(update={"pretrained": True})
    save_model(model, tmp_path / "model.safetensors")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_model(tmp_path / "model.safetensors").config.pretrained


def test_a_failed_write_leaves_the_old_file(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def full(fresh: Path, data: bytes) -> None:
        with fresh.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        save_model(make_model("pfld", input_size=64), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_model_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(LandmintError, match="is not a file"):
        load_model(path)

    save_model(make_model("pfld", input_size=64), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LandmintError, match="not a whole landmint model"):
        load_model(path)

    path.write_bytes(b"\x80\x04.")  # the start of a pickle
    with pytest.raises(LandmintError, match="not a whole landmint model"):
        load_model(path)

    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(LandmintError, match="not a whole landmint model"):
        load_model(path)


@pytest.mark.parametrize("contract", ["[" * 100_000, "9" * 5000, "[]"])
def test_a_contract_that_cannot_be_parsed_is_refused(contract: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    about = {"config": '{"name": "pfld"}', "contract": contract}
    save_file({"weight": torch.zeros(1)}, path, metadata=about)
    with pytest.raises(LandmintError, match="not a whole landmint model|contract of schema"):
        load_model(path)


def test_weights_of_another_shape_are_refused(make_model: MakeModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = make_model("pfld", input_size=64)
    save_model(model, path)
    tensors = load_file(path)
    tensors["coordinates.bias"] = torch.zeros(3)
    about = {
        "config": model.config.model_dump_json(),
        "contract": json.dumps(model.contract.to_json()),
    }
    save_file(tensors, path, metadata=about)
    with pytest.raises(LandmintError, match="do not fit pfld"):
        load_model(path)
