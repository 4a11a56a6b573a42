"""Each target has its own measurements; what drops out leaves the others whole."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from landmint.pipeline import several_targets
from landmint.pipeline.judge.target_results import TargetResult, Visits
from landmint.pipeline.judge.truth import TRUTH_FILE, write_truth
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.report.blocks import Row
from landmint.pipeline.report.render import render
from landmint.pipeline.report.targets import targets_page, targets_table, variants_table
from landmint.pipeline.run import Run
from landmint.pipeline.several_targets import TargetRun, checked_targets, visit_targets
from landmint.pipeline.stage import Stage
from landmint.pipeline.view import UNWATCHED, Relay
from landmint.runtime.errors import LandmintError
from landmint.runtime.instructions import Instructions
from landmint.runtime.latency import Block, Launch, WarmUp
from landmint.runtime.measurement import Measurement, write_measurement
from landmint.runtime.progress import Progress
from tests.labels import labelled
from tests.scripts import ROOT
from tests.targets.sshd import device

PERSONS = 8
TRUTH = labelled(tuple(f"p{i}" for i in range(PERSONS)))
RECIPE = """\
[faces]
kind = "synthetic"

[student.model]
name = "pfld"

[gate.nme_percent]
"*" = 5.0
"""


def measurement(variant: str, error_px: float, ms: float | None) -> Measurement:
    """Every landmark is off by so much; timed, or counted where there is no time."""
    engine = {"torch": "torch", "onnx": "onnxruntime"}[variant.split("/")[0]]
    known = Measurement(
        *("tiny", variant, engine, "measured"),
        session="now",
        faces=TRUTH.names,
        points=TRUTH.points + [error_px, 0.0],
    )
    if ms is None:
        counted = (Instructions(12_600_000),)
        return dataclasses.replace(known, no_times="it is emulated", instructions=counted)
    launch = Launch(1.0, WarmUp(1.0, 40, True), (Block((ms,) * 5, 5 * ms),))
    return dataclasses.replace(known, launches=(launch,) * 3)


class Planted:
    """Stages that write what a target is said to do, and count their visits."""

    def __init__(self) -> None:
        self.errors_px = {"host": 1.0, "null": 9.0}
        self.times_ms: dict[str, float | None] = {"host": 2.0, "null": None}
        self.visited: list[str] = []

    def stages(self, run: Run) -> tuple[Stage, ...]:
        return (
            Stage("measurements", 1, self._measure, settings=lambda run: {}),
            Stage("verdict", 1, self._judge, needs=lambda run: ("measurements",)),
        )

    def _measure(self, run: Run, place: Path, bar: Progress) -> None:
        target = run.recipe.measure.target
        self.visited.append(target)
        if target not in self.errors_px:
            raise LandmintError(f"{target} is switched off", remedy="switch it on")
        place.mkdir(parents=True)
        write_truth(place / TRUTH_FILE, TRUTH)
        write_measurement(place, measurement("torch/float32", 0.0, 9.0))
        error_px, ms = self.errors_px[target], self.times_ms[target]
        write_measurement(place, measurement("onnx/int8", error_px, ms))

    @staticmethod
    def _judge(run: Run, place: Path, bar: Progress) -> None:
        place.mkdir(parents=True)
        (place / "verdict.json").write_text("{}")


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Planted:
    """Two targets, host and null, on this machine."""
    stages = Planted()
    monkeypatch.setattr(several_targets, "stages_of", stages.stages)
    return stages


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    return Run(load_recipe(tmp_path / "tiny.toml"), tmp_path / "run")


def test_each_target_is_measured_and_judged_for_itself(planted: Planted, run: Run) -> None:
    visits = Visits(visit_targets(run, ["host", "null"], UNWATCHED), run.folder / "targets.html")
    assert [result.status for result in visits.results] == ["pass", "accuracy drift"]
    assert visits.exit_code == 5, "the worst verdict's"
    assert visits.measurements == [
        run.folder / "targets" / name / "measurements" for name in ("host", "null")
    ]
    assert not (run.folder / "measurements").exists()
    visit_targets(run, ["host", "null"], UNWATCHED)
    assert planted.visited == ["host", "null"], "what is up to date is left alone"


def test_a_target_that_drops_out_is_tried_again(planted: Planted, run: Run) -> None:
    error_px = planted.errors_px.pop("null")
    told: list[str] = []

    class Told:
        def at(self, done: int, total: int, note: str = "") -> None: ...

        def step(self, note: str) -> None:
            told.append(note)

    first, second = visit_targets(run, ["null", "host"], Relay(Told()))
    assert first == TargetResult(
        "null", "not measured", "null is switched off; remedy: switch it on"
    )
    assert second.status == "pass"
    assert any(line.startswith("null: null is switched off") for line in told)
    assert Visits((first, second), run.folder).exit_code == 3
    planted.errors_px["null"] = error_px
    first, second = visit_targets(run, ["null", "host"], UNWATCHED)
    assert first.status == "accuracy drift"
    assert planted.visited == ["null", "host", "null"]


def test_addresses_of_one_profile_have_folders_of_their_own(run: Run) -> None:
    names = ("rpi5:pi@10.0.0.1", "rpi5:pi@10.0.0.2", "rpi5")
    places = {TargetRun(run, name).place("measurements") for name in names}
    assert len(places) == len(names)
    assert all(place.parent.parent == run.folder / "targets" for place in places)
    assert TargetRun(run, "rpi5:../../x").place("verdict").parent.parent == run.folder / "targets"
    assert TargetRun(run, "rpi5").place("bundle") == run.place("bundle")


@pytest.mark.parametrize(
    ("targets", "fact"),
    [
        ([], "no target is named"),
        (["host", "toaster"], "unknown target 'toaster'"),
        (["host", "null", "host"], "host is named twice"),
    ],
)
def test_targets_that_cannot_be_visited_are_refused(targets: list[str], fact: str) -> None:
    with pytest.raises(LandmintError, match=fact):
        checked_targets(targets)


def test_the_page_sets_targets_beside_each_other(planted: Planted, run: Run) -> None:
    results = visit_targets(run, ["host", "null"], UNWATCHED)
    results += (TargetResult("rpi5", "not measured", "no route to it"),)
    rows = {row.head: _texts(row) for row in variants_table(results).rows}
    assert rows["onnx/int8"] == ["2.00 ms", "12.6 M instructions", "–"]
    subs = [cell.sub for cell in variants_table(results).rows[-1].cells]
    assert subs == ["NME rise 1.000 points", "NME rise 9.000 points", "not measured"]
    reference = variants_table(results).rows[0].cells[0]
    assert (reference.text, reference.sub) == ("9.00 ms", "NME 0.00 %")
    targets = {row.head: _texts(row) for row in targets_table(results).rows}
    assert targets["host"][:3] == ["pass", "onnx/int8", "2.00"]
    assert targets["null"][0] == "accuracy drift"
    assert targets["rpi5"] == ["not measured", "–", "–", "no route to it"]
    page = targets_page("tiny", results)
    assert page.banner.title.startswith("Accuracy drift")
    assert page.answer == (
        "The verdict is pass on host and accuracy drift on null. "
        "1 could not be measured; the same command tries them again."
    )
    assert "no route to it" in render(page)


def _texts(row: Row) -> list[str]:
    return [cell.text for cell in row.cells]


# The processes that visit machines run this file as well, up to its last lines.
VISITING = """
import signal, sys, threading
from pathlib import Path
from landmint.pipeline import several_targets
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.view import UNWATCHED
from landmint.runtime.errors import Interrupted
from landmint.targets import load_target, ssh
from tests.pipeline.test_several_targets import Planted

