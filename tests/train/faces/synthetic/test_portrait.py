"""The drawn face: symmetric as its markup says, and landmarks that lie on what is drawn."""

import cv2
import numpy as np
import pytest

from landmint.runtime.crop import Floats
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.synthetic.camera import HeadView, Light, Pose, render_face
from landmint.train.faces.synthetic.looks import sample_looks
from landmint.train.faces.synthetic.markup import landmarks
from landmint.train.faces.synthetic.occluder import Occluder
from landmint.train.faces.synthetic.portrait import Portrait
from landmint.train.faces.synthetic.shape import (
    LEFT,
    RIGHT,
    Expression,
    FaceShape,
    Identity,
    sample_expression,
    sample_identity,
)

FLAT_LIGHT = Light((0.0, 0.0, 1.0), 1.0, (1.0, 1.0, 1.0), 0.0)
POSES = [Pose(0, 0, 0), Pose(0.5, 0.1, 0.2), Pose(-0.7, -0.2, -0.3), Pose(0.1, 0.35, 0)]


def random_shape(seed: int) -> FaceShape:
    rng = np.random.default_rng(seed)
    return FaceShape(sample_identity(rng), sample_expression(rng))


@pytest.mark.parametrize("name", ["68", "98"])
def test_the_mean_face_is_its_own_mirror(name: str) -> None:
    markup = get_markup(name)
    points = landmarks(FaceShape(Identity(), Expression()), markup, 0.0)
    mirrored = points[list(markup.flip)] * (-1, 1, 1)
    np.testing.assert_allclose(points, mirrored, atol=1e-9)


@pytest.mark.parametrize("name", ["68", "98"])
def test_sides_of_the_markup_are_sides_of_the_picture(name: str) -> None:
    markup = get_markup(name)
    for seed in range(20):
        points = landmarks(random_shape(seed), markup, 0.0)
        left, right = markup.eye_corners
        assert points[left, 0] < 0 < points[right, 0]
        brows, mouth = (points[list(markup.regions[r])] for r in ("brows", "mouth"))
        assert brows[:, 1].max() < mouth[:, 1].min()
        contour = points[list(markup.regions["contour"])]
        assert contour[:, 1].argmax() == len(contour) // 2


def test_other_markups_are_refused() -> None:
    with pytest.raises(LandmintError, match=r"have markup 29[\s\S]*choices: 68, 98"):
        landmarks(random_shape(0), get_markup("29"), 0.0)


def test_features_do_not_cross() -> None:
    u = np.linspace(0, 1, 9)
    for seed in range(60):
        shape = random_shape(seed)
        for side in (LEFT, RIGHT):
            for curve in (shape.brow, shape.lid, shape.lip, shape.inner_lip):
                gap = curve(side, u, True)[:, 1] - curve(side, u, False)[:, 1]
                assert gap.min() > -1e-9, curve
            upper = shape.inner_lip(side, u, False)[-1, 1] - shape.lip(side, u, False)[-1, 1]
            lower = shape.lip(side, u, True)[-1, 1] - shape.inner_lip(side, u, True)[-1, 1]
            assert min(upper, lower) > 0


def test_expression_moves_its_landmarks() -> None:
    markup = get_markup("68")
    calm = landmarks(FaceShape(Identity(), Expression()), markup, 0.0)
    talk = landmarks(FaceShape(Identity(), Expression(mouth_open=1.0)), markup, 0.0)
    asleep = landmarks(FaceShape(Identity(), Expression(eye_close=(1.0, 1.0))), markup, 0.0)
    glad = landmarks(FaceShape(Identity(), Expression(smile=1.0)), markup, 0.0)
    assert talk[66, 1] - talk[62, 1] > calm[66, 1] - calm[62, 1] + 0.2
    assert talk[8, 1] > calm[8, 1]
    np.testing.assert_allclose(asleep[37, :2], asleep[41, :2], atol=0.02)
    assert glad[48, 1] < calm[48, 1] and glad[48, 0] < calm[48, 0]


def draw(shape: FaceShape, pose: Pose, marks: Floats | None = None) -> tuple[Floats, HeadView]:
    """The face on a magenta ground; with marks on the plane, white on black instead."""
    portrait = Portrait(shape, sample_looks(np.random.default_rng(0)), 90.0)
    if marks is not None:
        portrait.picture[:] = 0
        for x, y in np.rint(portrait.place(marks) * 16).astype(int).tolist():
            cv2.circle(portrait.picture, (x, y), 3 * 16, (255.0, 255.0, 255.0), -1, shift=4)
    view = HeadView(pose, 90.0, (160.0, 150.0))
    canvas = np.full((340, 340, 3), (255, 0, 255), dtype=np.float32)
    render_face(canvas, shape, portrait, view, FLAT_LIGHT)
    return canvas.astype(np.float64), view


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("seed", range(3))
def test_the_contour_is_the_edge_of_the_face(seed: int, pose: Pose) -> None:
    shape = random_shape(seed)
    canvas, view = draw(shape, pose)
    face = (np.abs(canvas - (255, 0, 255)).max(axis=-1) > 1).astype(np.uint8)
    inside = cv2.distanceTransform(face, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - face, cv2.DIST_L2, 5)
    contour = view.project(shape.jaw_line(33, pose.yaw_rad))[1:-1]
    for x, y in np.rint(contour).astype(int):
        assert max(inside[y, x], outside[y, x]) < 3.5  # of a face 180 px wide


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_paint_and_landmarks_project_alike(side: int, pose: Pose) -> None:
    shape = FaceShape(Identity(), Expression(mouth_open=0.5))
    corner, middle = np.array(0.0), np.array(1.0)
    expected = [
        (shape.lid(side, corner, False), 0.4),
        (shape.lip(side, corner, False), 0.4),
        (shape.lip(side, middle, True), 0.4),
        (shape.pupil(side), 0.4),
        (shape.bridge(middle), 1.5),  # a dot on a ridge: more is seen of one of its halves
    ]
    for place, tolerance in expected:
        canvas, view = draw(shape, pose, place[None])
        white = canvas[..., 1]
        ys, xs = np.indices(white.shape)
        found = np.array([(xs * white).sum(), (ys * white).sum()]) / white.sum()
        np.testing.assert_allclose(found, view.project(shape.lift(place)), atol=tolerance)


def test_a_nose_hides_the_far_cheek() -> None:
    shape = FaceShape(Identity(), Expression())
    behind = np.array([[0.2, 0.42]])  # beside the nose, on the side that is turned away
    facing, _ = draw(shape, Pose(0, 0, 0), behind)
    turned, _ = draw(shape, Pose(0.85, 0, 0), behind)
    assert facing[..., 1].max() > 250
    assert turned[..., 1].sum() < 0.25 * facing[..., 1].sum()


def test_occluder_hides_what_it_covers() -> None:
    board = Occluder("board", (50.0, 50.0), 0.0, (20.0, 10.0), (1.0, 2.0, 3.0))
    points = np.array([[50.0, 50.0], [69.0, 59.0], [71.0, 50.0], [50.0, 61.0]])
    assert board.hides(points).tolist() == [True, True, False, False]
    canvas = np.zeros((100, 100, 3), dtype=np.float32)
    board.paint(canvas)
    np.testing.assert_array_equal(canvas[50, 65].round(), canvas[45, 65].round())
    assert canvas[50, 65].sum() > 0 and canvas[50, 75].sum() == 0
