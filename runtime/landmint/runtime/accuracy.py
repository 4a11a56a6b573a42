"""How far predicted landmarks are from true ones, in original image pixels.

Pure functions over arrays. A predicted landmark that is not finite is infinitely wrong and counts
as a failure: none is dropped. A true landmark that is NaN is missing, for nobody placed it: its
error is NaN, and every mean is over the landmarks that are there.
Definitions: 300W (Sagonas et al., 2013), WFLW (Wu et al., 2018).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup, Normaliser, get_markup
from landmint.runtime.stats import Interval, person_interval, quantile

Floats = NDArray[np.float64]
NORMALISERS: tuple[Normaliser, ...] = get_args(Normaliser)

# Failure thresholds in use, as shares of the normaliser: 300W .08, WFLW and COFW .10, boxes .07;
# .10 is everywhere, for tables in which markups meet.
THRESHOLDS: Mapping[Normaliser, tuple[float, ...]] = MappingProxyType(
    {"inter_ocular": (0.08, 0.10), "inter_pupil": (0.10,), "box": (0.07, 0.10)}
)


@dataclass(frozen=True, eq=False)
class Truth:
    """The labelled faces that a model is measured on."""

    markup: str
    """Name of the landmark scheme."""
    names: tuple[str, ...]
    """Name of each face."""
    persons: tuple[str, ...]
    """Person of each face; faces of one person count together in every interval."""
    points: Floats
    """(N, L, 2) in original image pixels; NaN where a landmark is missing."""
    boxes: Floats
    """(N, 4) face boxes x, y, w, h in original image pixels."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together.

        Raises:
            LandmintError: there are no faces, or shapes disagree, a value is infinite, a box is not
                finite, or a face lacks the landmarks that its errors are divided by.
        """
        count, landmarks = len(self.names), get_markup(self.markup).points
        shapes = (self.points.shape, self.boxes.shape, len(self.persons))
        if count == 0 or shapes != ((count, landmarks, 2), (count, 4), count):
            raise LandmintError(
                f"{count} face names with points {self.points.shape}, boxes {self.boxes.shape} "
                f"and {len(self.persons)} persons",
                reason=f"every face needs {landmarks} points, a box and a person",
            )
        if np.any(np.isinf(self.points)) or not np.all(np.isfinite(self.boxes)):
            raise LandmintError("true landmarks and boxes must be finite")
        sizes = self.points[:, size_landmarks(get_markup(self.markup))]
        if np.any(np.isnan(sizes)):
            face = int(np.isnan(sizes).any(axis=(1, 2)).argmax())
            raise LandmintError(
                f"face {self.names[face]} cannot be judged",
                reason="landmarks are missing by which its errors are divided",
                remedy="label them, or leave the face out",
            )


@dataclass(frozen=True)
class Errors:
    """Errors over one normaliser; shares, not percent."""

    nme: float
    """Normalised mean error: mean over faces of each face's mean landmark error."""
    failure_rate: Mapping[float, float]
    """Threshold to the share of faces whose error exceeds it."""
    auc: Mapping[float, float]
    """Threshold to the area under the cumulative error curve up to it, scaled to 1."""
    percentiles: Mapping[int, float]
    """90, 95 and 99 to the face error that such a share of faces does not exceed."""


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Everything about one variant's landmarks; errors by the markup's first normaliser."""

    main: Errors
    """By the markup's normaliser."""
    errors: Mapping[Normaliser, Errors]
    """By every normaliser that the markup has."""
    interval: Interval
    """The NME with its interval over persons."""
    eyes_nme: float
    """NME of the eye landmarks alone."""
    by_region: Mapping[str, float]
    """NME of each region's landmarks."""
    by_landmark: Floats
    """(L,) NME of each landmark."""
    per_face: Floats
    """(N,) error of each face."""
    not_finite: int
    """Faces with at least one landmark that is not finite."""


