"""Readers of COFW: `COFW_{train,test}_color.mat` with 29 points, and the 68 points of COFW-68.

The pictures lie inside the MATLAB file, so the first reading writes them as PNG beside it, in a
folder of its name. Coordinates are MATLAB's, counted from 1. Burgos-Artizzu et al., "Robust Face
Landmark Estimation under Occlusion", 2013; Ghiasi and Fowlkes, "Occlusion Coherence", 2015.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from landmint.runtime.crop import Box, Floats
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path
from landmint.train.faces.face import Face
from landmint.train.faces.matlab import load_cell73, load_mat, load_mat73
from landmint.train.faces.readers import FacesConfig, Split, missing_folder, person_of
from landmint.train.faces.row import Row, malformed, require_markup, sound_box, sound_points

_BOXES_68 = "cofw68_test_bboxes.mat"
_PICTURES_68 = "COFW_test_color.mat"


def read_rows(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """All faces of the `.mat` files of a split; a landmark that is occluded is not visible.

    Raises:
        LandmintError: a file is missing, or is no such MATLAB file.
    """
    require_markup(config.markup, "29", "a COFW file")
    for name in config.names_of(split):
        path = root / name
        part = _part_of(path)
        shapes, boxes = load_mat73(path, f"phis{part}", f"bboxes{part}")
        if shapes.shape[1:] != (87,) or boxes.shape != (len(shapes), 4):
            raise malformed(str(path), f"shapes {shapes.shape} with boxes {boxes.shape}")
        for index, (shape, box) in enumerate(zip(shapes, boxes, strict=True)):
            yield partial(_face, config, path, index, shape, box)


def _part_of(path: Path) -> str:
    """The ending of the names of variables: Tr in the training file, T in the other."""
    return "Tr" if "train" in path.name.lower() else "T"


def _face(config: FacesConfig, path: Path, index: int, shape: Floats, box: Floats) -> Face:
    place = f"{path}: face {index + 1}"
    x, y, occluded = shape.reshape(3, 29)
    if not np.isin(occluded, (0, 1)).all():
        raise malformed(place, "an occlusion is neither 0 nor 1")
    points = sound_points(np.stack([x, y], axis=1), 29, place) - 1
    return _make(config, path, index, points, box, occluded, place)


def read_rows_68(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """All faces of the folders of `N_points.mat` of a split; their boxes lie beside the folder.

    The pictures are those of `config.images`, COFW_test_color.mat where it is empty.

    Raises:
        LandmintError: a folder or a file is missing, or is not what its name says.
    """
    require_markup(config.markup, "68", "COFW-68")
    pictures = root / (config.images or _PICTURES_68)
    for name in config.names_of(split):
        folder = root / name
        if not folder.is_dir():
            raise missing_folder(folder, f"it holds the {split} faces")
        (boxes,) = load_mat(folder.parent / _BOXES_68, "bboxes")
        numbered = {_number(path): path for path in folder.glob("*_points.mat")}
        if not numbered:
            raise LandmintError(f"folder {folder} holds no N_points.mat", choices=["1_points.mat"])
        for number, path in sorted(numbered.items()):
            yield partial(_face_68, config, path, number, boxes, pictures)


def _number(path: Path) -> int:
    match = re.fullmatch(r"(\d+)_points", path.stem)
    return int(match.group(1)) if match else 0


def _face_68(config: FacesConfig, path: Path, number: int, boxes: Floats, pictures: Path) -> Face:
    if not 0 < number <= len(boxes):
        raise malformed(str(path), f"no row {number} in {_BOXES_68}, which has {len(boxes)}")
    values, occluded = load_mat(path, "Points", "Occ")
    points = sound_points(values, 68, str(path)) - 1
    if occluded.size != 68:
        raise malformed(str(path), f"{occluded.size} occlusions where the markup has 68")
    box = boxes[number - 1]
    return _make(config, pictures, number - 1, points, box, occluded.ravel(), str(path))


def _make(
    config: FacesConfig,
    pictures: Path,
    index: int,
    points: Floats,
    box: Floats,
    occluded: Floats,
    place: str,
) -> Face:
    """The face of picture `index` of a COFW file; the box is x, y, w, h, counted from 1."""
    x, y, w, h = np.asarray(box, dtype=np.float64).tolist()
    image = _picture(pictures, index)
    return Face(
        name=f"{pictures.stem}/{image.stem}",
        image=image,
        points=points,
        box=sound_box(Box(x - 1, y - 1, w, h), place),
        person=person_of(config.person_pattern, image, pictures.parent),
        visible=occluded == 0,
        attributes={},
    )


def _picture(mat: Path, index: int) -> Path:
    """The file of one picture; written when it is not there, or older than the MATLAB file."""
    path = mat.with_suffix("") / f"{index + 1:04d}.png"
    if path.is_file() and mat.is_file() and path.stat().st_mtime >= mat.stat().st_mtime:
        return path
    image = load_cell73(mat, f"Is{_part_of(mat)}", index)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise malformed(f"{mat}: face {index + 1}", f"no picture: {image.dtype} {image.shape}")
    pixels = np.ascontiguousarray(image if image.ndim == 2 else image[:, :, ::-1])
    with atomic_path(path) as fresh:
        fresh.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return path
