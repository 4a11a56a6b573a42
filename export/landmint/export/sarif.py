"""Linter findings as SARIF 2.1.0, which GitHub and editors show beside the files.

Static Analysis Results Interchange Format, OASIS Standard, 27 March 2020.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from landmint.export.finding import Finding
from landmint.runtime.files import write_json

SARIF_FILE = "lint.sarif"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def write_sarif(path: Path, by_file: Mapping[Path, Sequence[Finding]]) -> None:
    """Write findings as SARIF.

    Args:
        path: the file to write.
        by_file: findings by the file that they are about; a relative path stays relative, as
            GitHub wants it: to the root of the repository.
    """
    write_json(path, to_sarif(by_file))


def to_sarif(by_file: Mapping[Path, Sequence[Finding]]) -> dict[str, Any]:
    """A SARIF log of one run; each rule that is broken stands in it once."""
    rules: dict[str, Finding] = {}
    for finding in (finding for findings in by_file.values() for finding in findings):
        rules.setdefault(finding.rule, finding)
    results = [
        _result(file, finding, list(rules).index(finding.rule))
        for file, findings in by_file.items()
        for finding in findings
    ]
    driver = {
        "name": "landmint",
        "version": version("landmint"),
        "rules": [_rule(finding) for finding in rules.values()],
    }
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _rule(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.rule,
        "shortDescription": _message(finding.reason),
        "help": _message(finding.remedy),
        "defaultConfiguration": {"level": finding.severity},
        "properties": {"target": finding.target},
    }


def _result(file: Path, finding: Finding, index: int) -> dict[str, Any]:
    place: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(file)},
            # A graph has no lines, but GitHub leaves out a result without one.
            "region": {"startLine": 1},
        }
    }
    if finding.nodes:
        place["logicalLocations"] = [{"name": node} for node in finding.nodes]
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.severity,
        "message": _message(f"{finding.what}. {finding.reason}. {finding.remedy}."),
        "locations": [place],
    }


def _message(text: str) -> dict[str, str]:
    """A message; its braces are doubled, since single ones are placeholders (section 3.11.5)."""
    return {"text": text.replace("{", "{{").replace("}", "}}")}


def _uri(file: Path) -> str:
    return file.as_uri() if file.is_absolute() else quote(file.as_posix())
