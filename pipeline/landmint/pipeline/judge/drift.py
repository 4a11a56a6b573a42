"""Accuracy drift between two builds: one candidate against its baseline, paired by face.

Both were measured on the same faces in the same visit. A drift is a rise of NME beyond the budget.
A candidate passes by proof, not for want of it: the whole 95 % interval of its rise must keep the
budget, which is a test of non-inferiority (one of the two one-sided tests of TOST; Schuirmann,
1987) at 2.5 %.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landmint.pipeline.judge.gate import VerdictStatus, three_way
from landmint.runtime.accuracy import Floats, Truth, face_sizes, nme_per_image, point_errors
from landmint.runtime.markup import get_markup
from landmint.runtime.stats import CONFIDENCE, Interval, person_interval, persons_needed

Parts = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Drift:
    """The rise of a candidate's NME over its baseline's; all figures in points of percent."""

    status: VerdictStatus
    """Pass, accuracy drift, inconclusive, or not measured."""
    reason: str
    """Why it is no pass; empty for a pass."""
    budget: float
    """Most rise that is allowed."""
    rise: Interval
    """NME of the candidate minus NME of the baseline, with its 95 % interval over persons."""
    by_region: Mapping[str, Interval]
    """The same of each region's landmarks. All these intervals hold together with 95 %
    (Bonferroni over the regions); they explain the verdict and do not decide it."""
    by_landmark: tuple[Interval, ...]
    """The same of each landmark; Bonferroni over the landmarks."""
    faces: int
    """Faces that both were measured on."""
    persons: int
    """Persons among them."""
    persons_needed: int | None
    """Persons with which a candidate as good as its baseline passes nine times in ten, at the
    spread of these; None when that is not known, or more than a million."""

    @property
    def faces_needed(self) -> int | None:
        """Faces of so many persons, each with as many as here on average."""
        if self.persons_needed is None:
            return None
        return math.ceil(self.persons_needed * self.faces / self.persons)

    @property
    def worse_regions(self) -> tuple[str, ...]:
        """Regions whose error surely rose, the worst first."""
        worse = [name for name, rise in self.by_region.items() if rise.low > 0]
        return tuple(sorted(worse, key=lambda name: -self.by_region[name].estimate))

    @property
    def worse_landmarks(self) -> tuple[int, ...]:
        """Landmarks, from 0, whose error surely rose, the worst first."""
        worse = [place for place, rise in enumerate(self.by_landmark) if rise.low > 0]
        return tuple(sorted(worse, key=lambda place: -self.by_landmark[place].estimate))


def judge_drift(baseline: Floats, candidate: Floats, truth: Truth, budget: float) -> Drift:
    """Whether a candidate's landmarks keep the budget.

    A face on which the candidate has a landmark that is not finite is infinitely wrong, and a
    drift. A baseline with such a face is nothing to compare with.

    Args:
        baseline: (N, L, 2) landmarks in image pixels.
        candidate: (N, L, 2) likewise, on the same faces.
        truth: their labels.
        budget: most rise of NME, in points of percent of the markup's normaliser.

    Raises:
        LandmintError: the shapes differ.
    """
    errors = [100 * point_errors(points, truth.points) for points in (candidate, baseline)]
    with np.errstate(invalid="ignore"):  # infinite less infinite is not finite
        rises = np.where(np.isinf(errors[1]), np.inf, errors[0] - errors[1])
    sizes, markup = face_sizes(truth), get_markup(truth.markup)
    landmarks = {str(place): [place] for place in range(markup.points)}
    per_face = nme_per_image(rises, sizes)
    rise = person_interval(per_face, truth.persons)
    if np.array_equal(baseline, candidate):  # no persons can tell two equal builds apart
        rise = Interval(0.0, 0.0, 0.0, 0.0)
    status, reason = _judge(rise, budget, baseline_is_finite=not np.isinf(errors[1]).any())
    return Drift(
        status=status,
        reason=reason,
        budget=budget,
        rise=rise,
        by_region=_together(rises, sizes, truth.persons, markup.regions),
        by_landmark=tuple(_together(rises, sizes, truth.persons, landmarks).values()),
        faces=len(truth.names),
        persons=len(set(truth.persons)),
        persons_needed=persons_needed(per_face, truth.persons, budget),
    )


def _judge(rise: Interval, budget: float, baseline_is_finite: bool) -> tuple[VerdictStatus, str]:
    if not baseline_is_finite:
        return "not measured", "the baseline has landmarks that are not finite"
    if rise.is_unbounded:
        return "inconclusive", "there are too few persons for an interval"
    status = three_way(rise, budget, "accuracy drift")
    if status == "inconclusive":
        return status, "the 95 % interval of the rise lies across the budget"
    if status == "pass":
        return status, ""
    if not math.isfinite(rise.estimate):
        return status, "the candidate has landmarks that are not finite"
    return status, "the whole 95 % interval of the rise lies above the budget"


def _together(
    rises: Floats, sizes: Floats, persons: Sequence[str], parts: Parts
) -> dict[str, Interval]:
    """The rise of each part, with intervals that all hold together with 95 %."""
    confidence = 1 - (1 - CONFIDENCE) / len(parts)

    def rise_of(landmarks: Sequence[int]) -> Interval:
        """Over the faces that have some of the landmarks."""
        values = nme_per_image(rises, sizes, landmarks)
        present = ~np.isnan(values)
        if not present.any():
            return Interval(0.0, -math.inf, math.inf, math.inf)
        return person_interval(values[present], np.asarray(persons)[present].tolist(), confidence)

    return {name: rise_of(landmarks) for name, landmarks in parts.items()}
