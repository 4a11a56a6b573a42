"""landmint's students beside what people use today: the same faces, one process, taking turns.

Errors are over the distance between the outer eye corners: on all 68 landmarks, on the 51 inside
the face that MediaPipe's mesh has too, and on MTCNN's five. Rivals get their best box: a square
around the landmarks', its size and place fitted on val/. In brackets stands the error without each
landmark's constant offset, taken off in the frame of the predicted eyes and fitted on val/ too: a
rival that means another place by the same landmark is not punished. Jitter is how far landmarks
move about a face that only shifts, under noise, in boxes that wander as a detector's do. Times
are processor time of one face, from picture and box to landmarks. Prints Markdown.

    python benchmarks/rivals.py recipes/pipnet-lite0-taught-ytf68.toml BUNDLE ...
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import NONE, markdown_table, mebibytes, milliseconds, one_line, percent
from landmint.runtime.bundle import Bundle
from landmint.runtime.crop import Box, Floats, Image, warp
from landmint.runtime.engines import ENGINES
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.jitter import temporal_jitter
from landmint.runtime.stats import Interval, launch_interval
from landmint.train.faces.face import FaceSet, read_face

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.engines_in_turn import in_turn  # noqa: E402
from benchmarks.foreign import RIVALS, Contestant, of_bundle, shape_predictor  # noqa: E402

Groups = tuple[tuple[int, ...], ...]
Complex = NDArray[np.complex128]
SCHEMES: Mapping[str, Groups] = MappingProxyType(
    {
        "68": tuple((i,) for i in range(68)),
        "51": tuple((i,) for i in range(17, 68)),
        "5": (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
    }
)
"""For each point, the landmarks of the 68 whose mean it is."""
EYES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"68": (36, 45), "51": (36 - 17, 45 - 17), "5": (0, 1)}
)
"""The points of a scheme whose distance is the unit of offsets, left to right in the picture."""
SCALES = (0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.65, 1.8, 2.0, 2.2)
DOWNS = (-0.25, -0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1)
FITTED_ON, OFFSETS_ON, SHAKEN = 20, 150, 24
FRAMES, BLOCKS = 6, 10
_SHIFT, _WANDER, _NOISE = 0.02, 0.02, 2.0
"""Of a still face: most shift of the picture and of its box, over the box; deviation of the noise,
in grey levels."""
_COLUMNS = (
    *("model", "ran", "NME 68, %", "NME 51, %", "NME 5, %", "jitter, %"),
    *("ms", "over the first", "95 %", "MiB", "licence", "no face"),
)


class Placing(NamedTuple):
    """Where a model wants its box: a square around the middle of the landmarks' box."""

    scale: float
    """Side over the longer side of the landmarks' box."""
    down: float
    """How much lower it lies, over the height of the landmarks' box."""

    def __call__(self, box: Box) -> Box:
        """The square for the box of a face's landmarks."""
        side = self.scale * max(box.w, box.h)
        middle = box.x + box.w / 2, box.y + (0.5 + self.down) * box.h
        return Box(middle[0] - side / 2, middle[1] - side / 2, side, side)


@dataclass(frozen=True, eq=False)
class Seen:
    """Labelled faces with their pictures."""

    images: tuple[Image, ...]
    """(H, W, 3) each."""
    boxes: tuple[Box, ...]
    """Around the landmarks."""
    points: Floats
    """(N, 68, 2) true landmarks."""

    @property
    def sizes(self) -> Floats:
        """(N,) distance between the outer eye corners."""
        return np.asarray(np.linalg.norm(self.points[:, 36] - self.points[:, 45], axis=1))

    def some(self, count: int) -> "Seen":
        """As many of the faces, evenly spread."""
        chosen = np.linspace(0, len(self.images) - 1, min(count, len(self.images))).astype(int)
        images, boxes = ([values[i] for i in chosen] for values in (self.images, self.boxes))
        return Seen(tuple(images), tuple(boxes), self.points[chosen])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="of the faces")
    parser.add_argument("bundles", type=Path, nargs="+", help="the first variant is the unit")
    parser.add_argument("--ert", type=Path, help="what benchmarks/ert.py --out wrote")
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        run = Run(load_recipe(given.recipe), Path())
        val, test = (seen(run.faces(split)) for split in ("val", "test"))
        with tempfile.TemporaryDirectory() as folder:
            field, absent = contestants(given.bundles, given.ert, Path(folder))
            print(markdown_table(_COLUMNS, list(rows(field, val, test, given.rounds))))
    except LandmintError as error:
        print(f"rivals: {error}", file=sys.stderr)
        return error.exit_code
    for name, reason in absent.items():
        print(f"\nNot measured: {name}. {reason}")
    print(f"\nLoad of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors.")
    return 0


