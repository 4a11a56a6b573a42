"""A rival that needs no network: an ensemble of regression trees (Kazemi and Sullivan, 2014).

dlib's shape predictor, trained on the training faces of a recipe in jittered boxes, as networks
are, and judged on its test faces in the boxes of benchmarks/accuracy.py. It needs `dlib`, which
landmint does not. Prints Markdown.

    python benchmarks/ert.py recipes/pipnet-lite0-taught-ytf68.toml
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from landmint.pipeline.places import RUNS
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, number, percent
from landmint.runtime.accuracy import summarise
from landmint.runtime.contract import CropRule
from landmint.runtime.crop import Box, Floats, Image, apply_affine, crop_matrix, invert_affine, warp
from landmint.runtime.errors import LandmintError
from landmint.train.evaluate import truth_of
from landmint.train.faces.boxes import BOXES, loosen
from landmint.train.faces.face import Face, FaceSet, read_image

_AROUND = CropRule(scale=(2.0, 2.0), square=True)
_SIDE = 512
"""Pixels of a drawing of a face, whose box is half as wide. dlib keeps landmarks in whole pixels,
and here these are finer than those of the picture."""
_COLUMNS = ("boxes", "NME, %", "95 %", "FR@10 %, %", "AUC@10 %", "over exact, %", "ms a face")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument(
        "--boxes", type=int, default=5, help="jittered boxes of a face; 0: its exact one"
    )
    parser.add_argument("--oversampling", type=int, default=2, help="first guesses in a box")
    parser.add_argument("--stages", type=int, default=12)
    parser.add_argument("--trees", type=int, default=500, help="in a stage")
    parser.add_argument("--out", type=Path, help="where dlib writes its file, about 80 MB")
    options = parser.parse_args(arguments)
    try:
        recipe = load_recipe(options.recipe)
        run = Run(recipe, RUNS / recipe.name)
        predictor = train(run.faces("train"), options)
        if options.out:
            predictor.save(str(options.out))
        rows = list(judge(predictor, run.faces("test")))
    except ModuleNotFoundError as error:
        print(f"ert: {error}; remedy: pip install dlib", file=sys.stderr)
        return 2
    except LandmintError as error:
        print(f"ert: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(_COLUMNS, rows))
    return 0


def train(faces: FaceSet, options: argparse.Namespace) -> Any:
    """A shape predictor; what the options do not say is dlib's default.

    Raises:
        LandmintError: an image cannot be read.
        ModuleNotFoundError: there is no dlib.
    """
    dlib: Any = import_module("dlib")

    *_, loosest = BOXES.values()
    sets = [loosen(faces, *loosest, seed=seed) for seed in range(1, options.boxes + 1)] or [faces]
    pictures, shapes = [], []
    for number_of_face, face in enumerate(faces.faces):
        picture, matrix = draw(face)
        to_drawing = invert_affine(matrix)
        parts = [dlib.point(*map(round, point)) for point in apply_affine(to_drawing, face.points)]
        boxes = [rectangle(same.faces[number_of_face].box, to_drawing) for same in sets]
        pictures.append(picture)
        shapes.append([dlib.full_object_detection(box, parts) for box in boxes])
    settings = dlib.shape_predictor_training_options()
    settings.oversampling_amount = options.oversampling
    settings.cascade_depth = options.stages
    settings.num_trees_per_cascade_level = options.trees
    settings.num_threads = 1
    return dlib.train_shape_predictor(pictures, shapes, settings)


def draw(face: Face) -> tuple[Image, Floats]:
    """A face in shades of gray, (512, 512), and the matrix from there to its picture.

    Raises:
        LandmintError: the image cannot be read.
    """
    matrix = crop_matrix(face.box, _AROUND, _SIDE)
    drawing = cv2.cvtColor(warp(read_image(face.image), matrix, _SIDE), cv2.COLOR_RGB2GRAY)
    return np.asarray(drawing, dtype=np.uint8), matrix


def rectangle(box: Box, to_drawing: Floats) -> Any:
    """A box of the picture as dlib takes it, in the drawing."""
    dlib: Any = import_module("dlib")

    corners = np.array([(box.x, box.y), (box.x + box.w, box.y + box.h)])
    return dlib.rectangle(*apply_affine(to_drawing, corners).round().astype(int).ravel().tolist())


def judge(predictor: Any, faces: FaceSet) -> Iterator[list[str]]:
    """A row for each kind of box."""
    exact: float | None = None
    for name, bounds in BOXES.items():
        loose = loosen(faces, *bounds, seed=0)
        answers, times_ms = zip(*(predict(predictor, face) for face in loose.faces), strict=True)
        accuracy = summarise(np.array(answers), truth_of(loose))
        errors, interval = accuracy.main, accuracy.interval
        exact = exact or errors.nme
        yield [
            name,
            percent(errors.nme),
            f"{percent(interval.low)} to {percent(interval.high)}",
            percent(errors.failure_rate[0.10], 1),
            number(errors.auc[0.10], 3),
            number(100 * (errors.nme / exact - 1), 1),
            number(median(times_ms)),
        ]


def predict(predictor: Any, face: Face) -> tuple[Floats, float]:
    """Landmarks (L, 2) in the pixels of the picture, and the milliseconds that they took."""
    drawing, matrix = draw(face)
    box = rectangle(face.box, invert_affine(matrix))
    begin = time.perf_counter()
    shape = predictor(drawing, box)
    elapsed_ms = (time.perf_counter() - begin) * 1e3
    points = np.array([(part.x, part.y) for part in shape.parts()], dtype=np.float64)
    return apply_affine(matrix, points), elapsed_ms


if __name__ == "__main__":
    sys.exit(main())
