"""What the readers share: the row that is parsed later, and the checks of every annotation.

A reader gives rows, not faces, so that whoever asks decides what a broken one means: `load_faces`
stops at the first, `check_data` reports them all.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ValidationError

from landmint.runtime.crop import LARGEST_PX, Box, Floats, has_area
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import Face

_Entry = TypeVar("_Entry", bound=BaseModel)

_LONGEST_PATH = 1000
_FEWEST_PLACED = 2

Treatment = Literal["refuse", "leave_out", "mask"]
"""What is done about missing landmarks; see `FacesConfig.missing`."""

Row = Callable[[], Face]
"""One annotation: gives its face, or raises a LandmintError that names the file and the place."""


def malformed(place: str, reason: str) -> LandmintError:
    """The error for an annotation at `place`, such as "list.txt:7", that makes no face."""
    return LandmintError(
        f"{place}: malformed face", reason=reason, remedy="correct or remove the annotation"
    )


class MissingPoints(LandmintError):
    """A face some of whose landmarks nobody placed; a data set may leave it out."""


def masked_points(
    points: Floats, missing: NDArray[np.bool_], treatment: Treatment, place: str, reason: str
) -> Floats:
    """Landmarks (N, 2) with NaN for those that are missing.

    Args:
        points: of a face, whatever stands there for none.
        missing: (N,) which of them nobody placed.
        treatment: `FacesConfig.missing`.
        place: of the annotation.
        reason: how it says that they are missing.

    Raises:
        MissingPoints: some are missing and shall not be masked, or fewer than two are left.
    """
    if not missing.any():
        return points
    if treatment == "mask" and np.count_nonzero(~missing) >= _FEWEST_PLACED:
        return np.where(missing[:, None], np.nan, points)
    indices = np.flatnonzero(missing).tolist()
    more = f" and {len(indices) - 5} more" if len(indices) > 5 else ""
    some = ", ".join(map(str, indices[:5])) + more
    raise MissingPoints(
        f"{place}: malformed face",
        reason=f"landmarks {some} are missing: {reason}",
        remedy="label them, remove the annotation, or set missing under [faces]: "
        '"mask" learns from the others, "leave_out" goes on without such faces',
    )


def placed_points(values: ArrayLike, count: int, treatment: Treatment, place: str) -> Floats:
    """The same as `sound_points`, of a format that has no other word for a missing landmark.

    One that stands at exactly -1 -1 or 0 0, which tools write for none, is missing.

    Raises:
        LandmintError: as `sound_points`.
        MissingPoints: as `masked_points`.
    """
    points = sound_points(values, count, place)
    none = (points == -1).all(axis=1) | (points == 0).all(axis=1)
    reason = "they stand at -1 -1 or 0 0, which means none"
    return masked_points(points, none, treatment, place, reason)


def unreadable(path: Path, what: str, reason: str) -> LandmintError:
    """The error for a file that is missing or is not what its name says."""
    return LandmintError(
        f"cannot read {what} {path}", reason=reason, remedy="correct its name, or get it again"
    )


def require_markup(markup: str, needed: str, what: str) -> None:
    """Refuse the settings of a format that has one markup only.

    Raises:
        LandmintError: another markup is set.
    """
    if markup != needed:
        raise LandmintError(
            f"markup '{markup}' does not fit {what}",
            reason=f"its faces have {get_markup(needed).points} points",
            remedy=f'set markup = "{needed}"',
        )


def sound_entry(model: type[_Entry], entry: object, place: str) -> _Entry:
    """What a JSON file says of one face, with the keys and types of a pydantic model.

    Raises:
        LandmintError: a key is missing, or a value has another type.
    """
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise malformed(place, f"{key}: {first['msg']}".removeprefix(": ")) from None


def sound_points(values: ArrayLike, count: int, place: str) -> Floats:
    """Landmarks (count, 2) as float64.

    Raises:
        LandmintError: there are more or fewer, or one is not finite or beyond any picture.
    """
    points = np.asarray(values, dtype=np.float64)
    if points.shape != (count, 2):
        raise malformed(place, f"{len(points)} points where the markup has {count}")
    if not (sound := are_near(points)).all():
        worst = int(np.argmin(sound.all(axis=1)))
        raise malformed(place, f"landmark {worst} is not finite, or beyond {LARGEST_PX:.0f} px")
    return points


def are_near(values: ArrayLike) -> NDArray[np.bool_]:
    """Which coordinates are finite and may lie in a picture, or near one."""
    near: NDArray[np.bool_] = np.abs(values) <= LARGEST_PX  # which a NaN is not
    return near


def sound_box(box: Box, place: str) -> Box:
    """The box itself.

    Raises:
        LandmintError: it has no area, or a value is not finite or beyond any picture.
    """
    if not has_area(box):
        raise malformed(place, f"the box has {box.w:g} x {box.h:g} px")
    return box


def found_image(images: Path, name: str, place: str) -> Path:
    """The file of an image that an annotation names, below the folder of images.

    A name may be one of Windows, or the whole path on the machine where the labels were made: then
    its last parts are looked for. A suffix counts in small letters and in large ones.

    Raises:
        LandmintError: there is no such file.
    """
    for tail in _tails(images, name.strip()):
        path = images / tail
        suffixes = dict.fromkeys((path.suffix, path.suffix.lower(), path.suffix.upper()))
        for suffix in suffixes if path.name else ():
            if _is_file(same := path.with_suffix(suffix)):
                return same
    raise LandmintError(
        f"{place}: image {_short(images / name)} does not exist",
        remedy="give the folder of the images (faces.images, or --images), or remove the "
        "annotation",
    )


def stem_of(name: str) -> str:
    """The path of an image without its suffix, with slashes, for the name of its face."""
    return Path(name.replace("\\", "/")).with_suffix("").as_posix()


def _tails(images: Path, name: str) -> Iterator[str]:
    """The name as it is, then as a path of another machine: less and less of it."""
    yield name
    parts = [part for part in name[:_LONGEST_PATH].replace("\\", "/").split("/") if part]
    foreign = "\\" in name or name.startswith("/") or parts[:1] == [images.name]
    for start in range(len(parts)) if foreign and ".." not in parts else ():
        yield "/".join(parts[start:])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no name of a file: too long, or with a zero byte
        return False


def all_visible(count: int) -> NDArray[np.bool_]:
    """What a format without occlusion says of its landmarks: (count,) True."""
    return np.ones(count, dtype=np.bool_)


def _short(path: Path) -> str:
    """A path, cut where a malformed file made it endless."""
    return text if len(text := str(path)) <= _LONGEST_PATH else f"{text[:_LONGEST_PATH]}..."
