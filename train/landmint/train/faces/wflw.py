"""Reader of WFLW lists, `list_98pt_rect_attr_{train,test}.txt`: one face a line, 207 columns.

Columns 0-195 are x y of 98 points, 196-199 the box as x1 y1 x2 y2, 200-205 the flags of
`ATTRIBUTES`, 206 the path of the image. Coordinates are taken as 0-based pixels.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from landmint.runtime.crop import Box
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import ATTRIBUTES, Face
from landmint.train.faces.readers import FacesConfig, Split, missing_folder, person_of
from landmint.train.faces.row import (
    Row,
    all_visible,
    are_near,
    found_image,
    malformed,
    require_markup,
    sound_box,
    stem_of,
    unreadable,
)

_POINTS = 98
_IMAGES = "WFLW_images"
_COLUMNS = 2 * _POINTS + 4 + len(ATTRIBUTES) + 1


def read_rows(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """All faces in the lists of a split, with the boxes of the list.

    Raises:
        LandmintError: a list or the folder of images is missing.
    """
    require_markup(config.markup, "98", "a WFLW list")
    images = root / (config.images or _IMAGES)
    if not images.is_dir():
        raise missing_folder(images, "the image paths of a WFLW list refer to it")
    for name in config.names_of(split):
        yield from _read_list(config, root / name, images)


def _read_list(config: FacesConfig, path: Path, images: Path) -> Iterator[Row]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, "the WFLW list", str(error)) from None
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise LandmintError(f"the WFLW list {path} is empty", remedy="download it again")
    for number, line in numbered:
        yield partial(_parse_face, config, f"{path}:{number}", number, line, images)


def _parse_face(config: FacesConfig, place: str, number: int, line: str, images: Path) -> Face:
    words = line.split(maxsplit=_COLUMNS - 1)  # an image path may contain spaces
    if len(words) != _COLUMNS:
        raise malformed(place, f"{len(words)} columns where a WFLW list has {_COLUMNS}")
    try:
        values = np.array(words[:-1], dtype=np.float64)
    except ValueError:
        raise malformed(place, "a column before the image path is not a number") from None
    if not (near := are_near(values)).all():
        column = int(np.argmin(near))
        reason = f"column {column}, '{words[column][:40]}', is not finite, or beyond any picture"
        raise malformed(place, reason)
    left, top, right, bottom = values[196:200].tolist()
    flags = values[200:206]
    if not np.isin(flags, (0, 1)).all():
        raise malformed(place, "columns 200-205 are flags, each 0 or 1")
    file = words[-1].strip()
    image = found_image(images, file, place)
    return Face(
        name=f"{stem_of(file)}#{number}",
        image=image,
        points=values[:196].reshape(_POINTS, 2),
        box=sound_box(Box(left, top, right - left, bottom - top), place),
        person=person_of(config.person_pattern, image, images),
        visible=all_visible(_POINTS),
        attributes=dict(zip(ATTRIBUTES, flags.astype(int).tolist(), strict=True)),
    )