class Holding(Planted):
    def _measure(self, run, place, bar):
        name = run.recipe.measure.target
        if name == "host":
            return super()._measure(run, place, bar)
        target = load_target(name)
        target.push(Path("tiny.toml"))
        place.mkdir(parents=True)
        Path("holds").touch()
        threading.Event().wait()

ssh._SYSTEM = str(Path("sys").absolute())
several_targets.stages_of = Holding().stages
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell's "&" began it
    run = Run(load_recipe(Path("tiny.toml")), Path("run").absolute(), "the same call")
    try:
        several_targets.visit_targets(run, ["host", sys.argv[1]], UNWATCHED)
    except Interrupted as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("signalled", ["the process", "its group"])
def test_an_interrupt_ends_the_visits_of_all_machines(tmp_path: Path, signalled: str) -> None:
    (tmp_path / "visiting.py").write_text(VISITING, encoding="utf-8")
    (tmp_path / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    governor = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("ondemand\n")
    host = tmp_path / "run/targets/host"
    with device(tmp_path / "device") as board:
        profile = tmp_path / "board.toml"
        profile.write_text(
            f'about = "the loopback"\ntransport = "ssh"\naddress = "board"\n'
            f'hygiene.governor = "performance"\n[settings]\npython = "{sys.executable}"\n'
            f'install = false\nfolder = "{board.home}"\nconfig = "{board.config}"\n'
        )
        process = subprocess.Popen(
            [sys.executable, "visiting.py", str(profile)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            _wait_until((tmp_path / "holds").exists, process)
            _wait_until((host / "verdict").exists, process)
            assert governor.read_text() == "performance"
            if signalled == "its group":
                os.killpg(process.pid, signal.SIGINT)
            else:
                process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=300)  # which ends with the last of its children
            _wait_until(lambda: governor.read_text() == "ondemand", process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()  # which closes the pipe
    assert process.returncode == 3, said
    assert "interrupted while targets were visited" in said and "Traceback" not in said
    assert (host / "measurements").is_dir(), "what is whole is kept"
    others = [place for place in (tmp_path / "run/targets").iterdir() if place != host]
    assert not [file for place in others for file in place.rglob("*") if "measure" in file.name]


def _wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    for _ in range(3000):
        if is_so():
            return
        assert process.poll() in (None, 3), process.stderr and process.stderr.read()
        threading.Event().wait(0.1)
    pytest.fail("it never came to it")
