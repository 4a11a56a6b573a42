"""Reader of HRNet's lists, such as `face_landmarks_300w_train.csv`: one face a line.

Columns by name: image_name, scale, center_w, center_h, and original_0_x, original_0_y and on. The
box is HRNet's square: about the centre, of 200 px times the scale. Coordinates are taken as 0-based
pixels. Wang et al., "Deep High-Resolution Representation Learning", 2020; its face alignment code.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from landmint.runtime.crop import Box
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import Face
from landmint.train.faces.readers import FacesConfig, Split, person_of
from landmint.train.faces.row import (
    Row,
    all_visible,
    found_image,
    malformed,
    placed_points,
    sound_box,
    stem_of,
    unreadable,
)

_UNIT_PX = 200.0
_FIRST = ("image_name", "scale", "center_w", "center_h")


def read_rows(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """All faces in the lists of a split, in HRNet's boxes.

    Raises:
        LandmintError: a list is missing, or has other columns.
    """
    for name in config.names_of(split):
        path = root / name
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = csv.DictReader(file)
                _check_columns(rows.fieldnames or (), get_markup(config.markup).points, path)
                for row in rows:
                    place = f"{path}:{rows.line_num}"
                    yield partial(_face, config, place, rows.line_num, row, root / config.images)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise unreadable(path, "HRNet's list", str(error)) from None


def _columns(count: int) -> list[str]:
    return [f"original_{i}_{axis}" for i in range(count) for axis in "xy"]


def _check_columns(names: Sequence[str], count: int, path: Path) -> None:
    """Refuse a file without the columns that are read, or with more landmarks."""
    missing = [name for name in (*_FIRST, *_columns(count)) if name not in names]
    more = f"original_{count}_x" in names
    if missing or more:
        reason = f"it has no column '{missing[0]}'" if missing else "it has more landmarks"
        raise LandmintError(
            f"{path}:1: not the columns of HRNet's list of {count} landmarks",
            reason=reason,
            remedy="choose the markup that it has, or the reader of its format",
        )


def _face(
    config: FacesConfig, place: str, number: int, row: Mapping[str, str], images: Path
) -> Face:
    count = get_markup(config.markup).points
    scale, centre_x, centre_y = (_number(row, name, place) for name in _FIRST[1:])
    values = [_number(row, name, place) for name in _columns(count)]
    side, file = _UNIT_PX * scale, row["image_name"] or ""
    image = found_image(images, file, place)
    return Face(
        name=f"{stem_of(file)}#{number}",
        image=image,
        points=placed_points(
            list(zip(values[::2], values[1::2], strict=True)), count, config.missing, place
        ),
        box=sound_box(Box(centre_x - side / 2, centre_y - side / 2, side, side), place),
        person=person_of(config.person_pattern, image, images),
        visible=all_visible(count),
        attributes={},
    )


def _number(row: Mapping[str, str], name: str, place: str) -> float:
    try:
        return float(row[name])
    except (TypeError, ValueError):
        raise malformed(place, f"column {name} is not a number") from None
