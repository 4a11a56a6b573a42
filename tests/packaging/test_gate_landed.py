"""With what this project's CI compares its shipped models."""

import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from landmint.runtime.errors import NotMeasuredError
from tests.scripts import benchmark

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository on main: a commit of code, then one of a page."""
    _git(tmp_path, "init", "-q", "-b", "main")
    _commit(tmp_path, "runtime/engine.py", "quick")
    _commit(tmp_path, "runtime/engine.py", "slow")
    _commit(tmp_path, "docs/page.md", "words")
    return tmp_path


@pytest.fixture
def gate_landed(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = benchmark("gate_landed")
    monkeypatch.setattr(module, "ROOT", repository)
    return module


def test_on_main_it_is_the_state_before_the_last_change_of_code(
    repository: Path, gate_landed: ModuleType
) -> None:
    assert gate_landed.last_landed() == _git(repository, "rev-parse", "HEAD~2")


def test_on_a_branch_it_is_where_the_branch_left(repository: Path, gate_landed: ModuleType) -> None:
    left = _git(repository, "rev-parse", "HEAD")
    _git(repository, "switch", "-q", "-c", "branch")
    _commit(repository, "runtime/engine.py", "slower")
    assert gate_landed.last_landed() == left


def test_what_is_not_committed_is_compared_with_the_last_commit(
    repository: Path, gate_landed: ModuleType
) -> None:
    (repository / "runtime/engine.py").write_text("slower")
    assert gate_landed.last_landed() == _git(repository, "rev-parse", "HEAD")


def test_a_clone_without_history_has_nothing_to_compare_with(
    tmp_path: Path, repository: Path, gate_landed: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    _git(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), str(clone))
    monkeypatch.setattr(gate_landed, "ROOT", clone)
    with pytest.raises(NotMeasuredError, match="no earlier state"):
        gate_landed.last_landed()


def _commit(repository: Path, name: str, text: str) -> None:
    path = repository / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    _git(repository, "add", name)
    _git(repository, "commit", "-q", "-m", text)


def _git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
