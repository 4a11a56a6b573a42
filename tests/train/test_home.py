"""What is brought home is small, whole, and joins again by itself."""

from pathlib import Path

import numpy as np
import pytest
import torch

from landmint.runtime.errors import LandmintError
from landmint.train import home
from landmint.train.models import ModelConfig, create_model, load_model, save_model
from landmint.train.starting import starting_weights
from landmint.train.zoo import find_model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a training leaves."""
    config = ModelConfig(name="pfld", input_size=112)
    model = create_model(config, np.random.default_rng(0).uniform(0.2, 0.8, (68, 2)))
    folder = tmp_path / "run"
    save_model(model, folder / "model.safetensors")
    (folder / "metrics.csv").write_text("epoch\n1\n", encoding="utf-8")
    (folder / "last.pt").write_bytes(b"large")
    return folder


def _brought(run: Path, largest_bytes: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(home, "LARGEST_BYTES", largest_bytes)
    home.bring_home(run, run / home.HOME)
    return run / home.HOME / "model.safetensors"


def test_the_limit_is_one_that_mail_and_forges_take() -> None:
    assert home.LARGEST_BYTES == 15 * 1024 * 1024


def test_small_weights_stay_one_file_of_half_the_size(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = _brought(run, 2**30, monkeypatch)
    assert sorted(file.name for file in weights.parent.iterdir()) == [
        "metrics.csv",
        "model.safetensors",
    ]
    assert weights.stat().st_size < 0.6 * (run / "model.safetensors").stat().st_size
    before, after = load_model(run / "model.safetensors"), load_model(weights)
    crop = torch.rand(1, 3, 112, 112)
    with torch.inference_mode():
        pairs = zip(before(crop).values(), after(crop).values(), strict=True)
        assert all(torch.allclose(one, other, atol=1e-2) for one, other in pairs)


def test_large_weights_are_parts_that_join_when_they_are_asked_for(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _brought(run, 2**30, monkeypatch).read_bytes()
    weights = _brought(run, 1_000_000, monkeypatch)
    sizes = {file.name: file.stat().st_size for file in weights.parent.iterdir()}
    assert max(sizes.values()) <= 1_000_000
    count = -(-len(whole) // 1_000_000)
    assert count > 1
    assert {f"model.safetensors.{i}-of-{count}" for i in range(1, count + 1)} < set(sizes)
    assert "model.safetensors" not in sizes
    assert find_model(str(weights)) == weights
    assert weights.read_bytes() == whole
    weights.unlink()
    assert starting_weights(str(weights)) == weights, "as start and teachers in recipes are found"
    assert weights.read_bytes() == whole


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda part: part.unlink(), "a part of .* is missing: model.safetensors.1-of-"),
        (
            lambda part: part.write_bytes(part.read_bytes()[:-1]),
            "is not what it was when it was cut",
        ),
        (lambda part: part.write_bytes(bytes(1_000_000)), "is not what it was when it was cut"),
    ],
    ids=["missing", "cut short", "another"],
)
def test_a_part_that_is_missing_or_wrong_is_named_and_nothing_is_written(
    run: Path, monkeypatch: pytest.MonkeyPatch, harm: object, message: str
) -> None:
    assert callable(harm)
    weights = _brought(run, 1_000_000, monkeypatch)
    (first,) = weights.parent.glob("*.1-of-*")
    harm(first)
    with pytest.raises(LandmintError, match=message):
        find_model(str(weights))
    assert not weights.exists()


def test_a_list_of_parts_leads_nowhere_else(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _brought(run, 1_000_000, monkeypatch)
    listed = weights.with_name("model.safetensors.parts.json")
    text = listed.read_text(encoding="utf-8")
    for wrong in ("../metrics.csv", "/etc/hostname", ".."):
        (first,) = weights.parent.glob("*.1-of-*")
        listed.write_text(text.replace(first.name, wrong), encoding="utf-8")
        with pytest.raises(LandmintError):
            find_model(str(weights))
    listed.write_text('{"schema": 1}', encoding="utf-8")
    with pytest.raises(LandmintError, match="is no list of parts"):
        find_model(str(weights))


def test_what_was_brought_home_before_is_replaced(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _brought(run, 1_000_000, monkeypatch)
    weights = _brought(run, 2**30, monkeypatch)
    assert not list(weights.parent.glob("*-of-*"))
