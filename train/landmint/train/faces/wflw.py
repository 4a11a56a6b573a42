"""Reader of WFLW lists, `list_98pt_rect_attr_{train,test}.txt`: one face a line, 207 columns.

Columns 0-195 are x y of 98 points, 196-199 the box as x1 y1 x2 y2, 200-205 the flags of
`ATTRIBUTES`, 206 the path of the image. Coordinates are taken as 0-based pixels.
"""

from pathlib import Path

import numpy as np

from landmint.runtime.crop import Box
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import ATTRIBUTES, Face
from landmint.train.faces.readers import FacesConfig, Split, missing_folder, person_of

_POINTS = 98
_COLUMNS = 2 * _POINTS + 4 + len(ATTRIBUTES) + 1


def read_faces(config: FacesConfig, split: Split, root: Path) -> list[Face]:
    """All faces in the lists of a split, with the boxes of the list.

    Raises:
        LandmintError: a list, the folder of images or an image is missing, or a line is malformed.
    """
    if get_markup(config.markup).points != _POINTS:
        raise LandmintError(
            f"markup '{config.markup}' does not fit a WFLW list",
            reason=f"its faces have {_POINTS} points",
            remedy='set markup = "98"',
        )
    images = root / config.images
    if not images.is_dir():
        raise missing_folder(images, "the image paths of a WFLW list refer to it")
    faces: list[Face] = []
    for name in config.names_of(split):
        faces += _read_list(config, root / name, images)
    return faces


def _read_list(config: FacesConfig, path: Path, images: Path) -> list[Face]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LandmintError(
            f"cannot read the WFLW list {path}",
            reason=str(error),
            remedy="correct its name in the recipe",
        ) from None
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise LandmintError(f"the WFLW list {path} is empty", remedy="download it again")
    return [_parse_face(config, path, number, line, images) for number, line in numbered]


def _parse_face(config: FacesConfig, path: Path, number: int, line: str, images: Path) -> Face:
    words = line.split(maxsplit=_COLUMNS - 1)  # an image path may contain spaces
    if len(words) != _COLUMNS:
        raise _malformed(path, number, f"{len(words)} columns where a WFLW list has {_COLUMNS}")
    try:
        values = np.array(words[:-1], dtype=np.float64)
    except ValueError:
        raise _malformed(path, number, "a column before the image path is not a number") from None
    if not np.isfinite(values).all():
        column = int(np.argmin(np.isfinite(values)))
        raise _malformed(path, number, f"column {column}, '{words[column]}', is not finite")
    left, top, right, bottom = values[196:200].tolist()
    if right <= left or bottom <= top:
        raise _malformed(path, number, f"the box has {right - left:g} x {bottom - top:g} px")
    flags = values[200:206]
    if not np.isin(flags, (0, 1)).all():
        raise _malformed(path, number, "columns 200-205 are flags, each 0 or 1")
    image = images / words[-1]
    if not image.is_file():
        raise LandmintError(
            f"{path}:{number}: image {image} does not exist",
            remedy="correct the images folder in the recipe, or remove the line",
        )
    return Face(
        name=f"{Path(words[-1]).with_suffix('').as_posix()}#{number}",
        image=image,
        points=values[:196].reshape(_POINTS, 2),
        box=Box(left, top, right - left, bottom - top),
        person=person_of(config.person_pattern, image.stem, path),
        visible=np.ones(_POINTS, dtype=np.bool_),
        attributes=dict(zip(ATTRIBUTES, flags.astype(int).tolist(), strict=True)),
    )


def _malformed(path: Path, line: int, reason: str) -> LandmintError:
    return LandmintError(
        f"{path}:{line}: malformed face", reason=reason, remedy="correct or remove the line"
    )
