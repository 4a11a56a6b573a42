"""A folder of a git revision is copied as it was then; what is not there is said clearly."""

import subprocess
from pathlib import Path

import pytest

from landmint.pipeline.revision import folder_of_revision, repository_of
from landmint.runtime.errors import LandmintError, NotMeasuredError


def git(root: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits: in the first `models/face/[1].txt` says old, before it there is none."""
    root = tmp_path / "re po"
    (root / "models" / "face").mkdir(parents=True)
    git(root, "init", "-q")
    git(root, "commit", "-q", "--allow-empty", "-m", "nothing")
    git(root, "tag", "empty")
    for text in ("old", "new"):
        (root / "models/face/[1].txt").write_text(text)
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", text)
    git(root, "tag", "latest")
    return root


def test_the_folder_as_it_was(repository: Path, tmp_path: Path) -> None:
    folder = repository / "models" / "face"
    assert repository_of(folder) == repository
    for number, (revision, text) in enumerate([("HEAD~1", "old"), ("latest", "new")]):
        copy = folder_of_revision(folder, revision, tmp_path / f"copy{number}")
        assert (copy / "[1].txt").read_text() == text
        assert [path.name for path in copy.iterdir()] == ["[1].txt"]
    assert (folder / "[1].txt").read_text() == "new"


def test_a_revision_that_does_not_exist(repository: Path, tmp_path: Path) -> None:
    for name in ("v9.9", "--help", "HEAD~99", "$(touch x)"):
        with pytest.raises(LandmintError, match="has no revision") as caught:
            folder_of_revision(repository / "models/face", name, tmp_path / "copy")
        assert caught.value.exit_code == 2 and name in caught.value.fact
    assert not (tmp_path / "copy").exists() and not (repository / "x").exists()


def test_a_revision_without_the_folder(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(NotMeasuredError, match=r"revision empty \(\w+\) has no folder models/face"):
        folder_of_revision(repository / "models/face", "empty", tmp_path / "copy")


def test_outside_of_a_repository(tmp_path: Path) -> None:
    assert repository_of(tmp_path / "not" / "here") is None
    with pytest.raises(LandmintError, match="lies in no git repository"):
        folder_of_revision(tmp_path, "HEAD", tmp_path / "copy")
