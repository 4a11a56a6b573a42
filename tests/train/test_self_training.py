"""Unlabelled faces: which count, which are refused, and how they are labelled."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.config import SelfTrainingConfig
from landmint.train.faces.dataset import FaceDataset, mean_shape
from landmint.train.faces.readers import FacesConfig, SyntheticConfig, load_faces
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.fit_config import FitConfig
from landmint.train.models import save_model
from landmint.train.models.base import LandmarkModel
from landmint.train.self_training import find_unlabelled, label_round

FIT = FitConfig(accelerator="cpu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    counts = SyntheticConfig(train=6, val=2, test=2).counts
    write_synthetic(tmp_path / "faces", counts, get_markup("68"), 64, 0)
    return tmp_path / "faces"


def test_images_with_labels_are_left_out(root: Path) -> None:
    config = FacesConfig(root=root)
    train, val = (load_faces(config, split, Path()) for split in ("train", "val"))
    few = dataclasses.replace(train, faces=train.faces[:2])
    found = find_unlabelled(config, few, (val,))
    names = {face.image.relative_to(root).as_posix() for face in train.faces[2:]}
    assert set(found.boxes.boxes) == names
    assert found.folder == root
    with pytest.raises(LandmintError, match="there are no unlabelled faces"):
        find_unlabelled(config, train, (val,))


def test_faces_that_judge_are_refused(root: Path) -> None:
    config = FacesConfig(root=root, limits={"train": 6})
    train, val = (load_faces(config, split, Path()) for split in ("train", "val"))
    few = dataclasses.replace(train, faces=train.faces[:2])
    shutil.copy(val.faces[0].image, train.faces[4].image)
    with pytest.raises(LandmintError, match="1 unlabelled images share an image with"):
        find_unlabelled(config, few, (val,))
    known = config.model_copy(update={"person_pattern": "^(.)"})
    judges = dataclasses.replace(
        val, faces=tuple(dataclasses.replace(face, person="p") for face in val.faces)
    )
    with pytest.raises(LandmintError, match="6 unlabelled images share a person with"):
        find_unlabelled(known, few, (judges,))


def test_a_round_joins_true_and_pseudo_labels(
    root: Path, tmp_path: Path, make_model: Callable[..., LandmarkModel]
) -> None:
    config = FacesConfig(root=root)
    train = load_faces(config, "train", Path())
    few = dataclasses.replace(train, faces=train.faces[:2])
    found = find_unlabelled(config, few, ())
    model = make_model("pipnet", input_size=64, stride=16, backbone="mobilenetv3_small_050")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    save_model(model, tmp_path / "model.safetensors")
    settings = SelfTrainingConfig(faces=config)
    weights, place = tmp_path / "model.safetensors", tmp_path / "round"
    both = label_round(weights, found, few, settings, FIT, place)
    assert [face.pseudo for face in both.faces] == [False] * 2 + [True] * 4
    assert both.fingerprint != few.fingerprint
    rule = model.contract.crop
    np.testing.assert_array_equal(mean_shape(both, rule), mean_shape(few, rule))
    data = FaceDataset(both, model.contract, None, 0)
    assert [float(data[0, i]["pseudo"]) for i in range(6)] == [0, 0, 1, 1, 1, 1]
    sure = settings.model_copy(update={"min_confidence": 99.0})
    with pytest.raises(LandmintError, match="no unlabelled face is left"):
        label_round(weights, found, few, sure, FIT, tmp_path / "other")
