"""Broken annotations: each reader names them, and no verb falls over them."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from typer.testing import Result

from landmint.runtime.errors import LandmintError
from landmint.train.faces.readers import FacesConfig, find_rows
from landmint.train.faces.sheet import contact_sheet
from landmint.train.faces.unlabelled import known_boxes

Write = Callable[[Path], None]
AskInVain = Callable[..., Result]

DIGITS = "9" * 5000
"""More digits than Python reads."""
HUGE = 10**400
"""A whole number that no float holds."""
DEEP = 100_000
"""Brackets within each other, more than a parser goes down."""


class FacesCase(NamedTuple):
    """One broken annotation beside a sound picture."""

    kind: str
    write: Write
    said: str


def _points(count: int) -> list[tuple[float, float]]:
    """Landmarks on a spiral, in a picture of 64 x 64."""
    return [(32 + i / 5 * np.cos(i), 32 + i / 5 * np.sin(i)) for i in range(count)]


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)


def _coco(change: Mapping[tuple[Any, ...], Any] | str) -> Write:
    """Faces in COCO's JSON with some values changed, or another text."""

    def write(root: Path) -> None:
        _picture(root / "a.png")
        keypoints = [value for x, y in _points(68) for value in (x, y, 2)]
        entry = {"id": 1, "image_id": 1, "bbox": [9, 9, 50, 50], "keypoints": keypoints}
        images = [{"id": 1, "file_name": "a.png"}]
        content: Any = {"images": images, "annotations": [entry, dict(entry, id=2)]}
        if isinstance(change, str):
            (root / "faces").write_text(change)
            return
        for place, value in change.items():
            part = content
            for key in place[:-1]:
                part = part[key]
            part[place[-1]] = value
        (root / "faces").write_text(json.dumps(content).replace('"DIGITS"', DIGITS))

    return write


def _imglab(old: str, new: str) -> Write:
    def write(root: Path) -> None:
        _picture(root / "a.png")
        parts = "".join(
            f"<part name='{i:02d}' x='{x:.1f}' y='{y:.1f}'/>"
            for i, (x, y) in enumerate(_points(68))
        )
        box = f"<box top='9' left='9' width='50' height='50'>{parts}</box>"
        text = f"<?xml version='1.0'?><dataset><images><image file='a.png'>{box}</image></images>"
        changed = f"{text}</dataset>".replace(old, new, 1)
        assert old in text and changed != text
        (root / "faces").write_text(changed, encoding="latin-1")

    return write


def _pts(index: int, line: str) -> Write:
    def write(root: Path) -> None:
        _picture(root / "faces/a.png")
        lines = [f"{x:.2f} {y:.2f}" for x, y in _points(68)]
        lines[index] = line
        body = "\n".join(lines)
        (root / "faces/a.pts").write_text(f"version: 1\nn_points: 68\n{{\n{body}\n}}\n")

    return write


def _binary_pts(root: Path) -> None:
    _picture(root / "faces/a.png")
    packed = struct.pack("<i136f", 86, *np.ravel(_points(68)))
    (root / "faces/a.pts").write_bytes(packed)


def _attributes(content: bytes) -> Write:
    def write(root: Path) -> None:
        _pts(0, "1 1")(root)
        header = b"name,pose,expression,illumination,make_up,occlusion,blur\n"
        (root / "faces/attributes.csv").write_bytes(header + content)

    return write


def _wflw(column: int, word: str) -> Write:
    def write(root: Path) -> None:
        _picture(root / "WFLW_images/a.png")
        words = [f"{value:.2f}" for value in np.ravel(_points(98))]
        words += ["9", "9", "59", "59", *"000000", "a.png"]
        words[column] = word
        (root / "faces").write_text(" ".join(words) + "\n")

    return write


