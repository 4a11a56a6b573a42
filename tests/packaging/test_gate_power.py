"""The table of the gate's own figures is what the gates say that have ended."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import benchmark

power = benchmark("gate_power")
QUIET, LOADED = power.Cell("onnx/float32", 0, 0.0), power.Cell("onnx/float32", 2, 0.05)


def ended(cell: object, status: str, seconds: float = 50.0) -> Any:
    fields = {"status": status, "seconds": seconds, "launches": 12, "ratio": 1.0, "machine": "m"}
    return power.Ended(**vars(cell), **fields)


def test_the_cell_with_the_fewest_gates_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seeds = tmp_path / "gates.jsonl", []
    first = [ended(QUIET, "pass"), ended(QUIET, "pass"), ended(LOADED, "regression")]
    path.write_text("".join(json.dumps(asdict(gate)) + "\n" for gate in first))

    def run_gate(bundle: Path, cell: object, seed: int, beside: str) -> object:
        seeds.append((cell, seed))
        return ended(cell, "pass")

    monkeypatch.setattr(power, "run_gate", run_gate)
    power.fill(path, tmp_path, [QUIET, LOADED], repeats=3, minutes=60)
    assert seeds == [(LOADED, 1), (QUIET, 2), (LOADED, 2)]
    assert power.read(path)[:3] == first and len(power.read(path)) == 6
    power.fill(path, tmp_path, [QUIET, LOADED], repeats=9, minutes=0)
    assert len(power.read(path)) == 6, "no time is left"


def test_a_row_counts_verdicts_and_gates_within_a_minute() -> None:
    gates = [ended(LOADED, "regression", 70)] * 3 + [ended(LOADED, "inconclusive", 40)]
    lines = power.table(gates, [QUIET, LOADED]).splitlines()
    assert lines[2].split(" | ")[3:5] == ["0", "not measured"]
    assert lines[3].startswith("| onnx/float32 | 2 | 5% | 4 | 3 [19.4%, 99.4%] | 1 | 0 | 70 | 1 |")


def test_what_kept_the_cores_busy_is_said() -> None:
    beside = [replace(ended(LOADED, "pass"), beside="trainings"), ended(LOADED, "pass")]
    text = power.table([*beside, beside[0], ended(QUIET, "pass")], [QUIET, LOADED])
    assert text.endswith("On m. Busy processes: trainings in 2 gates, loops in 1 gates.")
    assert power.table([], [QUIET]).endswith("On no machine yet. Busy processes: none yet.")
    with pytest.raises(SystemExit):
        power.main(["--minutes", "0", "--beside", "trainings"])


def test_the_page_shows_the_gates_that_ended() -> None:
    cells = [power.Cell(*c) for c in power.product(power.VARIANTS, power.LOADS, power.SLOWDOWNS)]
    assert power.table(power.read(power.GATES), cells) in power.PAGE.read_text(encoding="utf-8")
