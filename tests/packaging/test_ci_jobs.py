"""The GitHub action and the GitLab job: their scripts run on a repository made here.

Their `landmint` is a small program that compares a number in the two revisions, and writes the
verdict by landmint's own files.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from ruamel.yaml import YAML

from landmint.runtime.files import sha256_file

ROOT = Path(__file__).parents[2]
ACTION, GITLAB = ROOT / "action.yml", ROOT / "docs" / "gitlab-ci.yml"
STAND_IN = """\
#!{python}
import subprocess, sys
from pathlib import Path

from landmint.pipeline.judge.gate import Check, Verdict
from landmint.pipeline.judge.judgement import Judgement

verb, *words = sys.argv[1:]
options = dict(zip(words[::2], words[1::2]))
place = options["--candidate"] + "/ms"
shown = subprocess.run(["git", "show", options["--baseline"] + ":" + place], capture_output=True)
if verb != "gate" or shown.returncode:
    sys.exit(2)
limit, value = float(shown.stdout), float(Path(place).read_text())
status = "regression" if value > limit else "pass"
if "--fail" in options:
    status = options["--fail"].replace("-", " ")
check = Check("latency_ms", status, limit, value, value, value)
judgement = Judgement("100 %: a, b", (Verdict("tflite/int8", status, checks=(check,)),))
judgement.write(Path(options["--out"]))
sys.exit(judgement.exit_code)
"""
SLOWER, AS_FAST = "9.0", "4.0"


def yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("path", "name"), [(ACTION, "github-actions.json"), (GITLAB, "gitlab-ci.json")]
)
def test_it_keeps_the_published_schema(path: Path, name: str) -> None:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / name
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    jsonschema.validate(yaml(path), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"runs": {"using": "nothing"}, "script": 1}, schema)


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def pull_request(tmp_path: Path) -> Path:
    """A clone whose branch "change" left main one commit before main's head."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    (origin / "bundle").mkdir(parents=True)
    git(origin, "init", "-q", "-b", "main")
    (origin / "bundle" / "ms").write_text("5.0")
    git(origin, "add", "-A")
    git(origin, "commit", "-q", "-m", "base")
    git(origin, "checkout", "-q", "-b", "change")
    git(origin, "commit", "-q", "--allow-empty", "-m", "change")
    git(origin, "checkout", "-q", "main")
    (origin / "bundle" / "ms").write_text("1.0")
    git(origin, "commit", "-q", "-a", "-m", "main goes on")
    git(tmp_path, "clone", "-q", str(origin), str(clone))
    git(clone, "checkout", "-q", "change")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "landmint").write_text(STAND_IN.format(python=sys.executable))
    (tools / "landmint").chmod(0o755)
    return clone


def change(clone: Path, milliseconds: str) -> None:
    (clone / "bundle" / "ms").write_text(milliseconds)
    git(clone, "commit", "-q", "-a", "-m", "another bundle")


