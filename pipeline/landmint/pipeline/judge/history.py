"""A candidate against earlier sessions of the same device, where two builds cannot be held at once.

Sessions are not paired: whatever the device did that day is in the figure. So the band comes from
how much this device's own sessions differ, and from nothing else.
"""

import math
from collections.abc import Sequence

import numpy as np

from landmint.pipeline.judge.gate import Check, Verdict, VerdictStatus
from landmint.pipeline.judge.identity import incomparable
from landmint.runtime.formats import is_reference
from landmint.runtime.latency import launch_median
from landmint.runtime.measurement import Measurement
from landmint.runtime.stats import CONFIDENCE, POWER, Floats, Interval, student_quantile

MIN_SESSIONS = 8
"""Earlier sessions that a verdict needs. With eight, a slowdown must be 3.2 standard deviations of
a session to be surely one; with four it would have to be 5.1."""
MOST_SESSIONS = 20
"""The latest sessions that are looked at. However many more would narrow the band by a tenth, and
bring in what the device was long ago."""
FALSE_ALARMS = 0.01
"""Chance that any variant is called slower, if none is slower by more than `WORTH_NAMING`."""
WORTH_NAMING = 0.01
"""A slowdown by less than this share is no regression, however sure."""
TOLERATED = 0.05
"""A pass says that the slowdown is surely smaller than this share."""
FIGURE = "latency_history"
"""Name of the check: latency over that of this device's earlier sessions."""


def judge_against_history(
    candidates: Sequence[Measurement], past: Sequence[Measurement]
) -> tuple[Verdict, ...]:
    """A verdict on each candidate's latency, from earlier sessions of the same model and variant.

    Only what is comparable counts: the same machine, engine version, precision and threads.
    Where all earlier sessions differ in that, the candidate is "not measured", with what differs.

    Args:
        candidates: of one visit; the reference is passed over, since nobody deploys it.
        past: of any models, machines and times. Sessions that are not earlier than a candidate's
            are left out, so a candidate that is in the history already is not its own baseline.
    """
    judged = [measurement for measurement in candidates if not is_reference(measurement.variant)]
    timed = sum(bool(measurement.launches) for measurement in judged)
    return tuple(_judge(measurement, past, FALSE_ALARMS / max(1, timed)) for measurement in judged)


def _judge(candidate: Measurement, past: Sequence[Measurement], false_alarms: float) -> Verdict:
    if not candidate.launches:
        reason = candidate.why_not or "latency was not measured"
        return Verdict(candidate.variant, "not measured", reason)
    subject = _subject(candidate)
    earlier = [
        measurement
        for measurement in sorted(past, key=lambda measurement: measurement.session)
        if _subject(measurement) == subject
        and measurement.launches
        and measurement.session < candidate.session
    ]
    comparable = [each for each in earlier if not incomparable(each, candidate)]
    if earlier and not comparable:
        apart = "; ".join(each.sentence for each in incomparable(earlier[-1], candidate))
        reason = f"none of its {len(earlier)} earlier sessions can be compared with it: {apart}"
        return Verdict(candidate.variant, "not measured", reason)
    check = _check(candidate, comparable[-MOST_SESSIONS:], false_alarms)
    return Verdict(candidate.variant, check.status, checks=(check,))


def _subject(measurement: Measurement) -> tuple[str, str, str]:
    """What is compared with its own past: a variant of a model on a target."""
    return (measurement.bundle, measurement.variant, measurement.target)


def _check(candidate: Measurement, past: Sequence[Measurement], false_alarms: float) -> Check:
    limit = 1 + WORTH_NAMING
    reason = f"compared with this device's own history of {len(past)} sessions, not paired"
    if len(past) < MIN_SESSIONS:
        reason = f"{reason}; {MIN_SESSIONS - len(past)} more are needed"
        return Check(FIGURE, "inconclusive", limit, reason=reason)
    logs = np.array([_log_ms(measurement) for measurement in past])
    ratio, surely_over = slowdown(_log_ms(candidate), logs, false_alarms)
    status: VerdictStatus = "inconclusive"
    if surely_over > limit:
        status = "regression"
    elif ratio.high < 1 + TOLERATED:
        status = "pass"
    else:
        reason = f"{reason}; the interval reaches beyond {1 + TOLERATED:g}"
    bounds = (ratio.estimate, ratio.low, ratio.high, ratio.detectable)
    return Check(FIGURE, status, limit, *bounds, reason=reason)


def _log_ms(measurement: Measurement) -> float:
    """Logarithm of a session's latency: the mean over launches of those of their medians."""
    return float(np.mean([math.log(launch_median(launch)) for launch in measurement.launches]))


def slowdown(
    candidate_log: float, past_logs: Floats, false_alarms: float
) -> tuple[Interval, float]:
    """How much slower one session is than an ordinary one, by Student's prediction interval.

    If sessions are alike, (candidate - mean) / (s sqrt(1 + 1/n)) has Student's t distribution with
    n - 1 degrees of freedom; s is the standard deviation of n sessions (Hahn and Meeker,
    Statistical Intervals, 1991, section 4.7).

    Args:
        candidate_log: logarithm of its latency.
        past_logs: (n,) logarithms of the sessions before, at least two.
        false_alarms: chance that the second result exceeds the true ratio.

    Returns:
        the ratio with its 95 % interval, and the ratio that it surely exceeds. `detectable` is the
        excess over `WORTH_NAMING` that nine sessions in ten would have shown.
    """
    freedom = len(past_logs) - 1
    error = float(past_logs.std(ddof=1)) * math.sqrt(1 + 1 / len(past_logs))
    difference = candidate_log - float(past_logs.mean())
    edge = student_quantile(1 - (1 - CONFIDENCE) / 2, freedom) * error
    alarm = student_quantile(1 - false_alarms, freedom) * error
    reach = alarm + student_quantile(POWER, freedom) * error
    interval = Interval(
        math.exp(difference),
        math.exp(difference - edge),
        math.exp(difference + edge),
        (1 + WORTH_NAMING) * math.expm1(reach),
    )
    return interval, math.exp(difference - alarm)
