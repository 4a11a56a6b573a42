"""Landmarks in people's photographs: boxes given or found, pictures and JSON out.

Not measuring: no labels, no times.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from landmint.pipeline.detect import advice
from landmint.pipeline.draw import draw_landmarks, enlarge, enlargement, write_image
from landmint.pipeline.opening import Model, check_inside
from landmint.pipeline.progress import Screen
from landmint.runtime.crop import Box, Image
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import write_json
from landmint.runtime.markup import Markup
from landmint.runtime.predict import Prediction
from landmint.train.faces.face import read_image

SCHEMA = 1
NO_FACE = 3
"""Exit code when somewhere no face was found."""
UNREADABLE = 2
"""Exit code when one of several images could not be read: that of bad input."""


def parse_box(text: str) -> Box:
    """The box that "x,y,w,h" says, in pixels.

    Raises:
        LandmintError: it says something else.
    """
    try:
        x, y, w, h = (float(part) for part in text.split(","))
        if not (w > 0 and h > 0 and all(abs(value) < 1e6 for value in (x, y, w, h))):
            raise ValueError
    except ValueError:
        raise LandmintError(
            f"--box {text} is no face box",
            reason="four finite numbers are wanted, width and height above zero",
            remedy="give it in pixels of the image, such as --box 120,80,200,220",
        ) from None
    return Box(x, y, w, h)


def read_pictures(
    paths: Sequence[Path], box: Box | None
) -> tuple[list[tuple[Path, Image]], list[LandmintError]]:
    """Every image beside its path, upright, and what is said of those that cannot be read.

    Raises:
        LandmintError: a path leads to no file, none of the images can be read, or the box lies
            outside one.
    """
    pictures, broken = [], []
    for path in paths:
        try:
            pictures.append((path, read_image(path, upright=True)))
        except LandmintError as error:
            if not path.is_file():
                raise
            broken.append(error)
    if broken and not pictures:
        raise broken[0]
    if box is not None:
        for path, image in pictures:
            check_inside(box, image, str(path))
    return pictures, broken


def predict_images(
    pictures: Sequence[tuple[Path, Image]],
    model: Model,
    box: Box | None,
    folder: Path,
    screen: Screen,
) -> int:
    """Write `NAME.png` and `NAME.json` for each image.

    Coordinates in the JSON are pixels of the image as people see it, turned as its EXIF entry says
    (`width` and `height` tell which way); the picture is enlarged where the
    landmarks of a small face would cover it.

    Args:
        pictures: photographs, (H, W, 3) RGB, and where they come from.
        model: finds the landmarks.
        box: the face in each image; faces are looked for when absent.
        folder: where results go.
        screen: told what was written.

    Returns:
        0, or 3 if in some image no face was found.
    """
    code = 0
    if box is None and (hint := advice()):
        screen.line(hint, style="yellow")
    names = names_of([path for path, _ in pictures])
    for name, (path, image) in zip(names, pictures, strict=True):
        faces = model.predict(image, box)
        height, width = image.shape[:2]
        size = {"width": width, "height": height}
        about = {"schema": SCHEMA, "image": path.name, **size, **model.about}
        content = {**about, "faces": [_to_json(face, given=box is not None) for face in faces]}
        write_json(folder / f"{name}.json", content)
        write_image(folder / f"{name}.png", _overlay(image, faces, model.contract.landmarks))
        if not faces:
            code = NO_FACE
            screen.line(f"{path}: no face was found; give it with --box x,y,w,h", style="yellow")
        count = f"{len(faces)} face{'s' * (len(faces) != 1)}"
        print(f"{folder / name}.png  {count}  ({model.name})")
    return code


def _overlay(image: Image, faces: Sequence[Prediction], markup: Markup) -> Image:
    """The image with every face's landmarks, grown where faces are small."""
    factor = enlargement(image, [face.box for face in faces])
    drawn = enlarge(image, factor)
    for face in faces:
        x, y, w, h = face.box
        box = Box((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5, w * factor, h * factor)
        drawn = draw_landmarks(drawn, (face.points + 0.5) * factor - 0.5, markup, box)
    return drawn


def _to_json(face: Prediction, given: bool) -> dict[str, Any]:
    """One face as JSON; coordinates in pixels of the image."""
    return {
        "box": [round(value, 3) for value in face.box],
        "box_from": "given" if given else "found",
        "points": face.points.round(3).tolist(),
        "confidence": face.confidence.round(4).tolist(),
    }


def names_of(images: Sequence[Path]) -> list[str]:
    """A name for each image's results; those that share a stem are numbered."""
    stems = [path.stem for path in images]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{stems[: i + 1].count(stem)}"
        for i, stem in enumerate(stems)
    ]
