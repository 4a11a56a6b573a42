"""A face followed through a video: kept while it is there, given up when it is gone."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from landmint import api
from landmint.pipeline import following
from landmint.pipeline.following import FaceFollower
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.crop import Box, Image, box_of
from landmint.runtime.engines import load_engine
from landmint.runtime.engines.engine import Tensor
from landmint.runtime.smooth import SmoothConfig
from landmint.train.faces.face import read_image
from landmint.train.faces.pts300w import read_pts

RealFaces = Callable[[str | Path], Path]

PLAIN = Contract(
    markup="68",
    input_size=32,
    crop=CropRule((10 / 7, 10 / 7), square=True),  # the null landmarks fill .7 of a crop
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
)
STATING = Contract(**{**vars(PLAIN), "outputs": (*PLAIN.outputs, Output("confidence", (68,)))})
START = Box(100, 50, 60, 60)


class Scripted:
    """A session whose landmarks are the null engine's, moved by so much of the crop.

    With `confidences` it states one a run.
    """

    executed_precision = "f32"

    def __init__(self, shift: float = 0.0, confidences: Sequence[float] = ()) -> None:
        self.shift, self.confidences = shift, iter(confidences)
        self.plain = load_engine("null").load(Path("none"), PLAIN, threads=1)

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        outputs = self.plain.run(tensor).items()
        moved = {name: np.asarray(value) + np.float32(self.shift) for name, value in outputs}
        for confidence in self.confidences:
            return {**moved, "confidence": np.full((1, 68), confidence, dtype=np.float32)}
        return moved


class Detector:
    """Stands in for the detector, and counts its looks."""

    def __init__(self, *boxes: Box) -> None:
        self.boxes, self.looks = list(boxes), 0

    def all(self, image: Image) -> list[Box]:
        self.looks += 1
        return self.boxes

    def largest(self, image: Image) -> Box | None:
        return next(iter(self.all(image)), None)


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Detector]:
    detector = Detector()
    monkeypatch.setattr(following, "find_faces", detector.all)
    monkeypatch.setattr(following, "largest_face", detector.largest)
    yield detector


def frame() -> Image:
    return np.zeros((200, 300, 3), dtype=np.uint8)


def test_the_landmarks_are_the_next_frames_box(detector: Detector) -> None:
    follower = FaceFollower(Scripted(0.05), PLAIN, START, None)
    boxes = [follower(frame(), i / 30).box for i in range(4)]
    rights = [box.x + box.w / 2 for box in boxes if box]
    assert len(rights) == 4 and all(b > a for a, b in zip(rights, rights[1:], strict=False))
    assert detector.looks == 0


def test_a_face_that_jumps_is_looked_for_again(detector: Detector) -> None:
    follower = FaceFollower(Scripted(1.5), PLAIN, START, SmoothConfig())
    assert follower(frame(), 0.0).prediction is not None
    assert follower(frame(), 0.1).prediction is None and detector.looks


def test_landmarks_that_are_no_numbers_are_no_face(detector: Detector) -> None:
    follower = FaceFollower(Scripted(float("nan")), PLAIN, START, None)
    assert follower(frame(), 0.0).prediction is None


def test_the_detector_looks_when_confidence_falls(detector: Detector) -> None:
    """Its box is where the face is then: one that lagged behind would be left in the end."""
    confidences = [0.8, 0.75, 0.4, 0.6, 0.5]
    follower = FaceFollower(Scripted(confidences=confidences), STATING, None, None)
    detector.boxes = [START]
    follower(frame(), 0.0)
    follower(frame(), 0.1)
    detector.boxes = [Box(110, 50, 60, 60)]
    looked_again = follower(frame(), 0.2)
    assert looked_again.box == detector.boxes[0] and looked_again.prediction is not None
    np.testing.assert_allclose(looked_again.prediction.confidence, 0.6, atol=1e-6)
    assert follower(frame(), 0.3).prediction is not None
    assert detector.looks == 2  # to begin with, and once when it fell: what it has now is usual


def test_a_face_that_the_detector_saw_and_sees_no_more_is_gone(detector: Detector) -> None:
    follower = FaceFollower(Scripted(confidences=[0.8, 0.5, 0.8]), STATING, None, None)
    detector.boxes = [START]
    assert follower(frame(), 0.0).prediction is not None
    detector.boxes = []
    lost = follower(frame(), 0.1)
    assert lost.prediction is None and lost.box is None
    detector.boxes = [START]
    assert follower(frame(), 0.2).prediction is not None


def test_a_face_that_no_detector_sees_is_gone_by_the_models_own_word(detector: Detector) -> None:
    """A drawn face, say, whose box somebody gave."""
    follower = FaceFollower(Scripted(confidences=[0.8, 0.5, 0.3]), STATING, START, None)
    assert [follower(frame(), i / 30).prediction is None for i in range(3)] == [False, False, True]


def test_another_face_takes_the_place_of_one_that_is_gone(detector: Detector) -> None:
    other = Box(200, 120, 50, 50)
    follower = FaceFollower(Scripted(confidences=[0.8, 0.3, 0.7]), STATING, None, None)
    detector.boxes = [START]
    follower(frame(), 0.0)
    detector.boxes = [other]
    found = follower(frame(), 0.1)
    assert found.box == other and found.prediction is not None
    np.testing.assert_allclose(found.prediction.confidence, 0.7, atol=1e-6)


@pytest.mark.parametrize("sees", [True, False])
def test_a_model_without_confidence_is_checked_once_a_second(
    sees: bool, detector: Detector
) -> None:
    follower = FaceFollower(Scripted(), PLAIN, None, None)
    detector.boxes = [START]
    follower(frame(), 0.0)
    if not sees:
        detector.boxes = []
    frames = [follower(frame(), i / 10) for i in range(1, 16)]
    followed = [f.time_s for f in frames if f.prediction is not None]
    assert max(followed) == pytest.approx(1.5 if sees else 0.9)
    assert sees == (detector.looks == 2)


def test_a_given_face_stays_where_a_model_without_confidence_has_it(detector: Detector) -> None:
    follower = FaceFollower(Scripted(), PLAIN, START, None)
    detector.boxes = [Box(5, 5, 40, 40)]  # of somebody else
    frames = [follower(frame(), i / 2) for i in range(6)]
    assert all(each.prediction is not None for each in frames)
    assert all(each.box is not None and each.box.x > 80 for each in frames)


@pytest.mark.parametrize("model", ["pipnet-mbv3", "pfld"])
def test_a_scene_without_a_face_has_no_landmarks(model: str, real_faces: RealFaces) -> None:
    """A person, a second and a half of something else, and another person elsewhere."""
    pytest.importorskip("ai_edge_litert")
    loaded = api.load(model, "tflite/int8")
    follower = FaceFollower(loaded.session, loaded.contract, None, None)
    first, second = (
        (read_image(path.with_suffix(".jpg")), read_pts(path, 68))
        for path in sorted(real_faces("ytf68/val").glob("*.pts"))[20:60:39]
    )
    rng = np.random.default_rng(0)
    nothing = np.kron(rng.integers(60, 190, (30, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    scenes = [_on(nothing, first[0], 10)] * 10 + [nothing] * 45 + [_on(nothing, second[0], 90)] * 10
    frames = [follower(scene, i / 30) for i, scene in enumerate(scenes)]
    assert all(each.prediction is not None for each in frames[:10])
    assert all(each.prediction is None for each in frames[45:55])
    last = frames[-1].prediction
    assert last is not None
    truth = second[1] + [90, 10]
    assert float(np.abs(last.points - truth).mean()) < 0.1 * box_of(truth).w


def _on(scene: Image, face: Image, left: int) -> Image:
    """The scene with a face in it."""
    scene = scene.copy()
    part = scene[10 : 10 + len(face), left : left + face.shape[1]]
    part[:] = face[: part.shape[0], : part.shape[1]]
    return scene
