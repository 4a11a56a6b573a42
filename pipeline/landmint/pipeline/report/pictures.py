"""Which faces are shown and how much displacements are magnified; `faces.py` draws them."""

from dataclasses import dataclass

import numpy as np

from landmint.pipeline.judge.summary import VariantSummary
from landmint.pipeline.report.faces import displacement_svg, face_svg
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.text import percent
from landmint.runtime.accuracy import face_sizes, mean_of
from landmint.runtime.crop import Box, Floats
from landmint.train.faces.face import read_image

_LARGEST_DISC = 0.13
"""Of the unit of errors: discs of this radius barely touch each other at the eyes."""
_MAGNIFICATIONS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 80, 100, 200, 500, 1000)
_FACES_IN_ALL = 12
_LEAST_FACES = 4
_VISIBLE = 1e-5
"""Displacement below this share of the unit of errors is rounding, and not drawn."""


@dataclass(frozen=True)
class Close:
    """The faces of one variant that are looked at closely."""

    title: str
    """Heading."""
    pictures: tuple[tuple[str, str], ...]
    """Inline markup and caption of each."""


def moving(record: RunRecord) -> list[VariantSummary]:
    """The variants whose landmarks differ from the reference's by more than rounding."""
    return [
        summary
        for summary in record.measured
        if summary.difference is not None
        and not summary.is_reference
        and np.isfinite(summary.difference.displacement.estimate)
        and summary.difference.displacement.estimate > _VISIBLE
    ]


def mean_face(points: Floats, sizes: Floats) -> Floats:
    """Mean (L, 2) of faces (N, L, 2), each centred and divided by its size (N,).

    A landmark that all faces lack stands in the middle.
    """
    centred = points - mean_of(points, axis=1)[:, None]
    return np.nan_to_num(mean_of(centred / sizes[:, None, None], axis=0))


def magnification_of(record: RunRecord) -> float:
    """The round factor at which the largest typical displacement of a variant is easily seen."""
    largest = [
        float(np.quantile(summary.difference.by_landmark, 0.9))
        for summary in moving(record)
        if summary.difference
    ]
    if not largest:
        return 1.0
    fitting = [m for m in _MAGNIFICATIONS if m * max(largest) <= _LARGEST_DISC]
    return float(max(fitting, default=1))


def mean_faces(record: RunRecord, magnification: float) -> tuple[tuple[str, str], ...]:
    """One mean face for each variant that moves landmarks, with a caption."""
    truth = record.truth
    shape = mean_face(truth.points, face_sizes(truth))
    return tuple(
        (
            displacement_svg(shape, summary.difference, record.markup, summary.name, magnification),
            f"{summary.name}: {percent(summary.difference.displacement.estimate, 3)} %",
        )
        for summary in moving(record)
        if summary.difference
    )


def worst_faces_of(record: RunRecord) -> list[Close]:
    """The worst faces of all INT8 variants that move landmarks, else of what moves them most."""
    shown = moving(record)
    chosen = [summary for summary in shown if summary.precision == "int8"]
    if not chosen and shown:
        chosen = [
            max(shown, key=lambda s: s.difference.displacement.estimate if s.difference else 0.0)
        ]
    count = max(_LEAST_FACES, _FACES_IN_ALL // max(1, len(chosen)) // 4 * 4)
    close = []
    for summary in chosen:
        pictures = tuple(
            _picture(record, summary, index) for index in _worst(record, summary)[:count]
        )
        if pictures:
            close.append(Close(f"{summary.name}", pictures))
    return close


def _worst(record: RunRecord, summary: VariantSummary) -> list[int]:
    """Faces by falling displacement, those without a picture left out."""
    if summary.difference is None:
        return []
    order = np.argsort(-summary.difference.per_face, kind="stable")
    return [int(index) for index in order if record.truth.names[int(index)] in record.images]


def _picture(record: RunRecord, summary: VariantSummary, index: int) -> tuple[str, str]:
    name = record.truth.names[index]
    reference = record.reference
    ours, theirs = summary.measurement.points, reference.measurement.points if reference else None
    layers = {"truth": record.truth.points[index]}
    if theirs is not None:
        layers["reference"] = theirs[index]
    if ours is not None:
        layers["variant"] = ours[index]
    moved = percent(float(summary.difference.per_face[index])) if summary.difference else ""
    errors = [
        percent(float(network.accuracy.per_face[index]))
        for network in (reference, summary)
        if network is not None and network.accuracy is not None
    ]
    caption = f"moved {moved} %, NME {' → '.join(errors)} %"
    svg = face_svg(
        read_image(record.images[name], name in record.upright),
        Box(*map(float, record.truth.boxes[index])),
        layers,
        record.markup,
        f"Face {name} with the true landmarks, the float network's and those of {summary.name}",
    )
    return svg, f"{name}: {caption}"
