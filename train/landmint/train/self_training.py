"""Faces without labels, made ready to learn from: kept apart from those that judge, and labelled.

The rounds themselves stand in `rounds.py`; the loss on pseudo-labels in `tasks.py`.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import digest
from landmint.runtime.progress import SILENT, Progress
from landmint.train.config import SelfTrainingConfig
from landmint.train.faces.apart import read_unlabelled, refuse_judges
from landmint.train.faces.face import FaceSet
from landmint.train.faces.leaks import readable_digests, same_pixels
from landmint.train.faces.readers import FacesConfig, load_faces
from landmint.train.faces.unlabelled import KnownBoxes
from landmint.train.fit_config import FitConfig
from landmint.train.label import LabelConfig, label_images
from landmint.train.launch import cores_here, device_of
from landmint.train.processes import ProcessConfig

_LABELS = "labels.json"


@dataclass(frozen=True)
class Unlabelled:
    """Faces of which only the boxes are known."""

    folder: Path
    """Where their images are."""
    boxes: KnownBoxes
    """By the image's name under the folder."""


def find_unlabelled(config: FacesConfig, labelled: FaceSet, apart: Sequence[FaceSet]) -> Unlabelled:
    """The unlabelled faces of a data set, but for images whose labels are known.

    Images are compared by their pixels: a copy under another name is the same image.

    Args:
        config: the data set; `train` names the faces.
        labelled: faces whose images are left out, since true labels are at hand.
        apart: faces that choose the weights or that are reported on.

    Raises:
        LandmintError: the data set is missing or malformed, nothing of it is unlabelled, or an
            image, or a person where person_pattern tells who it is, is among those apart.
    """
    folder, known, unlabelled = read_unlabelled(config)
    same = same_pixels(readable_digests(face.image for face in unlabelled), readable_digests)
    refuse_judges(unlabelled, [face for faces in apart for face in faces.faces], same)
    has_labels = same([f.image for f in unlabelled], [f.image for f in labelled.faces])
    left = {name: boxes for name, boxes in known.boxes.items() if folder / name not in has_labels}
    if not left:
        raise LandmintError(
            f"there are no unlabelled faces in {config.root}",
            reason="all its images are among the labelled training faces",
            remedy="correct self_training.faces",
        )
    return Unlabelled(folder, KnownBoxes(left, known.upright))


def label_round(
    weights: Path,
    unlabelled: Unlabelled,
    labelled: FaceSet,
    config: SelfTrainingConfig,
    fit: FitConfig,
    place: Path,
    progress: Progress = SILENT,
) -> FaceSet:
    """Labelled faces, and unlabelled ones with what a network says of them.

    Args:
        weights: of the network.
        unlabelled: faces to label.
        labelled: faces with true labels, of the network's markup.
        config: which of the others to keep.
        fit: where to run.
        place: folder of the round, in which the labels are kept.
        progress: called after every shard.

    Raises:
        LandmintError: no face is kept, or the labelling failed.
    """
    boxes, folder = unlabelled.boxes, unlabelled.folder
    devices = fit.devices if device_of(fit) == "cuda" else cores_here()
    processes = ProcessConfig(accelerator=fit.accelerator, devices=devices)
    how = LabelConfig(min_confidence=config.min_confidence, processes=processes)
    label_images(weights, folder, tuple(boxes.boxes), boxes, how, place / _LABELS, progress)
    reading = FacesConfig(
        kind="coco",
        root=place,
        images=str(folder.absolute()),
        markup=labelled.markup,
        train=(_LABELS,),
    )
    pseudo = load_faces(reading, "train", Path())
    if not pseudo.faces:
        raise LandmintError(
            "no unlabelled face is left to learn from",
            reason=f"none has a mean confidence of {config.min_confidence or 0:g}",
            remedy="lower self_training.min_confidence",
        )
    marked = (dataclasses.replace(face, pseudo=True) for face in pseudo.faces)
    both = digest({"labelled": labelled.fingerprint, "pseudo": pseudo.fingerprint})
    source = f"{labelled.source}, and pseudo-labels"
    return FaceSet(labelled.markup, (*labelled.faces, *marked), source, both)
