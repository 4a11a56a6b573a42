"""Reader of 300W folders: each image with a `.pts` of the same name; coordinates 1-based.

The layout of 300W, and of the synthetic faces. An `attributes.csv` in a split's folder, where
there is one, gives the flags of `ATTRIBUTES` by name; 300W itself has none.
"""

import csv
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from landmint.runtime.crop import LARGEST_PX, Floats, box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import ATTRIBUTES, IMAGE_TYPES, Face
from landmint.train.faces.readers import FacesConfig, Split, missing_folder, person_of
from landmint.train.faces.row import (
    Row,
    Treatment,
    all_visible,
    are_near,
    placed_points,
    sound_box,
    unreadable,
)

ATTRIBUTES_FILE = "attributes.csv"
_LEAST_BINARY = 12


def read_rows(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """All faces in the folders of a split and below them; boxes are those of the landmarks.

    Raises:
        LandmintError: a folder is missing or empty.
    """
    for name in config.names_of(split):
        folder = root / name
        if not folder.is_dir():
            raise missing_folder(folder, f"it holds the {split} faces")
        yield from _read_folder(config, root, folder)


def _read_folder(config: FacesConfig, root: Path, folder: Path) -> Iterator[Row]:
    files = sorted(path for path in folder.rglob("*") if not path.name.startswith("."))
    pictures = {path: path for path in files if path.suffix.lower() in IMAGE_TYPES}
    images = {path.with_suffix(""): path for path in pictures}
    annotations = [path for path in files if path.suffix.lower() == ".pts"]
    if not annotations:
        raise LandmintError(
            f"folder {folder} holds no .pts file",
            remedy="a 300W folder has NAME.jpg or NAME.png beside NAME.pts",
        )
    attributes = read_attributes(folder / ATTRIBUTES_FILE)
    for path in annotations:
        flags = attributes.get(path.relative_to(folder).with_suffix("").as_posix(), {})
        beside = path.with_suffix("")  # NAME, or NAME.png of a NAME.png.pts
        yield partial(_face, config, root, path, images.get(beside, pictures.get(beside)), flags)


def _face(
    config: FacesConfig, root: Path, path: Path, image: Path | None, flags: Mapping[str, int]
) -> Face:
    if image is None:
        raise LandmintError(
            f"{path} has no image beside it",
            reason=f"expected {path.stem} with one of {', '.join(IMAGE_TYPES)}",
            remedy="add the image, or remove the .pts file",
        )
    count = get_markup(config.markup).points
    points = read_pts(path, count, config.missing)
    return Face(
        name=path.relative_to(root).with_suffix("").as_posix(),
        image=image,
        points=points,
        box=sound_box(box_of(points), str(path)),
        person=person_of(config.person_pattern, path, root),
        visible=all_visible(count),
        attributes=flags,
    )


def read_pts(path: Path, count: int, treatment: Treatment = "refuse") -> Floats:
    """The landmarks of a `.pts` file: (count, 2) in 0-based pixels.

    Args:
        path: the file.
        count: of landmarks in the markup.
        treatment: of missing landmarks, see `FacesConfig.missing`.

    Raises:
        LandmintError: unreadable, a wrong number of points, or a coordinate that is no finite
            number; with the line.
    """
    try:
        content = path.read_bytes()
        if (binary := _binary_points(content)) is not None:
            return placed_points(binary, count, treatment, str(path))
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, "the landmarks", str(error)) from None
    try:
        start, end = lines.index("{") + 1, lines.index("}")
    except ValueError:
        return _read_untidy(path, lines, count, treatment)
    try:
        points = np.array([line.split() for line in lines[start:end]], dtype=np.float64)
    except ValueError:
        return _read_untidy(path, lines, count, treatment)
    if points.shape != (count, 2) or not are_near(points).all():
        return _read_untidy(path, lines, count, treatment)
    return placed_points(points, count, treatment, str(path)) - 1.0


def _binary_points(content: bytes) -> Floats | None:
    """The points (N, 2) of SCUT's binary `.pts`, 0-based; None where it is none.

    A whole number of 4 bytes, then x and y of as many points in single precision.
    """
    count = int.from_bytes(content[:4], "little")
    if len(content) < _LEAST_BINARY or len(content) != 4 + 8 * count:
        return None
    return np.frombuffer(content[4:], "<f4").reshape(-1, 2).astype(np.float64)


def _read_untidy(path: Path, lines: list[str], count: int, treatment: Treatment) -> Floats:
    """The same line by line: slower, tolerant of white space, and names the line that is wrong."""
    bare = [line.strip() for line in lines]
    if "{" not in bare:
        raise _malformed(path, 1, "no line with an opening brace '{'")
    start = bare.index("{") + 1
    if "}" not in bare[start:]:
        raise _malformed(path, len(lines), "no closing brace '}'; the file is truncated")
    points: list[tuple[float, float]] = []
    numbered = list(enumerate(bare[start:], start=start + 1))
    for number, line in numbered[: bare[start:].index("}")]:
        if line:
            points.append(_parse_point(path, number, line))
        if len(points) > count:
            raise _malformed(path, number, f"more than the markup's {count} points")
    if len(points) < count:
        closing = start + bare[start:].index("}") + 1
        raise _malformed(path, closing, f"{len(points)} points where the markup has {count}")
    return placed_points(points, count, treatment, str(path)) - 1.0


def _parse_point(path: Path, number: int, line: str) -> tuple[float, float]:
    words = line.split()
    try:
        x, y = (float(word) for word in words)
    except ValueError:
        raise _malformed(path, number, f"'{line}' is not two numbers") from None
    if not are_near((x, y)).all():
        raise _malformed(path, number, f"'{line}' is not finite, or beyond {LARGEST_PX:.0f} px")
    return x, y


def _malformed(path: Path, line: int, reason: str) -> LandmintError:
    return LandmintError(
        f"{path}:{line}: malformed landmarks",
        reason=reason,
        remedy="correct or remove the file, or choose the markup that it has",
    )


def read_attributes(path: Path) -> Mapping[str, Mapping[str, int]]:
    """Flags by name from an `attributes.csv` with columns `name` and ATTRIBUTES; {} if absent.

    Raises:
        LandmintError: no such text, another header, or a flag that is neither 0 nor 1.
    """
    if not path.is_file():
        return {}
    try:
        return _read_flags(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, "the flags", str(error)) from None


def _read_flags(path: Path) -> Mapping[str, Mapping[str, int]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != ("name", *ATTRIBUTES):
            raise LandmintError(
                f"{path}:1: unexpected columns", choices=[",".join(("name", *ATTRIBUTES))]
            )
        flags: dict[str, dict[str, int]] = {}
        for row in rows:
            values = [row[key] for key in ATTRIBUTES]
            if any(value not in ("0", "1") for value in values):
                raise LandmintError(
                    f"{path}:{rows.line_num}: a flag is neither 0 nor 1",
                    remedy="correct the line; the file may also be removed, flags are optional",
                )
            flags[row["name"]] = {key: int(row[key]) for key in ATTRIBUTES}
    return flags


def write_pts(path: Path, points: Floats) -> None:
    """Write landmarks (N, 2), 0-based pixels, as a `.pts` file; not atomic by itself."""
    body = "".join(f"{x:.4f} {y:.4f}\n" for x, y in (points + 1.0).tolist())
    path.write_text(f"version: 1\nn_points: {len(points)}\n{{\n{body}}}\n", encoding="utf-8")
