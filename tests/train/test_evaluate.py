"""Evaluation: a network that knows the answer scores zero, and batches change nothing."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from landmint.runtime.crop import box_of
from landmint.runtime.decode import decode
from landmint.runtime.errors import LandmintError
from landmint.runtime.predict import predict_crops
from landmint.train.evaluate import (
    FaceCrops,
    FlipTestSession,
    TorchSession,
    both_ways,
    crop_faces,
    evaluate,
    own_lean,
    truth_of,
)
from landmint.train.faces.dataset import mean_shape
from landmint.train.faces.face import Face, FaceSet, face_set
from landmint.train.models import ModelConfig, create_model
from landmint.train.models.base import LandmarkModel
from landmint.train.models.hrnet import HRNet
from landmint.train.models.pfld import PFLD

CONFIG = ModelConfig(name="pfld", input_size=112)


class Constant(LandmarkModel):
    """Answers every crop with the same landmarks, plus what it reads in one pixel."""

    def __init__(self, shape: Tensor) -> None:
        contract = PFLD.contract_for(CONFIG, shape.numpy().astype(np.float64))
        super().__init__(CONFIG, contract)
        self.answer = torch.nn.Parameter(shape.reshape(1, -1))
        self.drop = torch.nn.Dropout(0.5)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        return (images,)

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        pixel = features[-1][:, :1, 50, 50]
        return {"coordinates": self.drop(self.answer + 0 * pixel)}


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    """Five pictures of different sizes whose faces have one shape."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 1, (68, 2))
    made = []
    for i in range(5):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (120 + 9 * i, 150, 3), dtype=np.uint8))
        points = shape * (60 + 5 * i) + [20 + i, 30]
        made.append(Face(str(i), path, points, box_of(points), "p", np.ones(68, bool), {}))
    return face_set("68", made, "test")


def test_the_right_answer_scores_zero(faces: FaceSet) -> None:
    shape = torch.from_numpy(mean_shape(faces, PFLD.contract_for(CONFIG, np.zeros((68, 2))).crop))
    model = Constant(shape.float())
    result = evaluate(model, faces, batch_size=2)
    assert result.nme == pytest.approx(0, abs=1e-5) and result.failure_rate == 0
    assert result.points == pytest.approx(truth_of(faces).points, abs=1e-3)
    assert result.per_face.shape == (5,) and result.confidence.shape == (5, 68)


def test_a_known_error_is_measured_in_image_pixels(faces: FaceSet) -> None:
    contract = PFLD.contract_for(CONFIG, np.zeros((68, 2)))
    shape = mean_shape(faces, contract.crop) + [0.01, 0]
    result = evaluate(Constant(torch.from_numpy(shape).float()), faces)
    sides = [contract.crop.scale[0] * max(f.box.w, f.box.h) for f in faces.faces]
    corners = [np.linalg.norm(f.points[36] - f.points[45]) for f in faces.faces]
    expected = 0.01 * np.array(sides) / np.array(corners)
    assert result.per_face == pytest.approx(expected, rel=1e-3)


def test_batches_and_kept_crops_change_nothing(faces: FaceSet) -> None:
    model = PFLD(CONFIG, PFLD.contract_for(CONFIG, np.full((68, 2), 0.5)))
    crops = crop_faces(faces.faces, model.contract)
    single = evaluate(model, faces, batch_size=1)
    assert evaluate(model, faces, 5, crops).points == pytest.approx(single.points, abs=1e-3)
    session = TorchSession(model)
    points, _ = predict_crops(session, model.contract, crops.crops, crops.matrices)
    assert points == pytest.approx(single.points, abs=1e-3)
    assert session.executed_precision == "f32"


@pytest.mark.parametrize(
    ("name", "backbone"),
    [("pfld", "own"), ("pipnet", "mobilenetv3_small_050"), ("mobilefan", "mobilenetv2_050")],
)
def test_what_is_decoded_where_the_network_is_equals_the_devices_decode(
    name: str, backbone: str
) -> None:
    rng = np.random.default_rng(2)
    shape = rng.uniform(0.2, 0.8, (68, 2))
    model = create_model(ModelConfig(name=name, input_size=64, backbone=backbone), shape)
    session = TorchSession(model)
    crops = torch.from_numpy(rng.standard_normal((3, 3, 64, 64)).astype(np.float32))
    points, confidence = session.landmarks(crops)
    assert points.shape == (3, 68, 2)
    expected, sure = decode(model.contract, session.run(crops.numpy()))
    assert points.numpy() * 64 - 0.5 == pytest.approx(expected, abs=1e-3)
    assert confidence.numpy() == pytest.approx(sure, abs=1e-5)


