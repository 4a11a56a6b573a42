"""Asks for launches of two builds until it is clear whether the candidate is slower.

At every look Holm's procedure tests all comparisons together, with the look's share of the chance
of a false alarm. An alarm must repeat on launches of its own. What cannot be told in the end is
inconclusive, never a pass. The figures are those of `landmint.pipeline.judge.paired`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from landmint.pipeline.judge.gate import Check, VerdictStatus
from landmint.pipeline.judge.paired import TIME, PairedRules, Series, tail_series, time_series
from landmint.runtime.paired import PairedLaunch
from landmint.runtime.stats import holm


class Source(Protocol):
    """Where launches come from: a paired visit, or a test's own."""

    @property
    def failure(self) -> str:
        """Why there are no more; empty while there are."""
        ...

    def measure(self, launches: int) -> Sequence[PairedLaunch]:
        """That many fresh launches; fewer only after a failure."""
        ...


def compare(sources: Sequence[Source], rules: PairedRules) -> tuple[tuple[Check, ...], ...]:
    """Whether the candidate of each source is slower than its baseline.

    Args:
        sources: of launches, one for each variant that is compared.
        rules: what counts as slower, and how sure a verdict must be.

    Returns:
        for each source a check of the time of a run and one of slow runs.
    """
    questions = [_Question(s, kind) for s in sources for kind in (time_series, tail_series)]
    comparing = _Comparing(questions, rules)
    for look in rules.looks_of(len(questions)):
        comparing.look(look)
    comparing.leave_open()
    checks = [comparing.checks_of(source) for source in sources]
    return tuple(checks)


@dataclass(eq=False)
class _Question:
    """One comparison of one source, and its answer once it has one."""

    source: Source
    series_of: Callable[[Sequence[PairedLaunch], PairedRules], Series]
    check: Check | None = None


class _Comparing:
    """The state of a gate between its looks."""

    def __init__(self, questions: Sequence[_Question], rules: PairedRules) -> None:
        self._questions = questions
        self._rules = rules
        self._batches: dict[Source, list[PairedLaunch]] = {q.source: [] for q in questions}

    def look(self, launches: int) -> None:
        """Let all open comparisons have so many launches, and answer what is clear then."""
        for source in self._open_sources():
            batch = self._batches[source]
            batch += source.measure(launches - len(batch))
            self._note_failure(source)
        rejected = holm([self._p_value(q) for q in self._questions], self._rules.level)
        alarms = [q for q, r in zip(self._questions, rejected, strict=True) if r and not q.check]
        for question in [question for question in self._open() if question not in alarms]:
            series = self._series(question)
            if series.bounds(self._rules.bound_error)[2] < series.margin:
                words = f"surely less than {_size(series.name, series.margin)}"
                question.check = self._check(series, "pass", words)
        for source in dict.fromkeys(question.source for question in alarms):
            self._confirm(source, [q for q in alarms if q.source is source], launches)

    def leave_open(self) -> None:
        """Call inconclusive what no look has answered."""
        for question in self._open():
            series = self._series(question)
            more, less = (_size(series.name, v) for v in (series.tolerance, series.margin))
            words = f"neither surely more than {more} nor surely less than {less}"
            question.check = self._check(series, "inconclusive", words)

    def checks_of(self, source: Source) -> tuple[Check, ...]:
        """The answers about one source."""
        return tuple(q.check for q in self._questions if q.source is source and q.check)

    def _open(self, source: Source | None = None) -> list[_Question]:
        return [q for q in self._questions if not q.check and source in (None, q.source)]

    def _open_sources(self) -> list[Source]:
        return list(dict.fromkeys(question.source for question in self._open()))

    def _series(self, question: _Question) -> Series:
        return question.series_of(self._batches[question.source], self._rules)

    def _p_value(self, question: _Question) -> float:
        """Of an answered comparison 0 after an alarm, else 1: Holm's steps stay valid then."""
        if question.check:
            return 0.0 if question.check.status == "regression" else 1.0
        return self._series(question).p_value

    def _note_failure(self, source: Source) -> None:
        if source.failure:
            for question in self._open(source):
                series = self._series(question)
                limit = _written(series.name, series.tolerance)
                reason = source.failure
                question.check = Check(series.name, "not measured", limit, reason=reason)

    def _confirm(self, source: Source, alarms: Sequence[_Question], launches: int) -> None:
        """Let alarms repeat on fresh launches; the figures are theirs, which no luck selected."""
        fresh = source.measure(launches)
        self._note_failure(source)
        for question in [question for question in alarms if not question.check]:
            first, second = self._series(question), question.series_of(fresh, self._rules)
            p_values = f"(p {first.p_value:.2g}, then {second.p_value:.2g})"
            if second.p_value <= self._rules.level:
                size = _size(first.name, first.tolerance)
                words = f"surely more than {size}, in two batches of launches {p_values}"
                question.check = self._check(second, "regression", words)
            else:
                words = f"an alarm that a second batch of launches did not repeat {p_values}"
                question.check = self._check(second, "inconclusive", words)
        for question in self._open(source):
            words = "not followed further, since the other comparison raised an alarm"
            question.check = self._check(self._series(question), "inconclusive", words)

    def _check(self, series: Series, status: VerdictStatus, words: str) -> Check:
        level = self._rules.level / len(self._questions)
        low, estimate, high = series.bounds(self._rules.bound_error)
        limit = _written(series.name, series.tolerance)
        least = series.detectable(level)
        sensitivity = f"{len(series.values)} launches"
        if math.isfinite(least):
            sensitivity += f", which find {_size(series.name, least)} nine times in ten"
        return Check(
            series.name,
            status,
            limit,
            None if math.isnan(estimate) else _written(series.name, estimate),
            _written(series.name, low),
            _written(series.name, high),
            _written(series.name, least) - limit,
            "; ".join(part for part in (words, sensitivity, series.note) if part),
        )


def _written(name: str, value: float) -> float:
    """A value of a series in the unit of its check: a ratio, or points of percent."""
    return math.exp(value) if name == TIME else value


def _size(name: str, value: float) -> str:
    """A slowdown in words."""
    if name == TIME:
        return f"{100 * math.expm1(value):.2g} % slower"
    points = f"{value:.2g}"
    return f"{points} point{'' if points == '1' else 's'} more slow runs"