@dataclass(frozen=True, eq=False)
class Difference:
    """How far a variant is from the reference model, over the markup's normaliser."""

    displacement: Interval
    """Mean distance between the two models' landmarks."""
    nme_rise: Interval
    """The variant's NME minus the reference's, paired by face."""
    by_landmark: Floats
    """(L,) displacement of each landmark."""
    offsets: Floats
    """(L, 2) mean signed offset of each landmark."""
    per_face: Floats
    """(N,) displacement of each face."""


def point_errors(predicted: Floats, truth: Floats) -> Floats:
    """Distances (N, L) in pixels between points (N, L, 2).

    Infinite where a predicted point is not finite, NaN where the true one is missing.

    Raises:
        LandmintError: the shapes differ.
    """
    return np.where(np.isnan(truth).any(axis=-1), np.nan, distances(predicted, truth))


def distances(predicted: Floats, truth: Floats) -> Floats:
    """Distances (N, L) in pixels between points (N, L, 2); infinite where one is not finite.

    Raises:
        LandmintError: the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise LandmintError(
            f"predicted points of shape {predicted.shape}, true ones of {truth.shape}",
            reason="each face needs every landmark",
        )
    distance = np.hypot(*np.moveaxis(predicted - truth, -1, 0))
    return np.where(np.isfinite(distance), distance, np.inf)


def size_landmarks(markup: Markup) -> list[int]:
    """The landmarks by which errors are divided; none where that is the box."""
    by = markup.normalisers[0]
    corners, pupils = markup.eye_corners, (*markup.pupils[0], *markup.pupils[1])
    return [] if by == "box" else list(corners if by == "inter_ocular" else pupils)


def normalisers(points: Floats, boxes: Floats, markup: Markup, kind: Normaliser) -> Floats:
    """What errors are divided by, (N,) in pixels.

    Args:
        points: (N, L, 2) true landmarks.
        boxes: (N, 4) face boxes.
        markup: which landmarks are eye corners and pupils.
        kind: distance of the outer eye corners, of the pupils, or sqrt(w h) of the box.

    Raises:
        LandmintError: the kind is unknown, or a normaliser is zero.
    """
    if kind == "inter_ocular":
        left, right = (points[:, corner] for corner in markup.eye_corners)
        sizes = np.linalg.norm(left - right, axis=-1)
    elif kind == "inter_pupil":
        left, right = (points[:, list(eye)].mean(axis=1) for eye in markup.pupils)
        sizes = np.linalg.norm(left - right, axis=-1)
    elif kind == "box":
        sizes = np.sqrt(boxes[:, 2] * boxes[:, 3])
    else:
        raise LandmintError(f"unknown normaliser '{kind}'", choices=NORMALISERS)
    if np.any(sizes <= 0):
        raise LandmintError(
            f"face {int(np.argmax(sizes <= 0))} has an {kind} size of zero",
            reason="its error cannot be normalised",
            remedy="correct its annotation or leave the face out of the list",
        )
    return np.asarray(sizes, dtype=np.float64)


def face_sizes(truth: Truth) -> Floats:
    """(N,) pixels by which errors are divided: the markup's first normaliser.

    Raises:
        LandmintError: a face has none.
    """
    markup = get_markup(truth.markup)
    return normalisers(truth.points, truth.boxes, markup, markup.normalisers[0])


def nme_per_image(errors: Floats, sizes: Floats, landmarks: Sequence[int] | None = None) -> Floats:
    """Normalised mean error (N,) of each face, over all or the given landmarks.

    The mean is over those that are there; NaN for a face that has none of them.
    """
    chosen = errors if landmarks is None else errors[:, list(landmarks)]
    return np.asarray(mean_of(chosen, axis=1) / sizes)


def mean_of(values: Floats, axis: int) -> Floats:
    """The mean along an axis over what is there, so over all but NaN; NaN where nothing is."""
    present = ~np.isnan(values)
    total = np.where(present, values, 0.0).sum(axis=axis)
    count = present.sum(axis=axis)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def failure_rate(nme: Floats, threshold: float) -> float:
    """Share of faces whose error exceeds the threshold."""
    return float(np.mean(nme > threshold))


def auc(nme: Floats, threshold: float) -> float:
    """Area under the cumulative error curve up to the threshold, exactly: no histogram."""
    return float(np.maximum(0.0, 1.0 - nme / threshold).mean())


def percentiles(nme: Floats) -> dict[int, float]:
    """P90, P95 and P99 of the faces' errors."""
    return {percent: quantile(nme, percent / 100) for percent in (90, 95, 99)}