def seen(faces: FaceSet) -> Seen:
    """Faces with their pictures, all in memory.

    Raises:
        LandmintError: an image cannot be read.
    """
    images, boxes = (tuple(map(read_face, faces.faces)), tuple(face.box for face in faces.faces))
    return Seen(images, boxes, np.array([face.points for face in faces.faces]))


def contestants(
    bundles: Sequence[Path], ert: Path | None, folder: Path
) -> tuple[dict[str, Contestant], dict[str, str]]:
    """Whoever runs here, by name, and why others do not.

    Raises:
        LandmintError: a bundle is broken, or a foreign file is not what it should be.
    """
    makers: dict[str, Callable[[], Contestant]] = {}
    for path in bundles:
        bundle = Bundle.open(path)
        for variant in bundle.manifest.variants:
            if variant.engine in ENGINES and variant.precision in ("float32", "int8"):
                maker = partial(of_bundle, bundle, variant.name)
                makers[f"{path.name}, {variant.name}"] = maker
    makers |= {name: partial(make, folder) for name, make in RIVALS.items()}
    if ert is not None:
        makers["dlib, trained on train/"] = partial(shape_predictor, ert, "faces MIT")
    field, absent = {}, {}
    for name, make in makers.items():
        try:
            field[name] = make()
        except NotMeasuredError as error:
            absent[name] = one_line(str(error))
    return field, absent


def rows(
    field: Mapping[str, Contestant], val: Seen, test: Seen, rounds: int
) -> Iterator[list[str]]:
    """A row for each contestant; they take turns on the first test face for their times."""
    places, errors, jitters, known = {}, {}, {}, val.some(OFFSETS_ON)
    for name, contestant in field.items():
        with Screen().bar(name):
            places[name] = best_place(contestant, val) if contestant.fitted else None
            on_known, on_test = (predict(contestant, s, places[name]) for s in (known, test))
            errors[name] = scheme_errors(on_known, on_test, known, test, contestant.points)
            jitters[name] = shaking(contestant, test.some(SHAKEN), places[name])
    image, box = test.images[0], test.boxes[0]
    calls = {
        name: partial(contestant.predict, image, _placed(places[name], box))
        for name, contestant in field.items()
    }
    times = in_turn(calls, rounds)
    base = next(iter(times.values()))
    for name, contestant in field.items():
        lost, cells = errors[name]
        ratio = block_ratio(times[name], base)
        yield [
            name,
            contestant.ran,
            *cells,
            percent(jitters[name]),
            milliseconds(median(times[name])),
            f"{ratio.estimate:.2f}",
            f"{ratio.low:.2f} to {ratio.high:.2f}",
            mebibytes(contestant.size_bytes),
            contestant.licence,
            str(lost or ""),
        ]


def _placed(place: Placing | None, box: Box) -> Box:
    return box if place is None else place(box)


def best_place(contestant: Contestant, val: Seen) -> Placing:
    """The box in which a model's error is least once its constant offsets are taken off."""
    some, scheme = val.some(FITTED_ON), contestant.points

    def error(place: Placing) -> float:
        predicted = predict(contestant, some, place)
        truth = reduced(some.points, "68", scheme)
        moved = freed(predicted, offsets(predicted, truth, EYES[scheme]), EYES[scheme])
        return float(np.median(_nme(moved, truth, some.sizes)))

    return min((Placing(scale, down) for scale in SCALES for down in DOWNS), key=error)


def predict(contestant: Contestant, faces: Seen, place: Placing | None) -> Floats:
    """Landmarks (N, L, 2) of all faces, in the contestant's scheme."""
    pairs = zip(faces.images, faces.boxes, strict=True)
    return np.array([contestant.predict(image, _placed(place, box)) for image, box in pairs])


def reduced(points: Floats, own: str, wanted: str) -> Floats:
    """Points (N, L, 2) of one scheme in another, whose points it has."""
    if own == wanted:
        return points
    places = {landmark: i for i, (landmark, *_) in enumerate(SCHEMES[own])}
    means = [points[:, [places[i] for i in group]].mean(axis=1) for group in SCHEMES[wanted]]
    return np.stack(means, axis=1)


