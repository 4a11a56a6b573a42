"""A whole prediction, from a decoded picture to landmarks, beside dlib's and MediaPipe's.

First with the box of the face given, for faces of five sizes: crop, network and decode. MediaPipe's
own runtime takes no box; it follows the face of the picture before, which saves it the detector.
Then with each one's detector, each picture a new one; MediaPipe looks for one face. Pictures are
test faces enlarged or reduced. All take turns in one process, on the same picture in each round;
what counts is its processor time over all threads, since other work would lengthen the clock's.
Prints Markdown.

    python benchmarks/predict.py recipes/pipnet-lite0-taught-ytf68.toml
"""

import argparse
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from landmint import api
from landmint.pipeline.detect import largest_face
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, milliseconds
from landmint.runtime.crop import Box, Floats, Image
from landmint.runtime.errors import LandmintError

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks import foreign  # noqa: E402
from benchmarks.engines_in_turn import in_turn  # noqa: E402
from benchmarks.rivals import Placing, Seen, block_ratio, seen  # noqa: E402

FACES_PX = (60, 150, 300, 1000, 2000)
DETECTED_PX = 150
STUDENTS = ("pipnet-mbv3", "pipnet-lite0", "mobilefan", "pfld")
FORM = "tflite/int8"
_MESH_PLACE = Placing(1.6, -0.1)
"""About what benchmarks/rivals.py fits; how long a crop takes hardly depends on it."""
Times = Mapping[str, Sequence[float]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="of the faces: its test split")
    parser.add_argument("--students", nargs="+", default=STUDENTS, help="or folders of bundles")
    parser.add_argument("--faces", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=60, help="of each face and size")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        faces = seen(Run(load_recipe(given.recipe), Path()).faces("test")).some(given.faces)
        with tempfile.TemporaryDirectory() as folder:
            boxed = with_box(given.students, Path(folder))
            measured = {f"{px} px": timed(boxed, faces, px, given.rounds) for px in FACES_PX}
            detected = timed(with_detector(given.students[0]), faces, DETECTED_PX, given.rounds)
    except LandmintError as error:
        print(f"predict: {error}", file=sys.stderr)
        return error.exit_code
    print("\n\n".join([*tables(measured), *tables({f"{DETECTED_PX} px": detected})]))
    print(f"\nLoad of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors.")
    return 0


def with_box(students: Sequence[str], folder: Path) -> dict[str, foreign.Predict]:
    """Whoever finds landmarks in a box; the first is the unit.

    Raises:
        NotMeasuredError: a package is not installed.
    """
    mesh = foreign.mesh(folder).predict
    return {
        **dict(map(_student, students)),
        "dlib, 68 points": foreign.dlib_68_plain(folder).predict,
        "MediaPipe mesh by LiteRT": lambda image, box: mesh(image, _MESH_PLACE(box)),
        "MediaPipe FaceMesh, following": foreign.face_mesh(refined=False, still=False).predict,
        "MediaPipe FaceMesh, refined, following": foreign.face_mesh(True, still=False).predict,
    }


def _student(name: str) -> tuple[str, foreign.Predict]:
    model = api.load(name, FORM)
    return _called(model), lambda image, box: model.predict(image, box)[0].points


def _called(model: api.Model) -> str:
    """A shipped model's name or a bundle's, and its form."""
    return f"{model.about.get('model') or model.about['bundle']}, {FORM}"


def with_detector(student: str) -> dict[str, foreign.Predict]:
    """Whoever looks for faces first, the box not being told; the first is the unit.

    Raises:
        NotMeasuredError: a package is not installed.
    """
    dlib = foreign.library("dlib")
    detect = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(str(foreign.dlib_file()))
    model = api.load(student, FORM)
    whole = _called(model)

    def largest(image: Image, _: Box) -> Floats:
        box = largest_face(image)
        return _largest([] if box is None else [model.predict(image, box)[0].points])

    def all_faces(image: Image, _: Box) -> Floats:
        return _largest([face.points for face in model.predict(image)])

    def dlibs(image: Image, _: Box) -> Floats:
        shapes = [predictor(image, box).parts() for box in detect(image)]
        return _largest([np.array([(part.x, part.y) for part in parts]) for parts in shapes])

    return {
        f"BlazeFace, the largest face, and {whole}": largest,
        f"BlazeFace, all faces, and {whole}": all_faces,
        "dlib's detector and 68 points": dlibs,
        "MediaPipe FaceMesh": foreign.face_mesh(refined=False).predict,
        "MediaPipe FaceMesh, refined": foreign.face_mesh(refined=True).predict,
    }


def _largest(shapes: Sequence[Floats]) -> Floats:
    """The largest of several faces; NaN where there is none."""
    return max(shapes, key=lambda points: float(np.ptp(points)), default=np.full((1, 2), np.nan))


def timed(contestants: Mapping[str, foreign.Predict], faces: Seen, px: int, rounds: int) -> Times:
    """Milliseconds of every round, over all faces; of a size whose longer side is `px`.

    Raises:
        LandmintError: one of the faces is not found.
    """
    times: dict[str, list[float]] = defaultdict(list)
    with Screen().bar(f"{px} px"):
        for original, place in zip(faces.images, faces.boxes, strict=True):
            image, box = resized(original, place, px)
            for name, predict in contestants.items():
                if np.isnan(predict(image, box)).any():
                    raise LandmintError(
                        f"{name} does not find a face of {px} px",
                        reason="a miss takes less time than a face",
                        remedy="choose other faces with --faces",
                    )
            calls: dict[str, Callable[[], object]] = {
                name: partial(predict, image, box) for name, predict in contestants.items()
            }
            for name, ms in in_turn(calls, rounds).items():
                times[name] += ms
    return times


def resized(image: Image, box: Box, px: int) -> tuple[Image, Box]:
    """A picture in which the longer side of the box measures `px`, and the box there."""
    factor = px / max(box.w, box.h)
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(image, None, fx=factor, fy=factor, interpolation=way)
    x, y = ((edge + 0.5) * factor - 0.5 for edge in (box.x, box.y))
    return np.asarray(picture, dtype=np.uint8), Box(x, y, box.w * factor, box.h * factor)


def tables(measured: Mapping[str, Times]) -> list[str]:
    """Times by size of the face, and how many times as long as the first one takes."""
    names = list(next(iter(measured.values())))
    ms_rows = [
        [name, *(milliseconds(median(times[name])) for times in measured.values())]
        for name in names
    ]
    ratio_rows = [
        [name, *(_ratio(times, name, names[0]) for times in measured.values())] for name in names
    ]
    return [
        markdown_table(("ms a face", *measured), ms_rows),
        markdown_table(("over the first", *measured), ratio_rows),
    ]


def _ratio(times: Times, name: str, base: str) -> str:
    ratio = block_ratio(times[name], times[base])
    return f"{ratio.estimate:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


if __name__ == "__main__":
    sys.exit(main())
