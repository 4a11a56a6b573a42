"""A data set of drawn faces on disk, in the layout of 300W: it is read like any other data set."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, read_json, write_json
from landmint.runtime.markup import Markup
from landmint.runtime.progress import SILENT, Progress
from landmint.train.faces.face import ATTRIBUTES
from landmint.train.faces.pts300w import ATTRIBUTES_FILE, read_attributes, write_pts
from landmint.train.faces.pts300w import read_rows as read_pts_rows
from landmint.train.faces.readers import SPLITS, FacesConfig, Split
from landmint.train.faces.row import Row
from landmint.train.faces.synthetic.draw import IMAGES_PER_PERSON, VERSION, Sitting, arrange

PERSON_PATTERN = r"^(p\d{6})_"
"""Finds the person in the name of a synthetic face."""

_FIRST_PERSON: Mapping[str, int] = {"train": 0, "val": 800_000, "test": 900_000}
_LAST_PERSON: Mapping[str, int] = {"train": 799_999, "val": 899_999, "test": 999_999}
_ABOUT_FILE = "synthetic.json"


def write_synthetic(
    root: Path,
    counts: Mapping[Split, int],
    markup: Markup,
    size_px: int,
    seed: int,
    progress: Progress = SILENT,
) -> None:
    """Write the faces of each split as `root/SPLIT/p000123_0.png` and `.pts`, and their flags.

    No person is in two splits. Each file is written whole or not at all, and whole faces are kept,
    so an interrupted call goes on where it was. Faces of another seed, size, markup or version,
    and faces beyond the counts, are removed.

    Args:
        root: folder of the data set.
        counts: number of faces by split.
        markup: the landmarks to write.
        size_px: width and height of each picture.
        seed: equal seeds draw equal faces.
        progress: called after every face.

    Raises:
        LandmintError: more faces than a split has persons for.
    """
    names = {split: _names(split, count) for split, count in counts.items()}
    about = {"version": VERSION, "markup": markup.name, "size_px": size_px, "seed": seed}
    about_file = root / _ABOUT_FILE
    fresh = not about_file.is_file() or read_json(about_file) != about
    for split in SPLITS:
        _remove_others(root / split, set() if fresh else set(names.get(split, ())))
    write_json(about_file, about)

    total, done = sum(map(len, names.values())), 0
    for split, indices in names.items():
        known = read_attributes(root / split / ATTRIBUTES_FILE)
        flags: dict[str, Mapping[str, int]] = {}
        for name, index in indices.items():
            sitting = arrange(seed, index, markup, size_px)
            _write_face(root / split / name, sitting)
            flags[name] = known.get(name) or sitting.attributes()
            done += 1
            progress.at(done, total)
        _write_flags(root / split / ATTRIBUTES_FILE, flags)


def _names(split: Split, count: int) -> dict[str, int]:
    """The index of each face of a split by its name."""
    most = (_LAST_PERSON[split] - _FIRST_PERSON[split] + 1) * IMAGES_PER_PERSON
    if not 0 <= count <= most:
        raise LandmintError(
            f"cannot draw {count} synthetic {split} faces", remedy=f"ask for 0 to {most}"
        )
    first = _FIRST_PERSON[split] * IMAGES_PER_PERSON
    return {
        f"p{index // IMAGES_PER_PERSON:06d}_{index % IMAGES_PER_PERSON}": index
        for index in range(first, first + count)
    }


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Remove synthetic faces whose names are not kept; nothing that has another kind of name."""
    stale = {path.name for path in folder.glob("p??????_?.p*") if path.stem not in kept}
    for name in sorted(stale, reverse=True):  # the .pts, which says that a face is whole, first
        if re.fullmatch(r"p\d{6}_\d\.(png|pts)", name):
            (folder / name).unlink()
    if stale:
        (folder / ATTRIBUTES_FILE).unlink(missing_ok=True)


def _write_face(path: Path, sitting: Sitting) -> None:
    """Write `path`.png and, last, `path`.pts; nothing if both are there."""
    picture, annotation = path.with_suffix(".png"), path.with_suffix(".pts")
    if picture.is_file() and annotation.is_file():
        return
    image = cv2.cvtColor(sitting.draw(), cv2.COLOR_RGB2BGR)
    with atomic_path(picture) as fresh:
        fresh.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    with atomic_path(annotation) as fresh:
        write_pts(fresh, sitting.points)


def _write_flags(path: Path, flags: Mapping[str, Mapping[str, int]]) -> None:
    with atomic_path(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("name", *ATTRIBUTES), lineterminator="\n")
        writer.writeheader()
        writer.writerows({"name": name, **values} for name, values in flags.items())


def read_rows(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """All faces of a split, as written by `write_synthetic`; the name tells the person.

    Raises:
        LandmintError: a folder is missing or empty.
    """
    named = config.model_copy(update={"person_pattern": PERSON_PATTERN})
    return read_pts_rows(named, split, root)
