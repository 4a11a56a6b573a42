"""Parity: does an exported form compute what the network computes, on real crops?

No true landmarks are used, so this is not about accuracy.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from landmint.runtime.contract import SIMCC_OUTPUTS, Contract
from landmint.runtime.crop import Floats, crop_matrix, normalise, warp
from landmint.runtime.decode import decode
from landmint.runtime.engines import Session
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import FaceSet, read_face
from landmint.train.models.base import LandmarkModel

Crops = NDArray[np.uint8]
Tensors = dict[str, NDArray[np.float32]]
Ties = Mapping[str, NDArray[np.bool_]]
"""Which landmarks (N, L) are ties, by the output in which they are."""

SAME = 1e-3
"""Outputs that differ by less than this share of the reference's largest value are the same:
float32 sums in another order differ by some 1e-5 of it, a wrong conversion by most of it."""


@dataclass(frozen=True)
class Parity:
    """How far the outputs of one form are from those of the network."""

    crops: int
    """Number of crops compared."""
    mean_px: float
    """Mean distance of the decoded landmarks, in crop pixels, ties settled."""
    max_px: float
    """Largest distance of the decoded landmarks, in crop pixels, ties settled."""
    ties: int
    """Number of landmarks whose maps are the same but whose decoded points are not: two cells are
    equally high but for float32's noise, and which one is the peak is chance. Such landmarks are
    decoded from the network's own map, and counted here."""
    landmarks: int
    """Number of landmarks compared, ties included."""
    outputs: Mapping[str, float]
    """Per output, in graph order: largest difference over the reference's largest value."""

    @property
    def first_difference(self) -> str:
        """The first output in graph order that differs by `SAME` or more, else the worst one."""
        apart = [name for name, share in self.outputs.items() if not share <= SAME]
        return apart[0] if apart else max(self.outputs, key=lambda name: self.outputs[name])

    def __str__(self) -> str:
        """One line for the manifest."""
        worst = max(self.outputs, key=lambda name: self.outputs[name])
        return (
            f"mean {self.mean_px:.2g} px, max {self.max_px:.2g} px over {self.crops} crops; "
            f"{self.ties} ties of {self.landmarks} landmarks; "
            f"outputs within {self.outputs[worst]:.2g} of their largest value ('{worst}')"
        )


def crops_for_parity(faces: FaceSet, contract: Contract, count: int) -> Crops:
    """Crops (N, S, S, 3) of up to `count` faces, spread evenly over the set.

    Raises:
        LandmintError: there is no face, or an image cannot be read.
    """
    if not faces.faces:
        raise LandmintError(
            f"no faces in {faces.source}",
            reason="an export is checked on real crops",
            remedy="give a split that has faces",
        )
    chosen = np.unique(np.linspace(0, len(faces.faces) - 1, count).round().astype(int))
    size = contract.input_size
    crops = [
        warp(read_face(face), crop_matrix(face.box, contract.crop, size), size)
        for face in (faces.faces[i] for i in chosen)
    ]
    return np.stack(crops)


def torch_outputs(model: LandmarkModel, crops: Crops) -> Tensors:
    """Canonical outputs (N, ...) of the torch network in float32 on the CPU.

    The network's device and mode are put back.

    Raises:
        LandmintError: an output is not finite.
    """
    device = next(model.parameters()).device
    training = model.training
    model.cpu().eval()
    with torch.no_grad():
        outputs = model(torch.from_numpy(normalise(crops, model.contract)))
    model.to(device).train(training)
    arrays: Tensors = {name: value.float().numpy() for name, value in outputs.items()}
    require_finite(arrays)
    return arrays


def require_finite(outputs: Tensors) -> None:
    """Refuse a network with which no form can be compared.

    Raises:
        LandmintError: an output is not finite.
    """
    broken = [name for name, array in outputs.items() if not np.isfinite(array).all()]
    if broken:
        raise LandmintError(
            f"the network returns NaN or infinity in '{broken[0]}'",
            reason="its training diverged, or its weights are damaged",
            remedy="train it again, with a lower learning rate",
        )


