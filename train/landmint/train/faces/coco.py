"""Reader of COCO-style JSON, as mmpose has it for faces: images, and annotations with keypoints.

COCO-WholeBody is read too: there the landmarks are `face_kpts`, the box is `face_box`, and a person
without `face_valid` is passed over.

Keypoints are x, y, v for each landmark, 0-based pixels; v is 0 for not labelled, 1 for hidden, 2
for visible. A file that never says 2 knows no occlusion: there 1 is visible.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel

from landmint.runtime.crop import Box, box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import Face
from landmint.train.faces.readers import FacesConfig, Split, person_of
from landmint.train.faces.row import (
    Row,
    found_image,
    malformed,
    masked_points,
    sound_box,
    sound_entry,
    sound_points,
    stem_of,
    unreadable,
)


def _checked_id(value: object) -> object:
    """An id as it stands in the file: a whole number, also as 1.0, or a text."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if not whole and not (isinstance(value, str) and len(value) <= _LONGEST_ID):
        raise ValueError("should be a whole number or a short text")
    return value


_LONGEST_ID = 200
_KEYS = (int, float, str)
_Id = Annotated[Any, AfterValidator(_checked_id)]


class _Boxed(BaseModel):
    """A face that may have no landmarks; other keys are left alone."""

    id: _Id
    image_id: _Id
    bbox: tuple[float, float, float, float] | None = None


class _Annotation(_Boxed):
    """A face with landmarks."""

    keypoints: list[float]


def read_boxes(config: FacesConfig, split: Split, root: Path) -> Iterator[tuple[Path, Box, bool]]:
    """Image and bbox of every annotation in the JSON files of a split, with landmarks or without.

    Each with whether the file says that it is of the picture as people see it.

    Raises:
        LandmintError: a file is missing, is not such JSON, or has an annotation without a bbox.
    """
    for name in config.names_of(split):
        content = _read(root / name)
        files = _files(content)
        for place, entry in _entries(content, root / name):
            fields = sound_entry(_Boxed, entry, place)
            if fields.bbox is None:
                raise malformed(place, "it has no bbox")
            image = _image(fields, files, root / config.images, place)
            yield image, sound_box(Box(*fields.bbox), place), states_upright(content)


def read_rows(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """All faces in the JSON files of a split; without a bbox the box is that of the landmarks.

    Raises:
        LandmintError: a file is missing, or is not such JSON.
    """
    for name in config.names_of(split):
        yield from _rows_of(config, root / name, root / config.images)


def _rows_of(config: FacesConfig, path: Path, images: Path) -> Iterator[Row]:
    content = _read(path)
    files, upright = _files(content), states_upright(content)
    keypoints = (entry.get("keypoints") for _, entry in _entries(content, path))
    flags = (flag for values in keypoints if isinstance(values, list) for flag in values[2::3])
    least_visible = 2 if 2 in flags else 1
    for place, entry in _entries(content, path):
        yield partial(_face, config, place, entry, files, images, least_visible, upright)


def _entries(
    content: Mapping[str, list[dict[str, Any]]], path: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each annotation with its place; of a whole body, the face."""
    for number, entry in enumerate(content["annotations"]):
        if "face_kpts" in entry:
            if not entry.get("face_valid", True):
                continue
            entry = {**entry, "keypoints": entry["face_kpts"], "bbox": entry.get("face_box")}
        yield f"{path}: annotations[{number}]", entry


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise LandmintError(
            f"{path}:{error.lineno}: not valid JSON",
            reason=error.msg,
            remedy="correct the file, or get it again",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, "the COCO-style annotations", str(error)) from None
    except (ValueError, RecursionError) as error:  # endless digits, or brackets in brackets
        raise LandmintError(
            f"{path}: not valid JSON",
            reason=str(error),
            remedy="correct the file, or get it again",
        ) from None
    for key in ("images", "annotations"):
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise unreadable(path, "the COCO-style annotations", f'no list of entries "{key}"')
    annotations: dict[str, list[dict[str, Any]]] = content
    return annotations


def _face(
    config: FacesConfig,
    place: str,
    entry: Mapping[str, Any],
    files: Mapping[Any, Any],
    images: Path,
    least_visible: int,
    upright: bool,
) -> Face:
    fields = sound_entry(_Annotation, entry, place)
    image = _image(fields, files, images, place)
    if len(fields.keypoints) % 3:
        raise malformed(place, f"{len(fields.keypoints)} keypoint values are no triples x, y, v")
    count = get_markup(config.markup).points
    values = np.array(fields.keypoints).reshape(-1, 3)
    points = masked_points(
        sound_points(values[:, :2], count, place),
        values[:, 2] == 0,
        config.missing,
        place,
        "they are not labelled (v is 0)",
    )
    return Face(
        name=f"{stem_of(_file_name(fields, files))}#{fields.id}",
        image=image,
        points=points,
        box=sound_box(Box(*fields.bbox) if fields.bbox else box_of(points), place),
        person=person_of(config.person_pattern, image, images),
        visible=values[:, 2] >= least_visible,
        attributes={},
        upright=upright,
        stated_size=_size(fields, files),
    )


def _files(content: Mapping[str, list[dict[str, Any]]]) -> dict[Any, Any]:
    """The entry of each image by its id."""
    images = [image for image in content["images"] if isinstance(image.get("id"), _KEYS)]
    return {image["id"]: image for image in images}


def _size(fields: _Boxed, files: Mapping[Any, Any]) -> tuple[int, int] | None:
    """Width and height of an annotation's picture, where its entry states whole numbers."""
    entry = _entry(fields, files)
    width, height = (entry.get(key) for key in ("width", "height"))
    if not (isinstance(width, int) and isinstance(height, int)):
        return None
    return (width, height) if width > 0 and height > 0 else None


def states_upright(content: Mapping[str, Any]) -> bool:
    """Whether a file says that its labels are of pictures as people see them.

    `landmint label` does, as "orientation": "exif" under "info".
    """
    info = content.get("info")
    return isinstance(info, dict) and info.get("orientation") == "exif"


def _image(fields: _Boxed, files: Mapping[Any, Any], images: Path, place: str) -> Path:
    file_name = _file_name(fields, files)
    if not isinstance(file_name, str):
        raise malformed(place, f"image_id {fields.image_id} is not among the images")
    return found_image(images, file_name, place)


def _file_name(fields: _Boxed, files: Mapping[Any, Any]) -> Any:
    return _entry(fields, files).get("file_name")


def _entry(fields: _Boxed, files: Mapping[Any, Any]) -> Mapping[str, Any]:
    """The image of an annotation, whose id may be a number here and its digits there."""
    key = fields.image_id
    keys = [key, str(key), *([int(key)] if str(key).isdecimal() else [])]
    return next((dict(files[k]) for k in keys if k in files), {})
