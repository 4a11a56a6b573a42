"""One contract for every reader, and the settings that choose it."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from landmint.runtime.crop import Floats, box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import ATTRIBUTES, read_image
from landmint.train.faces.pts300w import write_pts
from landmint.train.faces.readers import (
    READERS,
    FacesConfig,
    LabelOffset,
    find_reader,
    find_rows,
    load_faces,
    person_of,
)
from landmint.train.faces.synthetic import write_synthetic

Writers = Mapping[str, Callable[[Path], FacesConfig]]
every_kind = pytest.mark.parametrize("kind", READERS)
every_kind_of_ours = pytest.mark.parametrize("kind", READERS.own)
"""Of these `writers` write faces."""


@every_kind_of_ours
def test_contract(kind: str, writers: Writers, tmp_path: Path) -> None:
    config = writers[kind](tmp_path)
    faces = load_faces(config, "train", tmp_path)
    count = get_markup(config.markup).points
    names = [face.name for face in faces.faces]
    assert len(names) == 4 and sorted(set(names)) == names
    assert faces.markup == config.markup
    assert kind in faces.source
    assert len(faces.fingerprint) == 64
    for face in faces.faces:
        height, width = read_image(face.image).shape[:2]
        assert face.points.shape == (count, 2) and face.points.dtype == np.float64
        assert np.all(face.points > (-width, -height)) and np.all(
            face.points < (2 * width, 2 * height)
        )
        assert face.visible.shape == (count,) and face.visible.dtype == np.bool_
        assert face.box.w > 0 and face.box.h > 0
        assert face.person
        assert set(face.attributes) in (set(), set(ATTRIBUTES))


LEAN = LabelOffset(pixels=(0.5, -1.0), share=(0.01, 0.02))


@every_kind_of_ours
def test_a_lean_is_taken_off_the_labels_of_every_kind(
    kind: str, writers: Writers, tmp_path: Path
) -> None:
    config = writers[kind](tmp_path)
    before = load_faces(config, "train", tmp_path)
    after = load_faces(config.model_copy(update={"label_offset": LEAN}), "train", tmp_path)
    assert after.fingerprint != before.fingerprint
    for leaning, upright in zip(before.faces, after.faces, strict=True):
        side = max(leaning.box.w, leaning.box.h)
        lean = (0.5 + 0.01 * side, -1.0 + 0.02 * side)
        assert leaning.points - upright.points == pytest.approx(
            np.tile(lean, (len(leaning.points), 1))
        )
        assert (upright.name, upright.person) == (leaning.name, leaning.person)
        own = leaning.box == pytest.approx(box_of(leaning.points))
        assert upright.box == pytest.approx(box_of(upright.points) if own else leaning.box)


def test_a_lean_by_hand(writers: Writers, tmp_path: Path) -> None:
    """The longer side of the box, here its height of 200 px, counts on both axes."""
    points = np.full((68, 2), 50.0)
    points[:2] = (10, 20), (110, 220)
    config = writers["300w"](tmp_path).model_copy(update={"label_offset": LEAN})
    write_pts(tmp_path / "train" / "a_1.pts", points)
    face = load_faces(config, "train", tmp_path).faces[0]
    assert face.points[:3] == pytest.approx(np.array([[7.5, 17], [107.5, 217], [47.5, 47]]))
    assert face.box == pytest.approx((7.5, 17, 100, 200))


def test_a_box_that_was_annotated_stays(writers: Writers, tmp_path: Path) -> None:
    config = writers["wflw"](tmp_path).model_copy(update={"label_offset": LEAN})
    plain = load_faces(config.model_copy(update={"label_offset": LabelOffset()}), "train", tmp_path)
    for before, after in zip(plain.faces, load_faces(config, "train", tmp_path).faces, strict=True):
        assert after.box == before.box
        assert not np.allclose(after.points, before.points)


def test_mirrored_faces_agree_once_the_lean_is_taken_off(tmp_path: Path) -> None:
    """Labels that lean right lean right in the mirror too: turned back, they lie apart."""
    markup, width, lean = get_markup("68"), 160, LabelOffset(pixels=(0.55, 0), share=(0.0078, 0))
    write_synthetic(tmp_path, {"train": 4}, markup, width, seed=2)
    drawn = FacesConfig(kind="300w", root=tmp_path)
    for face in load_faces(drawn, "train", tmp_path).faces:
        mirrored = face.points[list(markup.flip)] * (-1, 1) + (width - 1, 0)
        right = (0.55 + 0.0078 * max(face.box.w, face.box.h), 0)
        path = tmp_path / f"{face.name}.pts"
        write_pts(path, face.points + right)
        write_pts(path.with_name(f"{path.stem}-mirrored.pts"), mirrored + right)
        shutil.copy(face.image, face.image.with_stem(f"{face.image.stem}-mirrored"))

    def apart_px(config: FacesConfig) -> list[float]:
        faces = {face.name: face for face in load_faces(config, "train", tmp_path).faces}
        return [
            float((faces[name].points - _turned(faces[f"{name}-mirrored"].points))[:, 0].mean())
            for name in faces
            if not name.endswith("-mirrored")
        ]

    def _turned(points: Floats) -> Floats:
        return points[list(markup.flip)] * (-1, 1) + (width - 1, 0)

    assert min(apart_px(drawn)) > 2 * 0.55
    assert apart_px(drawn.model_copy(update={"label_offset": lean})) == pytest.approx(
        [0] * 4, abs=2e-4
    )


@pytest.mark.parametrize("kind", [kind for kind in READERS.own if kind != "synthetic"])
def test_without_a_pattern_every_image_is_a_person_of_its_own(
    kind: str, writers: Writers, tmp_path: Path
) -> None:
    """Faces in one image share a person; images of one name in two folders do not."""
    config = writers[kind](tmp_path).model_copy(update={"person_pattern": ""})
    faces = load_faces(config, "train", tmp_path).faces
    folder = {"wflw": "images", "coco": "pictures", "aflw": "images", "hrnet": "pictures"}.get(
        kind, ""
    )
    if kind.startswith("cofw"):  # pictures lie in a folder beside their file
        folder = faces[0].image.parents[1].relative_to(tmp_path).as_posix()
    paths = [face.image.relative_to(tmp_path / folder).with_suffix("") for face in faces]
    assert [face.person for face in faces] == [path.as_posix() for path in paths]


def test_one_name_in_two_folders_is_two_persons(tmp_path: Path) -> None:
    images = [tmp_path / "a/1.jpg", tmp_path / "b/1.jpg", tmp_path / "b/1.x.jpg"]
    assert [person_of("", image, tmp_path) for image in images] == ["a/1", "b/1", "b/1.x"]
    assert [person_of(r"^\d", image, tmp_path) for image in images] == ["1"] * 3
    outside = person_of("", tmp_path / "c/1.jpg", tmp_path / "a")
    assert outside == "../c/1"


@every_kind_of_ours
def test_fingerprint_is_independent_of_the_place(
    kind: str, writers: Writers, tmp_path: Path
) -> None:
    config = writers[kind](tmp_path / "here")
    here = load_faces(config, "train", tmp_path)
    shutil.move(tmp_path / "here", tmp_path / "there")
    there = load_faces(config.model_copy(update={"root": Path("there")}), "train", tmp_path)
    assert there.fingerprint == here.fingerprint


SPOILT: Mapping[str, tuple[str, Any, Any, str]] = {
    "hrnet": ("faces.csv", b"deep/c.jpg", b"deep/none.jpg", "faces.csv:4: image .*none.jpg does"),
    "lapa": ("train/landmarks/a_2.txt", b"106", b"105", "a_2.txt: malformed face"),
    "synthetic": ("train/p000000_1.pts", b"{", b"", "p000000_1.pts:1"),
    "300w": ("train/a_2.pts", b"{", b"", "a_2.pts:1"),
    "wflw": ("list.txt", b"a/a_2.jpg", b"a/none.jpg", "list.txt:2: image .*none.jpg does not"),
    "cofw": ("COFW_train_color.mat", "bboxesTr", 2, "COFW_train_color.mat: face 2: malformed"),
    "cofw68": ("COFW68_Data/test_annotations/2_points.mat", b"MATLAB", b"", "2_points.mat"),
    "aflw": ("images/2/b.jpg", None, None, "AFLWinfo_release.mat: face 2: image .*b.jpg does not"),
    "imglab": ("faces.xml", b'name="07"', b'name="08"', "faces.xml: image 'b.jpg', box 0: malf"),
    "coco": (
        "faces.json",
        b'"image_id": 0',
        b'"image_id": 9',
        r"faces.json: annotations\[1\]: malf",
    ),
}


@every_kind_of_ours
def test_one_broken_row_is_named_and_the_others_are_read(
    kind: str, writers: Writers, tmp_path: Path
) -> None:
    config = writers[kind](tmp_path)
    name, old, new, said = SPOILT[kind]
    path = tmp_path / name
    if old is None:
        path.unlink()
    elif isinstance(old, str):
        with h5py.File(path, "r+") as file:
            file[old][new, 1] = 0
    else:
        path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(LandmintError, match=said) as caught:
        load_faces(config, "train", tmp_path)
    assert caught.value.reason or caught.value.remedy
    whole, broken = [], []
    for row in find_rows(config, "train", tmp_path):
        try:
            whole.append(row())
        except LandmintError as error:
            broken.append(error.fact)
    assert (len(whole), broken) == (3, [caught.value.fact])


@every_kind_of_ours
def test_a_missing_file_or_folder_is_named(kind: str, writers: Writers, tmp_path: Path) -> None:
    config = writers[kind](tmp_path).model_copy(update={"train": ("none",)})
    with pytest.raises(LandmintError, match="none") as caught:
        load_faces(config, "train", tmp_path)
    assert caught.value.reason or caught.value.remedy or caught.value.choices


@every_kind
def test_missing_root(kind: str, tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="nowhere does not exist"):
        load_faces(FacesConfig(kind=kind, root=Path("nowhere")), "train", tmp_path)


def test_relative_root_starts_at_the_base(writers: Writers, tmp_path: Path) -> None:
    writers["300w"](tmp_path / "data")
    faces = load_faces(FacesConfig(kind="300w", root=Path("data")), "train", tmp_path)
    assert faces.source == "300w:data/train"


def test_limit_spreads_over_the_names(writers: Writers, tmp_path: Path) -> None:
    config = writers["300w"](tmp_path).model_copy(update={"limits": {"train": 2}})
    names = [face.name for face in load_faces(config, "train", tmp_path).faces]
    assert names == ["train/a_1", "train/b_1"]


def test_a_name_that_stands_twice(writers: Writers, tmp_path: Path) -> None:
    config = writers["300w"](tmp_path).model_copy(update={"train": ("train", "train")})
    with pytest.raises(LandmintError, match="two faces are called 'train/a_1'"):
        load_faces(config, "train", tmp_path)


def test_unknown_kind() -> None:
    with pytest.raises(ValidationError, match="unknown kind of faces 'lfw'; choices: synthetic"):
        FacesConfig(kind="lfw")
    with pytest.raises(LandmintError, match="unknown kind of faces 'lfw'") as caught:
        find_reader("lfw")
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
