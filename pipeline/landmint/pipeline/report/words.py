"""The sentences of the report: the answer in words, and the verdict with what could be missed."""

import math
from collections.abc import Sequence

from landmint.pipeline.judge.gate import Check, Status, Verdict, exit_code
from landmint.pipeline.judge.summary import VariantSummary
from landmint.pipeline.report.blocks import Banner, Card
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.report.tables import STATUS_CSS, int8_answer
from landmint.pipeline.text import (
    listed,
    mebibytes,
    milliseconds,
    number,
    percent,
    product,
    thousands,
)

_FIGURES = {
    "nme_percent": ("NME", "%", 2),
    "drift_percent": ("NME rise", "points", 3),
    "displacement_percent": ("landmarks moved", "%", 3),
    "latency_ms": ("latency", "ms", 2),
    "latency_ratio": ("latency over float32", "times", 2),
    "size_mib": ("size", "MiB", 2),
}
_STATUS: dict[int, tuple[Status, str]] = {
    0: ("pass", "Pass: every limit is kept"),
    1: ("regression", "Regression: a variant is slower or larger than its limit"),
    3: ("not measured", "Not measured: a variant that the recipe asks for did not run here"),
    4: ("inconclusive", "Inconclusive: a figure cannot be told from its limit"),
    5: ("accuracy drift", "Accuracy drift: landmarks are further off than the limit"),
}


def answer(record: RunRecord) -> str:
    """The report in one paragraph."""
    return " ".join(
        sentence
        for sentence in (
            _student(record),
            _fastest(record),
            _fastest_that_passes(record),
            _int8(record),
            _missing(record),
        )
        if sentence
    )


def _student(record: RunRecord) -> str:
    reference = record.reference
    if reference is None or reference.accuracy is None:
        return ""
    found = reference.accuracy.main
    return (
        f"On {thousands(len(record.truth.names))} test faces the student misses a landmark by "
        f"{percent(found.nme)} % of the {record.markup.error_unit} on average; "
        f"{percent(found.failure_rate[0.10], 1)} % of the faces are off by more than 10 %."
    )


def fastest_of(summaries: Sequence[VariantSummary]) -> VariantSummary | None:
    """The variant with the smallest warm median."""
    timed = [s for s in summaries if s.latency is not None]
    return min(timed, key=lambda s: s.latency.warm_ms if s.latency else math.inf, default=None)


def _fastest(record: RunRecord) -> str:
    fastest = fastest_of(record.timed)
    if fastest is None or fastest.latency is None:
        return "No latency was measured."
    threads = (
        "one thread"
        if fastest.measurement.threads == 1
        else (f"{fastest.measurement.threads} threads")
    )
    told = (
        f"The fastest of the {len(record.timed)} variants that ran is {fastest.name}: "
        f"{milliseconds(fastest.latency.warm_ms)} ms a face on {threads}, "
        f"{mebibytes(fastest.measurement.size_bytes)} MiB"
    )
    return f"{told}; {_loss(fastest)}"


def _loss(summary: VariantSummary) -> str:
    """What a variant costs in accuracy, as far as the interval tells."""
    if summary.drift is None or summary.accuracy is None:
        return "what it loses is not known."
    rise, moved = summary.drift.nme_rise, percent(summary.drift.displacement.estimate)
    now = percent(summary.accuracy.main.nme)
    if not math.isfinite(rise.estimate):
        return "it returns landmarks that are not finite."
    if rise.is_unbounded:
        change = f"there are not enough persons to tell what it costs in NME (now {now} %)"
    elif rise.low > 0:
        change = f"it costs {number(rise.estimate * 100, 2)} points of NME (now {now} %)"
    elif rise.high < 0:
        change = f"its NME is {number(-rise.estimate * 100, 2)} points lower ({now} %)"
    else:
        change = f"no loss of NME can be shown ({now} %)"
    return f"{change}, and landmarks move by {moved} %."


def _fastest_that_passes(record: RunRecord) -> str:
    """Only worth a sentence when the fastest variant fails."""
    fastest = fastest_of(record.timed)
    if fastest is None or not record.verdicts:
        return ""
    failed = record.verdict_of(fastest.name)
    if failed is None or failed.status in ("pass", "inconclusive"):
        return ""
    passing = [
        s
        for s in record.timed
        if (verdict := record.verdict_of(s.name)) is not None and verdict.status == "pass"
    ]
    best = fastest_of(passing)
    if best is None or best.latency is None:
        return f"It does not keep its limits ({failed.status}), and no other variant does."
    return (
        f"It does not keep its limits ({failed.status}); the fastest that does is {best.name} "
        f"with {milliseconds(best.latency.warm_ms)} ms: {_loss(best)}"
    )


