"""From a model's outputs to landmarks in the crop, by the contract; numpy only.

Heatmap cell i of stride s stands at crop pixel (i + 0.5) s - 0.5; a normalised coordinate p
at p S - 0.5; bin i of n stands at p = (i + 0.5) / n. `landmint.train.torch_decode` is the same in
torch, for batches on a GPU.

Maps stay as the model returns them, in its type and axis order: only peaks are sought in all of
them, and only the cells about a peak are copied and, where they are integers, made real numbers.
"""

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import OFFSETS, SIMCC_OUTPUTS, Contract, Head
from landmint.runtime.errors import LandmintError
from landmint.runtime.quantised import Quantised, Reals, Values

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DARK_REACH_CELLS = 1.5
"""Longest step of DARK along either axis: to the far edge of the neighbouring cell."""
LOG_FLOOR = 1e-10
"""DARK: least value before its logarithm, and least determinant of a map that curves."""


def decode(contract: Contract, outputs: Mapping[str, Values]) -> tuple[Floats, Floats]:
    """Landmarks of a batch.

    Args:
        contract: of the artefact that made the outputs; its layout tells their axis order.
        outputs: canonical name to array with a batch axis N.

    Returns:
        points (N, L, 2) in crop pixels, and confidence (N, L): what the model states; else
        the heatmap's or the score map's peak, the probability about SimCC's peak, and 1 for
        coordinates.

    Raises:
        LandmintError: an output is missing or has another shape than the contract says.
    """
    tensors = {
        output.name: _canonical(contract, outputs, i) for i, output in enumerate(contract.outputs)
    }
    normalised, confidence = _HEADS[contract.head.kind](contract, tensors)
    return normalised * contract.input_size - 0.5, confidence


def _canonical(contract: Contract, outputs: Mapping[str, Values], index: int) -> Values:
    """One output, channels first, checked against the contract; a view."""
    output = contract.outputs[index]
    if output.name not in outputs:
        raise LandmintError(
            f"the model returned no output '{output.name}'",
            reason="the artefact does not keep its contract",
            remedy="export the model again",
            choices=sorted(outputs),
        )
    tensor = outputs[output.name]
    if contract.layout == "NHWC" and tensor.ndim == 4:
        tensor = tensor.transpose(0, 3, 1, 2)
    if tensor.shape[1:] != output.shape:
        raise LandmintError(
            f"output '{output.name}' has shape {tensor.shape[1:]}",
            reason=f"its contract says {output.shape}",
            remedy="export the model again",
        )
    return tensor


def _decode_coordinates(contract: Contract, tensors: Mapping[str, Values]) -> tuple[Floats, Floats]:
    coordinates = np.asarray(tensors["coordinates"], dtype=np.float64)
    points = coordinates.reshape(len(coordinates), -1, 2)
    confidence = tensors.get("confidence", np.ones(points.shape[:2]))
    return points, np.asarray(confidence, dtype=np.float64)


def _decode_heatmap(contract: Contract, tensors: Mapping[str, Values]) -> tuple[Floats, Floats]:
    heatmaps = tensors["heatmaps"]
    cells, peaks = decode_heatmaps(heatmaps, contract.head)
    confidence = np.asarray(tensors.get("confidence", peaks), dtype=np.float64)
    return (cells + 0.5) / np.array([heatmaps.shape[3], heatmaps.shape[2]]), confidence


def _decode_pip(contract: Contract, tensors: Mapping[str, Values]) -> tuple[Floats, Floats]:
    """PIPNet's decode (Jin et al., IJCV 2021, section 3.2)."""
    scores = tensors["cls"]
    count, landmarks, rows, columns = scores.shape
    x, y, confidence = _peaks(scores.reshape(-1, rows, columns))
    cells = np.stack([x, y]).reshape(2, count, landmarks)
    face, landmark = np.arange(count)[:, None], np.arange(landmarks)

    def at_peak(name: str) -> Reals:
        """Values (N, L, K) of K maps a landmark at its peak cell."""
        maps = tensors[name].reshape(count, landmarks, -1, rows, columns)
        return maps.transpose(0, 3, 4, 1, 2)[face, cells[1], cells[0], landmark]

    guesses = np.empty((2, count, landmarks, 1 + len(contract.head.neighbours[0])))
    for axis, name in enumerate("xy"):
        guesses[axis, ..., :1] = at_peak(name)
        guesses[axis, ..., 1:] = at_peak(f"nb_{name}")
    guesses += cells[..., None]
    order = pip_votes(contract.head.neighbours)
    votes = guesses.reshape(2, count, -1).take(order, axis=2)
    sums = votes.sum(axis=3) / order.shape[1]
    points = np.stack([sums[0] / columns, sums[1] / rows], axis=-1)
    return points, confidence.reshape(count, landmarks)


