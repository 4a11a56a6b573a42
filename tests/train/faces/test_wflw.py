"""WFLW lists: what is read, and what each malformed line is told."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import ATTRIBUTES, Face
from landmint.train.faces.readers import FacesConfig, load_faces

RealFaces = Callable[[str | Path], Path]


def columns() -> list[str]:
    points = [str(value) for value in range(196)]
    return [*points, "10", "20", "110", "140", "1", "0", "0", "0", "1", "0", "e/f.jpg"]


def load(root: Path, *lines: list[str]) -> tuple[Face, ...]:
    (root / "images" / "e").mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / "images" / "e" / "f.jpg"), np.zeros((9, 9, 3), dtype=np.uint8))
    (root / "test.txt").write_text("".join(" ".join(line) + "\n" for line in lines))
    config = FacesConfig(kind="wflw", root=root, markup="98", images="images", test=("test.txt",))
    return load_faces(config, "test", Path()).faces


def test_one_face(tmp_path: Path) -> None:
    (face,) = load(tmp_path, columns())
    assert face.points[1].tolist() == [2, 3]
    assert face.box == (10, 20, 100, 120)
    assert dict(face.attributes) == dict(zip(ATTRIBUTES, (1, 0, 0, 0, 1, 0), strict=True))
    assert face.image == tmp_path / "images" / "e" / "f.jpg"
    assert (face.name, face.person) == ("e/f#1", "e/f")


def change(index: int, value: str) -> Callable[[list[str]], list[str]]:
    return lambda line: [*line[:index], value, *line[index + 1 :]]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda line: line[:-1], "206 columns where a WFLW list has 207"),
        (change(7, "x"), "not a number"),
        (change(7, "nan"), "column 7, 'nan', is not finite"),
        (change(195, "inf"), "column 195, 'inf', is not finite"),
        (change(198, "10"), "the box has 0 x 120 px"),
        (change(199, "5"), "the box has 100 x -15 px"),
        (change(203, "2"), "flags"),
    ],
)
def test_malformed(tmp_path: Path, spoil: Callable[[list[str]], list[str]], reason: str) -> None:
    with pytest.raises(LandmintError) as caught:
        load(tmp_path, columns(), spoil(columns()))
    assert caught.value.fact == f"{tmp_path / 'test.txt'}:2: malformed face"
    assert reason in caught.value.reason


def test_missing_image(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match=r"test\.txt:1: image .*none\.jpg does not exist"):
        load(tmp_path, change(206, "none.jpg")(columns()))


def test_empty_and_missing_list(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match=r"test\.txt is empty"):
        load(tmp_path)
    config = FacesConfig(kind="wflw", root=tmp_path, markup="98", images="images")
    with pytest.raises(LandmintError, match="cannot read the WFLW list"):
        load_faces(config, "val", Path())


def test_needs_98_points_and_a_folder_of_images(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="markup '68' does not fit a WFLW list"):
        load_faces(FacesConfig(kind="wflw", root=tmp_path), "test", Path())
    with pytest.raises(LandmintError, match="WFLW_images does not exist"):
        load_faces(FacesConfig(kind="wflw", root=tmp_path, markup="98"), "test", Path())


def test_real_samples(real_faces: RealFaces) -> None:
    config = FacesConfig(
        kind="wflw",
        root=real_faces("samples/wflw"),
        markup="98",
        images=".",
        test=("list_98pt_rect_attr_test.txt",),
    )
    faces = load_faces(config, "test", Path()).faces
    assert [face.person for face in faces].count("7_Cheering_Cheering_7_16") == 3
    for face in faces:
        inside = (face.points >= (face.box.x - face.box.w / 2, face.box.y - face.box.h / 2)).all()
        assert inside, "the landmarks lie about the box"
