"""Recall and boxes of the face detectors on labelled pictures, BlazeFace beside the Haar cascade.

"the largest face" looks for one face, as a video does: with BlazeFace's quick model first. A face
counts as found where a box shares at least half of the union with the tight box of its landmarks.
Each picture has one labelled face; other boxes may be other people. Times are of the processor,
with one thread, the detectors taking turns.

    python benchmarks/detectors.py FOLDER    # of pictures with 68 points in .pts files beside them
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from landmint.pipeline.blazeface import overlap
from landmint.pipeline.detect import (
    detector_name,
    find_faces,
    find_faces_by_cascade,
    largest_face,
)
from landmint.runtime.crop import Box, Image, box_of
from landmint.train.faces.face import read_image
from landmint.train.faces.pts300w import read_pts

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each detector; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=400)
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    shares: dict[str, list[float]] = {name: [] for name in DETECTORS}
    others, ms = dict.fromkeys(DETECTORS, 0), {name: list[float]() for name in DETECTORS}
    for path in sorted(given.folder.rglob("*.pts"))[: given.pictures]:
        image, truth = read_image(path.with_suffix(".jpg")), box_of(read_pts(path, 68))
        for name, detect in DETECTORS.items():
            begin = time.process_time_ns()
            boxes = np.array(detect(image), dtype=np.float64).reshape(-1, 4)
            ms[name].append((time.process_time_ns() - begin) / 1e6)
            over = overlap(boxes, truth)
            shares[name].append(float(over.max(initial=0.0)))
            others[name] += int((over < FOUND_FROM).sum())
    print(
        f"all faces are looked for by: {detector_name()}; {len(shares['Haar cascade'])} pictures\n"
    )
    print("| detector | found | median overlap of those | other boxes | median ms |")
    print("|---|---:|---:|---:|---:|")
    for name, best in shares.items():
        found = [share for share in best if share >= FOUND_FROM]
        recall, median = len(found) / len(best), float(np.median(found))
        print(
            f"| {name} | {recall:.1%} | {median:.3f} | {others[name]} | {np.median(ms[name]):.1f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