def _decode_simcc(contract: Contract, tensors: Mapping[str, Values]) -> tuple[Floats, Floats]:
    """SimCC's decode, along x and along y; of the two confidences the lower."""
    decoded = [
        decode_bins(np.asarray(tensors[name], dtype=np.float64), contract.head)
        for name in SIMCC_OUTPUTS
    ]
    (x, sure_x), (y, sure_y) = decoded
    return np.stack([x, y], axis=-1), np.minimum(sure_x, sure_y)


def _decode_offset(contract: Contract, tensors: Mapping[str, Values]) -> tuple[Floats, Floats]:
    """Offset vote: the mean of what the cells about the peak say, of those that score half of it.

    Papandreou et al., "Towards accurate multi-person pose estimation in the wild", CVPR 2017,
    section 3.2.3, whose Hough votes are added over all cells through a kernel.
    """
    scores = tensors["scores"]
    count, landmarks, rows, columns = scores.shape
    x, y, top = _peaks(scores.reshape(-1, rows, columns))
    radius = contract.head.radius
    near = _patches(scores.reshape(-1, rows, columns), x, y, radius, -np.inf)
    counts = near >= top - np.abs(top) / 2
    steps = np.arange(-radius, radius + 1)
    across, down = x + steps[None, :, None], y + steps[:, None, None]
    face, landmark = np.divmod(np.arange(count * landmarks), landmarks)
    places = np.clip(down, 0, rows - 1), np.clip(across, 0, columns - 1)
    points = np.empty((count, landmarks, 2))
    axes = zip(OFFSETS, (across, down), (columns, rows), strict=True)
    for axis, (name, cell, cells) in enumerate(axes):
        maps = landmark * (tensors[name].shape[1] > 1)
        votes = (cell + tensors[name][face, maps, *places]) * counts
        mean = votes.sum(axis=(0, 1)) / counts.sum(axis=(0, 1))
        points[..., axis] = ((mean + 0.5) / cells).reshape(count, landmarks)
    return points, top.reshape(count, landmarks)


def _decode_nested(contract: Contract, tensors: Mapping[str, Values]) -> tuple[Floats, Floats]:
    """Heatmap in heatmap: the peak's cell, and within it the middle of the best inner cell.

    Lan et al., "HIH: towards more accurate face alignment via heatmap in heatmap", 2021, whose code
    decodes to the inner cell's corner.
    """
    outer, inner = tensors["heatmaps"], tensors["inner"]
    x, y, top = _peaks(outer.reshape(-1, *outer.shape[2:]))
    inner_x, inner_y, _ = _peaks(inner.reshape(-1, *inner.shape[2:]))
    points = np.stack(
        [
            (x + (inner_x + 0.5) / inner.shape[3]) / outer.shape[3],
            (y + (inner_y + 0.5) / inner.shape[2]) / outer.shape[2],
        ],
        axis=-1,
    )
    return points.reshape(*outer.shape[:2], 2), top.reshape(outer.shape[:2])


_HEADS: Mapping[str, Callable[[Contract, Mapping[str, Values]], tuple[Floats, Floats]]] = (
    MappingProxyType(
        {
            "coordinates": _decode_coordinates,
            "heatmap": _decode_heatmap,
            "pip": _decode_pip,
            "simcc": _decode_simcc,
            "offset": _decode_offset,
            "nested": _decode_nested,
        }
    )
)


def decode_bins(logits: Floats, head: Head) -> tuple[Floats, Floats]:
    """Where along one axis landmarks lie, from vectors of bins (N, L, n).

    The mean of the bins within `head.radius` of the peak under softmax(`head.tau` v). Published
    code takes the peak alone (Li et al., "SimCC", ECCV 2022, equation 3), which rounds to bins.

    Returns:
        places (N, L) in [0, 1], and the probability (N, L) of the bins that were averaged.
    """
    bins = np.arange(logits.shape[2])
    peak = logits.argmax(axis=2, keepdims=True)
    weights = np.exp(head.tau * (logits - logits.max(axis=2, keepdims=True)))
    near = weights * (np.abs(bins - peak) <= head.radius)
    mass = near.sum(axis=2)
    cells = peak[..., 0] + (near * (bins - peak)).sum(axis=2) / mass
    return (cells + 0.5) / len(bins), mass / weights.sum(axis=2)


