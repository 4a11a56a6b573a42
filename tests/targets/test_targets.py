"""The contract suite of the targets, run by one target of every transport."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.machine import usable_cores
from landmint.targets import TRANSPORTS, Profile, Target, host, load_target, transport_of
from landmint.targets.host import HostTarget

Crops = Callable[[int], Path]
LONG_S = 600  # nothing here waits for so long unless it hangs


PREPARED: Mapping[str, str] = {
    "ssh": "ssh_profile",
    "labgrid": "labgrid_profile",
    "emulated": "emulated_profile",
    "adb": "adb_profile",
}
"""The fixture with a profile for each transport that needs a device to be prepared."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.slow] * (name in PREPARED)) for name in TRANSPORTS.own
    ]
)
def target(request: pytest.FixtureRequest) -> Target:
    name = request.param
    plain = Profile(name, "of the suite", name)
    profile = request.getfixturevalue(PREPARED[name]) if name in PREPARED else plain
    return transport_of(profile)(profile)


def test_a_visit(target: Target, bundle: Bundle, write_crops: Crops, tmp_path: Path) -> None:
    crops = target.push(write_crops(5))
    link = target.start(target.push(bundle.path), "null/float32", 1, LONG_S)
    try:
        assert link.hello["engine"] == "null"
        assert link.hello["machine"]["cores"] >= 1
        assert link.ask({"do": "load"}, LONG_S)["load_ms"] >= 0
        there = f"{crops}.points.npy"
        assert link.ask({"do": "predict", "crops": crops, "points": there}, LONG_S)["faces"] == 5
        target.pull(there, tmp_path / "here.npy")
        assert np.load(tmp_path / "here.npy").shape == (5, 68, 2)
    finally:
        link.close()
        link.close()  # harmless


def test_a_refused_request_leaves_the_agent_ready(target: Target, bundle: Bundle) -> None:
    link = target.start(target.push(bundle.path), "null/float32", 1, LONG_S)
    try:
        with pytest.raises(LandmintError, match="unknown request.*\n.*load, build, predict"):
            link.ask({"do": "dance"}, LONG_S)
        with pytest.raises(LandmintError, match="the model is not loaded"):
            link.ask({"do": "precision"}, LONG_S)
        with pytest.raises(LandmintError, match="does not hold crops"):
            link.ask({"do": "predict", "crops": "nowhere.npz", "points": "p.npy"}, LONG_S)
        with pytest.raises(LandmintError, match="is not understood"):
            link.ask({"do": "predict"}, LONG_S)
        assert link.ask({"do": "load"}, LONG_S)["ok"]
    finally:
        link.close()


def test_what_cannot_start_says_why(target: Target, bundle: Bundle, tmp_path: Path) -> None:
    there = target.push(bundle.path)
    with pytest.raises(NotMeasuredError, match="tensorrt is not installed here"):
        target.start(there, "tensorrt/int8", 1, LONG_S)
    with pytest.raises(LandmintError, match="has no variant 'tflite/int4'"):
        target.start(there, "tflite/int4", 1, LONG_S)
    with pytest.raises(LandmintError, match="is no bundle"):
        target.start(target.push(tmp_path), "null/float32", 1, LONG_S)
    with pytest.raises(LandmintError, match="0 threads"):
        target.start(there, "null/float32", 0, LONG_S)


def test_an_agent_keeps_to_the_cores_of_its_profile(bundle: Bundle) -> None:
    allowed = usable_cores()
    core = str(allowed[-1])
    target = HostTarget(profile=Profile("pinned", "one core", "local", cores=core))
    assert target.parallel == 1
    link = target.start(str(bundle.path), "null/float32", 1, LONG_S)
    link.close()
    assert (link.hello["machine"]["cores"], link.hello["machine"]["affinity"]) == (1, core)
    beyond = str(max(allowed) + 1000)
    with pytest.raises(NotMeasuredError, match=f"there are no cores {beyond}"):
        HostTarget(profile=Profile("beyond", "none", "local", cores=beyond))


def test_an_engine_gets_the_threads_that_were_asked_for(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    given: list[Mapping[str, str]] = []

    def link(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> None:
        given.append(environment)

    monkeypatch.setattr(host, "PipeLink", link)
    for threads in (1, 3):
        load_target("host").start(str(bundle.path), "null/float32", threads, LONG_S)
    assert [environment["OMP_NUM_THREADS"] for environment in given] == ["1", "3"]
    assert [environment["OPENBLAS_NUM_THREADS"] for environment in given] == ["1", "1"]


def test_pull_of_a_missing_file(target: Target, tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="does not exist"):
        target.pull(str(tmp_path / "nothing"), tmp_path / "here")


def test_unknown_target() -> None:
    with pytest.raises(LandmintError, match="choices: .*host, .*null"):
        load_target("moon")
