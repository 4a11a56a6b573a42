"""Tries readings of a foreign network on drawn faces: which one puts landmarks where they are.

No file says how its pictures are normalised or cropped. A wrong reading misses the landmarks of a
face by more, even of a drawn one.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.export.importing.binding import Order, Tap, Unit
from landmint.export.importing.foreign_contract import (
    CropSpec,
    ForeignContract,
    InputSpec,
    Signature,
)
from landmint.export.importing.heads import Looks
from landmint.export.importing.original import OriginalSession, Run
from landmint.runtime.accuracy import normalisers
from landmint.runtime.contract import Color, Layout
from landmint.runtime.crop import Floats, box_of, crop_matrix, warp
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup, get_markup
from landmint.runtime.predict import predict_crops
from landmint.train.faces.synthetic import generate

FACES = 6
_DRAWN = ("68", "98")
_SIZE_PX = 160
_SURE = 0.8  # the best reading is believed where it misses by less than this share of the next

Triple = tuple[float, float, float]
SCALINGS: Mapping[str, tuple[Triple, Triple]] = MappingProxyType(
    {
        "0 to 1": ((0.0,) * 3, (255.0,) * 3),
        "-1 to 1": ((127.5,) * 3, (127.5,) * 3),
        "ImageNet's mean and deviation": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        "0 to 255": ((0.0,) * 3, (1.0,) * 3),
    }
)
"""Mean and deviation by what they make of a byte."""
_CROPS = (1.0, 1.2, 1.4)
_COLORS: tuple[Color, ...] = ("RGB", "BGR")


@dataclass(frozen=True)
class Trial:
    """One reading, and by how much it misses."""

    scaling: str
    """Of `SCALINGS`."""
    spec: ForeignContract
    """What would be said of the network."""
    nme: float
    """Mean error over the distance between the eye corners."""


def try_readings(
    run: Run, signature: Signature, looks: Looks, size: int, layout: Layout
) -> list[Trial]:
    """Every reading that runs, the one that misses least first; empty where none can be tried.

    Args:
        run: the file.
        signature: of the file.
        looks: what its outputs look like.
        size: side of the crop.
        layout: of the input.
    """
    if looks.markup not in _DRAWN or looks.head is None:
        return []
    markup = get_markup(looks.markup)
    faces = [generate(0, index * 7, markup, _SIZE_PX) for index in range(FACES)]
    trials, remembered = [], _remembering(run)
    for spec, scaling in _specs(looks, size, layout):
        try:
            contract, binding = spec.bind(signature)
            session = OriginalSession(contract, binding, remembered, "")
            matrices = np.stack(
                [crop_matrix(box_of(face.points), contract.crop, size) for face in faces]
            )
            crops = np.stack(
                [warp(face.image, m, size) for face, m in zip(faces, matrices, strict=True)]
            )
            points, _ = predict_crops(session, contract, crops, matrices)
        except LandmintError:
            continue
        truth = np.stack([face.points for face in faces])
        trials.append(Trial(scaling, spec, _nme(points, truth, markup)))
    return sorted(trials, key=lambda trial: trial.nme)


def _remembering(run: Run) -> Run:
    """The same, but an input that came before is not run again."""
    known: dict[bytes, Mapping[str, NDArray[Any]]] = {}

    def infer(tensor: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        key = tensor.tobytes()
        if key not in known:
            known[key] = run(tensor)
        return known[key]

    return infer


def is_sure(best: Trial, others: list[Trial]) -> bool:
    """Whether one reading is clearly better than others."""
    return all(best.nme < _SURE * other.nme for other in others)


def _nme(points: Floats, truth: Floats, markup: Markup) -> float:
    boxes = np.array([box_of(face) for face in truth], dtype=np.float64)
    sizes = normalisers(truth, boxes, markup, "inter_ocular")
    apart = np.linalg.norm(points - truth, axis=2).mean(axis=1) / sizes
    return float(np.nan_to_num(apart, nan=np.inf, posinf=np.inf).mean())


def _specs(looks: Looks, size: int, layout: Layout) -> Iterator[tuple[ForeignContract, str]]:
    head = looks.head
    assert head is not None
    for scaling, color, crop, taps in itertools.product(
        SCALINGS, _COLORS, _CROPS, list(_taps(looks))
    ):
        mean, std = SCALINGS[scaling]
        picture = InputSpec(size, color, mean, std, layout=layout)
        yield ForeignContract(looks.markup, picture, CropSpec((crop, crop)), head, taps), scaling


def _taps(looks: Looks) -> Iterator[Mapping[str, Tap]]:
    """The taps with every order and unit that their shapes leave open."""
    if "coordinates" not in looks.taps:
        yield looks.taps
        return
    tap = looks.taps["coordinates"]
    orders: tuple[Order, ...] = ("interleaved", "planar") if looks.doubts else (tap.order,)
    units: tuple[Unit, ...] = ("share", "pixels", "centred")
    for order, unit in itertools.product(orders, units):
        yield {**looks.taps, "coordinates": dataclasses.replace(tap, order=order, unit=unit)}