def offsets(predicted: Floats, truth: Floats, eyes: tuple[int, int]) -> Complex:
    """How far off each landmark usually is, (L,), in the frame of the predicted eyes.

    The real part points from the left to the right eye and is a share of their distance; the
    imaginary one is across. The median over faces of each, so that a lost face does not count.

    Args:
        predicted: (N, L, 2).
        truth: (N, L, 2).
        eyes: the left and the right one in the picture.
    """
    off = (_complex(truth) - _complex(predicted)) / _frame(predicted, eyes)
    return np.asarray(np.nanmedian(off.real, axis=0) + 1j * np.nanmedian(off.imag, axis=0))


def freed(predicted: Floats, off: Complex, eyes: tuple[int, int]) -> Floats:
    """Landmarks (N, L, 2) without their usual offsets (L,)."""
    moved = _complex(predicted) + off * _frame(predicted, eyes)
    return np.stack([moved.real, moved.imag], axis=-1)


def _complex(points: Floats) -> Complex:
    return np.asarray(points[..., 0] + 1j * points[..., 1])


def _frame(points: Floats, eyes: tuple[int, int]) -> Complex:
    """From the left to the right eye, (N, 1)."""
    places = _complex(points)
    return np.asarray(places[:, eyes[1]] - places[:, eyes[0]])[:, None]


def _nme(points: Floats, truth: Floats, sizes: Floats) -> Floats:
    """(N,) mean error of each face; NaN where it was not seen."""
    return np.asarray(np.linalg.norm(points - truth, axis=-1).mean(axis=1) / sizes)


def scheme_errors(
    on_known: Floats, on_test: Floats, known: Seen, test: Seen, own: str
) -> tuple[int, list[str]]:
    """How many test faces were not seen; for each scheme the error, freed of offsets in brackets.

    A dash where the model does not have a scheme's points; means are over the faces that were seen.
    """
    cells, lost = [], int(np.isnan(on_test).any(axis=(1, 2)).sum())
    for scheme, groups in SCHEMES.items():
        if len(groups) > len(SCHEMES[own]):
            cells.append(NONE)
            continue
        mine, before = reduced(on_test, own, scheme), reduced(on_known, own, scheme)
        truth = reduced(test.points, "68", scheme)
        off = offsets(before, reduced(known.points, "68", scheme), EYES[scheme])
        pair = (mine, freed(mine, off, EYES[scheme]))
        raw, clean = (percent(float(np.nanmean(_nme(p, truth, test.sizes)))) for p in pair)
        cells.append(f"{raw} ({clean})")
    return lost, cells


def shaking(contestant: Contestant, faces: Seen, place: Placing | None) -> float | None:
    """Mean jitter over faces that only shift; on the 51 points, or on fewer where it has fewer."""
    scheme = min(contestant.points, "51", key=lambda name: len(SCHEMES[name]))
    jitters = []
    for number in range(len(faces.images)):
        frames = still_frames(faces, number)
        predicted = reduced(predict(contestant, frames, place), contestant.points, scheme)
        truth = reduced(frames.points, "68", scheme)
        if not np.isnan(predicted).any():
            jitters.append(temporal_jitter(predicted, truth, frames.sizes))
    return float(np.mean(jitters)) if jitters else None


def still_frames(faces: Seen, number: int) -> Seen:
    """Frames of one still face: shifted by parts of pixels, with noise, in a wandering box."""
    rng = np.random.default_rng(number)
    image, box, points = faces.images[number], faces.boxes[number], faces.points[number]
    side = max(box.w, box.h)
    images, boxes, truth = [], [], []
    for x, y in rng.uniform(-_SHIFT, _SHIFT, (FRAMES, 2)) * side:
        frame = warp(image, np.array([[1.0, 0.0, -x], [0.0, 1.0, -y]]), max(image.shape[:2]))
        noisy = frame + rng.normal(0, _NOISE, frame.shape)
        images.append(noisy.round().clip(0, 255).astype(np.uint8))
        across, down = rng.uniform(-_WANDER, _WANDER, 2) * side
        grown = 1 + rng.uniform(-_WANDER, _WANDER)
        boxes.append(Box(box.x + x + across, box.y + y + down, box.w * grown, box.h * grown))
        truth.append(points + (x, y))
    return Seen(tuple(images), tuple(boxes), np.array(truth))


def block_ratio(ms: Sequence[float], base: Sequence[float]) -> Interval:
    """How many times as long a face takes, with an interval over blocks of rounds.

    Args:
        ms: of each round.
        base: of the same rounds, what is compared with; as many, and at least two blocks of them.
    """
    ratios = np.array(ms) / np.array(base)
    interval = launch_interval([float(np.median(b)) for b in np.array_split(ratios, BLOCKS)])
    assert interval is not None  # there are BLOCKS blocks
    return interval


if __name__ == "__main__":
    sys.exit(main())