def by_region(errors: Floats, sizes: Floats, markup: Markup) -> dict[str, float]:
    """NME of each region's landmarks, over the faces that have some of them."""
    return {
        region: float(mean_of(nme_per_image(errors, sizes, landmarks), axis=0))
        for region, landmarks in markup.regions.items()
    }


def by_landmark(errors: Floats, sizes: Floats) -> Floats:
    """NME (L,) of each landmark, over the faces that have it; NaN where none has."""
    return mean_of(errors / sizes[:, None], axis=0)


def eyes_only(errors: Floats, sizes: Floats, markup: Markup) -> Floats:
    """Error (N,) of each face over the eye landmarks: closed eyes fail first after INT8."""
    return nme_per_image(errors, sizes, markup.regions["eyes"])


def cumulative_errors(nme: Floats, threshold: float, steps: int = 101) -> tuple[Floats, Floats]:
    """The cumulative error curve: errors (steps,) and the share of faces (steps,) within each."""
    grid = np.linspace(0.0, threshold, steps)
    return grid, np.searchsorted(np.sort(nme), grid, side="right") / len(nme)


def errors_of(nme: Floats, kind: Normaliser) -> Errors:
    """The figures of one normaliser from the faces' errors (N,).

    A face whose error is NaN, since the landmarks of this normaliser are missing, does not count.
    """
    nme = nme[~np.isnan(nme)] if not np.isnan(nme).all() else nme
    return Errors(
        nme=float(nme.mean()),
        failure_rate={t: failure_rate(nme, t) for t in THRESHOLDS[kind]},
        auc={t: auc(nme, t) for t in THRESHOLDS[kind]},
        percentiles=percentiles(nme),
    )


def summarise(predicted: Floats, truth: Truth) -> Accuracy:
    """All figures of predicted landmarks (N, L, 2)."""
    markup = get_markup(truth.markup)
    errors = point_errors(predicted, truth.points)
    by_normaliser = {
        kind: errors_of(
            nme_per_image(errors, normalisers(truth.points, truth.boxes, markup, kind)), kind
        )
        for kind in markup.normalisers
    }
    sizes = face_sizes(truth)
    per_face = nme_per_image(errors, sizes)
    return Accuracy(
        main=by_normaliser[markup.normalisers[0]],
        errors=by_normaliser,
        interval=person_interval(per_face, truth.persons),
        eyes_nme=float(mean_of(eyes_only(errors, sizes, markup), axis=0)),
        by_region=by_region(errors, sizes, markup),
        by_landmark=by_landmark(errors, sizes),
        per_face=per_face,
        not_finite=int(np.isinf(errors).any(axis=1).sum()),
    )


def difference(predicted: Floats, reference: Floats, truth: Truth) -> Difference:
    """How predicted landmarks (N, L, 2) differ from the reference model's, paired by face."""
    sizes = face_sizes(truth)
    moved = distances(predicted, reference)
    own = nme_per_image(point_errors(predicted, truth.points), sizes)
    with np.errstate(invalid="ignore"):  # two failures: infinite less infinite is not finite
        rise = own - nme_per_image(point_errors(reference, truth.points), sizes)
    per_face = nme_per_image(moved, sizes)
    return Difference(
        displacement=person_interval(per_face, truth.persons),
        nme_rise=person_interval(rise, truth.persons),
        by_landmark=by_landmark(moved, sizes),
        offsets=((predicted - reference) / sizes[:, None, None]).mean(axis=0),
        per_face=per_face,
    )