def engine_outputs(session: Session, contract: Contract, crops: Crops) -> Tensors:
    """Canonical outputs (N, ...) of a loaded artefact, channels first.

    Args:
        session: of an engine, at batch 1.
        contract: in the artefact's axis order.
        crops: (N, S, S, 3).
    """
    runs = [session.run(normalise(crop[None], contract)) for crop in crops]
    joined = {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
    if contract.layout == "NCHW":
        return joined
    return {n: np.moveaxis(t, -1, 1) if t.ndim == 4 else t for n, t in joined.items()}


def compare(contract: Contract, reference: Tensors, exported: Tensors) -> Parity:
    """Compare outputs, both channels first.

    Args:
        contract: the model's, in NCHW.
        reference: of `torch_outputs`.
        exported: of `engine_outputs`.

    Raises:
        LandmintError: an output is missing or has another shape.
    """
    expected, _ = decode(contract, reference)
    with np.errstate(invalid="ignore"):  # what is not finite becomes an infinite distance
        actual, _ = decode(contract, exported)
        tied = _ties(contract, reference, exported, np.linalg.norm(actual - expected, axis=2))
        if any(places.any() for places in tied.values()):
            actual, _ = decode(contract, _settle(reference, exported, tied))
    distances = np.nan_to_num(np.linalg.norm(actual - expected, axis=2), nan=np.inf, posinf=np.inf)
    return Parity(
        crops=len(expected),
        mean_px=float(distances.mean()),
        max_px=float(distances.max()),
        ties=int(np.any(list(tied.values()), axis=0).sum()) if tied else 0,
        landmarks=distances.size,
        outputs={
            output.name: _share(reference[output.name], exported[output.name])
            for output in contract.outputs
        },
    )


def require(name: str, parity: Parity, mean_px: float, max_px: float) -> None:
    """Refuse a form that is not in parity.

    Args:
        name: of the variant, for the message.
        parity: of `compare`.
        mean_px: the mean distance must be below it, in crop pixels.
        max_px: the largest distance must be below it, in crop pixels.

    Raises:
        LandmintError: it is not; the message names the first output that differs.
    """
    if parity.mean_px < mean_px and parity.max_px < max_px:
        return
    first = parity.first_difference
    raise LandmintError(
        f"{name} does not compute what the network computes",
        reason=f"landmarks differ by {parity.mean_px:.3g} px on average and {parity.max_px:.3g} px "
        f"at most ({mean_px} and {max_px} are allowed) over {parity.crops} crops; the first output "
        f"that differs is '{first}', by {parity.outputs[first]:.3g} of its largest value",
        remedy="report the network and the converter's version; leave the format out of the "
        "recipe to go on without it",
    )


def _share(reference: NDArray[np.float32], exported: NDArray[np.float32]) -> float:
    """Largest difference over the reference's largest value; infinite where one is NaN."""
    largest = max(float(np.abs(reference).max()), float(np.finfo(np.float32).tiny))
    apart = float(np.abs(reference - exported).max())
    return apart / largest if np.isfinite(apart) else float("inf")


_PEAK_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "heatmap": ("heatmaps",),
    "pip": ("cls",),
    "simcc": SIMCC_OUTPUTS,
    "offset": ("scores",),
    "nested": ("heatmaps", "inner"),
}
_HALF_A_PIXEL = 0.5


def _ties(contract: Contract, reference: Tensors, exported: Tensors, distances: Floats) -> Ties:
    """Which landmarks are ties: their maps are the same, but the decoded points are not.

    Either the peak is in another cell, or, for heatmaps, a step that depends on a sign or a
    threshold (quarter offset, DARK) went the other way. For PIP heads only the peak is compared,
    since a landmark there also moves with its neighbours' votes.
    """
    tied = {}
    for name in _PEAK_OUTPUTS.get(contract.head.kind, ()):
        ours, theirs = (t[name].reshape(*t[name].shape[:2], -1) for t in (reference, exported))
        same = np.abs(ours - theirs).max(axis=2) <= SAME * np.abs(ours).max(axis=2)
        moved = ours.argmax(axis=2) != theirs.argmax(axis=2)
        if contract.head.kind == "heatmap":
            moved |= distances > _HALF_A_PIXEL
        tied[name] = same & moved
    return tied


def _settle(reference: Tensors, exported: Tensors, tied: Ties) -> Tensors:
    """The exported outputs, with the reference's maps for all landmarks that are ties."""
    settled = dict(exported)
    for name, places in tied.items():
        mask = places.reshape(*places.shape, *[1] * (exported[name].ndim - 2))
        settled[name] = np.where(mask, reference[name], exported[name])
    return settled
