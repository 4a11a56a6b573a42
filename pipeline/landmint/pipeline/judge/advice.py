"""Is INT8 worth it, engine by engine, what costs it, and which variant to deploy.

It measures nothing and judges by no limit but that on drift: verdicts are the gate's. INT8 that is
slower than its float32 twin is called a defect, for that is what it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from landmint.pipeline.judge.gate import Limits
from landmint.pipeline.judge.summary import VariantSummary, summarise_run
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.text import listed, milliseconds, number, product, times
from landmint.runtime.engines.engine import Operator
from landmint.runtime.measurement import read_measurements

GOAL: Mapping[str, float] = MappingProxyType({"openvino": 1.7})
"""How many times faster than float32 INT8 should be, by engine, on one thread."""
_GOAL_ELSEWHERE = 2.0
_DRIFT_SHARE, _DRIFT_POINTS = 0.01, 0.05  # without a limit: of the reference's NME, and at most
_INTEGERS = ("i8", "u8", "int8", "uint8")
_CONVERSIONS = ("quantize", "reorder", "convert", "cast")
_NAMED = 4


def advise_folder(measurements: Path, limits: Limits) -> tuple[str, ...]:
    """`advise` for a folder of measurements.

    Raises:
        LandmintError: something is missing or truncated there.
    """
    truth = read_truth(measurements / TRUTH_FILE)
    return advise(summarise_run(read_measurements(measurements), truth), limits)


def advise(summaries: Sequence[VariantSummary], limits: Limits) -> tuple[str, ...]:
    """A sentence or two for each engine that has an INT8 variant, then one for the machine.

    Args:
        summaries: of one measurement.
        limits: its drift_percent says how far NME may rise. Without one it may by 1 % of the
            reference's NME, and by .05 points at most.
    """
    fit = [one for one in summaries if one.latency and _keeps_drift(one, summaries, limits)]
    engines = [one for one in summaries if one.precision == "int8"]
    lines = [_engine(one, [f for f in fit if f.family == one.family]) for one in engines]
    return (*lines, f"On this machine: {_use(fit)}.") if engines else ()


def _keeps_drift(one: VariantSummary, summaries: Sequence[VariantSummary], limits: Limits) -> bool:
    """Whether all of the interval of its NME rise keeps the limit."""
    limit = _drift_limit(one.name, summaries, limits)
    return one.drift is not None and one.drift.nme_rise.high * 100 <= limit


def _drift_limit(name: str, summaries: Sequence[VariantSummary], limits: Limits) -> float:
    """In points of percent."""
    limit = limits.of("drift_percent", name)
    if limit is not None:
        return limit
    references = (one.accuracy for one in summaries if one.is_reference)
    nmes = [accuracy.interval.estimate for accuracy in references if accuracy]
    return min([_DRIFT_POINTS, *(100 * _DRIFT_SHARE * nme for nme in nmes)])


def _engine(int8: VariantSummary, fit: Sequence[VariantSummary]) -> str:
    speedup, goal = int8.speedup, GOAL.get(int8.measurement.engine, _GOAL_ELSEWHERE)
    if speedup is None:
        return f"{product(int8)}: INT8 was not timed against float32 here."
    factor, interval = times(speedup)
    said = f"{product(int8)}: INT8 is {factor} {interval} as fast as float32"
    if speedup.high < 1:
        said += f", slower: {int8.name} is a defect"
    elif speedup.low <= 1:
        said += ", which may be no gain at all"
    elif speedup.low < goal:
        said += f", {'below' if speedup.high < goal else 'about'} the goal of {goal:g}×"
    if int8.drift:
        said += f"; its NME rises by {number(int8.drift.nme_rise.estimate * 100, 3)} points"
        said += "" if int8 in fit else ", more than the limit surely allows"
    costs = list(what_costs(int8.measurement.operators)) if speedup.low < goal else []
    said += f". What costs: {listed(costs)}" if costs else ""
    return f"{said}. {_use(fit)[0].upper()}{_use(fit)[1:]}."


def _use(fit: Sequence[VariantSummary]) -> str:
    """The fastest of the variants that keep the limit on drift."""
    timed = [(one.latency.warm_ms, one.name) for one in fit if one.latency]
    if not timed:
        return "no variant that was timed surely keeps the limit on drift"
    ms, name = min(timed)
    return f"use {name}, {milliseconds(ms)} ms a face"


def what_costs(operators: Sequence[Operator]) -> Iterator[str]:
    """What keeps an INT8 inference from being fast, the most costly first.

    That is what runs elsewhere, in float, or converts; each with its share of the time, where the
    engine tells times. Where none of them takes a tenth of it, the operators that take most.
    """
    whole = sum(one.ms or 0.0 for one in operators)
    groups: dict[str, list[Operator]] = {}
    for one in operators:
        if name := _suspect(one):
            groups.setdefault(name, []).append(one)
    suspects = sum(one.ms or 0.0 for group in groups.values() for one in group)
    if whole and suspects < 0.1 * whole:
        for one in operators:
            if not _suspect(one):
                groups.setdefault(f"{one.kind} in {one.precision}", []).append(one)
    ranked = sorted(groups.items(), key=lambda item: (-sum(o.ms or 0 for o in item[1]), item[0]))
    for name, group in ranked[:_NAMED]:
        share = sum(one.ms or 0.0 for one in group) / whole if whole else 0.0
        yield f"{len(group)} {name}" + (f" ({100 * share:.0f} % of the time)" if whole else "")


def _suspect(one: Operator) -> str:
    """What an operator is called when it stands in the way; "" when it does not."""
    if one.place:
        return f"{one.kind} {one.place}"
    if any(word in one.kind.lower() for word in _CONVERSIONS):
        return f"{one.kind}, conversions"
    if one.precision and one.precision not in _INTEGERS:
        return f"{one.kind} in {one.precision}"
    return ""
