"""Converters in a process of their own: silent when they work, clear when they do not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from landmint.export.isolated import TIMEOUT_S, last_lines, missing_packages, run_isolated
from landmint.runtime.errors import LandmintError

WORKER = """
import json, pathlib, sys
request = json.load(sys.stdin)
print("chatter on stdout")
print("chatter on stderr", file=sys.stderr)
pathlib.Path("litter").touch()
if request["fail"]:
    print("W0000 00:00:1 port.cc:1] noise", file=sys.stderr)
    print("\\x1b[31mERROR:\\x1b[0m no such operator", file=sys.stderr)
    sys.exit("cannot go on")
pathlib.Path(request["answer"]).write_text(str(pathlib.Path.cwd()))
"""


# Starts a process of its own and hangs; both would live on for a minute.
HANGING_WORKER = """
import json, subprocess, sys, time
pipe = json.load(sys.stdin)["pipe"]
survivor = "import sys, time; pipe = open(sys.argv[1], 'w'); time.sleep(60); pipe.write('alive')"
subprocess.run([sys.executable, "-c", survivor, pipe])
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "chatty_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "chatty_worker"


def test_output_and_litter_stay_out_of_sight(
    worker: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = tmp_path / "answer"
    run_isolated(worker, {"fail": False, "answer": str(answer)}, fact="never seen")
    assert capfd.readouterr() == ("", "")
    assert not Path(answer.read_text()).exists()
    assert not Path("litter").exists()


def test_failure_is_one_error_with_the_last_telling_lines(worker: str) -> None:
    with pytest.raises(LandmintError) as caught:
        run_isolated(worker, {"fail": True}, fact="the conversion failed")
    assert caught.value.fact == "the conversion failed"
    assert "ERROR: no such operator\n    cannot go on" in caught.value.reason
    assert "noise" not in caught.value.reason and "\x1b" not in caught.value.reason


def test_a_request_may_be_longer_than_a_command_line(worker: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    layers = [f"a layer with a long name, number {i}" for i in range(50_000)]
    run_isolated(worker, {"fail": False, "answer": str(answer), "layers": layers}, fact="")
    assert answer.is_file()


def _hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: BaseException) -> None:
    """Run a worker that hangs until the wait for it ends as told; nothing of it may live on."""
    (tmp_path / "hanging_worker.py").write_text(HANGING_WORKER)
    monkeypatch.syspath_prepend(str(tmp_path))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    whole_wait = subprocess.Popen.wait
    streams = []

    def wait(process: "subprocess.Popen[str]", timeout: float | None = None) -> int:
        if timeout is None:
            return whole_wait(process)
        streams.append(pipe.open())  # opens when the worker's own process does
        raise ending

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    try:
        run_isolated("hanging_worker", {"pipe": str(pipe)}, fact="the conversion failed")
    finally:
        (stream,) = streams
        with stream:
            assert stream.read() == ""  # ends when nobody holds the other end


def test_a_converter_that_hangs_is_stopped_with_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LandmintError) as caught:
        _hang(tmp_path, monkeypatch, subprocess.TimeoutExpired("python", TIMEOUT_S))
    assert caught.value.fact == "the conversion failed"
    assert caught.value.reason == "the converter had not ended after 60 minutes and was stopped"


def test_an_interruption_stops_the_converter_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        _hang(tmp_path, monkeypatch, KeyboardInterrupt())


def test_only_the_last_lines_are_told() -> None:
    assert last_lines("\n".join(map(str, range(100)))).split() == [str(n) for n in range(94, 100)]


def test_missing_packages_are_named() -> None:
    assert missing_packages("sys", "json") == ""
    assert "nowhere_a is not installed" in missing_packages("sys", "nowhere_a")
    assert "nowhere_a and nowhere_b are" in missing_packages("nowhere_a", "nowhere_b")
    assert sys.modules.get("nowhere_a") is None


def test_what_brings_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert missing_packages("onnx").endswith("pip install 'landmint[export]'")
    assert missing_packages("pnnx").endswith("pip install 'landmint[ncnn]'")
    assert missing_packages("onnx", "pnnx").endswith("pip install 'landmint[export,ncnn]'")
    assert missing_packages("coremltools").endswith("pip install 'landmint[coreml]'")
