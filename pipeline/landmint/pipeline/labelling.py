"""`landmint label`: a trained network labels any folder of images, for a later training.

Where the faces are is looked for, known from a data set, or said by a rule. Not `predict`: that
draws what a deployed model finds; this takes weights, in many processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmint.pipeline.data_check import settings
from landmint.pipeline.detect import advice, detector_name, find_faces
from landmint.pipeline.lock import hold
from landmint.pipeline.predict import NO_FACE
from landmint.pipeline.progress import Screen
from landmint.runtime.crop import Box, Image
from landmint.runtime.errors import LandmintError
from landmint.train.faces.readers import FacesConfig
from landmint.train.faces.unlabelled import BoxSource, WholeImage, find_images, known_boxes
from landmint.train.label import LabelConfig, label_images
from landmint.train.label_file import Labelled
from landmint.train.models import load_model
from landmint.train.processes import launcher_rank

_KINDS = {".json": "coco", ".xml": "imglab"}
_SHOWN = 20


@dataclass(frozen=True)
class BoxOptions:
    """Where the faces are, as the command has it."""

    source: str = "found"
    """found, whole, or the path of a data set."""
    margin: float = 0.1
    """whole: what is left away at each edge."""
    kind: str | None = None
    """A data set's reader; by its suffix where nothing is said."""
    markup: str | None = None
    """A data set's landmark scheme, that of the network where nothing is said."""
    split: tuple[str, ...] = ()
    """What holds the faces in a data set's folder."""


class FoundFaces:
    """Faces are looked for, as `landmint predict` does, in pictures as people see them."""

    upright = True

    def __call__(self, name: str, image: Image) -> Sequence[Box]:
        """Boxes in an image (H, W, 3), the largest first."""
        return find_faces(image)

    def identity(self) -> Any:
        """How they are found."""
        return f"found by {detector_name()}"


def label_folder(
    images: Path, weights: Path, out: Path, boxes: BoxOptions, config: LabelConfig
) -> int:
    """Label a folder of images and say what came of it.

    Returns:
        0, or 3 when there is no face in any image.

    Raises:
        LandmintError: there are no images, no boxes for them, or no such weights; `out` is the
            result of other settings.
    """
    screen = Screen()
    if boxes.source == "found" and (hint := advice()):
        screen.line(hint, style="yellow")
    markup = load_model(weights).contract.markup  # before the images, which take longer
    names, source = _faces_in(images, boxes, markup)
    with hold(out, screen.line), screen.bar("label") as bar:
        labelled = label_images(weights, images, names, source, config, out, bar)
    if launcher_rank() == 0:
        _say(labelled, screen)
        print(out)
    return 0 if labelled.faces else NO_FACE


def _faces_in(images: Path, options: BoxOptions, markup: str) -> tuple[Sequence[str], BoxSource]:
    """The images that are looked at, and where their faces are."""
    names = find_images(images)
    if options.source == "found":
        return names, FoundFaces()
    if options.source == "whole":
        return names, WholeImage(options.margin)
    known = known_boxes(_data_set(images, options, markup), "train", images)
    return tuple(known.boxes), known


def _data_set(images: Path, options: BoxOptions, markup: str) -> FacesConfig:
    """The data set that knows the boxes: a file whose names are those under IMAGES, or a folder."""
    path = Path(options.source)
    if not path.exists():
        raise LandmintError(
            f"there is no data set {path} to take face boxes from",
            remedy="give its folder or file with --boxes, or a rule",
            choices=("found", "whole"),
        )
    kind = options.kind or ("300w" if path.is_dir() else _KINDS.get(path.suffix.lower()))
    if kind is None:
        raise LandmintError(
            f"{path} may be of any kind", remedy="say which with --kind", choices=_KINDS.values()
        )
    given: dict[str, Any] = {"kind": kind, "markup": options.markup or markup}
    if path.is_dir():
        given |= {"root": path.absolute(), "train": options.split or ("train",)}
    else:
        folder = str(images.absolute())
        given |= {"root": path.absolute().parent, "train": (path.name,), "images": folder}
    return settings(FacesConfig(), given)


def _say(labelled: Labelled, screen: Screen) -> None:
    """One line of counts; the images that cannot be read, by name."""
    parts = [f"{labelled.faces} faces in {labelled.images} images"]
    if labelled.empty_images:
        parts.append(f"{labelled.empty_images} images without a face")
    if labelled.doubtful_faces:
        parts.append(f"{labelled.doubtful_faces} doubtful faces left out")
    screen.line(", ".join(parts))
    if labelled.unreadable:
        screen.line(f"{len(labelled.unreadable)} images cannot be read:", style="yellow")
    for name in list(labelled.unreadable)[:_SHOWN]:
        screen.line(f"  {name}: {labelled.unreadable[name]}")
    if len(labelled.unreadable) > _SHOWN:
        screen.line(f"  and {len(labelled.unreadable) - _SHOWN} more; info.unreadable lists all")