@functools.lru_cache(maxsize=8)
def pip_votes(neighbours: tuple[tuple[int, ...], ...]) -> Ints:
    """The votes (L, V) whose mean each landmark is, by index; read-only.

    Vote i (1 + K) is landmark i's own, vote i (1 + K) + 1 + k its guess of neighbours[i][k].
    PIPNet pads each landmark's list of others' votes cyclically to the longest list before it
    takes the mean, which weights votes unequally; the same repetitions stand here.
    """
    width = 1 + len(neighbours[0])
    received: list[list[int]] = [[] for _ in neighbours]
    for i, row in enumerate(neighbours):
        for k, target in enumerate(row):
            received[target].append(i * width + 1 + k)
    longest = max(len(votes) for votes in received)
    rows = [
        [i * width, *np.resize(votes or [i * width], longest)] for i, votes in enumerate(received)
    ]
    order = np.array(rows, dtype=np.int64)
    order.flags.writeable = False
    return order


def decode_heatmaps(heatmaps: Values, head: Head) -> tuple[Floats, Floats]:
    """Peaks of heatmaps (N, L, H, W) in cells, x then y: (N, L, 2), and their values (N, L).

    `head.decode` says how: "argmax"; "quarter", a quarter cell towards the higher neighbour;
    "dark", a Taylor step on the log of the map blurred as befits `head.sigma` (Zhang et al., CVPR
    2020, equations 3-9), of at most `DARK_REACH_CELLS`; "local_soft_argmax", the mean of the cells
    within `head.radius` of the peak under softmax(`head.tau` h) (Bulat et al., BMVC 2021,
    equation 4: 5x5 cells, tau 10); "centroid", their mean by h where it is positive.

    Args:
        heatmaps: one map a landmark.
        head: of the contract.
    """
    count, landmarks, height, width = heatmaps.shape
    maps = heatmaps.reshape(-1, height, width)
    x, y, value = _peaks(maps)
    shift = _REFINEMENTS[head.decode](maps, x, y, head)
    points = np.stack([x, y], axis=-1) + shift
    return points.reshape(count, landmarks, 2), value.reshape(count, landmarks)


def _peaks(maps: Values) -> tuple[Ints, Ints, Floats]:
    """Column, row and value of the highest cell of each map (M, H, W); the first of equals."""
    levels = maps.integers if isinstance(maps, Quantised) else maps
    count, height, width = levels.shape
    y, x = np.divmod(levels.reshape(count, height * width).argmax(axis=1), width)
    return x, y, maps[np.arange(count), y, x].astype(np.float64)


def _patches(maps: Values, x: Ints, y: Ints, radius: int, fill: float) -> Floats:
    """Square patches (2 radius + 1, 2 radius + 1, M) around (x, y); `fill` outside the map.

    The maps come last: numpy is quick along a last axis that is long.
    """
    rows, in_rows = _windows(maps.shape[1], radius)
    columns, in_columns = _windows(maps.shape[2], radius)
    row, column = rows.take(y, axis=1)[:, None], columns.take(x, axis=1)
    cells = maps[np.arange(maps.shape[0]), row, column]
    inside = in_rows.take(y, axis=1)[:, None] & in_columns.take(x, axis=1)
    patches: Floats = np.where(inside, cells, np.float64(fill))
    return patches


@functools.lru_cache(maxsize=32)
def _windows(length: int, radius: int) -> tuple[Ints, NDArray[np.bool_]]:
    """For each place on a line the places within `radius` of it, (2 radius + 1, length).

    Those outside are moved to the end of the line; also returned is which stand inside.
    """
    places = np.arange(length) + np.arange(-radius, radius + 1)[:, None]
    return places.clip(0, length - 1), (places >= 0) & (places < length)


def _no_shift(maps: Values, x: Ints, y: Ints, head: Head) -> Floats:
    return np.zeros((maps.shape[0], 2))


def _quarter(maps: Values, x: Ints, y: Ints, head: Head) -> Floats:
    patch = _patches(maps, x, y, 1, 0.0)
    slope = np.stack([patch[1, 2] - patch[1, 0], patch[2, 1] - patch[0, 1]], axis=-1)
    shift: Floats = 0.25 * np.sign(slope) * _inside(maps, x, y, 1)[:, None]
    return shift


def _inside(maps: Values, x: Ints, y: Ints, border: int) -> NDArray[np.bool_]:
    """True where at least `border` cells stand on every side of (x, y)."""
    height, width = maps.shape[1:]
    inner_x = (x >= border) & (x < width - border)
    inside: NDArray[np.bool_] = inner_x & (y >= border) & (y < height - border)
    return inside