FACES: Mapping[str, FacesCase] = {
    "coco keypoints are a number": FacesCase(
        "coco", _coco({("annotations", 0, "keypoints"): 1}), "keypoints"
    ),
    "coco keypoints are lists": FacesCase(
        "coco", _coco({("annotations", 0, "keypoints"): [[], [1], {}]}), "keypoints"
    ),
    "coco keypoints are an object": FacesCase(
        "coco", _coco({("annotations", 0, "keypoints"): {"0": 1}}), "keypoints"
    ),
    "coco id of an image is a list": FacesCase(
        "coco", _coco({("images", 0, "id"): [1]}), "image_id 1 is not among the images"
    ),
    "coco id of an image is an object": FacesCase(
        "coco", _coco({("images", 0, "id"): {}}), "image_id 1 is not among the images"
    ),
    "coco image_id is a list": FacesCase(
        "coco", _coco({("annotations", 0, "image_id"): [1]}), "image_id: "
    ),
    "coco file_name is a number": FacesCase(
        "coco", _coco({("images", 0, "file_name"): 5}), "image_id 1 is not among the images"
    ),
    "coco file_name is empty": FacesCase(
        "coco", _coco({("images", 0, "file_name"): ""}), "does not exist"
    ),
    "coco file_name is endless": FacesCase(
        "coco", _coco({("images", 0, "file_name"): "a" * 5000}), "does not exist"
    ),
    "coco file_name has a zero byte": FacesCase(
        "coco", _coco({("images", 0, "file_name"): "a\0.png"}), "does not exist"
    ),
    "coco whole number beyond floats": FacesCase(
        "coco", _coco({("annotations", 0, "keypoints", 3): HUGE}), "malformed face"
    ),
    "coco id of more than 64 bits": FacesCase(
        "coco", _coco({("annotations", 0, "image_id"): HUGE}), "malformed face"
    ),
    "coco landmark a galaxy away": FacesCase(
        "coco", _coco({("annotations", 0, "keypoints", 3): 1e20}), "is not finite, or beyond"
    ),
    "coco landmark at the end of floats": FacesCase(
        "coco", _coco({("annotations", 0, "keypoints", 3): -1e300}), "is not finite, or beyond"
    ),
    "coco box of a galaxy": FacesCase(
        "coco", _coco({("annotations", 0, "bbox", 2): 1e20}), "the box "
    ),
    "coco box of nothing": FacesCase(
        "coco", _coco({("annotations", 0, "bbox"): [9, 9, 1e-200, 1e-200]}), "the box "
    ),
    "coco number of 5000 digits": FacesCase(
        "coco", _coco({("annotations", 0, "id"): "DIGITS"}), "not valid JSON"
    ),
    "coco too deep": FacesCase("coco", _coco("[" * DEEP), "not valid JSON"),
    "coco is a list": FacesCase("coco", _coco("[]"), "no list of entries"),
    "coco is CSV": FacesCase("coco", _coco("image_name,scale\na.jpg,1\n"), "not valid JSON"),
    "coco entries are numbers": FacesCase(
        "coco", _coco({("annotations",): [1, 2]}), "no list of entries"
    ),
    "imglab box of a galaxy": FacesCase("imglab", _imglab("width='50'", "width='1e20'"), "the box"),
    "imglab box of nothing": FacesCase(
        "imglab", _imglab("'50' height='50'", "'1e-200' height='1e-200'"), "the box"
    ),
    "imglab landmark a galaxy away": FacesCase(
        "imglab", _imglab("x='32.2'", "x='1e20'"), "is not finite, or beyond"
    ),
    "imglab landmark at the end of floats": FacesCase(
        "imglab", _imglab("x='32.2'", "x='1e308'"), "is not finite, or beyond"
    ),
    "imglab part of 5000 digits": FacesCase(
        "imglab", _imglab("name='07'", f"name='{DIGITS}'"), "malformed face"
    ),
    "imglab parts from one": FacesCase(
        "imglab", _imglab("name='67'", "name='68'"), "parts 68 are not of 0 to 67"
    ),
    "imglab file is endless": FacesCase(
        "imglab", _imglab("file='a.png'", f"file='{'a' * 5000}'"), "does not exist"
    ),
    "imglab of an unknown encoding": FacesCase(
        "imglab", _imglab("version='1.0'", "version='1.0' encoding='no-such'"), "not valid XML"
    ),
    "imglab of an encoding that is not read": FacesCase(
        "imglab", _imglab("version='1.0'", "version='1.0' encoding='big5'"), "not valid XML"
    ),
    "imglab that is not UTF-8": FacesCase(
        "imglab", _imglab("file='a.png'", "file='\xff.png'"), "not valid XML"
    ),
    "pts a galaxy away": FacesCase("300w", _pts(3, "1e30 5"), "a.pts:7: malformed landmarks"),
    "pts at the end of floats": FacesCase(
        "300w", _pts(3, "5 -1e300"), "a.pts:7: malformed landmarks"
    ),
    "pts not a number": FacesCase("300w", _pts(3, "nan nan"), "a.pts:7: malformed landmarks"),
    "pts three numbers": FacesCase("300w", _pts(3, "1 2 3"), "a.pts:7: malformed landmarks"),
    "pts in binary": FacesCase("300w", _binary_pts, "a.pts"),
    "attributes not UTF-8": FacesCase(
        "300w", _attributes(b"\xff\xfe,0,0,0,0,0,0\n"), "attributes.csv"
    ),
    "attributes with an endless field": FacesCase(
        "300w", _attributes(b"a" * 200_000 + b",0,0,0,0,0,0\n"), "attributes.csv"
    ),
    "attributes too few": FacesCase("300w", _attributes(b"a,0\n"), "attributes.csv:2"),
    "wflw landmark a galaxy away": FacesCase("wflw", _wflw(7, "1e20"), "faces:1: malformed face"),
    "wflw landmark at the end of floats": FacesCase(
        "wflw", _wflw(7, "1e300"), "faces:1: malformed face"
    ),
    "wflw box of a galaxy": FacesCase("wflw", _wflw(198, "1e30"), "faces:1: malformed face"),
    "wflw box at the end of floats": FacesCase(
        "wflw", _wflw(198, "1e300"), "faces:1: malformed face"
    ),
    "wflw digits": FacesCase("wflw", _wflw(7, DIGITS), "faces:1: malformed face"),
    "wflw image is endless": FacesCase("wflw", _wflw(206, "a" * 5000), "does not exist"),
}
faces_case = pytest.mark.parametrize("case", FACES.values(), ids=list(FACES))


