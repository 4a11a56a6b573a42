"""What CI reads of a judgement, by readers that others wrote; names and reasons are hostile."""

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from junitparser import JUnitXml, TestSuite
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from landmint.pipeline.judge.ci.annotations import to_annotations
from landmint.pipeline.judge.ci.bencher import to_bencher
from landmint.pipeline.judge.ci.junit import to_junit
from landmint.pipeline.judge.ci.markdown import to_markdown
from landmint.pipeline.judge.ci.prometheus import to_prometheus
from landmint.pipeline.judge.ci.smaller import to_smaller_is_better
from landmint.pipeline.judge.gate import Check, Verdict, VerdictStatus
from landmint.pipeline.judge.judgement import VERDICT_FILES, Judgement
from landmint.runtime.files import read_json

HOSTILE = (
    '[x](http://y) a|b\\c "d" <e>&\n::error::100 % {f}, g: `h` *i* _j_ ]]> é\u2028'
    "\x1b[31m\x00\ud800"
)
ENTITY = re.compile(r"%(25|0D|0A|3A|2C)")


def check(name: str, status: VerdictStatus, value: float | None, limit: float = 3.0) -> Check:
    reason = "" if status == "pass" else HOSTILE
    if value is None:
        return Check(name, status, limit, reason=reason)
    return Check(name, status, limit, value, value - 0.1, value + 0.1, 0.2, reason)


FAILED = Verdict(
    HOSTILE,
    "accuracy drift",
    checks=(
        check("nme_percent", "pass", 2.5),
        check("drift_percent", "accuracy drift", -0.5, 0.0),
        check("latency_ms", "regression", 4.0),
        Check("size_mib", "pass", 3.0, 1.25),
    ),
)
INFINITE = Verdict(
    "tflite/int8",
    "accuracy drift",
    checks=(
        Check("nme_percent", "accuracy drift", 3.0, math.inf, math.inf, math.inf, math.inf),
        check("latency_ms", "inconclusive", 3.0),
        check("latency_ratio", "not measured", None, 1.0),
    ),
)
JUDGEMENT = Judgement(
    HOSTILE,
    (
        Verdict("onnx/int8", "pass", checks=(check("latency_ms", "pass", 2.0),)),
        Verdict("*/f16", "not measured", HOSTILE),
        Verdict("tensorrt/int8", "not measured", HOSTILE, optional=True),
        Verdict("ncnn/int8", "not judged", "no limit applies"),
        INFINITE,
        FAILED,
    ),
    advice=(f"Use {HOSTILE}.",),
)
FINITE = {
    (HOSTILE, "nme_percent"): 2.5,
    (HOSTILE, "drift_percent"): -0.5,
    (HOSTILE, "latency_ms"): 4.0,
    (HOSTILE, "size_mib"): 1.25,
    ("tflite/int8", "latency_ms"): 3.0,
    ("onnx/int8", "latency_ms"): 2.0,
}


def test_every_file_is_written_beside_the_verdict_and_holds_no_broken_text(tmp_path: Path) -> None:
    legal = Judgement("tiny", JUDGEMENT.verdicts[:3])
    legal.write(tmp_path / "v")
    written = {path.name for path in (tmp_path / "v").iterdir()}
    assert written == {"verdict.json", *VERDICT_FILES}
    assert read_json(tmp_path / "v" / "verdict.json")["exit_code"] == 3


def test_the_files_of_a_verdict_that_passes_accuse_nobody(tmp_path: Path) -> None:
    passed = Judgement("tiny", (Verdict("a/b", "pass", checks=(check("size_mib", "pass", 1),)),))
    assert to_annotations(passed) == "::notice title=tiny::1 pass\n"
    assert JUnitXml.fromstring(to_junit(passed).encode()).failures == 0
    assert passed.exit_code == 0


def test_junit_is_read_by_junitparser() -> None:
    (suite,) = JUnitXml.fromstring(to_junit(JUDGEMENT).encode())
    assert isinstance(suite, TestSuite)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (11, 3, 3, 2)
    cases = {(case.classname, case.name): case.result for case in suite}
    assert sum(bool(result) for result in cases.values()) == 8
    counted = [result[0].type for result in cases.values() if result]
    assert sorted(set(counted)) == [
        *("accuracy drift", "inconclusive", "not judged", "not measured", "regression")
    ]
    name = next(classname for classname, case in cases if case == "drift_percent")
    assert name == HOSTILE.replace("\x1b", "�").replace("\x00", "�").replace("\ud800", "�")
    advice = ElementTree.fromstring(to_junit(JUDGEMENT)).findtext("system-out")
    assert advice and advice.startswith("Use [x]")


