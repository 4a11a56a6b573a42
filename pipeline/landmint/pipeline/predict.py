"""Landmarks in people's photographs: boxes given or found, pictures and JSON out.

Not measuring: no labels, no times.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from landmint.pipeline.detect import find_faces
from landmint.pipeline.draw import draw_landmarks, enlarge, enlargement, write_image
from landmint.pipeline.opening import open_model
from landmint.pipeline.progress import Screen
from landmint.runtime.crop import Box, Image
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import write_json
from landmint.runtime.markup import Markup
from landmint.runtime.predict import Prediction, predict_image
from landmint.train.faces.face import read_image

SCHEMA = 1
NO_FACE = 3
"""Exit code when somewhere no face was found."""


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


def predict_images(
    images: Sequence[Path],
    model_path: Path,
    variant_name: str | None,
    box: Box | None,
    folder: Path,
    screen: Screen,
    plans: bool = False,
) -> int:
    """Write `NAME.png` and `NAME.json` for each image.

    Coordinates in the JSON are pixels of the image as it is; the picture is enlarged where the
    landmarks of a small face would cover it.

    Every image is read before the first is worked on, so that a wrong path costs no wait.

    Args:
        images: photographs.
        model_path: a bundle, or weights.
        variant_name: which form of it; the first that runs here when absent.
        box: the face in each image; faces are looked for when absent.
        folder: where results go.
        screen: told what was written.
        plans: whether a TensorRT plan of the bundle may run.

    Returns:
        0, or 3 if in some image no face was found.

    Raises:
        LandmintError: an image or the model cannot be read, or the variant cannot run here.
    """
    pictures = [(path, read_image(path)) for path in images]
    for path, image in pictures:
        _check_inside(box, image, path)
    model = open_model(model_path, variant_name, plans)
    code = 0
    for name, (path, image) in zip(names_of(images), pictures, strict=True):
        boxes = find_faces(image) if box is None else [box]
        faces = [(face, predict_image(*model.runnable, image, face)) for face in boxes]
        told = [_told(face, found, given=box is not None) for face, found in faces]
        about = {"schema": SCHEMA, "image": path.name, **model.about}
        write_json(folder / f"{name}.json", {**about, "faces": told})
        write_image(folder / f"{name}.png", _overlay(image, faces, model.contract.landmarks))
        if not boxes:
            code = NO_FACE
            screen.line(f"{path}: no face was found; give it with --box x,y,w,h", style="yellow")
        count = f"{len(boxes)} face{'s' * (len(boxes) != 1)}"
        print(f"{folder / name}.png  {count}  ({model.told})")
    return code


def _check_inside(box: Box | None, image: Image, path: Path) -> None:
    """A box beside the picture is a mistake; one that reaches over its edge is not."""
    height, width = image.shape[:2]
    if box is None or (
        box.x < width and box.y < height and box.x + box.w > 0 and box.y + box.h > 0
    ):
        return
    raise LandmintError(
        f"--box {','.join(f'{value:g}' for value in box)} lies outside {path}",
        reason=f"the image has {width} x {height} pixels",
        remedy="give the box in pixels of the image as it is stored",
    )


def _overlay(image: Image, faces: Sequence[tuple[Box, Prediction]], markup: Markup) -> Image:
    """The image with every face's landmarks, grown where faces are small."""
    factor = enlargement(image, [box for box, _ in faces])
    drawn = enlarge(image, factor)
    for box, found in faces:
        corner = ((box.x + 0.5) * factor - 0.5, (box.y + 0.5) * factor - 0.5)
        grown = Box(*corner, box.w * factor, box.h * factor)
        drawn = draw_landmarks(drawn, (found.points + 0.5) * factor - 0.5, markup, grown)
    return drawn


def _told(box: Box, found: Prediction, given: bool) -> dict[str, Any]:
    """One face as JSON; coordinates in pixels of the image."""
    return {
        "box": [round(value, 3) for value in box],
        "box_from": "given" if given else "found",
        "points": found.points.round(3).tolist(),
        "confidence": found.confidence.round(4).tolist(),
    }


def names_of(images: Sequence[Path]) -> list[str]:
    """A name for each image's results; those that share a stem are numbered."""
    stems = [path.stem for path in images]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{stems[: i + 1].count(stem)}"
        for i, stem in enumerate(stems)
    ]
