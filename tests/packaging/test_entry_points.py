"""A package that nobody here wrote adds a student, a reader, an engine and a target.

It is installed as pip would install it, files and metadata in a folder on the import path, and then
used by the command alone: its student is trained on faces of its reader, exported and quantised,
and measured on its target by its engine.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from landmint.runtime.markup import get_markup
from landmint.train.faces.synthetic import write_synthetic

STUDENT = '''
"""TinyNet: coordinates from three convolutions."""

from itertools import pairwise

from torch import nn

from landmint.runtime.contract import Head, Output
from landmint.runtime.markup import get_markup
from landmint.train.models.base import LandmarkModel, conv_bn_relu


class TinyNet(LandmarkModel):
    BACKBONES = ("own",)
    STRIDES = (8,)

    def __init__(self, config, contract):
        super().__init__(config, contract)
        layers = [conv_bn_relu(a, b, 3, stride=2, padding=1) for a, b in pairwise((3, 8, 8, 16))]
        self.trunk = nn.Sequential(*layers)
        self.coordinates = nn.Linear(16, contract.outputs[0].shape[0])

    def features(self, images):
        return (self.trunk(images),)

    def head(self, features):
        return {"coordinates": self.coordinates(features[-1].mean(dim=(2, 3)))}

    @classmethod
    def head_for(cls, config, mean_shape):
        count = 2 * get_markup(config.markup).points
        return Head("coordinates"), (Output("coordinates", (count,)),)
'''

READER = '''
"""Faces in 300W layout, whose folders begin with "their-"."""

from landmint.train.faces.pts300w import read_rows


def read_faces(config, split, root):
    names = tuple(f"their-{name}" for name in config.names_of(split))
    return read_rows(config.model_copy(update={split: names}), split, root)
'''

DEVICE = '''
"""An engine on top of ONNX Runtime, and a target whose agents use it."""

from pathlib import Path

from landmint.runtime.agent import Agent
from landmint.runtime.engines import load_engine
from landmint.targets.host import HostTarget
from landmint.targets.target import unwrap


class TheirEngine:
    name = "their-engine"
    version = "their-engine 7"

    def load(self, entry, contract, threads):
        return load_engine("onnxruntime").load(entry, contract, threads)


class TheirTarget(HostTarget):
    name = "their-board"
    parallel = 1
    no_times = ""

    def start(self, bundle, variant, threads, timeout_s):
        return Link(Agent(Path(bundle), variant, threads, engine="their-engine"))


class Link:
    def __init__(self, agent):
        self.agent, self.hello = agent, agent.hello()

    def ask(self, request, timeout_s):
        return unwrap(self.agent.handle(request))

    def close(self):
        pass
'''

ENTRY_POINTS = """
[landmint.students]
tinynet = their_package.student:TinyNet
[landmint.readers]
their-faces = their_package.reader:read_faces
[landmint.engines]
their-engine = their_package.device:TheirEngine
[landmint.targets]
their-board = their_package.device:TheirTarget
"""

RECIPE = """
[faces]
kind = "their-faces"
root = "faces"

[student.model]
name = "tinynet"
input_size = 64

[student.fit]
epochs = 1
batch_size = 4
workers = 0
accelerator = "cpu"

[export]
formats = ["onnx"]
parity_faces = 2

[quantize]
size = 4

[measure]
target = "their-board"
launches = 1
samples = 5
seconds = 0.1
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What an installation of the package puts into a folder."""
    site = tmp_path / "site"
    about, package = site / "their_package-0.3.dist-info", site / "their_package"
    for folder in (about, package):
        folder.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 0.3\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (package / "__init__.py").touch()
    for name, code in (("student", STUDENT), ("reader", READER), ("device", DEVICE)):
        (package / f"{name}.py").write_text(code)
    return site


def _landmint(folder: Path, path: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    """The command in another process, with more on its import path."""
    known = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, *sys.path, known])}
    command = [sys.executable, "-m", "landmint.pipeline", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_command_uses_what_a_package_adds(site: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "faces"
    write_synthetic(drawn, {"train": 8, "val": 4, "test": 4}, get_markup("68"), 64, 0)
    for split in ("train", "val", "test"):
        (drawn / split).rename(drawn / f"their-{split}")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    without = _landmint(tmp_path, [], "run", "tiny.toml")
    assert without.returncode == 2
    for problem in ("kind of faces 'their-faces'", "model 'tinynet'", "target 'their-board'"):
        assert f"unknown {problem}" in without.stderr

    done = _landmint(tmp_path, [str(site)], "run", "tiny.toml", "--until", "measurements")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "tiny"
    manifest = json.loads((run / "bundle" / "manifest.json").read_text(encoding="utf-8"))
    assert {v["name"] for v in manifest["variants"]} >= {"onnx/float32", "onnx/int8"}
    (record,) = (run / "measurements").rglob("onnx-int8.json")
    assert "their-engine 7" in record.read_text(encoding="utf-8")

    engines = subprocess.run(
        [sys.executable, "-m", "landmint.runtime", "engines"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(engines.stdout)["their-engine"] == {"version": "their-engine 7"}
