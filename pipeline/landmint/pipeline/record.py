"""What is known of a stage that ran, or was interrupted: kept beside what it made.

Not what decides whether a stage has to run, which is `driver.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmint.pipeline.places import record_path
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json, write_json

SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """What is known of a stage that ran, or was interrupted."""

    digest: str
    """Digest of its inputs."""
    outcome: str
    """Digest of what it made; empty while it is unfinished."""
    inputs: Mapping[str, Any]
    """The inputs themselves, to see what changed."""
    seconds: float = 0.0
    """How long it took, of the last start."""


def read_record(place: Path) -> Record | None:
    """The record of what stands at `place`; None when there is none that can be read."""
    try:
        content = read_json(record_path(place))
        if content["schema"] != SCHEMA:
            return None
        return Record(content["digest"], content["outcome"], content["inputs"], content["seconds"])
    except (LandmintError, KeyError, TypeError):
        return None


def write_record(stage: str, place: Path, record: Record) -> None:
    """Keep the record of what the stage of that name made at `place`."""
    write_json(record_path(place), {"schema": SCHEMA, "stage": stage, **vars(record)})
