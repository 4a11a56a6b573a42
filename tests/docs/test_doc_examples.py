"""The code in docs/ and README.md runs as it stands there."""

import re
from pathlib import Path

import pytest

from landmint.export.lint import rules_for

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def _python_of(document: Path) -> str:
    """All Python blocks of a document as one script whose line numbers are the document's."""
    lines = document.read_text(encoding="utf-8").splitlines()
    inside, kept = False, []
    for line in lines:
        fence = re.match(r"```(\w*)", line)
        if fence:
            inside = not inside and fence.group(1) == "python"
            kept.append("")
        else:
            kept.append(line if inside else "")
    return "\n".join(kept)


def _cases() -> list[object]:
    """A page that trains is slow."""
    slow = [pytest.mark.slow]
    return [
        pytest.param(path, id=path.name, marks=slow if path.name == "library.md" else [])
        for path in DOCUMENTS
    ]


@pytest.mark.parametrize("document", _cases())
def test_examples_run(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    script = _python_of(document)
    if '"bundle"' in script:
        request.getfixturevalue("lay_out")(tmp_path, set())
    monkeypatch.chdir(tmp_path)
    exec(compile(script, str(document), "exec"), {"__name__": "example"})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing, f"{document.name} links to {missing}"


def test_every_lint_rule_is_explained() -> None:
    told = (ROOT / "docs/linting.md").read_text(encoding="utf-8")
    numbered = "tensorrt-1-symmetric tensorrt-10-half".split()
    rules = [rule for rule in rules_for() if not re.match(r"tensorrt-\d", rule)]
    assert [rule for rule in (*rules, *numbered) if f"`{rule}`" not in told] == []