def _config(case: FacesCase, root: Path) -> FacesConfig:
    markup = "98" if case.kind == "wflw" else "68"
    return FacesConfig(kind=case.kind, root=root, markup=markup, train=("faces",))


def _inside(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@faces_case
def test_a_reader_names_what_is_broken(case: FacesCase, tmp_path: Path) -> None:
    case.write(tmp_path)
    errors = []
    try:
        for row in find_rows(_config(case, tmp_path), "train", Path()):
            try:
                row()
            except LandmintError as error:
                errors.append(error)
    except LandmintError as error:
        errors.append(error)
    assert errors and all(case.said in str(error) for error in errors)
    assert all(error.reason or error.remedy for error in errors)
    assert max(len(str(error)) for error in errors) < 8000


@faces_case
def test_a_check_of_the_faces_reports_it(
    case: FacesCase, tmp_path: Path, ask_in_vain: AskInVain
) -> None:
    faces = tmp_path / "data"
    faces.mkdir()
    case.write(faces)
    before = _inside(faces)
    markup = _config(case, faces).markup
    options = ("--kind", case.kind, "--markup", markup, "--train", "faces")
    ask_in_vain("data", "check", faces, *options, said=case.said, leaves="data-check.jpg")
    assert _inside(faces) == before


@pytest.mark.parametrize(
    "name", [name for name in FACES if "coco" in name and "keypoints" not in name]
)
def test_boxes_for_labelling_are_read_as_carefully(name: str, tmp_path: Path) -> None:
    case = FACES[name]
    case.write(tmp_path)
    if "landmark" in name or "beyond floats" in name:  # which the boxes do not need
        known_boxes(_config(case, tmp_path), "train", tmp_path)
        return
    with pytest.raises(LandmintError) as caught:
        known_boxes(_config(case, tmp_path), "train", tmp_path)
    assert case.said in str(caught.value)


def test_a_landmark_far_away_asks_for_no_more_memory_than_the_picture(tmp_path: Path) -> None:
    """Once the picture was padded to a block of 100,000 x 100,000 pixels."""
    _pts(3, "99999 99999")(tmp_path)
    config = FacesConfig(kind="300w", root=tmp_path, train=("faces",))
    faces = [row() for row in find_rows(config, "train", Path())]
    assert contact_sheet(faces, columns=1).shape == (160, 160, 3)
