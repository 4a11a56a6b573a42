"""How much landmarks tremble over a video.

A definition for labelled frames: what the labels move by is taken off. Pure functions over arrays.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.accuracy import Floats, Truth, face_sizes, mean_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.stats import Interval, person_interval

# The last number of a face's name; readers add "#2" to the second face of an image.
_FRAME = re.compile(r"(.*?)(\d+)(#\d+)?", re.DOTALL)


def temporal_jitter(predicted: Floats, truth: Floats, sizes: Floats) -> float:
    """How much landmarks tremble over a video, as a share of the normaliser.

    The mean over landmarks and pairs of neighbouring frames of how far a landmark's error moves
    from one frame to the next; a constant error does not tremble.

    Args:
        predicted: (T, L, 2) in image pixels, frame by frame.
        truth: (T, L, 2) likewise.
        sizes: (T,) normalisers in pixels.

    Raises:
        LandmintError: the shapes differ, or there are fewer than two frames.
    """
    if predicted.shape != truth.shape or len(sizes) != len(truth) or len(truth) < 2:
        raise LandmintError(
            f"predicted points of shape {predicted.shape}, true ones of {truth.shape}",
            reason="trembling is told from two frames or more, each with every landmark",
        )
    later = np.arange(1, len(truth))
    return float(mean_of(_moves(predicted, truth, sizes, later - 1, later), axis=0))


def jitter(predicted: Floats, truth: Truth) -> Interval | None:
    """`temporal_jitter` over every pair of neighbouring frames, with its interval over persons.

    Args:
        predicted: (N, L, 2) in image pixels.
        truth: the labels; what they move by is taken off, but their own rounding is not. A landmark
            that one of the frames lacks is not counted.

    Returns:
        a share of the normaliser; None when no two faces are neighbouring frames.
    """
    earlier, later = neighbouring_frames(truth.names, truth.persons)
    moves = _moves(predicted, truth.points, face_sizes(truth), earlier, later)
    present = ~np.isnan(moves)
    if not present.any():
        return None
    return person_interval(moves[present], [truth.persons[place] for place in later[present]])


def neighbouring_frames(
    names: Sequence[str], persons: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of the earlier and the later frame (P,) of each pair of neighbours.

    Two faces are neighbouring frames when they are of one person and their names differ in the
    last number alone, which is one higher in the later frame: "anna/clip2/0007" and
    "anna/clip2/0008". A name that ends otherwise belongs to no sequence.

    Args:
        names: of the faces.
        persons: of the faces, in the same order.
    """
    places = {}
    for place, (name, person) in enumerate(zip(names, persons, strict=True)):
        if match := _FRAME.fullmatch(name):
            clip, number, face = match.groups()
            places[person, clip, face, int(number)] = place
    pairs = [
        (places[before], place)
        for (person, clip, face, number), place in places.items()
        if (before := (person, clip, face, number - 1)) in places
    ]
    earlier, later = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return earlier, later


def _moves(
    predicted: Floats,
    truth: Floats,
    sizes: Floats,
    earlier: NDArray[np.intp],
    later: NDArray[np.intp],
) -> Floats:
    """How far errors (N, L, 2) move between frames: mean over landmarks (P,), over the size.

    NaN for a pair of frames without a landmark that both have.
    """
    missing = np.isnan(truth)
    errors = predicted - np.where(missing, 0, truth)
    moves = np.linalg.norm(errors[later] - errors[earlier], axis=-1)
    moves = np.where(np.isfinite(moves), moves, np.inf)
    moves[(missing[later] | missing[earlier]).any(axis=-1)] = np.nan
    return mean_of(moves, axis=1) / sizes[later]