def _int8(record: RunRecord) -> str:
    """INT8 against float32, engine by engine."""
    groups: dict[str, list[str]] = {"yes": [], "no": [], "undecided": []}
    for summary in record.timed:
        if summary.precision == "int8" and summary.speedup is not None:
            said, _ = int8_answer(summary)
            groups[said].append(f"{product(summary)} ({summary.speedup.estimate:.2f}×)")
    parts = []
    if groups["yes"]:
        parts.append(f"faster than float32 in {listed(groups['yes'])}")
    if groups["no"]:
        parts.append(f"slower in {listed(groups['no'])}")
    if groups["undecided"]:
        parts.append(f"not to be told apart in {listed(groups['undecided'])}")
    return f"INT8 is {', '.join(parts)}." if parts else ""


def _missing(record: RunRecord) -> str:
    names = [summary.name for summary in record.missing]
    if not names:
        return ""
    verb = "was" if len(names) == 1 else "were"
    return f"{listed(names)} {verb} not measured; the table says why."


def banner(record: RunRecord) -> Banner:
    """The verdict, what is behind it, and what it could have missed."""
    if not any(verdict.checks for verdict in record.verdicts):
        line = "The recipe sets no limits, or nothing was measured, so nothing was judged."
        return Banner("No verdict", "none", (line,))
    code = exit_code(record.verdicts)
    status, title = _STATUS[code]
    lines = [_failed(verdict, check) for verdict, check in _not_passed(record.verdicts)][:6]
    judged = sum(len(verdict.checks) for verdict in record.verdicts)
    absent = [v for v in record.verdicts if v.status == "not measured" and not v.checks]
    if absent:
        optional = "" if any(not v.optional for v in absent) else ", and may be missing"
        lines.append(f"Not measured{optional}: {listed([v.variant for v in absent])}.")
    lines.append(f"{judged} figures were judged by their 95 % intervals. {_missable(record)}")
    return Banner(f"{title} (exit code {code})", STATUS_CSS[status], tuple(lines))


def _not_passed(verdicts: Sequence[Verdict]) -> list[tuple[Verdict, Check]]:
    return [(v, check) for v in verdicts for check in v.checks if check.status != "pass"]


def _failed(verdict: Verdict, check: Check) -> str:
    words, unit, digits = _FIGURES[check.name]
    found = f"{number(check.value, digits)} {unit}" if check.value is not None else "no figure"
    interval = f" ({check.reason})" if check.reason else ""
    if check.low is not None and check.high is not None and math.isfinite(check.low):
        interval = f" [{number(check.low, digits)}, {number(check.high, digits)}]"
    limit = f"{check.limit:g} {unit}"
    return f"{verdict.variant}, {check.status}: {words} {found}{interval}, limit {limit}."


def _missable(record: RunRecord) -> str:
    """How large an excess over a limit would have been found nine times in ten."""
    most: dict[str, float] = {}
    for verdict in record.verdicts:
        for check in verdict.checks:
            if check.detectable is not None and math.isfinite(check.detectable):
                most[check.name] = max(most.get(check.name, 0.0), check.detectable)
    if not most:
        return ""
    told = [
        f"{number(value, _FIGURES[name][2])} {_FIGURES[name][1]} ({_FIGURES[name][0]})"
        for name, value in most.items()
    ]
    return (
        f"What could have been missed: an excess over a limit of less than {' or '.join(told)}. "
        "Larger ones are found at least nine times in ten."
    )


def cards(record: RunRecord) -> tuple[Card, ...]:
    """The figures worth remembering."""
    found: list[Card] = []
    reference, fastest = record.reference, fastest_of(record.timed)
    if reference and reference.accuracy:
        nme = percent(reference.accuracy.main.nme)
        found.append(Card(nme, "%", f"NME of the float student, of the {record.markup.error_unit}"))
    if fastest and fastest.latency:
        ms = milliseconds(fastest.latency.warm_ms)
        found.append(Card(ms, "ms", f"a face, fastest variant: {fastest.name}"))
        if fastest.drift:
            rise = number(fastest.drift.nme_rise.estimate * 100, 2)
            found.append(Card(rise, "points", f"NME rise of {fastest.name}"))
    smallest = min(
        (s for s in record.timed if s.measurement.size_bytes),
        key=lambda s: s.measurement.size_bytes,
        default=None,
    )
    if smallest:
        size = mebibytes(smallest.measurement.size_bytes)
        found.append(Card(size, "MiB", f"smallest variant: {smallest.name}"))
    return tuple(found)
