"""Recall and boxes of the face detectors on labelled pictures, BlazeFace beside the Haar cascade.

First of pictures as they are; then, by size, of groups that are made of the same faces, from 24 to
400 px on pictures of 1280 x 960. There BlazeFace's full-range model is tried too, and the usual one
on overlapping tiles besides the whole.

"the largest face" looks for one face, as a video does: with BlazeFace's quick model first. A face
counts as found where a box shares at least half of the union with the tight box of its landmarks.
Each picture has one labelled face; other boxes may be other people. Times are of the processor,
with one thread, the detectors taking turns.

    python benchmarks/detectors.py FOLDER    # of pictures with 68 points in .pts files beside them
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.group_pictures import groups  # noqa: E402
from landmint.pipeline.blazeface import BACK_CAMERA, FULL_RANGE, merge, overlap  # noqa: E402
from landmint.pipeline.detect import (  # noqa: E402
    detector_name,
    find_faces,
    find_faces_by_cascade,
    find_faces_by_model,
    largest_face,
)
from landmint.pipeline.text import markdown_table  # noqa: E402
from landmint.runtime.crop import Box, Floats, Image, box_of  # noqa: E402
from landmint.runtime.stats import proportion_bounds, quantile_bounds  # noqa: E402
from landmint.train.faces.face import read_image  # noqa: E402
from landmint.train.faces.pts300w import read_pts  # noqa: E402

FOUND_FROM = 0.5


def only_largest(image: Image) -> list[Box]:
    """The box of one face, or none."""
    box = largest_face(image)
    return [] if box is None else [box]


DETECTORS = {
    "all faces": find_faces,
    "the largest face": only_largest,
    "Haar cascade": find_faces_by_cascade,
}


SIZES_PX = (24, 40, 60, 90, 150, 400)
"""Bounds of the classes of sizes."""
_TILE_PX = 640


def by_full_range(image: Image) -> list[Box]:
    """Boxes of BlazeFace's full-range model."""
    return find_faces_by_model(FULL_RANGE, image)


def by_tiles(image: Image) -> list[Box]:
    """Boxes of the usual model on the whole picture, and on tiles that overlap by half."""
    boxes = [*find_faces_by_model(BACK_CAMERA, image)]
    half = _TILE_PX // 2
    for y in range(0, image.shape[0] - half, half):
        for x in range(0, image.shape[1] - half, half):
            tile = image[y : y + _TILE_PX, x : x + _TILE_PX]
            boxes += [
                box._replace(x=box.x + x, y=box.y + y)
                for box in find_faces_by_model(BACK_CAMERA, tile)
            ]
    likely = np.linspace(1.0, 0.9, len(boxes))  # what the whole shows comes first
    return [Box(*box) for box in merge(np.array(boxes).reshape(-1, 4), likely)[0].tolist()]


IN_GROUPS = {
    "BlazeFace, all faces": find_faces,
    "BlazeFace, full range": by_full_range,
    "BlazeFace, whole and tiles": by_tiles,
    "Haar cascade": find_faces_by_cascade,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each detector; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=400)
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    labels = sorted(given.folder.rglob("*.pts"))[: given.pictures]
    print(f"all faces are looked for by: {detector_name()}; {len(labels)} faces\n")
    print(as_they_are(labels), end="\n\n")
    order = np.random.default_rng(0).permutation(len(labels))
    print(in_groups([labels[i] for i in order]))
    return 0


def as_they_are(labels: Sequence[Path]) -> str:
    """A line for each detector, of pictures of one face."""
    shares: dict[str, list[float]] = {name: [] for name in DETECTORS}
    others, ms = dict.fromkeys(DETECTORS, 0), {name: list[float]() for name in DETECTORS}
    for path in labels:
        image, truth = read_image(path.with_suffix(".jpg")), box_of(read_pts(path, 68))
        for name, detect in DETECTORS.items():
            boxes, took_ms = _timed(detect, image)
            ms[name].append(took_ms)
            over = overlap(boxes, truth)
            shares[name].append(float(over.max(initial=0.0)))
            others[name] += int((over < FOUND_FROM).sum())
    rows = []
    for name, best in shares.items():
        overlaps = [share for share in best if share >= FOUND_FROM]
        recall, median = len(overlaps) / len(best), float(np.median(overlaps))
        figures = f"{recall:.1%}", f"{median:.3f}", str(others[name]), f"{np.median(ms[name]):.1f}"
        rows.append([name, *figures])
    columns = ("detector", "recall", "median overlap of those", "other boxes", "median ms")
    return markdown_table(columns, rows)


def in_groups(labels: Sequence[Path]) -> str:
    """A line for each detector: recall and overlap by the size of the faces, with intervals."""
    sizes: list[float] = []
    shares: dict[str, list[float]] = {name: [] for name in IN_GROUPS}
    others, ms = dict.fromkeys(IN_GROUPS, 0), {name: list[float]() for name in IN_GROUPS}
    for group in groups(labels):
        truths = np.array(group.boxes)
        sizes += truths[:, 2:].max(axis=1).tolist()
        for name, detect in IN_GROUPS.items():
            boxes, took_ms = _timed(detect, group.image)
            ms[name].append(took_ms)
            over = np.array([overlap(boxes, truth) for truth in truths]).reshape(len(truths), -1)
            shares[name] += over.max(axis=1, initial=0.0).tolist()
            others[name] += int((over.max(axis=0, initial=0.0) < FOUND_FROM).sum())
    classes = np.digitize(sizes, SIZES_PX[1:-1])
    rows = []
    for name, best in shares.items():
        cells = [_cell(np.array(best)[classes == i]) for i in range(len(SIZES_PX) - 1)]
        rows.append([name, *cells, str(others[name]), f"{np.median(ms[name]):.0f}"])
    counts = np.bincount(classes, minlength=len(SIZES_PX) - 1)
    heads = [
        f"{low} to {high} px ({count})"
        for low, high, count in zip(SIZES_PX, SIZES_PX[1:], counts, strict=False)
    ]
    return markdown_table(["detector", *heads, "other boxes", "median ms"], rows)


def _timed(detect: Callable[[Image], list[Box]], image: Image) -> tuple[Floats, float]:
    """Boxes (N, 4), and the processor time in milliseconds."""
    begin = time.process_time_ns()
    boxes = np.array(detect(image), dtype=np.float64).reshape(-1, 4)
    return boxes, (time.process_time_ns() - begin) / 1e6


def _cell(shares: Floats) -> str:
    """Recall and median overlap of what was detected, each with its 95 % interval."""
    overlaps = shares[shares >= FOUND_FROM]
    low, high = proportion_bounds(len(overlaps), len(shares))
    text = f"{len(overlaps) / len(shares):.0%} [{low:.0%}, {high:.0%}]"
    if len(overlaps) < 6:  # of fewer, no two bound the median
        return text
    low, high = quantile_bounds(overlaps, 0.5, 0.025)
    return f"{text}; {np.median(overlaps):.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    sys.exit(main())
