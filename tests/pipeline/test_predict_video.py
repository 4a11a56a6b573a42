"""`landmint predict` on a video: the face is followed, drawn and written, frame by frame."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli, following
from landmint.runtime.bundle import Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.crop import Image

CONTRACT = Contract(
    markup="68",
    input_size=32,
    crop=CropRule((1.2, 1.2), square=True),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
)
FRAMES = 8


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    def build(folder: Path) -> Manifest:
        (folder / "model").write_bytes(b"nothing")
        return Manifest("fake", CONTRACT, (Variant("null/float32", "null", ("model",)),))

    return write_bundle(tmp_path / "bundle", build).path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "me.avi"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (96, 64))
    for shade in range(FRAMES):
        film.write(np.full((64, 96, 3), 20 * shade, dtype=np.uint8))
    film.release()
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["predict", *map(str, words)])


def test_frames_are_drawn_and_written(bundle: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--bundle", bundle, "--box", "20,10,40,40", "--smooth", "--out", out)
    result = run(video, *words)
    assert result.exit_code == 0, result.output
    told = json.loads((out / "me.json").read_text(encoding="utf-8"))
    assert told["fps"] == 25 and told["video"] == "me.avi" and told["smooth"]["speed_gain"] > 0
    assert [frame["time_s"] for frame in told["frames"]] == [i / 25 for i in range(FRAMES)]
    assert np.array(told["frames"][-1]["points"]).shape == (68, 2)
    drawn = cv2.VideoCapture(str(out / "me.mp4"))
    assert int(drawn.get(cv2.CAP_PROP_FRAME_COUNT)) == FRAMES


class Recording:
    """A video that says nothing true of its length and rate, as a browser's recording does."""

    def __init__(self, times_ms: Sequence[float]) -> None:
        self.times_ms, self.at = times_ms, -1

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def get(self, what: int) -> float:
        said = {cv2.CAP_PROP_FPS: 1000.0, cv2.CAP_PROP_FRAME_COUNT: -2.7e17}
        return said.get(what, self.times_ms[self.at])

    def grab(self) -> bool:
        self.at += 1
        return self.at < len(self.times_ms)

    def read(self) -> tuple[bool, Image]:
        return self.grab(), np.full((64, 96, 3), 9 * max(self.at, 0) % 256, dtype=np.uint8)

    def release(self) -> None:
        pass


RATES: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {
    "variable": ([0, 40, 80, 180, 280], [0, 0.04, 0.08, 0.18, 0.28]),
    "begins late": ([500, 540, 580], [0.5, 0.54, 0.58]),
    "one stamp for all": ([0, 0, 0], [0, 1 / 30, 2 / 30]),
    "backwards": ([0, 40, 20, 110], [0, 0.04, 0.04 + 1 / 30, 0.11]),
    "no number": ([float("nan"), 40], [0, 0.04]),
}


@pytest.mark.parametrize("name", RATES)
def test_times_are_those_of_the_stamps_and_the_drawn_video_is_as_long(
    name: str, bundle: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps_ms, times_s = RATES[name]
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda path: Recording(stamps_ms))
    out = tmp_path / "out"
    result = run(video, "--bundle", bundle, "--box", "20,10,40,40", "--smooth", "--out", out)
    assert result.exit_code == 0, result.output
    told = json.loads((out / "me.json").read_text(encoding="utf-8"))
    assert [frame["time_s"] for frame in told["frames"]] == pytest.approx(times_s, abs=1e-4)
    drawn = real(str(out / "me.mp4"))
    length_s = drawn.get(cv2.CAP_PROP_FRAME_COUNT) / drawn.get(cv2.CAP_PROP_FPS)
    lasted_s = 2 * times_s[-1] - times_s[-2] - times_s[0]
    assert length_s == pytest.approx(lasted_s, abs=1 / drawn.get(cv2.CAP_PROP_FPS))
    assert f"100 % ({len(stamps_ms)}/{len(stamps_ms)})" in result.output


def test_a_phone_held_sideways(bundle: Path, tmp_path: Path) -> None:
    """The track's matrix turns the picture by a quarter, as phones store it (ISO 14496-12)."""
    path = tmp_path / "me.mp4"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (96, 64))
    for shade in range(FRAMES):
        film.write(np.full((64, 96, 3), 20 * shade, dtype=np.uint8))
    film.release()
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix begins after 40 bytes
    one = 1 << 16
    content[at : at + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 64 * one, 0, one << 14)
    path.write_bytes(bytes(content))
    out = tmp_path / "out"
    assert run(path, "--bundle", bundle, "--box", "10,20,40,40", "--out", out).exit_code == 0
    drawn = cv2.VideoCapture(str(out / "me.mp4"))
    size = [drawn.get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
    assert size == [64, 96]


def test_a_video_without_a_face_says_so(
    bundle: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "largest_face", lambda image: None)
    result = run(video, "--bundle", bundle, "--out", tmp_path / "out")
    assert result.exit_code == 3 and "no face was found" in result.output
    told = json.loads((tmp_path / "out" / "me.json").read_text(encoding="utf-8"))
    assert {frame["points"] for frame in told["frames"]} == {None}


@pytest.mark.parametrize("content", [b"", b"no video at all"])
def test_a_broken_video_leaves_nothing(
    bundle: Path, tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    broken, out = tmp_path / "broken.mp4", tmp_path / "out"
    broken.write_bytes(content)
    result = run(broken, "--bundle", bundle, "--box", "1,1,9,9", "--out", out)
    assert result.exit_code == 2 and "cannot read the video" in result.output
    assert not list(out.glob("*"))


def test_smooth_is_for_videos(bundle: Path) -> None:
    result = run("me.png", "--bundle", bundle, "--smooth")
    assert result.exit_code == 2 and "nothing to smooth" in result.output
