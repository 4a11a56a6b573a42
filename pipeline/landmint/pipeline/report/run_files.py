"""The JSON files that stages leave in a run's folder, as far as the page shows them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json

StageName = Annotated[str, Field(pattern=r"^[\w./-]+$", max_length=200)]


class _File(BaseModel):
    """Other keys may stand beside those that are named; a number is finite."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, hide_input_in_errors=True
    )


class AskedFile(_File):
    """What was asked for: `run.json`."""

    name: str = ""
    """Of the run."""
    about: str = ""
    """What it is for, by its recipe."""
    recipe: str = ""
    """The recipe's text."""
    command: str = ""
    """The command that repeats it."""


class SplitCounts(_File):
    """One split of the faces."""

    faces: int
    """How many."""
    persons: int | None = None
    """Of how many persons; None where that is unknown."""
    fingerprint: str
    """Of their names and labels."""


class FacesFile(_File):
    """The faces that were read: `faces.json`."""

    kind: str = ""
    """The reader's name."""
    root: str = "."
    """The data set's folder."""
    test_images: Mapping[str, str] = {}
    """Picture of each test face, in that folder."""
    upright_images: tuple[str, ...] = ()
    """Test faces whose labels refer to the picture as it is seen."""
    splits: Mapping[str, SplitCounts] = {}
    """By name."""


class StageInputs(_File):
    """What a stage depended on."""

    upstream: Mapping[StageName, Any]
    """Digest of each stage before it."""
    settings: Mapping[str, Any]
    """What the recipe said."""


class StageFile(_File):
    """The record of a stage."""

    stage: StageName
    """Its name."""
    outcome: str
    """Digest of what it made; empty while it is unfinished."""
    digest: str
    """Of its inputs."""
    seconds: float
    """How long it took."""
    inputs: StageInputs


class VerdictFile(_File):
    """What the gate said: `verdict.json`."""

    verdicts: tuple[Mapping[str, Any], ...] = ()
    """A variant each, by `landmint.pipeline.judge.gate`."""
    advice: tuple[str, ...] = ()
    """What to do, in sentences."""


_F = TypeVar("_F", bound=_File)


def read_run_file(path: Path, kind: type[_F]) -> _F | None:
    """A file of a run; None where it is not there.

    Raises:
        LandmintError: it is no JSON, or a value is missing or of another kind.
    """
    return parse(read_json(path), kind, path) if path.is_file() else None


def parse(content: Any, kind: type[_F], path: Path) -> _F:
    """What stands in a file of a run, or in a part of it.

    Raises:
        LandmintError: a value is missing or of another kind.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        raise LandmintError(
            f"{path} is not what a run writes",
            reason=f"{place[:80]}: {first['msg']}",
            remedy="run the stage that wrote it again, or remove it: the page does without it",
        ) from None
