"""`landmint doctor`: what works is told with its version, what does not with what to install."""

import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from landmint.pipeline import cli, doctor
from landmint.pipeline.doctor import NEEDS, Need, as_lines, examine
from landmint.runtime.engines import cuda_driver
from landmint.runtime.machine import Machine

HERE = (
    Need("training", "OpenCV", ("cv2",), "opencv-python-headless", "install it", "pictures"),
    Need("converter", "nowhere", ("landmint_nowhere",), "nowhere", "install it", "nothing"),
    Need("converter", "broken", ("landmint_broken",), "numpy", "mend it", "nothing"),
    Need("converter", "fatal", ("landmint_fatal",), "numpy", "mend it", "nothing"),
    Need("converter", "sh", (), "sh", "install it", "shells"),
)


@pytest.fixture(autouse=True)
def _few_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries of every state, and no minute spent on importing TensorFlow."""
    monkeypatch.setattr(doctor, "NEEDS", HERE)
    (tmp_path / "landmint_broken.py").write_text("raise OSError('libx.so: not found')")
    (tmp_path / "landmint_fatal.py").write_text("import os\nos.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_each_state_is_told() -> None:
    found = {finding["name"]: finding for finding in examine()["findings"]}
    assert found["null"]["works"]
    assert found["OpenCV"]["works"] and found["OpenCV"]["version"]
    assert found["sh"]["works"]
    assert found["nowhere"]["problem"] == "not installed"
    assert found["broken"]["problem"] == "OSError: libx.so: not found"
    assert found["fatal"]["problem"].startswith("importing it ended the process")
    for finding in found.values():
        assert bool(finding["remedy"]) == bool(finding["problem"]) == (not finding["works"])


def test_an_engine_without_its_gpu_says_that_it_runs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda_driver, "_LIBRARY", "libcuda-that-is-not-there.so.1")
    monkeypatch.setattr(doctor, "load_engine", lambda name: SimpleNamespace(version=f"{name} 1"))
    found = {finding["name"]: finding["version"] for finding in examine()["findings"]}
    version = "tensorrt 1, runs nothing: no NVIDIA driver on this machine"
    assert (found["tensorrt"], found["null"]) == (version, "null 1")


def test_people_read_what_to_install() -> None:
    shown = "\n".join(as_lines(examine()))
    assert "ok OpenCV" in shown
    assert "-- nowhere" in shown
    assert "-> mend it" in shown
    assert "CPU: " in shown


def test_the_verb_succeeds_whatever_is_missing() -> None:
    result = CliRunner().invoke(cli.app, ["doctor", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["machine"]["cores"] >= 1
    assert {finding["part"] for finding in told["findings"]} >= {"engine", "converter"}


def test_every_need_says_how_to_get_it() -> None:
    for need in NEEDS:
        assert need.remedy and need.use and need.distribution


def test_every_library_is_looked_for_under_the_names_that_it_has() -> None:
    for need in NEEDS:
        if not need.modules or need.name.startswith("TensorRT"):  # not for every machine
            continue
        assert all(find_spec(module.partition(".")[0]) for module in need.modules), need.name
        assert version(need.distribution), need.name


def test_what_int8_tflite_needs_is_looked_for() -> None:
    modules = {module for need in NEEDS for module in need.modules}
    assert {"ai_edge_quantizer", "flatbuffers"} <= modules


@pytest.mark.parametrize(("flag", "told"), [("avx2", True), ("avx512_vnni", False)])
def test_a_processor_on_which_int8_saturates_is_told_of(flag: str, told: bool) -> None:
    machine = Machine("some CPU", "x86_64", 2, flags=("fma", flag)).to_json()
    lines = as_lines({"machine": machine, "gpus": [], "findings": []})
    assert any("reduce_range" in line for line in lines) is told
