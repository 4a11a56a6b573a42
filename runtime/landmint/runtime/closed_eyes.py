"""The error of closed eyes, which fail first after INT8 and are what people see first.

Pure functions over arrays, by the normaliser of `landmint.runtime.accuracy`.
"""

import numpy as np

from landmint.runtime.accuracy import Floats, Truth, eyes_only, face_sizes, point_errors
from landmint.runtime.markup import Markup, get_markup
from landmint.runtime.stats import Interval, person_interval

CLOSED_BELOW = 0.2
"""Eyes with a smaller aspect ratio count as closed: the value in use with Soukupova and Cech's
ratio."""


def closed_eye_error(predicted: Floats, truth: Truth) -> Interval | None:
    """NME of the eye landmarks on the faces whose labelled eyes are closed.

    Closed: the mean eye aspect ratio of both eyes is under `CLOSED_BELOW`.

    Returns:
        a share of the normaliser with its interval over persons; None when no face has closed
        eyes, or the markup has no lids.
    """
    markup = get_markup(truth.markup)
    closed = np.flatnonzero(eye_aspect(truth.points, markup) < CLOSED_BELOW)
    if not len(closed):
        return None
    errors = point_errors(predicted[closed], truth.points[closed])
    nme = eyes_only(errors, face_sizes(truth)[closed], markup)
    return person_interval(nme, [truth.persons[place] for place in closed])


def eye_aspect(points: Floats, markup: Markup) -> Floats:
    """Eye aspect ratio (N,): height over width, the mean of both eyes; infinite without lids.

    Height is the mean distance of an upper lid's landmarks from those below them, width the
    distance of the eye's corners. With 68 points it is equation 1 of Soukupova and Cech, "Real-Time
    Eye Blink Detection using Facial Landmarks", CVWW 2016.

    Args:
        points: (N, L, 2).
        markup: an eye of it is a closed contour that begins at a corner and has the other corner
            half-way round.
    """
    eyes = [
        list(ring)
        for ring, is_closed in markup.contours
        if is_closed and set(ring) <= set(markup.regions["eyes"])
    ]
    if not eyes:
        return np.full(len(points), np.inf)
    return np.asarray(np.mean([_aspect(points[:, ring]) for ring in eyes], axis=0))


def _aspect(ring: Floats) -> Floats:
    """Height over width (N,) of eye contours (N, K, 2); infinite where the corners coincide."""
    half = ring.shape[1] // 2
    upper, lower = ring[:, 1:half], ring[:, :half:-1]
    height = np.linalg.norm(upper - lower, axis=-1).mean(axis=1)
    width = np.linalg.norm(ring[:, 0] - ring[:, half], axis=-1)
    aspect = np.full(len(ring), np.inf)
    np.divide(height, width, out=aspect, where=width > 0)
    return aspect
