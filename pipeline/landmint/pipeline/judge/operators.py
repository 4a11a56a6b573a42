"""Which operator did it: the times of two builds' operators, paired, the guilty ones first.

A regression says that a model became slower; this says where. It explains a verdict and makes
none: profiles slow what they watch, and short operators most.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from landmint.runtime.engines.engine import Operator
from landmint.runtime.stats import CONFIDENCE, student_quantile

Profile = Sequence[Operator]
_VARIANT_OF = re.compile(r"^(?:Nhwc|Fused|QLinear|Q(?=Gemm))+|Integer$")


@dataclass(frozen=True)
class OperatorChange:
    """One operator in two builds; an operator that one of them lacks takes no time there."""

    name: str
    """Its name in the model, or its kind with its place among those of its kind."""
    baseline: str
    """Kind, precision and kernel in the baseline; empty where it is not there."""
    candidate: str
    """The same in the candidate."""
    baseline_ms: float
    """Its time there, the median over rounds."""
    candidate_ms: float
    """The same in the candidate."""
    added_ms: float
    """Mean over rounds of how much longer it takes in the candidate."""
    low: float
    """Lower bound of its interval over rounds; minus infinity for one round. The intervals of all
    operators hold together with 95 % (Bonferroni)."""
    high: float
    """Upper bound."""

    @property
    def is_sure(self) -> bool:
        """Whether all of the interval says that it became slower."""
        return self.low > 0


def compare_operators(rounds: Sequence[tuple[Profile, Profile]]) -> tuple[OperatorChange, ...]:
    """Every operator of two builds, those that added most time first.

    Operators are matched by name. Those whose name the other build lacks, as when an operator was
    fused or quantised, are matched by kind in their order of running; the rest stand alone.

    Args:
        rounds: profiles of baseline and candidate, a pair from each round in which both were
            profiled one after the other.

    Returns:
        nothing when the engine of either build tells no times, or a build changed its operators
        from round to round.
    """
    if not rounds or not all(_has_times(profile) for pair in rounds for profile in pair):
        return ()
    first, second = rounds[0]
    for before_run, after_run in rounds:
        if _shape(before_run) != _shape(first) or _shape(after_run) != _shape(second):
            return ()
    matched = list(_matched(first, second))
    confidence = 1 - (1 - CONFIDENCE) / len(matched)
    changes = [_change(rounds, before, after, confidence) for before, after in matched]
    return tuple(sorted(changes, key=lambda change: (-change.added_ms, change.name)))


def _matched(baseline: Profile, candidate: Profile) -> Iterator[tuple[int | None, int | None]]:
    """Places of the same operator in both builds; None where a build lacks it."""
    before, after = _by_name(baseline), _by_name(candidate)
    shared = before.keys() & after.keys()
    for name in shared:
        yield before[name], after[name]
    lost = [place for place in range(len(baseline)) if baseline[place].name not in shared]
    fresh = [place for place in range(len(candidate)) if candidate[place].name not in shared]
    for place in lost:
        kind = _family(baseline[place])
        twin = next((p for p in fresh if _family(candidate[p]) == kind), None)
        if twin is not None:
            fresh.remove(twin)
        yield place, twin
    for place in fresh:
        yield None, place


def _family(operator: Operator) -> str:
    """Its kind without what ONNX Runtime adds for INT8, layout or fusion: QLinearConv is Conv."""
    return _VARIANT_OF.sub("", operator.kind)


def _by_name(profile: Profile) -> dict[str, int]:
    """Place of each operator whose name no other has."""
    counts = Counter(operator.name for operator in profile)
    named = enumerate(profile)
    return {o.name: place for place, o in named if o.name and counts[o.name] == 1}


def _change(
    rounds: Sequence[tuple[Profile, Profile]],
    before: int | None,
    after: int | None,
    confidence: float,
) -> OperatorChange:
    times = [(_ms(a, before), _ms(b, after)) for a, b in rounds]
    added = [later - earlier for earlier, later in times]
    mean, reach = fmean(added), _reach(added, confidence)
    baseline, candidate = rounds[0]
    return OperatorChange(
        name=_name(candidate, after) if after is not None else _name(baseline, before),
        baseline=_description(baseline, before),
        candidate=_description(candidate, after),
        baseline_ms=median(earlier for earlier, _ in times),
        candidate_ms=median(later for _, later in times),
        added_ms=mean,
        low=mean - reach,
        high=mean + reach,
    )


def _reach(values: Sequence[float], confidence: float) -> float:
    """Half of Student's interval of the mean; infinite for a single value."""
    count = len(values)
    if count < 2:
        return math.inf
    spread = stdev(values) / math.sqrt(count)
    return student_quantile((1 + confidence) / 2, count - 1) * spread


def _name(profile: Profile, place: int | None) -> str:
    if place is None:
        return ""
    operator = profile[place]
    alike = sum(other.kind == operator.kind for other in profile[: place + 1])
    return operator.name or f"{operator.kind} {alike}"


def _description(profile: Profile, place: int | None) -> str:
    if place is None:
        return ""
    operator = profile[place]
    return " ".join(part for part in (operator.kind, operator.precision, operator.kernel) if part)


def _ms(profile: Profile, place: int | None) -> float:
    return (profile[place].ms or 0.0) if place is not None else 0.0


def _has_times(profile: Profile) -> bool:
    return bool(profile) and all(operator.ms is not None for operator in profile)


def _shape(profile: Profile) -> list[tuple[str, str]]:
    return [(operator.kind, operator.name) for operator in profile]
