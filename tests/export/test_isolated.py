"""Converters in a process of their own: silent when they work, clear when they do not."""

import sys
from pathlib import Path

import pytest

from landmint.export.isolated import last_lines, missing_packages, run_isolated
from landmint.runtime.errors import LandmintError

WORKER = """
import json, pathlib, sys
request = json.loads(sys.argv[1])
print("chatter on stdout")
print("chatter on stderr", file=sys.stderr)
pathlib.Path("litter").touch()
if request["fail"]:
    print("W0000 00:00:1 port.cc:1] noise", file=sys.stderr)
    print("\\x1b[31mERROR:\\x1b[0m no such operator", file=sys.stderr)
    sys.exit("cannot go on")
pathlib.Path(request["answer"]).write_text(str(pathlib.Path.cwd()))
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


def test_only_the_last_lines_are_told() -> None:
    assert last_lines("\n".join(map(str, range(100)))).split() == [str(n) for n in range(94, 100)]


def test_missing_packages_are_named() -> None:
    assert missing_packages("sys", "json") == ""
    assert "nowhere_a is not installed" in missing_packages("sys", "nowhere_a")
    assert "nowhere_a and nowhere_b are" in missing_packages("nowhere_a", "nowhere_b")
    assert sys.modules.get("nowhere_a") is None