def test_mirrored_crops_and_the_flip_test_go_the_same_way(faces: FaceSet) -> None:
    model = Upright()
    crops = crop_faces(faces.faces, model.contract)
    turned = FaceCrops(crops.crops[:, :, ::-1], crops.matrices)
    result = evaluate(model, faces, crops=turned, session=FlipTestSession)
    expected, _ = predict_crops(
        FlipTestSession(model), model.contract, turned.crops, turned.matrices
    )
    assert result.points == pytest.approx(expected, abs=1e-2)


def test_the_models_mode_is_put_back(faces: FaceSet) -> None:
    model = Constant(torch.full((68, 2), 0.5)).train()
    first, second = evaluate(model, faces), evaluate(model, faces)
    assert model.training
    assert np.array_equal(first.points, second.points)
    evaluate(model.eval(), faces)
    assert not model.training


def test_a_nan_stays_a_failure(faces: FaceSet) -> None:
    shape = torch.full((68, 2), 0.5)
    shape[3, 0] = torch.nan
    result = evaluate(_with_answer(shape), faces)
    assert result.failure_rate == 1 and result.nme == np.inf


def _with_answer(shape: Tensor) -> Constant:
    model = Constant(torch.full((68, 2), 0.5))
    model.answer.data = shape.reshape(1, -1)
    return model


def test_other_markups_and_no_faces_are_refused(faces: FaceSet) -> None:
    model = Constant(torch.full((68, 2), 0.5))
    with pytest.raises(LandmintError):
        evaluate(model, dataclasses.replace(faces, markup="98"))
    with pytest.raises(LandmintError):
        evaluate(model, dataclasses.replace(faces, faces=()))


class Upright(LandmarkModel):
    """Draws each landmark where its own pixel is bright; knows no left from right."""

    def __init__(self) -> None:
        config = ModelConfig(name="hrnet", input_size=64)
        shape = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
        super().__init__(config, HRNet.contract_for(config, shape))
        self.scale = torch.nn.Parameter(torch.ones(1))

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        return (torch.nn.functional.avg_pool2d(images, 4),)

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        ramp = torch.arange(68.0).view(1, 68, 1, 1)
        return {"heatmaps": self.scale * features[-1][:, :1] + ramp}


def test_flip_test_mirrors_maps_and_landmarks_back() -> None:
    model, rng = Upright(), np.random.default_rng(1)
    crops = rng.standard_normal((2, 3, 64, 64)).astype(np.float32)
    (maps,) = FlipTestSession(model).run(crops).values()
    (plain,) = TorchSession(model).run(crops).values()
    ramp = np.arange(68.0)
    mirrored = ramp[list(model.contract.landmarks.flip)]
    expected = plain + ((mirrored - ramp) / 2)[None, :, None, None]
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_flip_test_is_for_heatmaps() -> None:
    with pytest.raises(LandmintError, match="pfld has no flip test"):
        FlipTestSession(Constant(torch.zeros(68, 2)))


@pytest.mark.parametrize("leaning", [0.0, 0.03, -0.02])
def test_labels_that_lean_to_one_side_are_found_whatever_the_network_says(
    leaning: float, faces: FaceSet
) -> None:
    def leant(face: Face) -> Face:
        middle = face.box.x + face.box.w / 2 + leaning * face.box.w
        moved = face.points + (middle - face.points[:, 0].mean(), 0.0)
        return dataclasses.replace(face, points=moved)

    labelled = dataclasses.replace(faces, faces=tuple(map(leant, faces.faces)))
    answer = torch.rand(68, 2, generator=torch.Generator().manual_seed(2))
    plain, middle = both_ways(_with_answer(answer), labelled)
    lean_px = (plain.truth.points - middle)[..., 0].mean(axis=1)
    widths = np.array([face.box.w for face in labelled.faces])
    assert (lean_px / widths).mean() == pytest.approx(leaning, abs=1e-4)


def test_a_network_that_puts_every_landmark_to_the_right_leans_by_that_much(
    faces: FaceSet,
) -> None:
    answer = 0.6 + 0.2 * torch.rand(68, 2, generator=torch.Generator().manual_seed(2))
    model = _with_answer(answer)
    off_middle = float(answer[:, 0].mean()) - 0.5  # a share of the crop
    expected = off_middle * model.contract.crop.scale[0]
    assert own_lean(model, faces).mean() == pytest.approx(expected, abs=1e-2)
