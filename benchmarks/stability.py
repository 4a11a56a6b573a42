"""How much landmarks tremble on a video of a moving synthetic face, with and without the filter.

For each variant of a bundle that runs here: the mean, over frames and landmarks, of how far a
landmark's error moves from one frame to the next, as a share of the face's size. The
face is followed as `landmint predict` follows it: each frame's landmarks are the next frame's box.
The mean error stands beside it, with and without the filter, to show what its delay costs.

    python benchmarks/stability.py runs/demo/bundle
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landmint.pipeline.following import FaceFollower
from landmint.pipeline.progress import Screen
from landmint.pipeline.text import NONE, markdown_table, percent
from landmint.runtime.accuracy import nme_per_image, normalisers, point_errors
from landmint.runtime.bundle import Bundle
from landmint.runtime.crop import box_of
from landmint.runtime.engines import ENGINES, load_engine
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.jitter import temporal_jitter
from landmint.runtime.markup import Markup, get_markup
from landmint.runtime.smooth import SmoothConfig
from landmint.train.faces.synthetic import SyntheticFace, moving_face

_FPS = 30.0
_COLUMNS = ("variant", "trembling, %", "smoothed, %", "error, %", "smoothed error, %")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--faces", type=int, default=6, help="videos, each of another person")
    parser.add_argument("--frames", type=int, default=60)
    options = parser.parse_args(arguments)
    try:
        print(markdown_table(_COLUMNS, tremble(options.bundle, options.faces, options.frames)))
    except LandmintError as error:
        print(f"stability: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def tremble(path: Path, faces: int, frames: int) -> list[list[str]]:
    """One row a variant.

    Raises:
        LandmintError: the bundle is broken, or a variant does not run.
    """
    bundle = Bundle.open(path)
    markup = get_markup(bundle.manifest.contract.markup)
    with Screen().bar("drawing") as bar:
        videos = []
        for number in range(faces):
            bar.at(number, faces)
            videos.append(list(moving_face(1, 4 * number, markup, 256, frames)))
    rows = []
    for variant in bundle.manifest.variants:
        if variant.engine not in ENGINES or not variant.files:
            continue
        contract = bundle.contract_of(variant)
        try:
            session = load_engine(variant.engine).load(bundle.entry(variant), contract, threads=1)
        except NotMeasuredError as error:
            rows.append([variant.name, f"not measured: {error.fact}", *[NONE] * 3])
            continue
        figures = []
        for smooth in (None, SmoothConfig()):
            told = []
            for video in videos:
                follower = FaceFollower(session, contract, box_of(video[0].points), smooth)
                told.append(_figures(follower, video, markup))
            figures.append(np.mean(told, axis=0))
        (shaken, plain), (steady, late) = figures
        rows.append([variant.name, *(percent(float(v)) for v in (shaken, steady, plain, late))])
    return rows


def _figures(
    follower: FaceFollower, video: Sequence[SyntheticFace], markup: Markup
) -> tuple[float, float]:
    """Trembling and mean error of one video.

    Raises:
        LandmintError: the face was lost.
    """
    found = [follower(face.image, i / _FPS).prediction for i, face in enumerate(video)]
    points = [one.points for one in found if one is not None]
    if len(points) < len(video):
        raise LandmintError(
            f"the face was lost in {len(video) - len(points)} of {len(video)} frames",
            remedy="take a bundle that was trained on synthetic faces too",
        )
    truth = np.array([face.points for face in video])
    boxes = np.array([box_of(shape) for shape in truth])
    sizes = normalisers(truth, boxes, markup, markup.normalisers[0])
    errors = nme_per_image(point_errors(np.array(points), truth), sizes)
    return temporal_jitter(np.array(points), truth, sizes), float(errors.mean())


if __name__ == "__main__":
    sys.exit(main())