def test_prometheus_is_read_by_its_own_parser() -> None:
    text = to_prometheus(JUDGEMENT)
    families: dict[str, Metric] = {f.name: f for f in text_string_to_metric_families(text)}
    assert {family.type for family in families.values()} == {"gauge"}
    read = {
        (sample.labels["variant"], name.removeprefix("landmint_")): sample.value
        for name, family in families.items()
        for sample in family.samples
        if name.removeprefix("landmint_") in {key for _, key in FINITE}
    }
    assert read.pop(("tflite/int8", "nme_percent")) == math.inf
    assert read == pytest.approx(FINITE)
    (code,) = families["landmint_gate_exit_code"].samples
    assert code.value == 5 and code.labels == {"gate": HOSTILE}
    limits = [sample.value for sample in families["landmint_latency_ms_limit"].samples]
    assert limits == pytest.approx([3.0] * 3)


def test_bencher_has_a_metric_of_finite_numbers_for_each_figure() -> None:
    content = json.loads(to_bencher(JUDGEMENT))
    read = {(v, key): m["value"] for v, ms in content.items() for key, m in ms.items()}
    assert read == pytest.approx(FINITE)
    for measures in content.values():
        for metric in measures.values():
            assert set(metric) <= {"value", "lower_value", "upper_value"}
            assert metric.get("lower_value", -math.inf) <= metric["value"]
    assert content["onnx/int8"]["latency_ms"] == pytest.approx(
        {"value": 2.0, "lower_value": 1.9, "upper_value": 2.1}
    )


def test_the_benchmark_action_gets_name_unit_and_value() -> None:
    entries = json.loads(to_smaller_is_better(JUDGEMENT))
    assert len({entry["name"] for entry in entries}) == len(entries) == len(FINITE)
    for entry in entries:
        assert set(entry) - {"range", "extra"} == {"name", "unit", "value"}
        assert all(isinstance(v, str) for key, v in entry.items() if key != "value")
    last = entries[0]
    assert (last["name"], last["unit"], last["range"]) == (
        "onnx/int8 latency",
        "ms",
        "[1.90, 2.10]",
    )


def unescaped(text: str) -> str:
    codes = {"25": "%", "0D": "\r", "0A": "\n", "3A": ":", "2C": ","}
    return ENTITY.sub(lambda match: codes[match[1]], text)


def commands(text: str) -> list[tuple[str, str, str]]:
    """Level, title and message of each line, as GitHub's runner takes it apart."""
    parsed = []
    for line in text.removesuffix("\n").split("\n"):
        match = re.fullmatch(r"::(error|warning|notice) title=([^:,\n]*)::(.*)", line, re.DOTALL)
        assert match, line
        parsed.append((match[1], unescaped(match[2]), unescaped(match[3])))
    return parsed


def test_annotations_cannot_be_forged_and_stand_worst_first() -> None:
    parsed = commands(to_annotations(JUDGEMENT))
    assert [level for level, _, _ in parsed] == [*["error"] * 5, "warning", "notice"]
    titles = [title for _, title, _ in parsed]
    assert titles[:3] == [
        "tflite/int8: accuracy drift",
        f"{HOSTILE}: accuracy drift",
        f"{HOSTILE}: regression",
    ]
    assert "tensorrt/int8: not measured" not in titles
    assert parsed[2][2].startswith("latency 4.00 ms [3.90, 4.10], limit 3 ms")
    assert parsed[-1][2].startswith(
        "1 pass, 2 not measured, 1 not judged, 2 accuracy drift\nUse [x]"
    )


def test_where_there_are_more_than_github_shows_the_last_one_counts_them() -> None:
    slow = [
        Verdict(f"v/{i}", "regression", checks=(check("latency_ms", "regression", 4 + i),))
        for i in range(13)
    ]
    errors = [
        c for c in commands(to_annotations(Judgement("tiny", tuple(slow)))) if c[0] == "error"
    ]
    assert len(errors) == 10
    assert errors[0][1] == "v/12: regression"
    assert errors[-1][2] == "and 4 more, see the verdict"


def cells(row: str) -> list[str]:
    """The cells of a row, as GitHub Flavored Markdown splits it."""
    return [cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", row)[1:-1]]


def test_markdown_keeps_hostile_text_in_its_cell() -> None:
    text = to_markdown(JUDGEMENT)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(len(cells(row)) == 6 for row in rows), [len(cells(row)) for row in rows]
    assert not re.search(r"(?<!\\)[<`]|(?<!\\)\]\(", text)
    statuses = [cells(row)[5].split(":")[0] for row in rows[1:]]
    assert statuses[:3] == ["accuracy drift", "accuracy drift", "regression"]
    assert statuses[-3:] == ["not measured (optional)", "pass", "pass"]
