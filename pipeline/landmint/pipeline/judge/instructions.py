"""Whether a build executes what its baseline executes, by instructions that an emulator counted.

Counts repeat from run to run, so no statistics are needed, but they are no times: fewer are not
surely faster. Only builds of one network on one engine are compared: what differs then is a kernel.
"""

from collections.abc import Iterator
from statistics import median

from landmint.pipeline.judge.gate import Check, VerdictStatus
from landmint.pipeline.judge.identity import incomparable
from landmint.runtime.measurement import Measurement

INSTRUCTIONS = "instructions_baseline"
"""What the check is called."""
_CLASSES = ("simd", "fmla", "mlal", "dot")
_CLASS_TOLERANCE = 1e-4
_TOTAL_TOLERANCE = 1e-3
_LOOSE_TOLERANCE = 1e-2
_LOOSE_ENGINES = ("openvino",)
"""Engines whose own threads make counts differ more from run to run."""


def instructions_check(baseline: Measurement, candidate: Measurement) -> Check:
    """Whether the candidate executes more in all, or fewer dot products, than its baseline."""
    loose = candidate.engine in _LOOSE_ENGINES
    tolerance = _LOOSE_TOLERANCE if loose else _TOTAL_TOLERANCE
    limit = 1 + tolerance
    if not (baseline.instructions and candidate.instructions):
        reason = "a build has no counted instructions"
        return Check(INSTRUCTIONS, "not measured", limit, reason=reason)
    if why := _why_incomparable(baseline, candidate):
        return Check(INSTRUCTIONS, "not judged", limit, reason=why)
    ratio = _median(candidate, "total") / _median(baseline, "total")
    changes = [*_changes(baseline, candidate, tolerance if loose else _CLASS_TOLERANCE)]
    lost = any(name == "dot" and change < 0 for name, change in changes)
    status: VerdictStatus = "regression" if ratio > limit or lost else "pass"
    words = [f"{name} {100 * change:+.2f} %" for name, change in changes]
    words += [f"latency is not measured: {candidate.no_times}"] * bool(candidate.no_times)
    return Check(INSTRUCTIONS, status, limit, ratio, reason=", ".join(words))


def _why_incomparable(baseline: Measurement, candidate: Measurement) -> str:
    if differences := incomparable(baseline, candidate):
        return differences[0].sentence
    before, now = ([o.kind for o in side.operators] for side in (baseline, candidate))
    return "" if before == now else "the networks differ: counts do not tell which is faster"


def _changes(
    baseline: Measurement, candidate: Measurement, tolerance: float
) -> Iterator[tuple[str, float]]:
    """Classes whose counts differ, with the difference as a share of the baseline's."""
    for name in _CLASSES:
        before, now = _median(baseline, name), _median(candidate, name)
        change = (now - before) / max(before, 1)
        if abs(change) > tolerance:
            yield name, change


def _median(measurement: Measurement, name: str) -> float:
    """Of a class over the counted runs; 0 where classes are not told apart."""
    return median(getattr(run, name) or 0 for run in measurement.instructions)
