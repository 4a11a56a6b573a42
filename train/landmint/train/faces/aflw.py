"""Reader of AFLW with 19 points: `AFLWinfo_release.mat`, and the pictures that it names.

Its parts, by which a split is chosen: train, the first 20,000 faces of its own permutation; test,
the rest; frontal, those of the test faces that show all landmarks. Coordinates are taken as
0-based pixels. Zhu et al., "Unconstrained Face Alignment via Cascaded Compositional Learning",
2016; errors are over the size of its box.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.crop import Box, Floats
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import Face
from landmint.train.faces.matlab import load_mat
from landmint.train.faces.readers import FacesConfig, Split, person_of
from landmint.train.faces.row import (
    Row,
    found_image,
    malformed,
    require_markup,
    sound_box,
    sound_points,
)

FILE = "AFLWinfo_release.mat"
TRAIN_FACES = 20_000


def read_rows(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """The faces of the parts that a split names.

    Raises:
        LandmintError: the file is missing or is no such MATLAB file, or there is no such part.
    """
    require_markup(config.markup, "19", "AFLW")
    path = root / FILE
    names, shapes, boxes, shown, order = load_mat(
        path, "nameList", "data", "bbox", "mask_new", "ra"
    )
    count = len(shapes)
    if shapes.shape != (count, 38) or boxes.shape != (count, 4) or shown.shape != (count, 19):
        raise malformed(str(path), f"data {shapes.shape}, bbox {boxes.shape}, mask {shown.shape}")
    order = order.ravel().astype(int) - 1
    if len(names) != count or not np.array_equal(np.sort(order), np.arange(count)):
        raise malformed(str(path), f"nameList or ra does not go with {count} faces")
    parts = {"train": order[:TRAIN_FACES], "test": order[TRAIN_FACES:]}
    parts["frontal"] = np.array([i for i in parts["test"] if shown[i].all()], dtype=int)
    for name in config.names_of(split):
        if name not in parts:
            raise LandmintError(f"AFLW has no part '{name}'", choices=parts)
        for i in parts[name].tolist():
            place = f"{path}: face {i + 1}"
            images, file = root / config.images, _text(names[i])
            yield partial(_face, config, place, i, images, file, shapes[i], boxes[i], shown[i])


def _face(
    config: FacesConfig,
    place: str,
    index: int,
    images: Path,
    file: str,
    shape: Floats,
    box: Floats,
    shown: NDArray[Any],
) -> Face:
    image = images / file
    left, right, top, bottom = box.astype(np.float64).tolist()
    return Face(
        name=f"{image.stem}#{index + 1}",
        image=found_image(images, file, place),
        points=sound_points(shape.reshape(2, 19).T, 19, place),
        box=sound_box(Box(left, top, right - left, bottom - top), place),
        person=person_of(config.person_pattern, image, images),
        visible=shown != 0,
        attributes={},
    )


def _text(cell: Any) -> str:
    """The string in a cell of MATLAB, however deep SciPy has wrapped it."""
    return str(np.ravel(np.ravel(cell)[0])[0])
