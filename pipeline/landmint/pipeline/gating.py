"""Compares two builds on a target: their variants in pairs, launched until each is clear.

It drives visits and collects verdicts. What counts as slower is decided in
`landmint.pipeline.judge.paired`, and when enough is known in `judge.comparing`.
"""

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landmint.pipeline.builds import Build, Pair
from landmint.pipeline.judge.comparing import compare
from landmint.pipeline.judge.evidence import drift_check, drift_of, evidence_of
from landmint.pipeline.judge.gate import Check, Verdict, worst
from landmint.pipeline.judge.identity import incomparable
from landmint.pipeline.judge.instructions import instructions_check
from landmint.pipeline.judge.operators import OperatorChange, compare_operators
from landmint.pipeline.judge.paired import TIME, PairedRules
from landmint.pipeline.measure_config import MeasureConfig
from landmint.runtime.accuracy import Truth
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.latency import LatencyConfig
from landmint.runtime.measurement import Measurement, write_measurement
from landmint.runtime.progress import Progress
from landmint.runtime.scratch import scratch_folder
from landmint.targets import Target, load_target
from landmint.targets.host import HostTarget
from landmint.targets.paired import PAIRED_LATENCY, PairedVisit, Side, paired_visit
from landmint.targets.profiling import profile_in_turns
from landmint.train.evaluate import crop_faces, truth_of
from landmint.train.faces.face import FaceSet


@dataclass(frozen=True)
class Gated:
    """What a gate found of one pair of variants."""

    verdict: Verdict
    """On the candidate."""
    baseline: Measurement | None = None
    """Raw; None where the pair was not compared."""
    candidate: Measurement | None = None
    """Raw, of the same visit."""

    def write(self, folder: Path) -> None:
        """Write both measurements, into `baseline` and `candidate` of a folder."""
        if self.baseline is not None and self.candidate is not None:
            write_measurement(folder / "baseline", self.baseline)
            write_measurement(folder / "candidate", self.candidate)


@dataclass(frozen=True)
class Places:
    """Where the two builds run."""

    baseline: Target
    """Of the baseline."""
    candidate: Target
    """Of the candidate: the same machine, perhaps another Python."""

    @staticmethod
    def of(name: str, baseline_python: str = "", candidate_python: str = "") -> "Places":
        """Targets by name.

        Args:
            name: of the target.
            baseline_python: interpreter that runs the baseline; this one when empty.
            candidate_python: interpreter that runs the candidate; this one when empty.

        Raises:
            LandmintError: there is no such interpreter, or the target takes none.
        """
        baseline = _target(name, baseline_python)
        same = candidate_python == baseline_python
        return Places(baseline, baseline if same else _target(name, candidate_python))


def _target(name: str, python: str) -> Target:
    if not python:
        return load_target(name)
    if name != "host":
        raise LandmintError(
            f"the target {name} takes no other Python",
            reason="only the host starts its agents with one",
            remedy="leave the option away, or gate on the host",
        )
    if shutil.which(python) is None:
        raise LandmintError(
            f"there is no Python {python}", remedy="give the path of an environment's bin/python"
        )
    return HostTarget(python)


def gate_pairs(
    builds: tuple[Build, Build],
    pairs: Sequence[Pair],
    places: Places,
    faces: FaceSet,
    config: MeasureConfig,
    rules: PairedRules,
    progress: Progress,
) -> tuple[Gated, ...]:
    """Compare the variants of two builds.

    Args:
        builds: the baseline and the candidate.
        pairs: which variants.
        places: what runs them.
        faces: of the builds' markup; a few of them are what timed models are fed.
        config: threads, and the seed of the order of turns.
        rules: what counts as slower, and how sure a verdict must be.
        progress: told of every step.

    Returns:
        one for each pair, in order.

    Raises:
        LandmintError: there are no faces.
        NotMeasuredError: no variant stands in both builds.
    """
    if not faces.faces:
        raise LandmintError(
            "the evaluation set is empty",
            reason="it has no face to run the builds on",
            remedy="give a data set with faces in its test split",
        )
    reasons = {pair: why for pair in pairs if (why := _why_not_compared(pair)) is not None}
    compared = [pair for pair in pairs if pair not in reasons]
    if not compared:
        raise NotMeasuredError(
            "there is nothing to compare",
            reason="; ".join(f"{v.variant}: {v.reason}" for v in reasons.values()),
        )
    with scratch_folder() as scratch, ExitStack() as visits:
        crops = write_crops(scratch / "crops.npz", faces, builds[1])
        latency = dataclasses.replace(PAIRED_LATENCY, threads=config.threads, seed=config.seed)
        opened = [
            visits.enter_context(
                paired_visit(*sides_of(pair, builds, places), crops, latency, progress)
            )
            for pair in compared
        ]
        for visit in opened:
            visit.predict()
        untimed = places.candidate.no_times
        checks = tuple(map(_counted, opened)) if untimed else compare(opened, rules)
        operators = [
            _slow_operators(sides_of(pair, builds, places), answers, latency, progress)
            for pair, answers in zip(compared, checks, strict=True)
        ]
        explained = zip(compared, opened, checks, operators, strict=True)
        results = [_gated(*each, truth_of(faces), rules) for each in explained]
    by_pair = dict(zip(compared, results, strict=True))
    return tuple(by_pair.get(pair) or Gated(reasons[pair]) for pair in pairs)


