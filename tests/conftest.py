"""What all tests share: random numbers, what is dear to make, real faces, a zoo, closing lines."""

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import coverage
import numpy as np
import pytest
import torch

from landmint.pipeline.judge.paired import PairedRules
from landmint.runtime.engines.built import Built
from landmint.train import zoo
from landmint.train.models import ModelConfig, create_model, save_model

ROOT = Path(__file__).parents[1]
REAL_FACES = ROOT.parent / "shared" / "data"
NOT_HERE = "../shared/data does not hold"
LEAST_COVERED = 5
SHORT: Mapping[str, Any] = {"looks": (2,), "false_alarm": 0.25}
"""Rules of a gate that looks once, after three launches: the verdict may be a false alarm."""
# Set by terminals and CI; rich and typer lay out their text by them.
LAYOUT = ("COLUMNS", "TERMINAL_WIDTH", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS")
RealFaces = Callable[[str | Path], Path]
Ship = Callable[..., Path]
MakeOnce = Callable[[str, Callable[[Path], object]], Path]
Build = Callable[[Sequence[Path]], list[Built | str]]
# In a process of its own, which the library may end: what was built of each graph, or its refusal.
BUILD = """
import dataclasses, json, sys
from pathlib import Path
from landmint.runtime.engines.tensorrt_build import LIBRARIES, build_plan, load_tensorrt
from landmint.runtime.errors import LandmintError

loaded = load_tensorrt([library for library in LIBRARIES if library.without_gpu])
for path in sys.argv[1:]:
    try:
        answer = dataclasses.asdict(build_plan(loaded, Path(path))[1])
    except LandmintError as error:
        answer = str(error)
    print(json.dumps(answer))
"""


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Each test draws what it would draw if it ran alone."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_faces() -> RealFaces:
    """Gives a folder below ../shared/data; a test that asks for one that is not here is skipped."""

    def folder(name: str | Path) -> Path:
        place = REAL_FACES / name
        if not place.is_dir():
            pytest.skip(f"{NOT_HERE} {name}")
        return place

    return folder


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Gives a folder that one process of the suite fills for all; not to be changed.

    Its arguments are the folder's name and what fills it. The other processes of pytest-xdist wait
    for the first, or find the folder filled.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, filled = root / "once" / name, root / "once" / f"{name}.filled"
        folder.parent.mkdir(exist_ok=True)
        with folder.with_name(f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not filled.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def build() -> Build:
    """Builds graphs, in one process for all of them."""
    if importlib.util.find_spec("tensorrt_rtx_bindings") is None:
        pytest.skip("TensorRT-RTX is not installed here")

    def run(graphs: Sequence[Path]) -> list[Built | str]:
        command = [sys.executable, "-c", BUILD, *map(str, graphs)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
        answers: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
        return [answer if isinstance(answer, str) else Built(**answer) for answer in answers]

    return run


@pytest.fixture
def short_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates of which the verdict does not matter end soon."""
    monkeypatch.setattr("landmint.pipeline.judge.paired.PairedRules", partial(PairedRules, **SHORT))


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Puts a tiny untrained network, with an invented error, into a zoo that was empty."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setattr(zoo, "folder", lambda: folder)
    angle = np.arange(68) * 2 * np.pi / 68
    circle = 0.5 + 0.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def put(name: str, nme: float, drawn: bool = False) -> Path:
        config = ModelConfig(name="pfld", width=0.25, input_size=64)
        network = create_model(config, circle)
        about = zoo.Published("pfld on own", 64, "68", 12345, "invented faces", drawn, nme)
        path = folder / f"{name}.safetensors"
        save_model(network, path, half=True, notes=about.to_note())
        return path

    return put


def pytest_configure() -> None:
    """Lay text out alike in every terminal."""
    for name in LAYOUT:
        os.environ.pop(name, None)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many tests lacked their real faces, and what the tests have not run."""
    skipped = terminalreporter.stats.get("skipped", [])
    if without := sum(NOT_HERE in str(report.longrepr) for report in skipped):
        terminalreporter.line(f"skipped: {without} tests of real faces that {NOT_HERE}")
    if config.pluginmanager.hasplugin("_cov"):
        terminalreporter.line(_coverage())


def _coverage() -> str:
    """Share of the lines that ran, and the files of which least ran."""
    measured = coverage.Coverage()
    measured.load()
    lines, run = {}, {}
    for file in measured.get_data().measured_files():
        _, statements, _, missing, _ = measured.analysis2(file)
        if statements:
            lines[file], run[file] = len(statements), len(statements) - len(missing)
    worst = sorted(lines, key=lambda file: run[file] / lines[file])[:LEAST_COVERED]
    named = (f"{Path(file).relative_to(ROOT)} {run[file] / lines[file]:.0%}" for file in worst)
    total = sum(run.values()) / max(1, sum(lines.values()))
    return f"coverage: {total:.1%} of {sum(lines.values())} lines; least in {', '.join(named)}"
