"""A phone over the real adb client: what is measured there, and what happens when things break."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.embedded import read_contract
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.hygiene import BACK_OFF_S
from landmint.runtime.latency import LatencyConfig
from landmint.runtime.measurement import Measurement
from landmint.targets.adb import session
from landmint.targets.adb.target import AdbTarget
from landmint.targets.host import HostTarget
from landmint.targets.measure import measure_bundle
from landmint.targets.profile import Hygiene
from landmint.targets.target import Link, Target
from landmint.train import zoo
from tests.targets.adbd import Phone, adb, phone

pytestmark = pytest.mark.slow
LONG_S = 600  # nothing here waits for so long unless it hangs
VARIANT = "tflite/int8"
QUICK = LatencyConfig(
    launches=1, samples=2, block_runs=2, block_ms=0.001, warm_runs=1, warm_ms=1, warm_limit_s=0.01
)
CONFIG = {"config": {"block_runs": 2, "block_ms": 0.001, "warm_ms": 1, "warm_limit_s": 0.01}}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The smallest shipped network, in INT8."""
    source, name = zoo.folder() / "pfld.tflite", "tflite/int8.tflite"

    def fill(folder: Path) -> Manifest:
        (folder / "tflite").mkdir()
        (folder / name).write_bytes(source.read_bytes())
        contract = read_contract(source)
        variant = Variant(VARIANT, "litert", (name,), layout=contract.layout)
        return Manifest("pfld", contract.with_layout("NCHW"), (variant,))

    return write_bundle(tmp_path_factory.mktemp("shipped") / "pfld", fill)


@pytest.fixture
def crops(shipped: Bundle, tmp_path: Path) -> Path:
    """Two crops without a face, but smooth, as faces are."""
    size = shipped.manifest.contract.input_size
    slope = np.add.outer(np.arange(size), np.arange(size)) % 256
    pixels = [np.stack([each] * 3, axis=-1).astype(np.uint8) for each in (slope, slope[::-1])]
    matrices = np.broadcast_to(np.eye(3)[:2], (2, 2, 3))
    path = tmp_path / "crops.npz"
    np.savez(path, crops=np.stack(pixels), matrices=matrices, names=np.array(["a", "b"]))
    return path


def measured(target: Target, bundle: Bundle, crops: Path) -> Measurement:
    (one,) = measure_bundle(target, bundle, (), crops, QUICK, crops.parent / target.name)
    return one


def warmed(target: Target, bundle: Bundle, crops: Path) -> Link:
    """An agent that could time its next block."""
    link = target.start(target.push(bundle.path), VARIANT, 1, LONG_S)
    link.ask({"do": "load"}, LONG_S)
    link.ask({"do": "warm", "crops": target.push(crops), **CONFIG}, LONG_S)
    return link


def eventually(holds: Callable[[], bool]) -> bool:
    return any(holds() or threading.Event().wait(0.1) for _ in range(600)) or holds()


def test_a_whole_measure(handset: Phone, shipped: Bundle, crops: Path) -> None:
    """Figures come from benchmark_model; landmarks are those of the same engine here."""
    target = AdbTarget(handset.profile())
    there, here = (measured(each, shipped, crops) for each in (target, HostTarget()))
    assert there.status == "measured", there.reason
    assert there.points is not None and here.points is not None
    np.testing.assert_allclose(there.points, here.points, atol=0.01)
    assert there.executed_precision.startswith("i8")
    assert "(XNNPACK, " in there.executed_precision
    assert [o.kind for o in there.operators] == ["DELEGATE"] and there.operators[0].ms
    assert there.engine_version.startswith("benchmark_model ")
    assert there.machine is not None
    assert there.machine.board == "Tiny Phone (TP1)"
    assert there.machine.governor == "fixed performance"
    (launch,) = there.launches
    assert all(ms > 0 for block in launch.blocks for ms in block.samples_ms)
    assert launch.warm_up.first_ms > 0 and launch.load_ms > 0
    assert launch.after is not None and launch.after.temperature_c == pytest.approx(31.5)
    assert there.peak_memory_mib and there.latency is not None
    assert there.latency.cpu_ms is None and there.latency.waiting == pytest.approx(0)
    assert handset.powers == ["true"]
    del target
    assert eventually(lambda: handset.powers == ["true", "false"])
    assert eventually(lambda: not list((handset.folder / "landmint").glob("visit-*")))


