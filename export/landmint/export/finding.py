"""A finding: a lint rule that a graph breaks. And the file in which a bundle keeps its findings."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json, write_json
from landmint.runtime.formats import Format

Severity = Literal["error", "warning"]
Target = Literal["every target"] | Format

EVERY: Target = "every target"
"""Target of the rules that hold everywhere."""

SCHEMA = 1


@dataclass(frozen=True)
class Finding:
    """One rule that a graph breaks, and at which places."""

    rule: str
    """Id of the rule."""
    target: Target
    """The format that the rule is for, or `EVERY`."""
    severity: Severity
    """Error: it will not build, or computes something else. Warning: slow or inaccurate."""
    fact: str
    """What is wrong."""
    nodes: tuple[str, ...]
    """Names of the nodes, tensors or outputs that break it; empty for the graph as a whole."""
    reason: str
    """Why it cannot work, or what it costs."""
    remedy: str
    """What to do about it."""

    def __str__(self) -> str:
        """Rule, nodes and fact on one line."""
        return f"{self.rule}: {self.what}"

    @property
    def what(self) -> str:
        """Nodes and fact on one line."""
        return f"{named(self.nodes)}: {self.fact}" if self.nodes else self.fact


def named(nodes: tuple[str, ...], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    rest = len(nodes) - most
    return ", ".join(nodes[:most]) + (f" and {rest} more" if rest > 0 else "")


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write findings as JSON."""
    entries = [dataclasses.asdict(finding) for finding in findings]
    write_json(path, {"schema": SCHEMA, "findings": entries})


def read_findings(path: Path) -> tuple[Finding, ...]:
    """Read what `write_findings` wrote; empty where there is no such file.

    Raises:
        LandmintError: the file is truncated, or of another schema.
    """
    if not path.is_file():
        return ()
    content = read_json(path)
    try:
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}")
        entries = content["findings"]
        return tuple(Finding(**{**entry, "nodes": tuple(entry["nodes"])}) for entry in entries)
    except (KeyError, TypeError, ValueError) as error:
        raise LandmintError(
            f"{path} holds no lint findings",
            reason=f"{type(error).__name__}: {error}",
            remedy="export the model again",
        ) from None
