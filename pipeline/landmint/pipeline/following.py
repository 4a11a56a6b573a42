"""One face followed from frame to frame of a video.

Not a tracker: the landmarks of a frame are the box of the next, as the models were trained on such
boxes. The detector looks where the face is not known, and where it may be gone: when the model's
confidence falls, or once a second for models that state none.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from landmint.pipeline.blazeface import overlap
from landmint.pipeline.detect import find_faces, largest_face
from landmint.runtime.contract import Contract
from landmint.runtime.crop import Box, Floats, Image, box_of, crop_matrix
from landmint.runtime.engines import Session
from landmint.runtime.predict import Prediction, predict_image
from landmint.runtime.smooth import FaceFilter, SmoothConfig

# A box that halves, doubles or jumps by more than its own size is no face that moved.
_MOST_GROWTH, _MOST_JUMP = 2.0, 1.0
# Shares of a face's usual confidence. On 47 faces of YouTube Faces the shipped models with heatmaps
# have .85 to 1.2 of their median; beside the faces .1 to .7, mostly below .5.
_DOUBTFUL, _GONE = 0.7, 0.5
_USUAL_OVER = 30
"""Frames that the usual confidence is a mean of, about."""
_LOOK_EVERY_S = 1.0
_SAME_FACE = 0.5
"""Boxes that share so much of their union are of one face."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What was found in one frame."""

    time_s: float
    """From the video's start."""
    box: Box | None
    """Where the face was looked at, in pixels; None where there is none."""
    prediction: Prediction | None
    """Its landmarks."""


class FaceFollower:
    """Finds the landmarks of one face in frame after frame."""

    def __init__(
        self, session: Session, contract: Contract, box: Box | None, smooth: SmoothConfig | None
    ) -> None:
        """Start where the face is.

        Args:
            session: the model.
            contract: its contract, in the session's layout.
            box: the face in the first frame; the largest that is found when absent.
            smooth: the filter of its landmarks; None leaves them as the model gives them.
        """
        self._session, self._contract, self._smooth = session, contract, smooth
        self._box = box
        self._centre: Floats | None = None
        self._filter = None if smooth is None else FaceFilter(smooth)
        self._trust = _Trust()

    def __call__(self, image: Image, time_s: float) -> Frame:
        """The landmarks in the next frame, an (H, W, 3) RGB image."""
        box = self._box
        if box is None:
            box = largest_face(image)
            if box is None:
                return Frame(time_s, None, None)
            self._trust.detected(time_s)
        prediction = self._predict(image, box)
        if prediction is not None and self._trust.doubts(prediction, time_s):
            checked = self._look_again(image, prediction, box, time_s)
            if checked is None:
                self._forget()
                return Frame(time_s, None, None)
            if checked != box:
                box, prediction = checked, self._predict(image, checked)
        if prediction is None:
            self._forget()
            return Frame(time_s, box, None)
        self._trust.add(prediction, time_s)
        frame = Frame(time_s, box, self._smoothed(prediction, box, time_s))
        new = box_of(prediction.points)
        if _is_the_same(new, box, image):
            self._box = self._moved_on(new)
        else:
            self._forget()
        return frame

    def _predict(self, image: Image, box: Box) -> Prediction | None:
        """The landmarks in a box; None where they are no numbers."""
        prediction = predict_image(self._session, self._contract, image, box)
        return prediction if np.isfinite(prediction.points).all() else None

    def _look_again(
        self, image: Image, prediction: Prediction, box: Box, time_s: float
    ) -> Box | None:
        """Where the face is, or else another one; None where the detector sees none."""
        boxes = find_faces(image)
        shared = overlap(np.array(boxes).reshape(-1, 4), box_of(prediction.points))
        is_seen = shared.max(initial=0.0) >= _SAME_FACE
        if is_seen and not self._trust.fallen(prediction):
            self._trust.detected(time_s)
            return box
        if not is_seen and self._trust.may_stay(prediction, time_s):
            return box
        self._forget()
        if not boxes:
            return None
        self._trust.detected(time_s)
        return boxes[int(shared.argmax())]

    def _moved_on(self, box: Box) -> Box:
        """Where a face will be in the next frame, if it moves on as it did since the last one."""
        centre = np.array([box.x + box.w / 2, box.y + box.h / 2])
        step = np.zeros(2) if self._centre is None else centre - self._centre
        self._centre = centre
        return Box(box.x + float(step[0]), box.y + float(step[1]), box.w, box.h)

    def _forget(self) -> None:
        """Forget the face: the next one may be another."""
        self._box, self._centre, self._trust = None, None, _Trust()
        self._filter = None if self._smooth is None else FaceFilter(self._smooth)

    def _smoothed(self, prediction: Prediction, box: Box, time_s: float) -> Prediction:
        if self._filter is None:
            return prediction
        size = self._contract.input_size
        side_px = crop_matrix(box, self._contract.crop, size)[0, 0] * size
        points = self._filter(prediction.points, time_s, side_px)
        return dataclasses.replace(prediction, points=points)


class _Trust:
    """How sure it is that a face is still where it was."""

    def __init__(self) -> None:
        self._usual: float | None = None
        self._looked_s: float | None = None
        self._detected = False

    def detected(self, time_s: float) -> None:
        """The detector has seen the face; how confident the model is of it is learned anew."""
        self._usual, self._looked_s, self._detected = None, time_s, True

    def add(self, prediction: Prediction, time_s: float) -> None:
        """A frame in which the face was."""
        now = float(np.median(prediction.confidence))
        usual = now if self._usual is None else self._usual
        self._usual = usual + (now - usual) / _USUAL_OVER
        if self._looked_s is None:
            self._looked_s = time_s

    def doubts(self, prediction: Prediction, time_s: float) -> bool:
        """Whether the detector has to look."""
        if self._usual is None or self._looked_s is None:
            return False
        states_none = bool((prediction.confidence == 1).all())
        due = states_none and time_s - self._looked_s >= _LOOK_EVERY_S
        return due or self.fallen(prediction)

    def fallen(self, prediction: Prediction) -> bool:
        """Whether the model is less confident than usual: off the face, or the box lags behind."""
        return float(np.median(prediction.confidence)) < _DOUBTFUL * (self._usual or 0.0)

    def may_stay(self, prediction: Prediction, time_s: float) -> bool:
        """Whether the face may be there, though the detector does not see it.

        Of a face that it has never seen, a drawn one say, the detector cannot tell that it is gone.
        """
        self._looked_s = time_s
        return not self._detected and bool(
            np.median(prediction.confidence) >= _GONE * (self._usual or 0.0)
        )


def _is_the_same(new: Box, box: Box, image: Image) -> bool:
    """Whether landmarks with a box may be of the face that was looked for in another."""
    grown = max(new.w, new.h) / max(box.w, box.h)
    jump = max(
        abs(new.x + new.w / 2 - box.x - box.w / 2), abs(new.y + new.h / 2 - box.y - box.h / 2)
    )
    height, width = image.shape[:2]
    inside = new.x < width and new.y < height and new.x + new.w > 0 and new.y + new.h > 0
    steady = 1 / _MOST_GROWTH < grown < _MOST_GROWTH and jump < _MOST_JUMP * max(box.w, box.h)
    return inside and steady
