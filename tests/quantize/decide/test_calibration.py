"""Calibration faces are chosen as stated, hashed, and shared with no one."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.calibration import calibrate
from landmint.quantize.decide.strategies import choose, pose
from landmint.runtime.contract import Contract, Head, Output
from landmint.runtime.crop import crop_matrix, normalise, warp
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import FaceSet, face_set, image_digest, read_image

Make = Callable[..., FaceSet]


@pytest.fixture
def contract(contract_of: Callable[[str], Contract]) -> Contract:
    return contract_of("pip")


def config(**changes: object) -> QuantizeConfig:
    return QuantizeConfig.model_validate({"size": 4, "strategy": "random", **changes})


def names(faces: FaceSet, settings: QuantizeConfig) -> list[str]:
    return [face.name for face in choose(faces, settings)]


def test_random_choice_is_seeded(make_faces: Make) -> None:
    faces = make_faces("train", 20)
    assert names(faces, config(seed=3)) == names(faces, config(seed=3))
    assert names(faces, config(seed=3)) != names(faces, config(seed=4))
    assert len(set(names(faces, config()))) == 4


def test_pose_takes_from_every_stratum_in_turn(make_faces: Make) -> None:
    turned = {7: -60.0, 13: 60.0, 16: 30.0}
    faces = make_faces("train", 20, lambda i: turned.get(i, 0.0))
    assert len(np.unique(pose(faces), axis=0)) == 4
    for seed in range(5):
        chosen = names(faces, config(strategy="pose", seed=seed))
        assert {f"train/{i}" for i in turned} < set(chosen)
        assert len(chosen) == 4


def test_pose_fills_up_from_the_common_stratum(make_faces: Make) -> None:
    faces = make_faces("train", 12, lambda i: 60.0 if i == 0 else 0.0)
    chosen = names(faces, config(strategy="pose", size=12))
    assert chosen == [face.name for face in faces.faces]


def test_too_few_faces(make_faces: Make) -> None:
    with pytest.raises(LandmintError, match="4 calibration faces were asked for, train has 3"):
        choose(make_faces("train", 3), config())
    with pytest.raises(LandmintError, match="has 0"):
        choose(face_set("68", [], "nothing"), config(strategy="pose"))


def test_crops_and_record(make_faces: Make, contract: Contract) -> None:
    faces = make_faces("train", 4)
    chosen = calibrate(faces, make_faces("test", 2), contract, config())
    face = faces.faces[2]
    matrix = crop_matrix(face.box, contract.crop, contract.input_size)
    expected = warp(read_image(face.image), matrix, contract.input_size)
    np.testing.assert_array_equal(chosen.crops[2], expected)
    np.testing.assert_array_equal(
        chosen.tensors(contract.with_layout("NHWC"))[2],
        normalise(expected[None], contract.with_layout("NHWC"))[0],
    )
    assert chosen.record["strategy"] == "random"
    assert chosen.record["size"] == 4
    assert chosen.record["images"][2] == {"name": face.name, "sha256": image_digest(face.image)}


@pytest.mark.parametrize("strategy", ["random", "pose"])
def test_a_shared_person_is_refused(make_faces: Make, contract: Contract, strategy: str) -> None:
    faces, test = make_faces("train", 4), make_faces("test", 3)
    known = dataclasses.replace(test.faces[1], person=faces.faces[2].person)
    test = face_set("68", [test.faces[0], known], "test")
    with pytest.raises(LandmintError, match="1 calibration faces share a person .* train/2"):
        calibrate(faces, test, contract, config(strategy=strategy))


def test_a_copied_image_is_refused(make_faces: Make, contract: Contract) -> None:
    faces, test = make_faces("train", 4), make_faces("test", 2)
    copy = test.faces[0].image.with_suffix(".bmp")
    cv2.imwrite(str(copy), read_image(faces.faces[1].image)[..., ::-1])
    test = face_set("68", [dataclasses.replace(test.faces[0], image=copy)], "test")
    with pytest.raises(LandmintError, match="share an image") as caught:
        calibrate(faces, test, contract, config())
    assert "train/1" in str(caught.value)


def test_only_a_few_names_are_told(make_faces: Make, contract: Contract) -> None:
    faces = make_faces("train", 8)
    with pytest.raises(LandmintError, match=r"train/0, train/1, train/2, \.\.\.") as caught:
        calibrate(faces, faces, contract, config(size=8))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("strategy", ["random", "pose"])
def test_unsound_faces_are_named(make_faces: Make, contract: Contract, strategy: str) -> None:
    faces, test = make_faces("train", 4), make_faces("test", 1)
    broken = faces.faces[3].points.copy()
    broken[5, 0] = np.inf
    bad = dataclasses.replace(faces.faces[3], points=broken)
    with pytest.raises(LandmintError, match="train/3 has a coordinate that is no finite number"):
        calibrate(
            face_set("68", [*faces.faces[:3], bad], "train"),
            test,
            contract,
            config(strategy=strategy),
        )
    flat = dataclasses.replace(faces.faces[3], box=faces.faces[3].box._replace(w=0.0))
    with pytest.raises(LandmintError, match="train/3 has a box without area"):
        calibrate(
            face_set("68", [*faces.faces[:3], flat], "train"),
            test,
            contract,
            config(strategy=strategy),
        )


def test_markups_must_agree(make_faces: Make, contract: Contract) -> None:
    maps = (Output("heatmaps", (98, 8, 8)),)
    head = Head("heatmap", "argmax", 1.0)
    other = dataclasses.replace(contract, markup="98", head=head, outputs=maps)
    with pytest.raises(LandmintError, match="has 68 landmarks, the model 98"):
        calibrate(make_faces("train", 4), make_faces("test", 1), other, config())
