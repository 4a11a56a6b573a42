"""The engine that needs no library: the same face for every crop.

It serves dry runs, tests, and the cost of everything around an engine. Its landmarks say nothing
about any model.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract
from landmint.runtime.engines.engine import EngineSession, Operator, Tensor, check_input
from landmint.runtime.markup import Markup


class NullEngine:
    """Opens anything, a file that is missing too."""

    name = "null"
    version = "null 1"

    def load(self, entry: Path, contract: Contract, threads: int) -> EngineSession:
        """A session that answers with `plain_face`, encoded as the contract's head wants it."""
        return _NullSession(entry, contract)


class _NullSession:
    executed_precision = "none"
    operators: tuple[Operator, ...] = ()

    def __init__(self, entry: Path, contract: Contract) -> None:
        self._entry = entry
        self._contract = contract
        self._outputs = encode(contract, plain_face(contract.landmarks))

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """The same outputs for every face; the input's shape is checked all the same."""
        check_input(tensor.shape, self._contract, self._entry)
        return {name: values.copy() for name, values in self._outputs.items()}


def plain_face(markup: Markup) -> NDArray[np.float64]:
    """Landmarks (L, 2), normalised: in order around a circle, so that no two coincide."""
    points = np.empty((markup.points, 2))
    turn = np.arange(markup.points) / markup.points * 2 * np.pi
    points[:, 0] = 0.5 - 0.35 * np.cos(turn)
    points[:, 1] = 0.5 - 0.35 * np.sin(turn)
    return points


def encode(contract: Contract, points: NDArray[np.float64]) -> dict[str, Tensor]:
    """Outputs, in the contract's layout, that decode to normalised `points` (L, 2).

    Exact for coordinate and PIP heads; to a fraction of a cell or bin for the others.
    """
    tensors = _ENCODERS[contract.head.kind](contract, points)
    outputs = {}
    for output in contract.outputs:
        values = tensors[output.name].reshape(1, *output.shape).astype(np.float32)
        if contract.layout == "NHWC" and values.ndim == 4:
            values = values.transpose(0, 2, 3, 1)
        outputs[output.name] = np.ascontiguousarray(values)
    return outputs


def _coordinates(contract: Contract, points: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {"coordinates": points}


def _heatmaps(contract: Contract, points: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    _, height, width = contract.outputs[0].shape
    x = np.arange(width) - (points[:, :1] * width - 0.5)
    y = np.arange(height) - (points[:, 1:] * height - 0.5)
    spread = 2 * max(contract.head.sigma, 1.0) ** 2
    return {"heatmaps": np.exp(-(y[:, :, None] ** 2 + x[:, None, :] ** 2) / spread)}


def _pip(contract: Contract, points: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Scores are 1 at a landmark's cell; offsets are right in every cell."""
    shapes = {output.name: output.shape for output in contract.outputs}
    landmarks, rows, columns = shapes["cls"]
    x, y = points[:, 0] * columns, points[:, 1] * rows
    near = np.array(contract.head.neighbours, dtype=np.intp).reshape(-1)
    across, down = np.arange(columns)[None, None, :], np.arange(rows)[None, :, None]
    scores = np.zeros((landmarks, rows, columns))
    scores[np.arange(landmarks), y.astype(int), x.astype(int)] = 1
    flat = np.zeros((1, rows, columns))
    return {
        "cls": scores,
        "x": x[:, None, None] - across + flat,
        "y": y[:, None, None] - down + flat,
        "nb_x": x[near][:, None, None] - across + flat,
        "nb_y": y[near][:, None, None] - down + flat,
    }


def _simcc(contract: Contract, points: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """A Gaussian in each vector."""
    spread = 2 * max(contract.head.sigma, 1.0) ** 2
    return {
        name: np.exp(-((np.arange(count) + 0.5 - points[:, axis, None] * count) ** 2) / spread)
        for axis, (name, (_, count)) in enumerate((o.name, o.shape) for o in contract.outputs)
    }


def _offset(contract: Contract, points: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Scores as heatmaps; every cell's offset leads to the landmark, or to the one in the cell."""
    scores = _heatmaps(contract, points)["heatmaps"]
    _, rows, columns = scores.shape
    flat = np.zeros(scores.shape)
    across = points[:, 0, None, None] * columns - 0.5 - np.arange(columns) + flat
    down = points[:, 1, None, None] * rows - 0.5 - np.arange(rows)[:, None] + flat
    if contract.outputs[1].shape[0] == 1:  # one map for all: that of the landmark that is nearest
        nearest = (across**2 + down**2).argmin(axis=0)[None]
        across, down = (np.take_along_axis(part, nearest, axis=0) for part in (across, down))
    return {"scores": scores, "offset_x": across, "offset_y": down}


def _nested(contract: Contract, points: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """One high cell in each map, and one in each inner map."""
    (_, rows, columns), (_, inner_rows, inner_columns) = (o.shape for o in contract.outputs)
    place = points * [columns, rows]
    fraction = (place % 1 * [inner_columns, inner_rows]).astype(int)
    maps = np.zeros(contract.outputs[0].shape)
    inner = np.zeros(contract.outputs[1].shape)
    every = np.arange(len(points))
    maps[every, place[:, 1].astype(int), place[:, 0].astype(int)] = 1
    inner[every, fraction[:, 1], fraction[:, 0]] = 1
    return {"heatmaps": maps, "inner": inner}


_ENCODERS = {
    "coordinates": _coordinates,
    "heatmap": _heatmaps,
    "pip": _pip,
    "simcc": _simcc,
    "offset": _offset,
    "nested": _nested,
}
