"""Faces whose boxes are known and whose landmarks are not: from a data set, or by a rule.

Not a detector: that finds faces in a picture, this only says where they are known to be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from landmint.runtime.crop import Box, Image
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import digest
from landmint.train.faces.coco import read_boxes
from landmint.train.faces.face import IMAGE_TYPES
from landmint.train.faces.readers import FacesConfig, Split, find_rows, missing_folder, spread


class BoxSource(Protocol):
    """Says where the faces of an image are; sent to other processes, so it can be pickled."""

    @property
    def upright(self) -> bool:
        """The boxes are in the picture as people see it, turned as its EXIF entry says."""
        ...

    def __call__(self, name: str, image: Image) -> Sequence[Box]:
        """Boxes in an image (H, W, 3), by the image's name under the folder and its pixels."""
        ...

    def identity(self) -> Any:
        """What decides the boxes, as JSON."""
        ...


@dataclass(frozen=True)
class WholeImage:
    """One face in each image, as in a folder of crops: all of it but for a margin."""

    margin: float
    """Share of the width and of the height that is left away at each edge; below 0.5."""
    upright: bool = True
    """Pictures are taken as people see them."""

    def __call__(self, name: str, image: Image) -> Sequence[Box]:
        """The image less its margin."""
        height, width = image.shape[:2]
        x, y = self.margin * width, self.margin * height
        # Pixel-centre coordinates: the image's own edges are at -0.5.
        return (Box(x - 0.5, y - 0.5, width - 2 * x, height - 2 * y),)

    def identity(self) -> Any:
        """The rule and its margin."""
        return {"whole": self.margin}


@dataclass(frozen=True)
class KnownBoxes:
    """What a data set says."""

    boxes: Mapping[str, Sequence[Box]]
    """By the image's name under its folder."""
    upright: bool = False
    """What the data set's orientation is: exif, not stored."""

    def __call__(self, name: str, image: Image) -> Sequence[Box]:
        """The boxes of the image of that name."""
        return self.boxes.get(name, ())

    def identity(self) -> Any:
        """Digest of all boxes."""
        return {"boxes": digest({name: list(boxes) for name, boxes in self.boxes.items()})}


def find_images(folder: Path) -> tuple[str, ...]:
    """Names of all images below a folder, as paths relative to it, sorted; hidden files left out.

    Raises:
        LandmintError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise missing_folder(folder, "images are expected there")
    names = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_TYPES and not path.name.startswith(".") and path.is_file()
    ]
    if not names:
        raise LandmintError(
            f"there are no images below {folder}",
            reason=f"no file's name ends with {', '.join(IMAGE_TYPES)}",
            remedy="give the folder that holds the images",
        )
    return tuple(sorted(names))


def known_boxes(config: FacesConfig, split: Split, images: Path) -> KnownBoxes:
    """The boxes that a data set knows of the images in a folder; its landmarks are not used.

    Args:
        config: the data set; of kind coco it needs no landmarks.
        split: which part of it.
        images: the folder; what lies elsewhere does not count.

    Raises:
        LandmintError: the data set is missing or malformed, or knows none of the images.
    """
    folder = images.resolve()
    boxes: dict[str, list[Box]] = {}
    places: dict[Path, str | None] = {}  # a picture is looked up once, however many its faces
    upright = False
    for path, box, seen in _read(config, split):
        upright |= seen
        if path not in places:
            whole = path.resolve()
            inside = whole.is_relative_to(folder)
            places[path] = whole.relative_to(folder).as_posix() if inside else None
        name = places[path]
        if name is not None:
            boxes.setdefault(name, []).append(box)
    if not boxes:
        raise LandmintError(
            f"{config.root} has no boxes for the images in {images}",
            reason=f"its {split} faces are in {len(places)} images, none of them below that folder",
            remedy="give the folder in which the data set's images lie",
        )
    return KnownBoxes({name: tuple(boxes[name]) for name in sorted(boxes)}, upright)


def _read(config: FacesConfig, split: Split) -> Sequence[tuple[Path, Box, bool]]:
    """Image and box of each face, and whether they are as people see them; by image."""
    if config.kind == "coco":
        if not config.root.is_dir():
            raise missing_folder(config.root, "the coco data set is expected there")
        seen = config.orientation == "exif"
        read = read_boxes(config, split, config.root)
        boxes = [(image, box, seen or upright) for image, box, upright in read]
    else:
        faces = (row() for row in find_rows(config, split, Path()))
        boxes = [(face.image, face.box, face.upright) for face in faces]
    return spread(sorted(boxes), config.limits.get(split))
