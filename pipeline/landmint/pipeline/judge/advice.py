"""Advice: is INT8 worth it on each engine, what slows it down, and which variant to deploy.

A variant that the gate did not pass is never recommended. Where the recipe sets no limit on the NME
rise, the advice has a limit of its own. INT8 that is slower than the same format's float32 variant
is called a defect.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from landmint.pipeline.judge.comparison import paired_ratio, side_of
from landmint.pipeline.judge.figures import LATENCY, LOAD_TIME, NME_RISE, PEAK_MEMORY, SIZE, Figure
from landmint.pipeline.judge.gate import Limits, Verdict, judge, not_passed
from landmint.pipeline.judge.gate_text import check_sentence
from landmint.pipeline.judge.summary import VariantSummary, fastest_of, summarise_run
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.text import listed, times
from landmint.runtime.engines import SATURATING
from landmint.runtime.engines.engine import Operator
from landmint.runtime.formats import NARROW_WEIGHTS
from landmint.runtime.measurement import read_measurements

GOAL: Mapping[str, float] = MappingProxyType({"openvino": 1.7})
"""How many times faster than float32 INT8 should be, by engine, on one thread."""
_GOAL_ELSEWHERE = 2.0
_RISE_SHARE, _RISE_POINTS = 0.01, 0.05
"""The NME rise that is accepted where no limit is set: a share of the reference's NME, and at most
so many points."""
_INTEGERS = ("i8", "u8", "int8", "uint8")
_CONVERSIONS = ("quantize", "reorder", "convert", "cast")
_NAMED = 4
CURES = (
    "What may give it back, the cheapest first: under [quantize] another calibrator, "
    "equalise = true or bias_correction = true, which cost no speed; then layers in float. "
    "fallback_budget, or `landmint quantize --fallback-budget POINTS`, tries all of these in that "
    "order and measures them. At last [qat], which trains with rounding"
)
"""What can be done about INT8 that loses more than it may, by its cost."""


def advise_folder(measurements: Path, limits: Limits) -> tuple[str, ...]:
    """`advise` for a folder of measurements.

    Raises:
        LandmintError: something is missing or truncated there.
    """
    truth = read_truth(measurements / TRUTH_FILE)
    samples = read_measurements(measurements)
    return advise(summarise_run(samples, truth), judge(samples, truth, limits), limits)


def advise(
    summaries: Sequence[VariantSummary], verdicts: Sequence[Verdict], limits: Limits
) -> tuple[str, ...]:
    """Sentences of advice: on each engine that has an INT8 variant, then on the machine.

    Between these it says what the other quantised variants are for. None is recommended unless it
    was timed, and no variant that may be deployed was faster.

    Args:
        summaries: the figures of all variants, from one folder of measurements.
        verdicts: the gate's verdicts on them.
        limits: the limits that they were judged by. Where they do not limit a variant's NME rise,
            it may be 1 % of the reference's NME, and .05 points at most.
    """
    by_name = {verdict.variant: verdict for verdict in verdicts}
    accepted_points = _accepted_rise(summaries)
    objections = {
        summary.name: objection
        for summary in summaries
        if (objection := _objection(summary, by_name.get(summary.name), limits, accepted_points))
    }
    eligible = [summary for summary in summaries if summary.name not in objections]
    lines = []
    for int8 in (summary for summary in summaries if summary.precision == "int8"):
        twin = next((s for s in summaries if s.name == f"{int8.format}/float32"), None)
        same_engine = [summary for summary in summaries if summary.format == int8.format]
        objection = objections.get(int8.name, "") if int8.latency else ""
        refusal = f" {int8.name} is not recommended: {objection}." if objection else ""
        sentence = f"{_gain(int8, twin)}{refusal}"
        if fastest_of(same_engine):
            chosen = recommend([summary for summary in same_engine if summary in eligible])
            sentence += f" {chosen[0].upper()}{chosen[1:]}."
        lines.append(sentence)
    lines += list(_asides(summaries))
    if not lines:
        return ()
    doubts = [sentence] if (sentence := saturation(summaries)) else []
    losing = [
        summary.name
        for summary in summaries
        if summary.precision == "int8"
        and _loses(summary, by_name.get(summary.name), accepted_points)
    ]
    cures = [f"{listed(losing)} lost accuracy. {CURES}."] if losing else []
    return (*lines, *doubts, *cures, f"On this machine: {recommend(eligible)}.")


def _asides(summaries: Sequence[VariantSummary]) -> Iterator[str]:
    """A sentence on each variant that is made for a purpose of its own: what it is for."""
    for summary in summaries:
        if summary.record is None or not summary.record.purpose:
            continue
        text = f"{summary.name}, {summary.record.holds}, is {summary.record.purpose}."
        if summary.latency:
            text += f" It takes {LATENCY.write_with_unit(summary.latency.warm_ms)} here"
            if summary.speedup:
                factor, interval = times(summary.speedup)
                text += f", {factor} {interval} as fast as float32"
            text += "."
        yield text


def saturation(summaries: Sequence[VariantSummary]) -> str:
    """A warning about INT8 accuracies that hold only on processors like the measured one; or "".

    With weights in the whole range of INT8, sums may overflow on x86 processors without VNNI.
    """
    names = [
        summary.name
        for summary in summaries
        if summary.precision == "int8"
        and summary.measurement.engine in SATURATING
        and summary.measurement.machine is not None
        and summary.measurement.machine.int8_saturates
        and summary.measurement.notes.get("weights") != NARROW_WEIGHTS
    ]
    if not names:
        return ""
    return (
        f"{listed(names)} may saturate on this processor, which has no VNNI, since weights use the "
        "full range of INT8: accuracy differs from that on processors with VNNI. "
        "quantize.reduce_range = true avoids it."
    )


def _accepted_rise(summaries: Sequence[VariantSummary]) -> float:
    """The NME rise that is accepted where no limit is set, in points."""
    references = (summary.accuracy for summary in summaries if summary.is_reference)
    nmes = [accuracy.interval.estimate for accuracy in references if accuracy]
    return min([_RISE_POINTS, *(100 * _RISE_SHARE * nme for nme in nmes)])


def _objection(
    summary: VariantSummary, verdict: Verdict | None, limits: Limits, accepted_points: float
) -> str:
    """Why a variant should not be deployed; empty when it may be."""
    if summary.latency is None:
        return summary.measurement.no_times or "it was not timed"
    if verdict is not None and verdict.status not in ("pass", "not judged"):
        failed = [check_sentence(check) for _, check in not_passed([verdict])]
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        return f"its verdict is {': '.join([verdict.status, *failed[:1]])}{more}"
    if summary.difference is None:
        return "how far its landmarks are from the reference's is not known"
    if limits.of("drift_percent", summary.name) is not None:
        return ""
    highest_points = 100 * summary.difference.nme_rise.high
    if summary.difference.nme_rise.is_unbounded:
        return "there are not enough persons to tell its NME rise"
    if highest_points > accepted_points:
        return (
            f"its NME may rise by {NME_RISE.write_with_unit(highest_points)}, and without a limit "
            f"at most {NME_RISE.write_with_unit(accepted_points)} are accepted"
        )
    return ""


def _loses(int8: VariantSummary, verdict: Verdict | None, accepted_points: float) -> bool:
    """Whether it is accuracy that speaks against a variant."""
    if verdict is not None and verdict.status == "accuracy drift":
        return True
    rise = int8.difference.nme_rise if int8.difference else None
    judged = verdict is not None and verdict.status == "pass"
    return rise is not None and not judged and 100 * rise.low > accepted_points


def _gain(int8: VariantSummary, twin: VariantSummary | None) -> str:
    """Sentences on what INT8 gains and what it costs on one engine."""
    engine = int8.engine_name
    if int8.latency is None:
        why = f": {int8.measurement.no_times}" if int8.measurement.no_times else ""
        return f"{engine}: INT8 was not timed here{why}."
    int8_ms = LATENCY.write_with_unit(int8.latency.warm_ms)
    if twin is None or twin.latency is None:
        return f"{engine}: INT8 takes {int8_ms}; float32 was not timed beside it."
    if int8.speedup is None:
        twin_ms = LATENCY.write_with_unit(twin.latency.warm_ms)
        return (
            f"{engine}: INT8 takes {int8_ms}, float32 {twin_ms}; only two launches or more, in one "
            "visit, tell whether that is faster."
        )
    goal = GOAL.get(int8.measurement.engine, _GOAL_ELSEWHERE)
    factor, interval = times(int8.speedup)
    text = f"{engine}: INT8 is {factor} {interval} as fast as float32"
    side = side_of(int8.speedup, 1)
    if side == "below":
        text += f", slower: {int8.name} is a defect"
    elif side == "undecided":
        text += ", which may be no gain at all"
    elif int8.speedup.low < goal:
        below = side_of(int8.speedup, goal) == "below"
        text += f", {'below' if below else 'about'} the goal of {goal:g}×"
    if int8.difference:
        text += f"; {_rise(100 * int8.difference.nme_rise.estimate)}"
    costs = list(what_costs(int8.measurement.operators)) if int8.speedup.low < goal else []
    return f"{text}." + (f" What costs: {listed(costs)}." if costs else "")


def _rise(points: float) -> str:
    if not math.isfinite(points):
        return "it returns landmarks that are not finite"
    verb = "falls" if points < 0 else "rises"
    return f"its NME {verb} by {NME_RISE.write_with_unit(abs(points))}"


def recommend(eligible: Sequence[VariantSummary]) -> str:
    """Which variant to use, and why, where several are equally fast.

    Of those whose intervals do not show that they are slower than the fastest, it is the one with
    the least product of size, peak memory and load time. In a product only ratios count, not units.
    """
    fastest = fastest_of(eligible)
    if fastest is None:
        return "no variant that was timed surely keeps its limits"
    tied = [fastest, *(s for s in eligible if s is not fastest and _is_as_fast(s, fastest))]
    burdens = [_burdens(summary) for summary in tied]
    shared = [figure for figure in burdens[0] if all(figure in burden for burden in burdens)]
    chosen, *others = sorted(
        tied, key=lambda summary: math.prod(_burdens(summary)[figure] for figure in shared)
    )
    latency_ms = chosen.latency.warm_ms if chosen.latency else None
    text = f"use {chosen.name}, {LATENCY.write(latency_ms)} ms a face"
    if not others:
        return text + _unknown_ties(eligible, fastest)
    other = fastest if chosen is not fastest else others[0]
    text += f": as fast as {listed([s.name for s in others])} within the error of measurement"
    lower, higher = _differences(chosen, other, shared)
    text += f", with {listed(lower)}" if lower else ""
    text += f", though {listed(higher)}" if higher else ""
    return text + _unknown_ties(eligible, fastest)


def _unknown_ties(eligible: Sequence[VariantSummary], fastest: VariantSummary) -> str:
    """That some variants may be as fast, for all that was measured; empty when none may."""
    ratios = [
        paired_ratio(summary.measurement, fastest.measurement)
        for summary in eligible
        if summary is not fastest and summary.latency
    ]
    if None not in ratios:
        return ""
    return (
        f"; whether {ratios.count(None)} others are as fast is not known, for want of two launches "
        "in which they took turns"
    )


def _is_as_fast(summary: VariantSummary, fastest: VariantSummary) -> bool:
    """Whether a variant is not surely slower than the fastest one, by the interval."""
    ratio = paired_ratio(summary.measurement, fastest.measurement)
    return side_of(ratio, 1) in ("undecided", "below")


def _burdens(summary: VariantSummary) -> dict[Figure, float]:
    """Size, peak memory and load time of a variant, those that are known."""
    raw, latency = summary.measurement, summary.latency
    known = {
        SIZE: raw.size_bytes / 2**20,
        PEAK_MEMORY: raw.peak_memory_mib,
        LOAD_TIME: latency.load_ms if latency else None,
    }
    return {figure: value for figure, value in known.items() if value is not None}


def _differences(
    chosen: VariantSummary, other: VariantSummary, figures: Sequence[Figure]
) -> tuple[list[str], list[str]]:
    """In which figures the chosen variant is lower than another, and in which higher."""
    lower: list[str] = []
    higher: list[str] = []
    ours, theirs = _burdens(chosen), _burdens(other)
    for figure in figures:
        words = f"{figure.name} {figure.write_with_unit(ours[figure])} in place of "
        words += figure.write(theirs[figure])
        if figure.write(ours[figure]) != figure.write(theirs[figure]):
            (lower if ours[figure] < theirs[figure] else higher).append(words)
    return lower, higher


def what_costs(operators: Sequence[Operator]) -> Iterator[str]:
    """A sentence on the operators that slow an INT8 inference down, the most costly first.

    They run outside the engine's INT8 kernels, compute in float, or convert between types. Each is
    named with its share of the time, where the engine tells times. If all of them together take
    less than a tenth of it, the operators that take most are named instead. After the first four
    kinds, the rest are counted.
    """
    total_ms = _time_ms(operators)
    groups: dict[str, list[Operator]] = {}
    for operator in operators:
        if name := _hindrance(operator):
            groups.setdefault(name, []).append(operator)
    if total_ms and sum(map(_time_ms, groups.values())) < 0.1 * total_ms:
        for operator in operators:
            if not _hindrance(operator):
                groups.setdefault(f"{operator.kind} in {operator.precision}", []).append(operator)
    ranked = sorted(groups.items(), key=lambda item: (-_time_ms(item[1]), item[0]))
    for name, group in ranked[:_NAMED]:
        yield f"{len(group)} {name}{_share(group, total_ms)}"
    if rest := [operator for _, group in ranked[_NAMED:] for operator in group]:
        yield f"{len(rest)} more{_share(rest, total_ms)}"


def _share(operators: Sequence[Operator], total_ms: float) -> str:
    """Their share of the time in brackets; empty where the engine tells no times."""
    return f" ({100 * _time_ms(operators) / total_ms:.0f} % of the time)" if total_ms else ""


def _time_ms(operators: Sequence[Operator]) -> float:
    return sum(operator.ms or 0.0 for operator in operators)


def _hindrance(operator: Operator) -> str:
    """How the advice calls an operator that slows INT8 down; "" for any other operator."""
    if operator.place:
        return f"{operator.kind} {operator.place}"
    if any(word in operator.kind.lower() for word in _CONVERSIONS):
        return f"{operator.kind}, conversions"
    if operator.precision and operator.precision not in _INTEGERS:
        return f"{operator.kind} in {operator.precision}"
    return ""
