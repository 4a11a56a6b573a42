"""Findings as a file: what was written is read, what is broken is refused."""

from pathlib import Path

import pytest

from landmint.export.finding import Finding, named, read_findings, write_findings
from landmint.runtime.errors import LandmintError


def test_findings_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = (
        Finding("a", "tflite", "warning", "is odd", ("x", "y"), "because", "mend it"),
        Finding("b", "every target", "error", "opset 11", (), "because", "mend it"),
    )
    write_findings(tmp_path / "lint.json", found)
    assert read_findings(tmp_path / "lint.json") == found
    assert [str(one) for one in found] == ["a: x, y: is odd", "b: opset 11"]
    assert read_findings(tmp_path / "none.json") == ()


@pytest.mark.parametrize("content", ["[]", '{"schema": 2}', '{"schema": 1, "findings": [1]}'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "lint.json").write_text(content)
    with pytest.raises(LandmintError, match="holds no lint findings"):
        read_findings(tmp_path / "lint.json")


def test_many_names_are_counted() -> None:
    assert named(("a", "b", "c")) == "a, b, c"
    assert named(("a", "b", "c", "d", "e")) == "a, b, c and 2 more"
