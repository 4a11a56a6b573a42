"""Temporary folders go away with their process, also when it is killed."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from landmint.runtime.scratch import scratch_folder

HANG_S = 600  # nothing takes so long unless it hangs
KILLED = """\
import os, signal
from landmint.runtime.scratch import scratch_folder

with scratch_folder() as folder:
    (folder / "crops.npy").write_bytes(b"18 MB")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_folder_is_removed_with_all_that_lies_in_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"), scratch_folder() as folder:
        assert folder.parent == tmp_path and not list(folder.iterdir())
        (folder / "crops.npy").write_bytes(b"1")
        raise OSError("disk full")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], timeout=HANG_S)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with scratch_folder():
        assert not left.exists()


def test_folders_of_the_living_and_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "landmint-notes").mkdir()
    with scratch_folder() as one, scratch_folder() as two:
        assert one.exists() and two.exists() and one != two
    assert [path.name for path in tmp_path.iterdir()] == ["landmint-notes"]
