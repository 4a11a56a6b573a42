"""A finished run becomes a shipped model with its card and its reference; others are refused."""

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from landmint.pipeline import cli
from landmint.pipeline.reference import FormError, read_reference
from landmint.pipeline.text import number
from landmint.runtime.embedded import read_contract
from landmint.runtime.files import sha256_file
from landmint.train import zoo
from landmint.train.faces.readers import SyntheticConfig
from landmint.train.models import load_model
from tests.scripts import benchmark

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RECIPE = """\
about = "A rehearsal."

[faces]
kind = "synthetic"
synthetic = { train = 16, val = 4, test = 6, size_px = 64 }

[student.model]
name = "pfld"
backbone = "own"
width = 0.25
input_size = 64

[student.fit]
epochs = 4
batch_size = 8
learning_rate = 0.02 # else the head says little but the mean face, in INT8 as in float
workers = 0
threads = 1

[export]
formats = ["onnx"]
parity_faces = 2

[quantize]
formats = ["onnx"]
size = 8

[measure]
launches = 1
samples = 20
seconds = 0.2
"""
DRAWN = SyntheticConfig(train=16, val=4, test=6, size_px=64)
"""Fewer faces than a published model is measured on."""
Ship = Callable[..., Path]
MakeOnce = Callable[[str, Callable[[Path], object]], Path]


@dataclass(frozen=True)
class Publisher:
    """The script, given the folders of a test."""

    script: ModuleType
    work: Path

    def __call__(self, name: str, *more: object) -> int:
        words = [self.work / "tiny.toml", name, "--runs", self.work / "runs"]
        words += ["--zoo", zoo.folder(), "--references", self.work / "references", *more]
        code: int = self.script.main(list(map(str, words)))
        return code


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return benchmark("publish")


@pytest.fixture(scope="module")
def made(make_once: MakeOnce) -> Path:
    """A folder with tiny.toml and the whole run of it; not to be changed."""
    return make_once("publishable", _run_all)


def _run_all(folder: Path) -> None:
    (folder / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    with contextlib.chdir(folder):
        done = CliRunner().invoke(cli.app, ["run", "tiny.toml"])
    assert done.exit_code in (0, 4), done.output


@pytest.fixture
def publish(script: ModuleType, made: Path, tmp_path: Path, ship: Ship) -> Publisher:
    """Publishes a copy of the run into an empty zoo."""
    return Publisher(script, Path(shutil.copytree(made, tmp_path / "work", symlinks=True)))


def test_weights_card_and_reference_agree(
    publish: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish.script, "DRAWN", DRAWN)
    stale = zoo.folder() / "tiny-pfld.tflite"
    stale.write_bytes(b"of earlier weights")
    assert publish("tiny-pfld") == 0
    assert not stale.exists()
    (model,) = zoo.shipped()
    assert (model.name, model.about.drawn, model.about.network) == (
        "tiny-pfld",
        True,
        "pfld on own",
    )
    assert load_model(model.weights).contract.input_size == 64
    with safe_open(model.weights, framework="pt") as file:
        assert torch.float16 in {file.get_tensor(name).dtype for name in file.keys()}

    told = read_reference(publish.work / "references" / "tiny-pfld.toml")
    assert told.recipe == "tiny"
    assert told.weights_sha256 == sha256_file(model.weights)
    assert (told.drawn.faces, told.test.faces) == (DRAWN.test, 6)
    assert set(told.drawn.figures) == {"torch/float32", "onnx/float32", "onnx/int8"}
    assert abs(told.test.figures["torch/float32"].nme_percent - 100 * model.about.nme) < 1e-3
    floats = [told.drawn.figures[name] for name in ("torch/float32", "onnx/float32")]
    assert abs(floats[0].nme_percent - floats[1].nme_percent) < 0.01
    assert floats[1] == FormError(floats[1].nme_percent, 0.02)
    assert told.drawn.figures["onnx/int8"].nme_percent != floats[0].nme_percent

    assert list(zoo.forms_beside(model.weights)) == ["onnx/int8"]
    form = model.weights.with_suffix(".onnx")
    assert read_contract(form) == load_model(model.weights).contract

    card = model.card.read_text(encoding="utf-8")
    for variant, figure in told.test.figures.items():
        assert f"| {variant} | {number(figure.nme_percent)} |" in card
    for part in (
        "# tiny-pfld",
        "A rehearsal.",
        "[student.fit]",
        "Limits",
        "identify",
        "Apache-2.0",
    ):
        assert part in card
    assert str(publish.work) not in card
    assert CliRunner().invoke(cli.app, ["models"]).exit_code == 0


def test_a_run_that_is_not_up_to_date_is_refused(
    publish: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = publish.work / "tiny.toml"
    recipe.write_text(RECIPE.replace("\nsize = 8", "\nsize = 9"), encoding="utf-8")
    assert publish("tiny-pfld") == 2
    said = capsys.readouterr().err
    assert "is not up to date" in said
    assert "stage bundle was not run" in said
    assert zoo.shipped() == ()
    assert not (publish.work / "references").exists()


def test_what_cannot_be_published_is_said(
    publish: Publisher, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publish("Tiny PFLD") == 2
    assert "is no name for a shipped model" in capsys.readouterr().err
    assert publish("tiny", "--data", publish.work / "nowhere.md") == 2
    assert "a model card has to say where its faces come from" in capsys.readouterr().err
    monkeypatch.setattr(publish.script, "MOST_MOVED_POINTS", -1.0)
    assert publish("tiny") == 2
    assert "half precision moves the NME" in capsys.readouterr().err
    assert zoo.shipped() == ()


def test_more_than_the_repository_shall_hold_is_refused(
    publish: Publisher, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish.script, "MOST_BYTES", 1000)
    assert publish("tiny") == 2
    assert "of the shipped models would take" in capsys.readouterr().err
    assert zoo.shipped() == ()
