"""The agent from a shell: JSON lines in, JSON lines out, and it ends with its input."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmint.runtime.agent import Agent
from landmint.runtime.bundle import Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract, CropRule, Head, Output

RUNTIME = Path(__file__).parents[2] / "runtime"
CONTRACT = Contract(
    markup="68",
    input_size=16,
    crop=CropRule((1.2, 1.2), True),
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    variants = (Variant("null/float32", "null", ("weights",)),)

    def fill(folder: Path) -> Manifest:
        (folder / "weights").write_bytes(b"none")
        return Manifest(name="tiny", contract=CONTRACT, variants=variants)

    return write_bundle(tmp_path / "bundle", fill).path


def run(*arguments: str, lines: str = "", root: Path = RUNTIME) -> Any:
    return subprocess.run(
        [sys.executable, "-P", "-m", "landmint.runtime", *arguments],
        input=lines,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(root)},
        timeout=600,  # only a hang takes so long
    )


def answers(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_answers_each_line_and_ends_with_its_input(bundle: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops.npz"
    np.savez(crops, crops=np.zeros((2, 16, 16, 3), np.uint8), matrices=np.zeros((2, 2, 3)))
    config = {"block_ms": 0.1, "block_runs": 2, "warm_ms": 1, "warm_runs": 1}
    requests = [
        {"do": "load"},
        {"do": "predict", "crops": str(crops), "points": str(tmp_path / "points.npy")},
        {"do": "warm", "crops": str(crops), "config": config},
        {"do": "block", "config": config},
        {"do": "memory"},
        {"do": "precision"},
    ]
    lines = "\n\n".join(json.dumps(request) for request in requests) + "\n"
    done = run("serve", str(bundle), "null/float32", lines=lines)
    assert done.returncode == 0 and done.stderr == ""
    hello, load, predict, warm, block, memory, precision = answers(done)
    assert hello["engine_version"] == "null 1" and hello["machine"]["cores"] >= 1
    assert load["load_ms"] >= 0 and predict["faces"] == 2
    assert warm["runs"] >= 1 and len(block["samples_ms"]) >= 2
    assert memory["peak_memory_mib"] > 5 and precision["executed_precision"] == "none"
    assert np.load(tmp_path / "points.npy").shape == (2, 68, 2)


def test_bad_lines_get_one_error_line_each(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "crops.npz").write_bytes(b"PK truncated")
    lines = [
        "{not json",
        "[1]",
        '{"do": 7}',
        '{"do": "load", "more": 1}',
        '{"do": "block", "config": {}}',
        json.dumps({"do": "warm", "crops": str(tmp_path / "crops.npz"), "config": {"speed": 1}}),
        '{"do": "precision"}',
    ]
    done = run("serve", str(bundle), "null/float32", lines="\n".join(lines))
    assert done.returncode == 0
    facts = [answer.get("error", {}).get("fact", "ok") for answer in answers(done)]
    assert facts == [
        "ok",
        "a request is not JSON",
        "a request must be an object, not [1]",
        "unknown request '7'",
        "ok",
        "a block was asked for before the warm-up",
        f"{tmp_path / 'crops.npz'} does not hold crops and matrices",
        "ok",
    ]


def test_what_cannot_start_is_one_error_line_and_an_exit_code(bundle: Path) -> None:
    done = run("serve", str(bundle), "null/int8")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    (answer,) = answers(done)
    assert answer["error"]["fact"].endswith("has no variant 'null/int8'")
    assert answer["error"]["choices"] == ["null/float32"]
    (bundle / "weights").write_bytes(b"nine")
    (answer,) = answers(run("serve", str(bundle), "null/float32"))
    assert "differs from its hash" in answer["error"]["fact"]


def test_a_bare_copy_of_the_room_works(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(RUNTIME, tmp_path / "board", ignore=shutil.ignore_patterns("__pycache__"))
    done = run("--help", root=tmp_path / "board")
    assert done.returncode == 0 and "serve" in done.stdout
    hello = answers(run("serve", str(bundle), "null/float32", root=tmp_path / "board"))[0]
    assert hello["ok"]


def test_machine_and_engines_as_json() -> None:
    assert json.loads(run("machine").stdout)["cores"] >= 1
    engines = json.loads(run("engines").stdout)
    assert engines["null"] == {"version": "null 1"}
    assert all("version" in told or told["remedy"] for told in engines.values())


@pytest.mark.parametrize("broken", ["agent.Agent.__init__", "agent.Agent.hello"])
def test_whatever_breaks_at_the_start_is_one_line_of_json(bundle: Path, broken: str) -> None:
    """Engines raise types of their own, such as an ImportError of a half-installed library."""
    program = f"""
import sys
from landmint.runtime import __main__, agent

def explode(*_, **__):
    raise ImportError("libengine.so:\\nno such file")

{broken} = explode
sys.exit(__main__.main(["serve", {str(bundle)!r}, "null/float32"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], input="", capture_output=True, text=True, timeout=600,
        env={"PYTHONPATH": str(RUNTIME)},
    )  # fmt: skip
    (answer,) = answers(done)
    assert answer["ok"] is False and answer["error"]["fact"]
    assert answer["error"]["reason"] == "ImportError: libengine.so: no such file"
    assert done.returncode == answer["exit_code"] == 2
    assert "Traceback" not in done.stderr


PINS = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no process is held here")


@PINS
def test_a_process_of_its_own_is_held_to_the_cores_that_a_draw_chooses(bundle: Path) -> None:
    program = f"""
import os, sys
from landmint.runtime import __main__, agent

def load(self, request):
    return {{"cores": sorted(os.sched_getaffinity(0))}}

agent.Agent.load = load
sys.exit(__main__.main(["serve", {str(bundle)!r}, "null/float32"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=600,
        input='{"do": "load"}\n{"do": "load", "draw": 0.999}\n',
        env={"PYTHONPATH": str(RUNTIME)},
    )  # fmt: skip
    _, free, held = answers(done)
    allowed = sorted(os.sched_getaffinity(0))
    assert free["cores"] == allowed and held["cores"] == allowed[-1:]


@PINS
def test_an_agent_within_another_process_holds_nothing(bundle: Path) -> None:
    before = os.sched_getaffinity(0)
    answer = Agent(bundle, "null/float32", 1, "null").handle({"do": "load", "draw": 0.0})
    assert answer["ok"] and os.sched_getaffinity(0) == before
