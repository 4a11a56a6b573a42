"""Verdicts as Markdown for people and as JUnit XML for machines. It judges nothing."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from landmint.pipeline.judge.figures import LIMITED, Figure
from landmint.pipeline.judge.gate import Check, Verdict, VerdictStatus, exit_code, outcome

OUTCOMES: Mapping[VerdictStatus, str] = MappingProxyType(
    {
        "pass": "every limit is kept",
        "regression": "a variant is slower or larger than its limit",
        "not measured": "a variant that is not optional was not measured",
        "inconclusive": "it is not clear whether a figure keeps its limit",
        "accuracy drift": "a variant's landmarks are further off than their limit",
        "not judged": "no limit applies, and nothing was judged",
    }
)
"""What the verdict on all variants together means."""


def to_markdown(verdicts: Sequence[Verdict], title: str) -> str:
    """A heading, the outcome in a sentence, and a table with a row for every check."""
    status = outcome(verdicts)
    headline = status if status in ("pass", "not judged") else "not passed"
    lines = [f"# {title}: {headline}", ""]
    lines += [f"{OUTCOMES[status].capitalize()}. Exit code {exit_code(verdicts)}.", ""]
    lines += [
        "| variant | figure | measured (95 % interval) | limit | detectable excess | verdict |"
    ]
    lines += ["|---|---|---|---|---|---|"]
    for verdict in verdicts:
        lines += [_row(verdict, check) for check in verdict.checks]
        if not verdict.checks:
            optional = " (optional)" if verdict.optional else ""
            reason = _inline(verdict.reason)
            lines.append(f"| {verdict.variant} | {reason} | | | | {verdict.status}{optional} |")
    lines += ["", "*Detectable excess*: an excess over the limit that a measurement like this one"]
    lines += ["finds nine times in ten. A smaller one may be missed."]
    return "\n".join(lines) + "\n"


def check_sentence(check: Check) -> str:
    """One figure with its interval, or the reason why it has none, and its limit."""
    figure = LIMITED[check.name]
    value = "no figure" if check.value is None else figure.write_with_unit(check.value)
    remark = _interval(check, figure) or (f"({check.reason})" if check.reason else "")
    return f"{f'{figure.name} {value} {remark}'.rstrip()}, limit {figure.write_limit(check.limit)}"


def _interval(check: Check, figure: Figure) -> str:
    """The 95 % interval in brackets; empty where there is none."""
    if check.low is None or check.high is None or not math.isfinite(check.high):
        return ""
    return f"[{figure.write(check.low)}, {figure.write(check.high)}]"


def _row(verdict: Verdict, check: Check) -> str:
    figure = LIMITED[check.name]
    value = "none" if check.value is None else figure.write_with_unit(check.value)
    value = f"{value} {_interval(check, figure)}".rstrip()
    limit = figure.write_limit(check.limit)
    excess = "" if check.detectable is None else figure.write_with_unit(check.detectable)
    status = check.status + (f": {_inline(check.reason)}" if check.reason else "")
    return f"| {' | '.join((verdict.variant, figure.name, value, limit, excess, status))} |"


def _inline(text: str) -> str:
    """On one line, and no end of a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def to_junit(verdicts: Sequence[Verdict], suite: str) -> str:
    """JUnit XML: a case for every check; beyond a limit a failure, unknown an error.

    A variant that was not measured is an error, and skipped if it is optional. A variant that no
    limit applies to is skipped.
    """
    root = ElementTree.Element("testsuite", name=suite)
    tally = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for verdict in verdicts:
        cases = [(check.name, check.status, _plain(check)) for check in verdict.checks]
        for name, status, text in cases or [("measured", verdict.status, verdict.reason)]:
            case = ElementTree.SubElement(root, "testcase", classname=verdict.variant, name=name)
            tally["tests"] += 1
            tag = _tag(status, verdict.optional)
            if tag:
                ElementTree.SubElement(case, tag, type=status, message=" ".join(text.split()))
                tally["skipped" if tag == "skipped" else f"{tag}s"] += 1
    for key, count in tally.items():
        root.set(key, str(count))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _tag(status: VerdictStatus, optional: bool) -> str:
    if status == "not measured":
        return "skipped" if optional else "error"
    tags = {"pass": "", "inconclusive": "error", "not judged": "skipped"}
    return tags.get(status, "failure")


def _plain(check: Check) -> str:
    value = "none" if check.value is None else f"{check.value:.6g}"
    return f"{check.name} {value}, limit {check.limit:g}. {check.reason}".strip()