def test_a_delegate_that_fell_back_is_said(handset: Phone, shipped: Bundle, crops: Path) -> None:
    script = handset.tool.read_text().partition("\n")[2]
    handset.pretend("benchmark_model", f"export WITHOUT_XNNPACK=yes\n{script}")
    one = measured(AdbTarget(handset.profile()), shipped, crops)
    assert one.status == "measured", one.reason
    assert one.executed_precision.endswith("(without XNNPACK: it fell back to built-in kernels)")
    assert {operator.kernel for operator in one.operators} == {"built-in"}
    assert "CONV_2D" in {o.kind for o in one.operators if o.precision == "i8" and o.ms}


def test_a_hot_phone_is_tried_three_times(
    handset: Phone, shipped: Bundle, crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(session, "sleep", pauses.append)
    target = AdbTarget(handset.profile())
    link = warmed(target, shipped, crops)
    handset.thermal_status = 2
    handset.furnish()
    with pytest.raises(NotMeasuredError, match=r"too hot: thermal status 2 \(moderate\)"):
        link.ask({"do": "block", **CONFIG}, LONG_S)
    assert pauses == list(BACK_OFF_S)
    assert link.ask({"do": "conditions"}, LONG_S)["throttled"] == ("thermal status 2 (moderate)",)

    def cool(pause_s: float) -> None:
        handset.thermal_status = 0
        handset.furnish()

    monkeypatch.setattr(session, "sleep", cool)
    assert len(link.ask({"do": "block", **CONFIG}, LONG_S)["samples_ms"]) == 2


def test_a_low_battery_is_refused(handset: Phone, shipped: Bundle, crops: Path) -> None:
    target = AdbTarget(handset.profile())
    link = warmed(target, shipped, crops)
    handset.battery_percent = 24
    handset.furnish()
    with pytest.raises(NotMeasuredError, match="battery of phone is at 24 %"):
        link.ask({"do": "block", **CONFIG}, LONG_S)
    with pytest.raises(NotMeasuredError, match="cannot measure\n.*battery: 24 %\n.*charge it"):
        AdbTarget(handset.profile()).push(crops)


def test_a_phone_that_goes_offline_in_a_block(handset: Phone, shipped: Bundle, crops: Path) -> None:
    link = warmed(AdbTarget(handset.profile()), shipped, crops)
    handset.watch = lambda command: handset.cut() if "--graph=" in command else None
    with pytest.raises(NotMeasuredError, match="phone is not reached: it is offline\n.*\n.*reconn"):
        link.ask({"do": "block", **CONFIG}, LONG_S)
    link.close()
    with pytest.raises(NotMeasuredError, match="was ended"):
        link.ask({"do": "block", **CONFIG}, LONG_S)


def test_an_answer_that_takes_too_long(handset: Phone, shipped: Bundle, crops: Path) -> None:
    link = warmed(AdbTarget(handset.profile()), shipped, crops)
    handset.pretend("dumpsys", "exec sleep 60")
    with pytest.raises(NotMeasuredError, match="did not answer in time"):
        link.ask({"do": "conditions"}, 0.5)


def test_a_phone_without_benchmark_model(handset: Phone, crops: Path) -> None:
    target = AdbTarget(handset.profile(settings={"benchmark_model": "/no/benchmark_model"}))
    with pytest.raises(NotMeasuredError, match="none that can be run at /no/bench.*\n.*fetch http"):
        target.push(crops)
    (finding,) = (f for f in target.probe() if f.what == "benchmark_model")
    assert finding.stops and "adb push" in finding.remedy
    assert not (handset.folder / "landmint").exists()


def test_a_benchmark_model_that_fails(handset: Phone, shipped: Bundle) -> None:
    handset.pretend("benchmark_model", "echo ERROR: out of everything; exit 1")
    target = AdbTarget(handset.profile())
    link = target.start(target.push(shipped.path), VARIANT, 1, LONG_S)
    with pytest.raises(NotMeasuredError, match="a command failed.*\n.*out of everything"):
        link.ask({"do": "load"}, LONG_S)


def test_a_probe_copies_nothing(handset: Phone) -> None:
    found = {finding.what: finding for finding in AdbTarget(handset.profile()).probe()}
    assert not (handset.folder / "landmint").exists() and not handset.powers
    assert not any(finding.stops or finding.remedy for finding in found.values())
    assert found["build"].state == "tiny/phone:14/1:user/release-keys"


def test_an_emulator_and_a_build_for_development_are_said(handset: Phone) -> None:
    handset.properties |= {"ro.kernel.qemu": "1", "ro.build.type": "eng"}
    handset.furnish()
    (build,) = (f for f in AdbTarget(handset.profile()).probe() if f.what == "build")
    assert "an emulator, a build for development: eng" in build.state and build.remedy


def test_a_phone_that_has_not_allowed_this_computer(handset: Phone) -> None:
    adb("disconnect", handset.serial)
    handset.authorised = False
    adb("connect", handset.serial)
    with pytest.raises(NotMeasuredError, match="not allowed this computer\n.*\n.*allow USB debug"):
        AdbTarget(handset.profile()).probe()


def test_several_phones_and_none(handset: Phone, tmp_path: Path) -> None:
    with phone(tmp_path / "other") as other:
        with pytest.raises(LandmintError, match="2 phones are connected") as raised:
            AdbTarget(handset.profile(address="")).probe()
        assert set(raised.value.choices) == {f"phone:{p.serial}" for p in (handset, other)}
    AdbTarget(handset.profile(address="")).probe()
    adb("disconnect", handset.serial)
    with pytest.raises(NotMeasuredError, match="no device\n.*USB debugging"):
        AdbTarget(handset.profile(address="")).probe()
    with pytest.raises(NotMeasuredError, match=f"adb connect {handset.serial}"):
        AdbTarget(handset.profile()).probe()


def test_only_what_changed_is_copied(handset: Phone, tmp_path: Path) -> None:
    folder = tmp_path / "it's a bundle; $(reboot)"
    (folder / "in; here").mkdir(parents=True)
    (folder / "in; here" / "$(file)").write_text("one")
    target = AdbTarget(handset.profile())
    first = target.push(folder)
    assert target.push(folder) == AdbTarget.push(target, folder) == first
    (folder / "in; here" / "$(file)").write_text("two")
    second = target.push(folder)
    assert second != first
    for place, text in ((first, "one"), (second, "two")):
        target.pull(f"{place}/in; here/$(file)", tmp_path / "back")
        assert (tmp_path / "back").read_text() == text


def test_a_visit_holds_the_phone(handset: Phone, crops: Path) -> None:
    first = AdbTarget(handset.profile())
    first.push(crops)
    with pytest.raises(NotMeasuredError, match="another landmint is visiting"):
        AdbTarget(handset.profile()).push(crops)
    del first
    assert eventually(lambda: handset.powers == ["true", "false"])
    AdbTarget(handset.profile()).push(crops)


VISITOR = """
import signal
import sys
from pathlib import Path
from landmint.targets.adb.target import AdbTarget
from landmint.targets.profile import Profile

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job of a shell may ignore
address, tool, folder, file = sys.argv[1:]
settings = {"benchmark_model": tool, "folder": folder}
target = AdbTarget(Profile("phone", "of the suite", "adb", address=address, settings=settings))
target.push(Path(file))
print("visiting", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_phone_is_as_it_was_however_the_visit_ends(
    number: signal.Signals, handset: Phone, crops: Path
) -> None:
    settings = handset.profile().settings
    words = [handset.serial, settings["benchmark_model"], settings["folder"], str(crops)]
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, "-c", VISITOR, *words],
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as visitor:
        assert visitor.stdout is not None and visitor.stdout.readline() == b"visiting\n"
        assert handset.powers == ["true"]
        visitor.send_signal(number)
        visitor.wait()
    assert eventually(lambda: handset.powers == ["true", "false"])


def test_what_does_not_fit(handset: Phone, bundle: Bundle, shipped: Bundle) -> None:
    target = AdbTarget(handset.profile())
    with pytest.raises(NotMeasuredError, match="onnxruntime does not run on phone"):
        target.start(target.push(bundle.path), "onnx/float32", 1, LONG_S)
    link = target.start(target.push(shipped.path), VARIANT, 1, LONG_S)
    with pytest.raises(LandmintError, match="no work can be added"):
        link.ask({"do": "load", "slowdown": 0.1}, LONG_S)
    link.ask({"do": "load"}, LONG_S)
    with pytest.raises(NotMeasuredError, match="does not run without a pause"):
        link.ask({"do": "sustain", "crops": "timed.npz"}, LONG_S)
    link.close()
    wrong = handset.profile(architectures=("riscv64",))
    del target, link
    assert eventually(lambda: handset.powers[-1:] == ["false"])
    with pytest.raises(NotMeasuredError, match="the profile is for riscv64"):
        AdbTarget(wrong).push(bundle.path)


def test_a_profile_that_asks_for_what_no_phone_lets_do(handset: Phone) -> None:
    with pytest.raises(LandmintError, match="has hygiene.governor or limits"):
        AdbTarget(handset.profile(hygiene=Hygiene("performance")))
    with pytest.raises(LandmintError, match="an unknown field, 'root'"):
        AdbTarget(handset.profile(settings={"root": True}))
