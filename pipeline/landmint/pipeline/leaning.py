"""Whether the labels of a data set lean, in words, and what part of a lean grows with the face."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from landmint.pipeline.judge.comparison import side_of
from landmint.pipeline.text import percent
from landmint.runtime.crop import Floats
from landmint.runtime.stats import CONFIDENCE, MIN_PERSONS, person_interval, student_quantile

_LEANS = 0.002
"""Share of the box's longer side from which a lean is worth a word: a twentieth of a good NME."""
_FEW_SIZES = 0.1
"""Standard deviation of the faces' sides, as a share of their mean, below which they are too much
of a size to tell what part of a lean is the same for all and what part grows with the face."""


@dataclass(frozen=True)
class LeanLine:
    """A lean as pixels that are the same for all faces, and a share of the box's longer side."""

    pixels: float
    """The same for all faces."""
    pixels_reach: float
    """Half the 95 % interval of that over persons; infinite where it cannot be told."""
    share: float
    """Of the box's longer side."""
    share_reach: float
    """Likewise."""


def leaning_lines(lean_px: Floats, sides: Floats, persons: Sequence[str]) -> Iterator[str]:
    """What is to be said of how far labels lie right of and below what a network sees.

    Args:
        lean_px: (N, 2) of each face.
        sides: (N,) longer side of each face box, in pixels.
        persons: (N,) of the faces.
    """
    shares = [person_interval(lean_px[:, axis] / sides, persons) for axis in (0, 1)]
    if shares[0].is_unbounded:
        yield "whether labels lean cannot be told: not enough persons"
        return
    faces = f"{len(sides)} faces"
    leans = [side_of(s, 0) != "undecided" and abs(s.estimate) >= _LEANS for s in shares]
    if leans[0]:
        side = "right" if shares[0].estimate > 0 else "left"
        amount = percent(abs(shares[0].estimate))
        line = significant_line(lean_px[:, 0], sides, persons)
        yield (
            f"look at: labels lie {amount} % of the box's longer side to the {side} of what the "
            f"model sees both ways round ({faces}); {_parts(line)}; to take that off, add under "
            f"[faces]: label_offset = {{ pixels = [{line.pixels:.2f}, 0], "
            f"share = [{line.share:.4f}, 0] }}"
        )
    else:
        yield f"labels lean to neither side (of {faces})"
    if leans[1]:
        side = "below" if shares[1].estimate > 0 else "above"
        amount = percent(abs(shares[1].estimate))
        line = significant_line(lean_px[:, 1], sides, persons)
        yield (
            f"look at: labels lie {amount} % of the box's longer side {side} what the model sees "
            f"({faces}); {_parts(line)}; a mirror does not tell which of the two leans, so nothing "
            "is advised: compare with a model that has not learnt from these labels"
        )
    else:
        yield f"labels lean neither up nor down from what the model sees (of {faces})"


def significant_line(lean_px: Floats, sides: Floats, persons: Sequence[str]) -> LeanLine:
    """The line with the parts that can be told from 0 alone.

    Where neither can, though the labels lean, all of it is taken to grow with the face, as a
    network's error does.
    """
    line = lean_line(lean_px, sides, persons)
    has_pixels = abs(line.pixels) > line.pixels_reach
    has_share = abs(line.share) > line.share_reach
    if has_pixels and has_share:
        return line
    scale = np.ones(len(sides)) if has_pixels else sides
    interval = person_interval(lean_px / scale, persons)
    reach = (interval.high - interval.low) / 2
    if has_pixels:
        return LeanLine(interval.estimate, reach, 0.0, line.share_reach)
    return LeanLine(0.0, line.pixels_reach, interval.estimate, reach)


def lean_line(lean_px: Floats, sides: Floats, persons: Sequence[str]) -> LeanLine:
    """The least-squares line of a lean over the faces' sides, its error by the jackknife.

    The jackknife leaves one person out at a time, since faces of one resemble each other (Efron and
    Stein, "The jackknife estimate of variance", 1981).

    Args:
        lean_px: (N,) of each face.
        sides: (N,) longer side of each face box, in pixels.
        persons: (N,) of the faces.

    Returns:
        the line; where the faces are all of about one size, 0 pixels and the mean share.
    """
    _, member = np.unique(np.asarray(persons), return_inverse=True)
    count = int(member.max()) + 1
    if sides.std() < _FEW_SIZES * sides.mean() or count < MIN_PERSONS:
        interval = person_interval(lean_px / sides, persons)
        return LeanLine(0.0, np.inf, interval.estimate, (interval.high - interval.low) / 2)
    rows = np.stack([np.ones_like(sides), sides / sides.mean()], axis=1)
    squares, products = np.zeros((count, 2, 2)), np.zeros((count, 2, 1))
    np.add.at(squares, member, rows[:, :, None] * rows[:, None])
    np.add.at(products, member, (rows * lean_px[:, None])[..., None])
    whole = np.linalg.solve(squares.sum(axis=0), products.sum(axis=0))[:, 0]
    without = np.linalg.solve(squares.sum(axis=0) - squares, products.sum(axis=0) - products)
    moves = without[..., 0] - without[..., 0].mean(axis=0)
    error = np.sqrt((count - 1) / count * (moves**2).sum(axis=0))
    edge = student_quantile(1 - (1 - CONFIDENCE) / 2, count - 1)
    pixels, share = whole / (1, sides.mean())
    reach = edge * error / (1, sides.mean())
    return LeanLine(float(pixels), float(reach[0]), float(share), float(reach[1]))


def _parts(line: LeanLine) -> str:
    """The parts of a lean in words."""
    if not np.isfinite(line.pixels_reach):
        return "the faces are too much of a size to tell whether it grows with them"
    pixels = f"{line.pixels:.2f} ± {line.pixels_reach:.2f} px of it are the same for all faces"
    share = f"{100 * line.share:.2f} ± {100 * line.share_reach:.2f} % grow with the face"
    if line.pixels and line.share:
        return f"{pixels}, {share}"
    if line.pixels:
        return f"it is {line.pixels:.2f} ± {line.pixels_reach:.2f} px for faces of all sizes"
    return "it grows with the face"
