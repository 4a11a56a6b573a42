"""The command on a real model and a real engine: it ends with a verdict of the known set."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from landmint import api
from landmint.pipeline import cli
from tests.conftest import Ship


@pytest.mark.slow
@pytest.mark.usefixtures("short_gate")
def test_a_gate_ends_with_a_verdict(ship: Ship, tmp_path: Path) -> None:
    api.export(ship("tiny", 0.1), tmp_path / "b", config=api.ExportConfig(formats=("onnx",)))
    words = ["--baseline", str(tmp_path / "b"), "--candidate", str(tmp_path / "b")]
    result = CliRunner().invoke(cli.app, ["gate", *words, "--out", str(tmp_path / "out")])
    assert result.exit_code in (0, 1, 3, 4), result.output
    verdict = json.loads((tmp_path / "out/verdict.json").read_text())
    [judged] = verdict["verdicts"]
    assert judged["variant"] == "onnx/float32"
    assert judged["status"] in ("pass", "regression", "not measured", "inconclusive")
    assert [check["name"] for check in judged["checks"]] == [
        "latency_baseline",
        "slow_runs_baseline",
        "drift_baseline",
    ]
    assert judged["checks"][-1]["status"] == "pass", "equal builds have equal landmarks"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "it is not clear what to judge"),
        (["--candidate", "b"], "it is not clear what to judge"),
        (["--candidate", "b", "--baseline", "a", "--self-test", "3"], "it is not clear what"),
        (["measured", "--candidate", "b", "--baseline", "a"], "it is not clear what to judge"),
        (["measured"], "no limits are given"),
        (["measured", "--recipe", "demo", "--margin", "2"], "--margin does not count with MEAS"),
        (["--candidate", "b", "--history", "h", "--variants", "*"], "--variants does not count"),
        (["--candidate", "b", "--self-test", "3", "--plans"], "--plans does not count with --self"),
        (["--candidate", "nowhere", "--baseline", "main"], "nowhere is no bundle"),
        (["--candidate", "b", "--baseline", "a", "--target", "moon"], "moon"),
        (["--candidate", "b", "--baseline", "a", "--margin", "0.5"], "a margin of 0.005"),
    ],
)
def test_what_cannot_be_judged(words: list[str], message: str) -> None:
    result = CliRunner().invoke(cli.app, ["gate", *words])
    assert result.exit_code == 2 and message in result.output