def sides_of(
    pair: Pair, builds: tuple[Build, Build], places: Places, slowdown: float = 0.0
) -> tuple[Side, Side]:
    """Both sides of a pair that stands in both builds, for a paired visit."""
    assert pair.baseline is not None and pair.candidate is not None
    return (
        Side(builds[0].bundle, pair.baseline.name, places.baseline),
        Side(builds[1].bundle, pair.candidate.name, places.candidate, slowdown),
    )


def write_crops(path: Path, faces: FaceSet, build: Build) -> Path:
    """Write the crops of faces as a visit reads them."""
    crops = crop_faces(faces.faces, build.bundle.manifest.contract)
    names = np.array([face.name for face in faces.faces])
    np.savez(path, crops=crops.crops, matrices=crops.matrices, names=names)
    return path


def _why_not_compared(pair: Pair) -> Verdict | None:
    """The verdict on a pair that cannot be compared; None for one that can."""
    ours, theirs = pair.candidate, pair.baseline
    if ours is None:
        return Verdict(pair.name, "not measured", "the baseline has it, the candidate has not")
    if theirs is None:
        return Verdict(pair.name, "not judged", "new: the baseline has no such variant")
    if ours.files and theirs.files:
        return None
    if theirs.files:
        return Verdict(pair.name, "not measured", f"the candidate was not built: {ours.reason}")
    return Verdict(pair.name, "not judged", f"the baseline was not built: {theirs.reason}")


def _gated(
    pair: Pair,
    visit: PairedVisit,
    checks: tuple[Check, ...],
    operators: tuple[OperatorChange, ...] | None,
    truth: Truth,
    rules: PairedRules,
) -> Gated:
    baseline, candidate = visit.measurements()
    if not visit.failure and "null" in (candidate.target, candidate.engine):
        reason = "a rehearsal: the null engine ran instead of the model"
        return Gated(Verdict(pair.name, "not measured", reason), baseline, candidate)
    drift = drift_of(baseline, candidate, truth, rules.drift)
    if not visit.failure:
        checks += (drift_check(drift, rules.drift),)
    reason = visit.failure or "; ".join(_remarks(baseline, candidate, checks))
    evidence = evidence_of(baseline, candidate, drift, operators, visit.spoiled, visit.launches)
    status = worst([check.status for check in checks]) if checks else "not measured"
    verdict = Verdict(pair.name, status, reason, checks, evidence=evidence)
    return Gated(verdict, baseline, candidate)


def _counted(visit: PairedVisit) -> tuple[Check, ...]:
    """What is judged in place of times where those say nothing."""
    return () if visit.failure else (instructions_check(*visit.measurements()),)


def _slow_operators(
    sides: tuple[Side, Side], checks: Sequence[Check], config: LatencyConfig, progress: Progress
) -> tuple[OperatorChange, ...] | None:
    """The operators of a variant that became slower; None for one that did not."""
    if not any(check.name == TIME and check.status == "regression" for check in checks):
        return None
    try:
        return compare_operators(profile_in_turns(*sides, config, progress=progress))
    except LandmintError:  # the verdict stands without an explanation
        return ()


def _remarks(
    baseline: Measurement, candidate: Measurement, checks: Sequence[Check]
) -> Iterator[str]:
    """What else differs between the builds, which a reader must know."""
    faster = any(c.name == TIME and c.high is not None and c.high < 1 for c in checks)
    for mismatch in incomparable(baseline, candidate):
        yield f"{'faster, but ' if faster else ''}{mismatch.sentence}"
