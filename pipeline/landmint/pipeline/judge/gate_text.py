"""Verdicts as Markdown for people and as JUnit XML for machines. It judges nothing."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from landmint.pipeline.judge.gate import Check, Status, Verdict, exit_code

# Figure by its field in `Limits`: words, unit, decimals.
_FIGURES: Mapping[str, tuple[str, str, int]] = MappingProxyType(
    {
        "nme_percent": ("NME", " %", 2),
        "drift_percent": ("NME rise over the reference", " points", 3),
        "displacement_percent": ("distance from the reference", " %", 3),
        "latency_ms": ("warm median latency", " ms", 3),
        "latency_ratio": ("latency over float32", "x", 3),
        "size_mib": ("size", " MiB", 2),
    }
)
_CODES: Mapping[int, str] = MappingProxyType(
    {
        0: "every limit is kept",
        1: "a variant is slower or larger than its limit",
        3: "a variant that is not optional was not measured",
        4: "a figure cannot be told from its limit",
        5: "a variant's landmarks are further off than their limit",
    }
)


def to_markdown(verdicts: Sequence[Verdict], title: str) -> str:
    """A heading, the outcome in a sentence, and a table with a row for every check."""
    code = exit_code(verdicts)
    lines = [f"# {title}: {'pass' if code == 0 else 'not passed'}", ""]
    lines += [f"{_sentence(verdicts, code)} Exit code {code}.", ""]
    lines += ["| variant | figure | found (95 % interval) | limit | would be told | verdict |"]
    lines += ["|---|---|---|---|---|---|"]
    for verdict in verdicts:
        lines += [_row(verdict, check) for check in verdict.checks]
        if not verdict.checks:
            optional = " (optional)" if verdict.optional else ""
            reason = _inline(verdict.reason)
            lines.append(f"| {verdict.variant} | {reason} | | | | {verdict.status}{optional} |")
    lines += ["", "*Would be told*: the excess over the limit that a measurement like this one"]
    lines += ["finds nine times in ten; a smaller one it may miss."]
    return "\n".join(lines) + "\n"


def _sentence(verdicts: Sequence[Verdict], code: int) -> str:
    if code == 0 and not any(verdict.checks for verdict in verdicts):
        return "There is no limit: nothing was judged."
    return f"{_CODES[code].capitalize()}."


def _row(verdict: Verdict, check: Check) -> str:
    words, unit, decimals = _FIGURES[check.name]

    def number(value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.{decimals}f}{unit}" if math.isfinite(value) else "infinite"

    found = number(check.value) or "none"
    if check.low is not None and check.high is not None and math.isfinite(check.high):
        found += f" ({check.low:.{decimals}f} to {check.high:.{decimals}f})"
    status = check.status + (f": {_inline(check.reason)}" if check.reason else "")
    cells = (verdict.variant, words, found, number(check.limit), number(check.detectable), status)
    return f"| {' | '.join(cells)} |"


def _inline(text: str) -> str:
    """On one line, and no end of a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def to_junit(verdicts: Sequence[Verdict], suite: str) -> str:
    """JUnit XML: a case for every check; beyond a limit a failure, unknown an error.

    A variant that was not measured is an error, and skipped if it is optional.
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


def _tag(status: Status, optional: bool) -> str:
    if status == "not measured":
        return "skipped" if optional else "error"
    return {"pass": "", "inconclusive": "error"}.get(status, "failure")


def _plain(check: Check) -> str:
    value = "none" if check.value is None else f"{check.value:.6g}"
    return f"{check.name} {value}, limit {check.limit:g}. {check.reason}".strip()
