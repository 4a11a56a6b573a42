"""Splits that share folders, images or persons are refused before anything is learned from them."""

import shutil
from pathlib import Path

import pytest

from landmint.runtime.errors import LandmintError
from landmint.train.faces.apart import read_apart
from landmint.train.faces.readers import SPLITS, FacesConfig, load_faces
from landmint.train.faces.synthetic import PERSON_PATTERN


@pytest.fixture
def copy(synthetic_root: Path, tmp_path: Path) -> Path:
    """A copy of the synthetic faces that a test may spoil."""
    return Path(shutil.copytree(synthetic_root, tmp_path / "faces"))


def _config(root: Path, **settings: object) -> FacesConfig:
    return FacesConfig.model_validate({"kind": "300w", "root": root, **settings})


def test_splits_that_are_apart_are_read(synthetic_root: Path) -> None:
    config = _config(synthetic_root, person_pattern=PERSON_PATTERN)
    faces = read_apart(config, SPLITS, Path())
    for split in SPLITS:
        wanted = load_faces(config, split, Path()).faces
        assert [face.name for face in faces[split]] == [face.name for face in wanted]


def test_one_folder_for_all_splits_is_refused(synthetic_root: Path) -> None:
    config = _config(synthetic_root, val="train", test="train")
    with pytest.raises(LandmintError, match="train and test faces are the same: both are in 't"):
        read_apart(config, SPLITS, Path())


def test_validation_on_test_faces_is_refused(synthetic_root: Path) -> None:
    config = _config(synthetic_root, val=["val", "test"])
    with pytest.raises(LandmintError, match="val and test faces are the same: both are in 'test'"):
        read_apart(config, SPLITS, Path())


def test_a_recipe_may_validate_on_training_faces_by_name(synthetic_root: Path) -> None:
    config = _config(synthetic_root, val="train", limits={"val": 3})
    assert len(read_apart(config, SPLITS, Path())["val"]) == 3


def test_a_copied_image_is_found_under_another_name(copy: Path) -> None:
    for suffix in (".png", ".pts"):
        source = min((copy / "train").glob(f"*{suffix}"))
        shutil.copy(source, copy / "test" / f"another{suffix}")
    with pytest.raises(LandmintError, match="1 test faces share an image with train faces: test/a"):
        read_apart(_config(copy), SPLITS, Path())


def test_a_folder_in_a_folder_shares_its_images(copy: Path) -> None:
    shutil.move(copy / "test", copy / "train" / "test")
    with pytest.raises(LandmintError, match="8 test faces share a person with train faces"):
        read_apart(_config(copy, test="train/test"), SPLITS, Path())


def test_a_person_in_two_splits_is_refused(copy: Path) -> None:
    person = min((copy / "train").glob("*.pts")).stem.split("_")[0]
    for suffix in (".png", ".pts"):
        source = min((copy / "val").glob(f"*{suffix}"))
        source.rename(copy / "val" / f"{person}_9{suffix}")
    config = _config(copy, person_pattern=PERSON_PATTERN)
    with pytest.raises(LandmintError, match="1 val faces share a person with train") as error:
        read_apart(config, SPLITS, Path())
    assert f"val/{person}_9" in error.value.fact and "data check" in error.value.remedy
