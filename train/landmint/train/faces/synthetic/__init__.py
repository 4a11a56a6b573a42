"""Drawn faces with exact landmarks, as many as asked: the data set that comes along.

`draw.py` draws one face, `dataset.py` writes and reads a data set of them; the other files are the
parts of a picture. Not photographs: a model trained on them alone learns faces as these are drawn.
"""

from landmint.train.faces.synthetic.dataset import PERSON_PATTERN, read_rows, write_synthetic
from landmint.train.faces.synthetic.draw import (
    IMAGES_PER_PERSON,
    VERSION,
    SyntheticFace,
    generate,
    moving_face,
)

__all__ = [
    "IMAGES_PER_PERSON",
    "PERSON_PATTERN",
    "VERSION",
    "SyntheticFace",
    "generate",
    "moving_face",
    "read_rows",
    "write_synthetic",
]
