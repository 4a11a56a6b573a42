"""Faces chosen by light, by what is hidden, and by how far apart a network sees them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.features import features_of
from landmint.quantize.decide.strategies import choose, k_centre, light, occlusion
from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import FaceSet

Make = Callable[..., FaceSet]


def config(strategy: str, size: int = 4) -> QuantizeConfig:
    return QuantizeConfig.model_validate({"size": size, "strategy": strategy})


def repaint(path: Path, change: Callable[[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]], object]
            ) -> None:  # fmt: skip
    image = np.asarray(cv2.imread(str(path)), dtype=np.uint8)
    change(image)
    cv2.imwrite(str(path), image)


def test_light_is_brightness_contrast_and_side(make_faces: Make) -> None:
    faces = make_faces("train", 9)
    for i, face in enumerate(faces.faces):
        level = 40 + 20 * i
        repaint(face.image, lambda image, level=level: image.fill(level))  # type: ignore[misc]
    dark_left = faces.faces[4]
    repaint(dark_left.image, lambda image: image[:, :45].fill(0))
    bins = light(faces)
    order = np.argsort([face.name for face in faces.faces], kind="stable")
    brightness = [bins[i, 0] for i in order if i != 4]
    assert brightness == sorted(brightness)
    assert set(brightness) == {0, 1, 2}
    assert bins[4, 1] == 2
    assert bins[4, 2] == 0


def test_occlusion_goes_by_the_annotation(make_faces: Make) -> None:
    faces = make_faces("train", 8)
    with pytest.raises(LandmintError, match="train has no face with a hidden landmark"):
        choose(faces, config("occlusion"))
    hidden = faces.faces[5].visible.copy()
    hidden[:10] = False
    some = list(faces.faces)
    some[5] = replace(some[5], visible=hidden)
    some[2] = replace(some[2], attributes={"occlusion": 1})
    mixed = replace(faces, faces=tuple(some))
    assert occlusion(mixed).ravel().tolist() == [0, 0, 3, 0, 0, 2, 0, 0]
    chosen = {face.name for face in choose(mixed, config("occlusion"))}
    assert {"train/5", "train/2"} < chosen


def test_k_centre_takes_one_of_each_cluster() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 8)) * 10
    points = (np.repeat(centres, 20, axis=0) + rng.normal(size=(100, 8)) * 0.1).astype(np.float32)
    for seed in range(4):
        taken = k_centre(points, 5, np.random.default_rng(seed))
        assert sorted(taken // 20) == [0, 1, 2, 3, 4]
    assert len(set(k_centre(points, 100, rng).tolist())) == 100


def test_features_need_a_network(
    make_faces: Make,
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
) -> None:
    faces = make_faces("train", 6)
    with pytest.raises(LandmintError, match="the strategy 'features' needs a network"):
        choose(faces, config("features"))
    model, contract = graph_of("pip"), contract_of("pip")
    found = features_of(model, contract, faces.faces)
    assert found.shape[0] == 6 and found.shape[1] <= 32
    np.testing.assert_allclose(found.std(axis=0), 1, rtol=1e-4)
    chosen = choose(faces, config("features"), lambda some: features_of(model, contract, some))
    assert len(chosen) == 4
