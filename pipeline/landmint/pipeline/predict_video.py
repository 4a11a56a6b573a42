"""Landmarks in people's videos: a face followed from frame to frame, a video and JSON out.

One face a video, the given one or the largest.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from landmint.pipeline.detect import advice
from landmint.pipeline.draw import draw_landmarks
from landmint.pipeline.following import FaceFollower, Frame
from landmint.pipeline.opening import Model
from landmint.pipeline.predict import NO_FACE, names_of
from landmint.pipeline.progress import Screen
from landmint.runtime.crop import Box, Image
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, write_json
from landmint.runtime.markup import Markup
from landmint.runtime.progress import Progress
from landmint.runtime.smooth import SmoothConfig

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
SCHEMA = 1
_USUAL_STEP_S = 1 / 30  # of a video that does not say
_QUICK = 0.1  # share of the steps in time that may be quicker than the drawn video shows
_MOST_FPS = 120.0
_LEAST_STEP_S, _MOST_STEP_S = 1e-4, 60.0
"""Steps in time that a stamp may have; another is none."""


def predict_videos(
    videos: Sequence[Path],
    model: Model,
    box: Box | None,
    smooth: bool,
    folder: Path,
    screen: Screen,
) -> int:
    """Write `NAME.mp4`, the landmarks drawn, and `NAME.json`, frame by frame, for each video.

    Args:
        videos: files that OpenCV reads.
        model: finds the landmarks.
        box: the face in each first frame; the largest that is found when absent.
        smooth: whether the landmarks go through the one-euro filter.
        folder: where results go.
        screen: told what was written.

    Returns:
        0, or 3 if in some video no face was found.

    Raises:
        LandmintError: a video cannot be read.
    """
    filtered = SmoothConfig() if smooth else None
    about = {
        **model.about,
        "smooth": None if filtered is None else dataclasses.asdict(filtered),
    }
    code = 0
    if box is None and (hint := advice()):
        screen.line(hint, style="yellow")
    for name, path in zip(names_of(videos), videos, strict=True):
        follower = FaceFollower(model.session, model.contract, box, filtered)
        with screen.bar(path.name) as bar:
            target, markup = folder / f"{name}.mp4", model.contract.landmarks
            frames, fps = _follow(path, follower, markup, target, bar)
        content = {"schema": SCHEMA, "video": path.name, **about, "fps": fps}
        content["frames"] = [_frame_json(frame) for frame in frames]
        write_json(folder / f"{name}.json", content)
        with_face = sum(frame.prediction is not None for frame in frames)
        if not with_face:
            code = NO_FACE
            screen.line(f"{path}: no face was found; give it with --box x,y,w,h", style="yellow")
        print(f"{folder / name}.mp4  a face in {with_face} of {len(frames)} frames")
    return code


def _follow(
    path: Path, follower: FaceFollower, markup: Markup, target: Path, bar: Progress
) -> tuple[list[Frame], float]:
    """What is found in each frame of a video, drawn into another; and its frames per second."""
    frames: list[Frame] = []
    times_s = frame_times(path)
    steps_s = np.diff(times_s) if len(times_s) > 1 else np.array([_USUAL_STEP_S])
    fps = round(min(1 / float(np.quantile(steps_s, _QUICK)), _MOST_FPS), 3)
    ends_s = np.array([*times_s, times_s[-1] + steps_s[-1]])
    shown = np.rint((ends_s - times_s[0]) * fps).astype(int)
    with _opened(path) as video, atomic_path(target) as fresh, _Film(fresh, fps) as film:
        for image, time_s, copies in zip(_images(video), times_s, np.diff(shown), strict=False):
            frame = follower(image, time_s)
            frames.append(frame)
            film.add(_drawn(image, frame, markup), int(copies))
            bar.at(len(frames), len(times_s), "frames")
    return frames, fps


def frame_times(path: Path) -> list[float]:
    """When each frame of a video is shown, in seconds; each later than the one before.

    The frames are counted and their stamps read by going through them once: what a file says of
    its length and rate is wrong of recordings that were streamed, and a rate may change.

    Raises:
        LandmintError: the video cannot be read, or has no frame.
    """
    times_s: list[float] = []
    with _opened(path) as video:
        while video.grab():
            time_s = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if times_s and not times_s[-1] + _LEAST_STEP_S <= time_s <= times_s[-1] + _MOST_STEP_S:
                time_s = times_s[-1] + _USUAL_STEP_S
            times_s.append(time_s if times_s or 0 <= time_s < _MOST_STEP_S else 0.0)
    if not times_s:
        raise _unreadable(path, "it has no frame that can be decoded")
    return times_s


def _frame_json(frame: Frame) -> dict[str, Any]:
    """One frame as JSON; null where no face was."""
    box, prediction = frame.box, frame.prediction
    return {
        "time_s": round(frame.time_s, 4),
        "box": None if box is None else [round(value, 3) for value in box],
        "points": None if prediction is None else prediction.points.round(3).tolist(),
        "confidence": None if prediction is None else prediction.confidence.round(4).tolist(),
    }


def _drawn(image: Image, frame: Frame, markup: Markup) -> Image:
    if frame.prediction is None:
        return image
    return draw_landmarks(image, frame.prediction.points, markup, frame.box)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    if not path.is_file():
        raise _unreadable(path, "there is no such file")
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise _unreadable(path, "it is truncated, or of an unknown format")
        yield video
    finally:
        video.release()


def _images(video: cv2.VideoCapture) -> Iterator[Image]:
    while True:
        read, frame = video.read()
        if not read:
            return
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)


class _Film:
    """A video that is being written; its size is that of the first frame."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> "_Film":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.release()

    def add(self, image: Image, copies: int) -> None:
        """Show an image for so many frames."""
        if self._writer is None:
            height, width = image.shape[:2]
            kind = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), kind, self._fps, (width, height))
            if not self._writer.isOpened():
                raise LandmintError(
                    "no video can be written here",
                    reason="this OpenCV has no MPEG-4 encoder",
                    remedy="pip install opencv-python-headless",
                )
        for _ in range(copies):
            self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def _unreadable(path: Path, reason: str) -> LandmintError:
    return LandmintError(
        f"cannot read the video {path}", reason=reason, remedy="check the path and the file"
    )