def bash(
    script: str, clone: Path, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a script as GitHub's runner does; GitLab's differs in nothing that matters here."""
    path = clone.parent / "step.sh"
    path.write_text(script, encoding="utf-8")
    places = {
        "GITHUB_OUTPUT": str(clone.parent / "output"),
        "GITHUB_STEP_SUMMARY": str(clone.parent / "summary.md"),
        "PATH": f"{clone.parent / 'tools'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(path)]
    return subprocess.run(
        command,
        cwd=clone,
        env={**os.environ, **places, **variables},
        capture_output=True,
        text=True,
    )


def act(clone: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """All steps of the action, one after the other, until one fails."""
    action = yaml(ACTION)
    defaults = {name: about.get("default", "") for name, about in action["inputs"].items()}
    values = {**defaults, "candidate": "bundle", **inputs}
    event = {"GITHUB_BASE_REF": values.pop("base", "main"), "GITHUB_ACTION_PATH": str(ROOT)}
    for step in action["runs"]["steps"]:
        variables = {
            key: values[text.removeprefix("${{ inputs.").removesuffix(" }}")]
            for key, text in step.get("env", {}).items()
        }
        done = bash(step["run"], clone, {**event, **variables})
        if done.returncode:
            return done
    return done


def test_no_input_stands_in_a_script() -> None:
    """An input written into a script would be run by the shell."""
    assert all("${{" not in step["run"] for step in yaml(ACTION)["runs"]["steps"])


def test_a_slower_pull_request_is_red_on_github(pull_request: Path) -> None:
    change(pull_request, SLOWER)
    done = act(pull_request)
    assert done.returncode == 1
    marks = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert marks == [
        "::error title=tflite/int8%3A regression::latency 9.00 ms [9.00, 9.00], limit 5 ms"
    ]
    assert (pull_request.parent / "output").read_text() == "exit-code=1\n"
    assert "not passed" in (pull_request.parent / "summary.md").read_text(encoding="utf-8")


def test_one_as_fast_is_green_although_main_went_on(pull_request: Path) -> None:
    change(pull_request, AS_FAST)
    done = act(pull_request)
    assert done.returncode == 0, done.stderr
    assert "::error" not in done.stdout


def test_a_push_is_compared_with_the_commit_before(pull_request: Path) -> None:
    change(pull_request, AS_FAST)
    change(pull_request, "4.5")
    assert act(pull_request, base="").returncode == 1


def test_a_baseline_and_more_options_can_be_given(pull_request: Path) -> None:
    change(pull_request, AS_FAST)
    assert act(pull_request, baseline="origin/main").returncode == 1
    assert act(pull_request, arguments="--fail inconclusive").returncode == 4
    assert act(pull_request, arguments="--fail inconclusive", accept="3 4").returncode == 0
    assert act(pull_request, arguments="--fail accuracy-drift", accept="3 4").returncode == 5


def test_hostile_inputs_run_nothing(pull_request: Path) -> None:
    change(pull_request, AS_FAST)
    hostile = "$(touch owned); `touch owned`"
    for name in ("candidate", "baseline", "accept", "out"):
        act(pull_request, **{name: hostile})
    assert not list(pull_request.rglob("owned"))


def test_a_shallow_clone_is_told_what_to_do(pull_request: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    origin = f"file://{tmp_path / 'origin'}"
    git(tmp_path, "clone", "-q", "--depth", "1", "--branch", "change", origin, str(shallow))
    done = act(shallow)
    assert done.returncode == 2
    assert "fetch-depth 0" in done.stdout


@pytest.mark.parametrize(("milliseconds", "code"), [(SLOWER, 1), (AS_FAST, 0)])
def test_the_gitlab_job(pull_request: Path, milliseconds: str, code: int) -> None:
    change(pull_request, milliseconds)
    job = yaml(GITLAB)["landmint-gate"]
    base = git(pull_request, "merge-base", "HEAD", "origin/main")
    variables = {**job["variables"], "CI_MERGE_REQUEST_DIFF_BASE_SHA": base}
    done = bash("\n".join(job["script"]), pull_request, variables)
    assert done.returncode == code, done.stderr
    for report in job["artifacts"]["reports"].values():
        assert (pull_request / report).is_file()


def export_bundle(folder: Path) -> None:
    from landmint import api
    from landmint.train.models import ModelConfig, create_model, save_model  # torch, for one test

    shape = np.random.default_rng(0).random((68, 2))
    config = ModelConfig(name="pfld", width=0.25, input_size=64)
    save_model(create_model(config, shape), folder / "model.safetensors")
    formats = api.ExportConfig(formats=("onnx",))
    api.export(folder / "model.safetensors", folder / "bundle", config=formats)


def burden(bundle: Path) -> None:
    """Add two large convolutions to the graph that change no landmark: their sum counts 0 times."""
    import onnx
    from onnx import helper, numpy_helper

    path = bundle / "onnx" / "float32.onnx"
    model = onnx.load(path)
    graph = model.graph
    image, result = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        node.output[:] = [f"{name}_plain" if name == result else name for name in node.output]
    for name, shape in (("burden_a", (32, 3, 3, 3)), ("burden_b", (32, 32, 3, 3))):
        weight = np.full(shape, 1e-3, dtype=np.float32)
        graph.initializer.append(numpy_helper.from_array(weight, name))
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "burden_none"))
    graph.node.extend(
        [
            helper.make_node("Conv", [image, "burden_a"], ["burden_1"], name="burden_1"),
            helper.make_node("Conv", ["burden_1", "burden_b"], ["burden_2"], name="burden_2"),
            helper.make_node("ReduceSum", ["burden_2"], ["burden_3"], keepdims=0, name="burden_3"),
            helper.make_node("Mul", ["burden_3", "burden_none"], ["burden_4"], name="burden_4"),
            helper.make_node("Add", [f"{result}_plain", "burden_4"], [result], name="burden_5"),
        ]
    )
    onnx.save(model, path)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["onnx/float32.onnx"] = sha256_file(path)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.slow
def test_a_slower_bundle_is_red_by_the_gate_itself(tmp_path: Path) -> None:
    """Two real builds, measured in turns: the landmarks are the same, the time is not."""
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "-q", "-b", "main")
    export_bundle(clone)
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "base")
    burden(clone / "bundle")
    git(clone, "commit", "-q", "-a", "-m", "a slower bundle")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "landmint").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m landmint.pipeline "$@"\n'
    )
    (tools / "landmint").chmod(0o755)
    done = act(clone, base="", arguments="--variants onnx/float32")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "::error title=onnx/float32%3A regression::" in done.stdout
    assert (clone / "landmint-verdict" / "junit.xml").is_file()
