"""Reader of dlib's imglab XML: images with boxes, each box with its landmarks as named parts.

Parts are named by their landmark, "00" or "0" and on, or all of a file's from "1" on; coordinates
are 0-based pixels. A box with
`ignore` is no face to learn from and is passed over, as dlib does.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import defusedxml.ElementTree
import numpy as np

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
    masked_points,
    sound_box,
    sound_points,
    stem_of,
    unreadable,
)

_MOST_DIGITS = 9


def read_rows(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """All faces in the XML files of a split, with the boxes that they give.

    Raises:
        LandmintError: a file is missing, or is not such XML.
    """
    for name in config.names_of(split):
        path = root / name
        try:
            images = defusedxml.ElementTree.parse(path).findall("images/image")
        except ElementTree.ParseError as error:
            raise LandmintError(
                f"{path}:{error.position[0]}: not valid XML",
                reason=str(error),
                remedy="correct the file, or write it again with imglab",
            ) from None
        except defusedxml.DefusedXmlException as error:
            raise LandmintError(
                f"{path}: not the XML of imglab",
                reason=f"it defines entities or a document type: {error}",
                remedy="take those definitions out; imglab writes none",
            ) from None
        except (ValueError, LookupError) as error:  # an encoding that is not read
            raise LandmintError(
                f"{path}: not valid XML", reason=str(error), remedy="write it as UTF-8"
            ) from None
        except OSError as error:
            raise unreadable(path, "the imglab file", error.strerror or str(error)) from None
        if not images:
            raise unreadable(path, "the imglab file", "no <image> below <dataset><images>")
        first = _first_name(images, get_markup(config.markup).points)
        for image in images:
            boxes = [box for box in image.findall("box") if box.get("ignore", "0") == "0"]
            for number, box in enumerate(boxes):
                yield partial(_face, config, path, root, image, number, box, first)


def _first_name(images: list[ElementTree.Element], count: int) -> int:
    """What the first landmark is called: 1 in a file that has the markup's count and no 0."""
    names = {part.get("name", "") for image in images for part in image.iter("part")}
    indices = {int(name) for name in names if _is_index(name)}
    return int(count in indices and 0 not in indices)


def _face(
    config: FacesConfig,
    path: Path,
    root: Path,
    entry: ElementTree.Element,
    number: int,
    box: ElementTree.Element,
    first: int,
) -> Face:
    file = entry.get("file", "")
    place = f"{path}: image '{file}', box {number}"
    count = get_markup(config.markup).points
    parts = [(part.get("name", ""), part) for part in box.findall("part")]
    last = first + count - 1
    strange = [name for name, _ in parts if not (_is_index(name) and first <= int(name) <= last)]
    if strange:
        raise malformed(place, f"parts {_some(strange)} are not of {first} to {last}")
    by_index = {int(name) - first: part for name, part in parts}
    if len(by_index) < len(parts):
        raise malformed(place, "two parts have the same name")
    points = np.zeros((count, 2))
    for index, part in by_index.items():
        points[index] = _number(part, "x", place), _number(part, "y", place)
    missing = ~np.isin(np.arange(count), list(by_index))
    reason = f"the box has no parts of their names; the markup has {first} to {last}"
    left, top, width, height = (
        _number(box, key, place) for key in ("left", "top", "width", "height")
    )
    image = found_image(root / config.images, file, place)
    return Face(
        name=f"{stem_of(file)}#{number}",
        image=image,
        points=masked_points(
            sound_points(points, count, place), missing, config.missing, place, reason
        ),
        box=sound_box(Box(left, top, width, height), place),
        person=person_of(config.person_pattern, image, root / config.images),
        visible=all_visible(count),
        attributes={},
        stated_size=_size(entry),
    )


def _size(entry: ElementTree.Element) -> tuple[int, int] | None:
    """Width and height of an image, which newer versions of imglab state."""
    sizes = [entry.get(key, "") for key in ("width", "height")]
    width, height = (int(size) if _is_index(size) else 0 for size in sizes)
    return (width, height) if width and height else None


def _number(element: ElementTree.Element, key: str, place: str) -> float:
    text = element.get(key, "")
    try:
        return float(text)
    except ValueError:
        raise malformed(place, f"{key}='{text}' of a {element.tag} is not a number") from None


def _is_index(name: str) -> bool:
    """Whether a part's name is a number, of no more digits than Python reads."""
    return name.isdecimal() and len(name) < _MOST_DIGITS


def _some(names: list[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(name[:_MOST_DIGITS] for name in names[:5]) + more
