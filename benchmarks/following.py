"""A face followed through videos, beside a detection in every frame: faces kept, error, trembling.

Each video shows one person who moves through the picture, one second of nothing, and another
person elsewhere. It is made of two test faces of the recipe, so the landmarks of every frame are
known. "On nothing" are frames without a face that get landmarks all the same. Trembling is the mean
over landmarks of how far the error moves from frame to frame; error and trembling are over the
distance between the outer eye corners. Times are of the processor, the ways taking turns.

    python benchmarks/following.py recipes/pipnet-lite0-taught-ytf68.toml
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from landmint import api
from landmint.pipeline.detect import largest_face
from landmint.pipeline.following import FaceFollower
from landmint.pipeline.opening import Model
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, number, percent
from landmint.runtime.accuracy import nme_per_image, normalisers, point_errors
from landmint.runtime.crop import Floats, Image, apply_affine, box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.jitter import temporal_jitter
from landmint.runtime.markup import get_markup
from landmint.runtime.predict import predict_image
from landmint.runtime.smooth import SmoothConfig
from landmint.train.faces.face import Face, read_image

_FPS = 30.0
_WIDTH, _HEIGHT = 480, 360
_SHOWN, _NOTHING = 60, 30
_COLUMNS = ("model", "way", "faces kept", "on nothing", "error, %", "trembling, %", "ms a frame")
_Way = Callable[[Image, float], Floats | None]
_Scene = tuple[Image, Floats | None]


@dataclass
class _Figures:
    """Of one model in one way, over all videos."""

    kept: list[bool] = field(default_factory=list)
    on_nothing: list[bool] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    trembling: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each model and way; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="whose test faces are shown")
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument(
        "--models", nargs="+", default=["pipnet-lite0", "mobilefan", "pipnet-mbv3", "pfld"]
    )
    parser.add_argument("--variant", default="tflite/int8")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        models = {name: api.load(name, given.variant) for name in given.models}
        with tempfile.TemporaryDirectory() as folder:
            people = Run(load_recipe(given.recipe), Path(folder)).faces("test").faces
        step = max(1, len(people) // (2 * given.videos))
        pairs = zip(people[::step][::2], people[::step][1::2], strict=False)
        figures: dict[tuple[str, str], _Figures] = {}
        for number_, (first, second) in zip(range(given.videos), pairs, strict=False):
            video = [*_moving(first, number_), *_nothing(number_), *_moving(second, number_ + 7)]
            for name, model in models.items():
                _play(video, name, _ways(model), figures)
    except LandmintError as error:
        print(f"following: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(_COLUMNS, [_row(*key, value) for key, value in figures.items()]))
    return 0


def _ways(model: Model) -> dict[str, _Way]:
    def follow(smooth: SmoothConfig | None) -> _Way:
        follower = FaceFollower(model.session, model.contract, None, smooth)

        def way(image: Image, time_s: float) -> Floats | None:
            prediction = follower(image, time_s).prediction
            return None if prediction is None else prediction.points

        return way

    def detect(image: Image, time_s: float) -> Floats | None:
        box = largest_face(image)
        if box is None:
            return None
        return predict_image(model.session, model.contract, image, box).points

    return {
        "followed": follow(None),
        "followed, smoothed": follow(SmoothConfig()),
        "detected in each frame": detect,
    }


def _play(
    video: Sequence[_Scene],
    name: str,
    ways: dict[str, _Way],
    figures: dict[tuple[str, str], _Figures],
) -> None:
    """Show one video to each way, frame by frame in turns."""
    points: dict[str, list[Floats | None]] = {way: [] for way in ways}
    for i, (image, _) in enumerate(video):
        for way, run in ways.items():
            begin = time.process_time_ns()
            points[way].append(run(image, i / _FPS))
            taken_ms = (time.process_time_ns() - begin) / 1e6
            figures.setdefault((name, way), _Figures()).ms.append(taken_ms)
    for way, guesses in points.items():
        _judge(guesses, [truth for _, truth in video], figures[name, way])


def _judge(
    guesses: Sequence[Floats | None], truths: Sequence[Floats | None], figures: _Figures
) -> None:
    figures.on_nothing += [
        guess is not None for guess, truth in zip(guesses, truths, strict=True) if truth is None
    ]
    markup = get_markup("68")
    for part in (slice(0, _SHOWN), slice(-_SHOWN, None)):
        both = [
            (guess, truth)
            for guess, truth in zip(guesses[part], truths[part], strict=True)
            if guess is not None and truth is not None
        ]
        figures.kept += [guess is not None for guess in guesses[part]]
        if len(both) < _SHOWN // 2:
            continue
        guess, truth = (np.array(points) for points in zip(*both, strict=True))
        boxes = np.array([box_of(shape) for shape in truth])
        sizes = normalisers(truth, boxes, markup, markup.normalisers[0])
        figures.errors.append(float(nme_per_image(point_errors(guess, truth), sizes).mean()))
        figures.trembling.append(temporal_jitter(guess, truth, sizes))


def _moving(face: Face, seed: int) -> list[_Scene]:
    """A photograph that moves, grows and turns a little in the picture."""
    image = read_image(face.image)
    background, scenes = _background(seed), list[_Scene]()
    middle = np.array([image.shape[1], image.shape[0]]) / 2
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, 4)
    for i in range(_SHOWN):
        x, y, grow, turn = np.sin(phases + 2 * np.pi * i / _SHOWN * np.array([1.0, 0.7, 0.5, 0.8]))
        scale, angle = 1 + 0.15 * grow, np.radians(8 * turn)
        rotation = scale * np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        place = np.array([_WIDTH / 2 + 60 * x, _HEIGHT / 2 + 30 * y])
        matrix = np.concatenate([rotation, (place - rotation @ middle)[:, None]], axis=1)
        scene = background.copy()
        cv2.warpAffine(
            image,
            matrix,
            (_WIDTH, _HEIGHT),
            dst=scene,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_TRANSPARENT,
        )
        scenes.append((scene, apply_affine(matrix[None], face.points[None])[0]))
    return scenes


def _nothing(seed: int) -> list[_Scene]:
    return [(_background(seed), None)] * _NOTHING


def _background(seed: int) -> Image:
    """Soft patches of colour, which a detector may take for a face."""
    coarse = np.random.default_rng(seed).integers(60, 190, (9, 12, 3), dtype=np.uint8)
    soft = cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.asarray(soft, dtype=np.uint8)


def _row(name: str, way: str, figures: _Figures) -> list[str]:
    return [
        name,
        way,
        f"{percent(float(np.mean(figures.kept)), 1)} %",
        f"{percent(float(np.mean(figures.on_nothing)), 1)} %",
        percent(float(np.mean(figures.errors))),
        percent(float(np.mean(figures.trembling))),
        number(float(np.median(figures.ms)), 1),
    ]


if __name__ == "__main__":
    sys.exit(main())
