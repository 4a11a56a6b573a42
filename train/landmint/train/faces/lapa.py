"""Reader of LaPa's folders: each image with a text of its landmarks, in LaPa's layout or beside it.

A text has the number of landmarks, then x and y on a line each, taken as 0-based pixels; boxes are
those of the landmarks. LaPa keeps `landmarks/NAME.txt` and `images/NAME.jpg` in a split's folder.
Liu et al., "A New Dataset and Boundary-Attention Semantic Segmentation for Face Parsing", 2020.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from landmint.runtime.crop import box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import IMAGE_TYPES, Face
from landmint.train.faces.readers import FacesConfig, Split, missing_folder, person_of
from landmint.train.faces.row import (
    Row,
    all_visible,
    malformed,
    placed_points,
    sound_box,
    unreadable,
)


def read_rows(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """All faces in the folders of a split.

    Raises:
        LandmintError: a folder is missing or has no text.
    """
    for name in config.names_of(split):
        folder = root / name
        if not folder.is_dir():
            raise missing_folder(folder, f"it holds the {split} faces")
        landmarks = folder / "landmarks" if (folder / "landmarks").is_dir() else folder
        images = folder / "images" if (folder / "images").is_dir() else folder
        pictures = {
            path.stem: path for path in images.iterdir() if path.suffix.lower() in IMAGE_TYPES
        }
        texts = [path for path in sorted(landmarks.iterdir()) if path.suffix.lower() == ".txt"]
        if not texts:
            raise LandmintError(
                f"folder {landmarks} holds no .txt file",
                remedy="LaPa has landmarks/NAME.txt and images/NAME.jpg in each split's folder",
            )
        for path in texts:
            yield partial(_face, config, root, path, pictures.get(path.stem))


def _face(config: FacesConfig, root: Path, path: Path, image: Path | None) -> Face:
    if image is None:
        raise LandmintError(
            f"{path} has no image of its name",
            remedy="add the image to the folder `images`, or beside the text",
        )
    count = get_markup(config.markup).points
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        values = [[float(word) for word in line.split()] for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, "the landmarks", str(error)) from None
    except ValueError as error:
        raise malformed(str(path), str(error)[:100]) from None
    if values[:1] != [[float(count)]] or any(len(pair) != 2 for pair in values[1:]):
        reason = f"not {count}, the markup's number of landmarks, and then x and y on each line"
        raise malformed(str(path), reason)
    pairs = np.array(values[1:]).reshape(-1, 2)
    points = placed_points(pairs, count, config.missing, str(path))
    return Face(
        name=path.relative_to(root).with_suffix("").as_posix(),
        image=image,
        points=points,
        box=sound_box(box_of(points), str(path)),
        person=person_of(config.person_pattern, image, root),
        visible=all_visible(count),
        attributes={},
    )
