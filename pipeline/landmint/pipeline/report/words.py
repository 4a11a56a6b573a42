"""The sentences of the report: the answer in words, and the verdict with what could be missed.

They word what `landmint.pipeline.judge` decided, and decide nothing.
"""

import math

from landmint.pipeline.judge.comparison import Side, side_of
from landmint.pipeline.judge.figures import LIMITED
from landmint.pipeline.judge.gate import exit_code, largest_undetected, not_passed, outcome
from landmint.pipeline.judge.gate_text import OUTCOMES, check_sentence
from landmint.pipeline.judge.summary import VariantSummary, fastest_of
from landmint.pipeline.report.blocks import Banner, Card
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.report.tables import STATUS_CSS
from landmint.pipeline.text import (
    listed,
    mebibytes,
    milliseconds,
    number,
    percent,
    thousands,
)

_MOST_CHECKS = 6
"""Lines of the banner about checks that were not passed."""


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
    errors = reference.accuracy.main
    return (
        f"On {thousands(len(record.truth.names))} test faces the network misses a landmark by "
        f"{percent(errors.nme)} % of the {record.markup.error_unit} on average; "
        f"{percent(errors.failure_rate[0.10], 1)} % of the faces are off by more than 10 %."
    )


def _fastest(record: RunRecord) -> str:
    fastest = fastest_of(record.timed)
    if fastest is None or fastest.latency is None:
        reasons = dict.fromkeys(s.measurement.no_times for s in record.summaries)
        return ": ".join(["No latency was measured", *filter(None, reasons)]) + "."
    threads = (
        "one thread"
        if fastest.measurement.threads == 1
        else (f"{fastest.measurement.threads} threads")
    )
    text = (
        f"The fastest of the {len(record.timed)} variants that ran is {fastest.name}: "
        f"{milliseconds(fastest.latency.warm_ms)} ms a face on {threads}, "
        f"{mebibytes(fastest.measurement.size_bytes)} MiB"
    )
    return f"{text}; {_loss(fastest)}"


def _loss(summary: VariantSummary) -> str:
    """What a variant costs in accuracy, as far as the interval shows."""
    if summary.difference is None or summary.accuracy is None:
        return "what it loses is not known."
    rise, moved = summary.difference.nme_rise, percent(summary.difference.displacement.estimate)
    now = percent(summary.accuracy.main.nme)
    if not math.isfinite(rise.estimate):
        return "it returns landmarks that are not finite."
    side = side_of(rise, 0)
    if rise.is_unbounded:
        change = f"there are not enough persons to tell what it costs in NME (now {now} %)"
    elif side == "above":
        change = f"it costs {number(rise.estimate * 100, 2)} points of NME (now {now} %)"
    elif side == "below":
        change = f"its NME is {number(-rise.estimate * 100, 2)} points lower ({now} %)"
    else:
        change = f"no loss of NME can be shown ({now} %)"
    return f"{change}, and landmarks move by {moved} %."


def _fastest_that_passes(record: RunRecord) -> str:
    """Only worth a sentence when the fastest variant fails."""
    fastest = fastest_of(record.timed)
    verdict = record.verdict_of(fastest.name) if fastest else None
    if verdict is None or not verdict.failed:
        return ""
    passed = {verdict.variant for verdict in record.verdicts if verdict.status == "pass"}
    best = fastest_of([summary for summary in record.timed if summary.name in passed])
    if best is None or best.latency is None:
        return f"It does not keep its limits ({verdict.status}), and no other variant does."
    return (
        f"It does not keep its limits ({verdict.status}); the fastest that does is {best.name} "
        f"with {milliseconds(best.latency.warm_ms)} ms: {_loss(best)}"
    )


def _int8(record: RunRecord) -> str:
    """INT8 against float32, engine by engine."""
    groups: dict[Side, list[str]] = {}
    for summary in record.timed:
        if summary.precision == "int8" and summary.speedup is not None:
            engines = groups.setdefault(side_of(summary.speedup, 1), [])
            engines.append(f"{summary.engine_name} ({summary.speedup.estimate:.2f}×)")
    words: dict[Side, str] = {
        "above": "faster than float32 in",
        "below": "slower in",
        "undecided": "not to be told apart in",
    }
    parts = [f"{text} {listed(groups[side])}" for side, text in words.items() if side in groups]
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
    status = outcome(record.verdicts)
    failures = not_passed(record.verdicts)
    lines = [
        f"{verdict.variant}, {check.status}: {check_sentence(check)}."
        for verdict, check in failures[:_MOST_CHECKS]
    ]
    if rest := failures[_MOST_CHECKS:]:
        statuses = dict.fromkeys(check.status for _, check in rest)
        lines.append(f"... and {len(rest)} more: {listed(list(statuses))}.")
    judged = sum(len(verdict.checks) for verdict in record.verdicts)
    absent = [v for v in record.verdicts if v.status == "not measured" and not v.checks]
    if absent:
        optional = "" if any(not v.optional for v in absent) else ", and may be missing"
        lines.append(f"Not measured{optional}: {listed([v.variant for v in absent])}.")
    lines.append(f"{judged} figures were judged by their 95 % intervals. {_missable(record)}")
    title = f"{status.capitalize()}: {OUTCOMES[status]} (exit code {exit_code(record.verdicts)})"
    return Banner(title, STATUS_CSS[status], tuple(lines))


def _missable(record: RunRecord) -> str:
    """How large an excess over a limit would have been found nine times in ten."""
    excesses = [
        f"{LIMITED[name].write_with_unit(excess)} ({LIMITED[name].name})"
        for name, excess in largest_undetected(record.verdicts).items()
    ]
    if not excesses:
        return ""
    return (
        f"What could have been missed: an excess over a limit of less than {' or '.join(excesses)}."
        " Larger ones are found at least nine times in ten."
    )


def cards(record: RunRecord) -> tuple[Card, ...]:
    """The figures worth remembering."""
    cards: list[Card] = []
    reference, fastest = record.reference, fastest_of(record.timed)
    if reference and reference.accuracy:
        nme = percent(reference.accuracy.main.nme)
        cards.append(Card(nme, "%", f"NME of the float network, of the {record.markup.error_unit}"))
    if fastest and fastest.latency:
        ms = milliseconds(fastest.latency.warm_ms)
        verdict = record.verdict_of(fastest.name)
        failed = f", which fails: {verdict.status}" if verdict and verdict.failed else ""
        cards.append(Card(ms, "ms", f"a face, fastest variant: {fastest.name}{failed}"))
        if fastest.difference:
            rise = number(fastest.difference.nme_rise.estimate * 100, 2)
            cards.append(Card(rise, "points", f"NME rise of {fastest.name}"))
    smallest = min(
        (s for s in record.timed if s.measurement.size_bytes),
        key=lambda s: s.measurement.size_bytes,
        default=None,
    )
    if smallest:
        size = mebibytes(smallest.measurement.size_bytes)
        cards.append(Card(size, "MiB", f"smallest variant: {smallest.name}"))
    return tuple(cards)
