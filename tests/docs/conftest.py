"""A folder with everything that the pages' commands and examples read, tiny, made once."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from landmint.export.config import ExportConfig
from landmint.pipeline import cli, doctor, shipped_recipes
from landmint.pipeline.draw import write_image
from landmint.runtime.markup import get_markup
from landmint.train.faces.readers import Split
from landmint.train.faces.synthetic import generate, write_synthetic
from landmint.train.loop import CHECKPOINT_FILE
from tests.export.importing.conftest import foreign_onnx, write_contract

ROOT = Path(__file__).parents[2]
LayOut = Callable[[Path, set[str]], None]
MakeOnce = Callable[[str, Callable[[Path], object]], Path]

# What stands in for every shipped recipe.
TINY = """
[faces]
kind = "300w"
root = "{faces}"
person_pattern = '^(.+)_'

[teacher.model]
name = "mobilefan"
input_size = 64
width = 0.5

[teacher.fit]
epochs = 1
batch_size = 8
workers = 0
threads = 1

[student.model]
name = "pipnet"
backbone = "mobilenetv3_small_100"
input_size = 64
stride = 16

[student.fit]
epochs = 1
batch_size = 8
workers = 0
threads = 1

[export]
formats = ["onnx"]

[quantize]
size = 8

[measure]
launches = 1
samples = 4
seconds = 0.2
"""
QAT = """
[qat]
epochs = 1
"""
SOURCE = """
[source]
system = "a network"
family = "hybrid"
paper = "its paper"
published = "its figures"
ours = "nothing"
"""
LINKED = "my-faces", "photographs", "runtime", "benchmarks", "recipes"


@pytest.fixture(scope="session")
def tiny(make_once: MakeOnce) -> Path:
    """The folder; not to be changed."""
    return make_once("tiny", _fill)


def _fill(folder: Path) -> None:
    counts: dict[Split, int] = {"train": 40, "val": 8, "test": 8}
    write_synthetic(folder / "my-faces", counts, get_markup("68"), 64, seed=1)
    (folder / "photographs").mkdir()
    for index in range(2):
        drawn = generate(index, 0, get_markup("68"), 256).image
        write_image(folder / f"photographs/{index}.jpg", drawn)
    shutil.copy(folder / "photographs/0.jpg", folder / "photo.jpg")
    foreign_onnx(folder / "net.onnx")
    write_contract(folder / "contract.toml")
    (folder / "requests.jsonl").write_text('{"do": "load"}\n{"do": "precision"}\n')
    for name in ("runtime", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "recipes" / shipped_recipes.ZOO).mkdir(parents=True)
    for name in shipped_recipes.shipped_recipes():
        text = TINY.format(faces=folder / "my-faces")
        text += SOURCE if name in shipped_recipes.published_systems() else ""
        (folder / f"recipes/{name}.toml").write_text(text)
    demo = folder / "recipes/demo.toml"
    made = CliRunner().invoke(cli.app, ["run", str(demo), "--out", str(folder / "runs/demo")])
    assert made.exit_code == 0, made.output
    for checkpoint in folder.rglob(CHECKPOINT_FILE):  # half of all that each test copies
        checkpoint.unlink(missing_ok=True)  # the run's folder links to the teacher's
    demo.write_text(demo.read_text() + QAT)  # for the verb: its stage is tried in test_run.py
    shutil.copytree(folder / "runs/demo", folder / "runs/mine")
    shutil.copytree(folder / "runs/demo/bundle", folder / "bundle")


@pytest.fixture
def lay_out(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> LayOut:
    """Puts all of it but some names into an empty folder; what nothing writes to, as links.

    For that test, the shipped recipes are `TINY`, exports without a recipe are ONNX alone, and
    `doctor` looks for one library: to import them all takes half a minute.
    """
    monkeypatch.setattr(shipped_recipes, "folder", lambda: tiny / "recipes")
    onnx_alone = partial(ExportConfig, formats=("onnx",))
    monkeypatch.setattr("landmint.export.config.ExportConfig", onnx_alone)
    opencv = tuple(need for need in doctor.NEEDS if need.name == "OpenCV")
    monkeypatch.setattr(doctor, "NEEDS", opencv)

    def put(folder: Path, without: set[str]) -> None:
        for source in tiny.iterdir():
            target = folder / source.name
            if source.name in without:
                continue
            if source.name in LINKED:
                target.symlink_to(source)
            elif source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy(source, target)

    return put
