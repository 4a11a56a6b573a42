"""What stands behind a verdict on two builds: drift, what differs, the machine, guilty operators.

It judges the drift, and collects the rest as plain data for `verdict.json` and as sentences for
people. The comparison of times is `landmint.pipeline.judge.comparing`.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from landmint.pipeline.judge.drift import Drift, judge_drift
from landmint.pipeline.judge.gate import Check, Verdict
from landmint.pipeline.judge.identity import machine_state, mismatches
from landmint.pipeline.judge.operators import OperatorChange
from landmint.runtime.accuracy import Truth
from landmint.runtime.measurement import Measurement
from landmint.runtime.paired import PairedLaunch

DRIFT = "drift_baseline"
"""What the check of drift is called."""
_NAMED = 5


def drift_of(
    baseline: Measurement, candidate: Measurement, truth: Truth, budget: float
) -> Drift | None:
    """The drift between two builds of one visit; None where either has no landmarks.

    Args:
        baseline: the build that is compared with.
        candidate: the build that is judged.
        truth: labels of the faces that both were measured on, in their order.
        budget: most rise of NME, in points of percent.
    """
    if baseline.points is None or candidate.points is None:
        return None
    return judge_drift(baseline.points, candidate.points, truth, budget)


def drift_check(drift: Drift | None, budget: float) -> Check:
    """The check of a drift; its reason says how many faces the budget needs."""
    if drift is None:
        return Check(DRIFT, "not measured", budget, reason="a build has no landmarks")
    rise = drift.rise
    if not math.isfinite(rise.estimate):
        return Check(DRIFT, drift.status, budget, reason=drift.reason)
    words = [drift.reason, *_where(drift), _needed(drift)]
    return Check(
        DRIFT,
        drift.status,
        budget,
        *(rise.estimate, rise.low, rise.high, rise.detectable),
        reason="; ".join(word for word in words if word),
    )


def evidence_of(
    baseline: Measurement,
    candidate: Measurement,
    drift: Drift | None,
    operators: Sequence[OperatorChange] | None = None,
    repeated: Sequence[str] = (),
    launches: Sequence[PairedLaunch] = (),
) -> dict[str, Any]:
    """Everything behind a verdict as plain data; numbers that are not finite become None.

    Args:
        baseline: the build that was compared with.
        candidate: the build that was judged.
        drift: of `drift_of`.
        operators: of `compare_operators`, after a regression; None where nobody asked.
        repeated: why launches were tried again, one entry for each.
        launches: of both builds, those that count.
    """
    sides = {"baseline": baseline, "candidate": candidate}
    evidence = {
        "differences": [each.sentence for each in mismatches(baseline, candidate)],
        "machine": {name: list(machine_state(side.launches)) for name, side in sides.items()},
        "repeated_launches": list(repeated),
        "launches": len(launches),
        "busy_launches": sum(launch.is_busy for launch in launches),
        "drift": None if drift is None else dataclasses.asdict(drift),
        "operators": None
        if operators is None
        else [dataclasses.asdict(change) for change in operators],
    }
    plain: dict[str, Any] = _finite(evidence)
    return plain


def evidence_lines(
    verdicts: Sequence[Verdict], escape: Callable[[str], str] = str
) -> Iterator[str]:
    """What stands behind verdicts, as a list in Markdown; nothing for verdicts without evidence.

    Args:
        verdicts: as they are listed.
        escape: makes a text safe to stand in Markdown.
    """
    for verdict in verdicts:
        sentences = "; ".join(_sentences(verdict.evidence))
        if sentences:
            yield f"- **{escape(verdict.variant)}**: {escape(sentences)}."


def _sentences(evidence: Mapping[str, Any]) -> Iterator[str]:
    yield from evidence.get("differences", ())
    for side, states in evidence.get("machine", {}).items():
        if states:
            yield f"{side}: {', '.join(states)}"
    if busy := evidence.get("busy_launches"):
        share = f"in {busy} of {evidence['launches']} launches"
        yield f"{share} other work took the core away in most pairs: processor time is compared"
    if repeated := evidence.get("repeated_launches"):
        yield f"{len(repeated)} launches were tried again, the last since {repeated[-1]}"
    yield from _guilty(evidence.get("operators"))


def _guilty(operators: Sequence[Mapping[str, Any]] | None) -> Iterator[str]:
    """The operators that surely became slower, the worst first; None means that nobody asked."""
    if operators is None:
        return
    slower = [change for change in operators if (change["low"] or 0) > 0]
    for change in slower[:_NAMED]:
        now, before = (change[side] or "not there" for side in ("candidate", "baseline"))
        added = f"operator {change['name']} takes {change['added_ms']:.3f} ms longer"
        yield f"{added} ({now})" if now == before else f"{added} ({now}, before {before})"
    if len(slower) > _NAMED:
        yield f"and {len(slower) - _NAMED} operators more"
    if not slower:
        words = "no single operator is surely slower", "no times of single operators could be had"
        yield words[not operators]


def _where(drift: Drift) -> Iterator[str]:
    """Where on the face the error surely rose, if anywhere."""
    if drift.worse_regions:
        yield f"it surely rose in {', '.join(drift.worse_regions)}"
    if landmarks := drift.worse_landmarks:
        named = ", ".join(map(str, landmarks[:_NAMED]))
        more = f" and {len(landmarks) - _NAMED} more" if len(landmarks) > _NAMED else ""
        yield f"at landmarks {named}{more}"


def _needed(drift: Drift) -> str:
    """How many faces the budget needs, with how many there are."""
    persons = "one person" if drift.persons == 1 else f"{drift.persons} persons"
    present = f"{drift.faces} faces of {persons}"
    if drift.persons_needed is None:
        return f"{present} do not tell how many the budget needs"
    return f"{present}, the budget needs {drift.faces_needed} of {drift.persons_needed}"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
