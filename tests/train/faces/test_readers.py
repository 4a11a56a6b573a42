"""One contract for every reader, and the settings that choose it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import ATTRIBUTES
from landmint.train.faces.pts300w import write_pts
from landmint.train.faces.readers import READERS, FacesConfig, find_reader, load_faces


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((40, 50, 3), len(path.stem), dtype=np.uint8))


def write_300w(root: Path) -> FacesConfig:
    for name in ("b_1", "a_2", "a_1", "c_1"):
        write_image(root / "train" / f"{name}.jpg")
        write_pts(root / "train" / f"{name}.pts", np.random.default_rng(0).uniform(5, 35, (68, 2)))
    return FacesConfig(kind="300w", root=root, person_pattern=r"^(\w)_")


def write_wflw(root: Path) -> FacesConfig:
    rng, lines = np.random.default_rng(0), []
    for name in ("a/b_1.jpg", "a/a_2.jpg", "a/a 1.jpg", "a/a 1.jpg"):
        write_image(root / "images" / name)
        numbers = [*rng.uniform(5, 35, 196), 5, 6, 35, 37, 0, 1, 0, 0, 1, 0]
        lines.append(" ".join(f"{value:g}" for value in numbers) + f" {name}\n")
    (root / "list.txt").write_text("".join(lines))
    return FacesConfig(kind="wflw", root=root, markup="98", images="images", train=("list.txt",))


def write_drawn(root: Path) -> FacesConfig:
    from landmint.train.faces.synthetic import write_synthetic

    write_synthetic(root, {"train": 4}, get_markup("98"), 48, seed=0)
    return FacesConfig(kind="synthetic", root=root, markup="98")


WRITERS = {"300w": write_300w, "wflw": write_wflw, "synthetic": write_drawn}


def test_every_reader_is_tested() -> None:
    assert set(WRITERS) == set(READERS)


@pytest.mark.parametrize("kind", WRITERS)
def test_contract(kind: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    faces = load_faces(config, "train", tmp_path)
    count = get_markup(config.markup).points
    assert len(faces.faces) == 4
    assert len({face.name for face in faces.faces}) == 4
    assert faces.markup == config.markup
    assert kind in faces.source
    assert len(faces.fingerprint) == 64
    for face in faces.faces:
        assert face.image.is_file()
        assert face.points.shape == (count, 2) and face.points.dtype == np.float64
        assert face.visible.shape == (count,)
        assert face.box.w > 0 and face.box.h > 0
        assert face.person
        assert set(face.attributes) in (set(), set(ATTRIBUTES))
    assert load_faces(config, "train", tmp_path).fingerprint == faces.fingerprint


@pytest.mark.parametrize("kind", WRITERS)
def test_missing_root(kind: str, tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="nowhere does not exist"):
        load_faces(FacesConfig(kind=kind, root=Path("nowhere")), "train", tmp_path)


def test_relative_root_starts_at_the_base(tmp_path: Path) -> None:
    write_300w(tmp_path / "data")
    faces = load_faces(FacesConfig(kind="300w", root=Path("data")), "train", tmp_path)
    assert faces.source == "300w:data/train"


def test_limit_spreads_over_the_names(tmp_path: Path) -> None:
    config = write_300w(tmp_path).model_copy(update={"limits": {"train": 2}})
    names = [face.name for face in load_faces(config, "train", tmp_path).faces]
    assert names == ["train/a_1", "train/b_1"]


def test_unknown_kind() -> None:
    with pytest.raises(ValidationError, match="unknown kind of faces 'cofw'; choices: synthetic"):
        FacesConfig(kind="cofw")
    with pytest.raises(LandmintError, match="unknown kind of faces 'cofw'") as caught:
        find_reader("cofw")
    assert caught.value.choices == tuple(READERS)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("markup", "67", "unknown markup '67'; choices: 68, 98, 29"),
        ("person_pattern", "(", "not a regular expression"),
        ("train", [], "at least 1 item"),
        ("limits", {"train": 0}, "greater than 0"),
        ("rooot", ".", "Extra inputs are not permitted"),
        ("synthetic", {"train": -1}, "greater than or equal to 0"),
    ],
)
def test_bad_setting(key: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FacesConfig.model_validate({key: value})


def test_one_name_needs_no_list() -> None:
    config = FacesConfig.model_validate({"val": "ibug", "test": ["helen/testset", "ibug"]})
    assert config.names_of("val") == ("ibug",)
    assert config.names_of("test") == ("helen/testset", "ibug")
