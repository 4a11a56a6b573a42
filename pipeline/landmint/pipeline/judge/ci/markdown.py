"""Markdown for people: a pull request's comment, the summary of a job, the terminal.

GitHub Flavored Markdown, whose tables have one row a line; https://github.github.com/gfm.
"""

import re

from landmint.pipeline.judge.evidence import evidence_lines
from landmint.pipeline.judge.gate import Check, Verdict, badness, outcome
from landmint.pipeline.judge.gate_text import OUTCOMES, interval_text
from landmint.pipeline.judge.judgement import Judgement

# Brackets alone are none: a link needs "](", and no line here can define a reference.
_MARKUP = re.compile(r"([\\`*_<>|~&$]|\](?=\())")


def to_markdown(judgement: Judgement) -> str:
    """A heading, the outcome in a sentence, a row for every check, worst first, and the advice."""
    status = outcome(judgement.verdicts)
    headline = status if status in ("pass", "not judged") else "not passed"
    lines = [
        *(f"# {_inline(judgement.title)}: {headline}", ""),
        *(f"{OUTCOMES[status].capitalize()}. Exit code {judgement.exit_code}.", ""),
        "| variant | figure | measured (95 % interval) | limit | detectable excess | verdict |",
        "|---|---|---|---|---|---|",
        *_rows(judgement),
        *("", "*Detectable excess*: an excess over the limit that a measurement like this one"),
        "finds nine times in ten. A smaller one may be missed.",
    ]
    if evidence := list(evidence_lines(judgement.verdicts, _inline)):
        lines += ["", "## What stands behind it", "", *evidence]
    if judgement.advice:
        lines += ["", "## What to deploy", ""]
        lines += [f"- {_inline(sentence)}" for sentence in judgement.advice]
    return "\n".join(lines) + "\n"


def _rows(judgement: Judgement) -> list[str]:
    """What was not passed, worst first, then the rest in reading order."""
    unsorted = []
    for verdict in judgement.verdicts:
        unsorted += [(check, _row(verdict, check)) for check in verdict.checks]
        if not verdict.checks:
            optional = " (optional)" if verdict.optional else ""
            cells = (verdict.variant, verdict.reason, "", "", "", f"{verdict.status}{optional}")
            # A variant that may be missing decides nothing: its place is among the passes.
            unsorted.append((Check("", "pass" if optional else verdict.status, 0), _line(*cells)))
    opened = [pair for pair in unsorted if pair[0].status != "pass"]
    opened.sort(key=lambda pair: badness(pair[0]))
    return [row for _, row in (*opened, *(pair for pair in unsorted if pair[0].status == "pass"))]


def _row(verdict: Verdict, check: Check) -> str:
    figure = check.figure
    value = "none" if check.value is None else figure.write_with_unit(check.value)
    value = f"{value} {interval_text(check)}".rstrip()
    limit = figure.write_limit(check.limit)
    excess = "" if check.detectable is None else figure.write_with_unit(check.detectable)
    status = check.status + (f": {check.reason}" if check.reason else "")
    return _line(verdict.variant, figure.name, value, limit, excess, status)


def _line(*cells: str) -> str:
    return f"| {' | '.join(map(_inline, cells))} |"


def _inline(text: str) -> str:
    """On one line, with nothing in it that Markdown or HTML would read as markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