def _dark(maps: Values, x: Ints, y: Ints, head: Head) -> Floats:
    """-H^-1 g of the log map, at most `DARK_REACH_CELLS` along either axis.

    Rescaling to the old maximum only adds a constant to the log: it is left out. A Taylor step
    holds near the cell that it starts from. On a clear peak it is at most half a cell; under noise
    the highest cell may be a neighbour of the right one, so the step may reach into that cell, and
    not beyond it: a nearly flat map would send it thousands of cells away. It is cut, not dropped,
    so that a landmark does not jump between two frames of a video. Where the log map does not
    curve down in every direction there is no peak to step to, and the landmark stays.
    """
    blur, slopes = _dark_matrices(head.sigma)
    patch = _patches(maps, x, y, math.isqrt(blur.shape[1]) // 2, 0.0)
    log = np.log(np.maximum(blur @ patch.reshape(blur.shape[1], -1), LOG_FLOOR))
    gradient_x, gradient_y, xx, yy, xy = slopes @ log
    determinant = xx * yy - xy * xy
    curves_down = (determinant > LOG_FLOOR) & (xx < 0)
    usable = _inside(maps, x, y, 2) & curves_down
    safe = np.where(usable, determinant, 1.0)
    step_x = -(yy * gradient_x - xy * gradient_y) / safe
    step_y = -(xx * gradient_y - xy * gradient_x) / safe
    step = np.stack([step_x, step_y], axis=-1) * usable[:, None]
    shift: Floats = step.clip(-DARK_REACH_CELLS, DARK_REACH_CELLS)
    return shift


def dark_band(sigma: float) -> Floats:
    """DARK's Gaussian blur as a matrix (5, T + 4): from a line of cells to its 5 middle ones.

    T is 11 taps for sigma 2, 7 for 1.5, as wide as OpenCV makes such a kernel.
    """
    reach = max(1, int((sigma - 0.8) / 0.3 + 1))
    width = 0.3 * (reach - 1) + 0.8
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * width**2))
    kernel = taps / taps.sum()
    return np.stack([np.pad(kernel, (i, 4 - i)) for i in range(5)])


@functools.lru_cache(maxsize=8)
def _dark_matrices(sigma: float) -> tuple[Floats, Floats]:
    """DARK's blur and derivatives, of patches that are columns.

    Returns:
        (13, P): from the P cells of a patch to those of its 5 x 5 middle ones, blurred, that a
        derivative reads; and (5, 13): from the logs of those to d/dx, d/dy, dxx, dyy and dxy.
    """
    band = dark_band(sigma)
    middle, first, second = np.eye(5)[2], np.zeros(5), np.zeros(5)
    first[[1, 3]] = -0.5, 0.5
    second[[0, 2, 4]] = 0.25, -0.5, 0.25
    of_rows_and_columns = (
        (middle, first),
        (first, middle),
        (middle, second),
        (second, middle),
        (first, first),
    )
    slopes = np.stack([np.outer(*pair).ravel() for pair in of_rows_and_columns])
    read = slopes.any(axis=0)
    return np.kron(band, band)[read].astype(np.float64), slopes[:, read]


def _local_soft_argmax(maps: Values, x: Ints, y: Ints, head: Head) -> Floats:
    radius = head.radius
    patch = _patches(maps, x, y, radius, -np.inf)
    return _centre(np.exp(head.tau * (patch - patch[radius, radius])))  # the middle is the peak


def _centroid(maps: Values, x: Ints, y: Ints, head: Head) -> Floats:
    return _centre(np.maximum(_patches(maps, x, y, head.radius, 0.0), 0.0))


def _centre(weights: Floats) -> Floats:
    """Mean place (M, 2) of patches (K, K, M) of weights, from their middle; 0 where none counts."""
    radius, count = weights.shape[0] // 2, weights.shape[2]
    sums = _moments(radius) @ weights.reshape(-1, count)
    shift: Floats = (sums[1:] / np.where(sums[0] > 0, sums[0], 1.0)).T
    return shift


@functools.lru_cache(maxsize=8)
def _moments(radius: int) -> Floats:
    """(3, P): from the P cells of a patch to their sum and their moments along x and y."""
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.stack([np.ones(rows.size), columns.ravel(), rows.ravel()])


_REFINEMENTS: Mapping[str, Callable[[Values, Ints, Ints, Head], Floats]] = MappingProxyType(
    {
        "argmax": _no_shift,
        "quarter": _quarter,
        "dark": _dark,
        "local_soft_argmax": _local_soft_argmax,
        "centroid": _centroid,
    }
)
