"""The command, on targets: `--target` of the verbs, and the verbs that tell of targets."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.runtime.bundle import Manifest, Variant, write_bundle
from landmint.runtime.markup import get_markup
from landmint.runtime.measurement import Measurement, read_measurements
from landmint.train.faces.readers import Split
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.models import load_model
from tests.conftest import Ship

FACES = 3


def _ask(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A few drawn faces."""
    counts: dict[Split, int] = {"train": 0, "val": 0, "test": FACES}
    write_synthetic(tmp_path / "faces", counts, get_markup("68"), 64, seed=1)
    return tmp_path / "faces"


@pytest.fixture
def bundle(ship: Ship, tmp_path: Path) -> Path:
    """A bundle of a tiny network, and of a variant that only the null engine takes."""
    weights = ship("tiny", 0.1)

    def fill(folder: Path) -> Manifest:
        shutil.copy(weights, folder / "model.safetensors")
        variants = (
            Variant("torch/float32", "torch", ("model.safetensors",)),
            Variant("null/float32", "null", ("model.safetensors",)),
        )
        return Manifest("tiny", load_model(weights).contract, variants)

    return write_bundle(tmp_path / "bundle", fill).path


def _measured(folder: Path) -> Measurement:
    (measurement,) = [m for m in read_measurements(folder) if m.variant == "null/float32"]
    return measurement


def test_measure_runs_where_it_is_told_to(bundle: Path, faces: Path, tmp_path: Path) -> None:
    words = "measure", bundle, "--faces", faces, "--out", tmp_path / "m"
    assert _ask(*words, "--target", "moon").exit_code == 2
    assert not (tmp_path / "m").exists()
    result = _ask(*words, "--target", "null")
    assert result.exit_code == 0, result.output
    measured = _measured(tmp_path / "m")
    assert (measured.target, measured.status) == ("null", "measured")
    assert len(measured.faces) == FACES


def test_a_target_of_the_command_counts_before_that_of_the_recipe(
    bundle: Path, faces: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'[faces]\nkind = "300w"\nroot = "{faces}"\n[student.model]\nname = "pfld"\n'
        '[measure]\ntarget = "rpi5:pi@nowhere.invalid"\nsamples = 4\nlaunches = 1\n'
    )
    words = "measure", bundle, "--recipe", recipe, "--out", tmp_path / "m", "--target", "null"
    result = _ask(*words)
    assert result.exit_code == 0, result.output
    measured = _measured(tmp_path / "m")
    assert (measured.target, len(measured.launches)) == ("null", 1)
