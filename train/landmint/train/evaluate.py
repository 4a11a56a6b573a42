"""A torch network on labelled faces, through the device's own crop and metrics.

What training selects on and what variants are compared with. No engine: the engines of the
runtime run exported artefacts, one face at a time; this runs batches, in 32 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from landmint.runtime.accuracy import (
    Truth,
    face_sizes,
    failure_rate,
    nme_per_image,
    point_errors,
)
from landmint.runtime.contract import Contract
from landmint.runtime.crop import (
    Floats,
    Image,
    apply_affine,
    compose,
    crop_matrix,
    warp,
)
from landmint.runtime.engines.engine import Tensor
from landmint.runtime.errors import LandmintError
from landmint.train.faces.dataset import finish_batch
from landmint.train.faces.face import Face, FaceSet, read_face
from landmint.train.models.base import LandmarkModel
from landmint.train.torch_decode import decoder_for


class TorchSession:
    """A network behind the runtime's `Session` protocol; any batch size, always float32."""

    executed_precision = "f32"

    def __init__(self, model: LandmarkModel) -> None:
        """Run `model` where it is, in eval mode; its mode is put back after each run."""
        self._model = model
        self._decode = decoder_for(model.contract.head)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self._model.parameters()).device

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """Canonical outputs of normalised crops (N, 3, S, S), each with a batch axis."""
        images = torch.from_numpy(np.ascontiguousarray(tensor)).to(self.device)
        return {name: output.cpu().numpy() for name, output in self.outputs(images).items()}

    def outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """The same in torch, on the network's device."""
        model = self._model
        training = model.training
        model.eval()
        try:
            with torch.inference_mode(), torch.autocast(images.device.type, enabled=False):
                return {name: output.float() for name, output in model(images).items()}
        finally:
            model.train(training)

    def landmarks(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the outputs mean, decoded on the network's device.

        Maps stay there; a thousandth of their numbers is left. Nothing waits for the device.

        Args:
            images: normalised crops (N, 3, S, S) on the network's device.

        Returns:
            points (N, L, 2) in [0, 1] over the crop, and confidence (N, L).
        """
        outputs = self.outputs(images)
        with torch.inference_mode(), torch.autocast(images.device.type, enabled=False):
            points, confidence = self._decode.to(images.device)(*outputs.values())
        return points, confidence


class FlipTestSession(TorchSession):
    """A heatmap network that sees each crop and its mirror image, and draws the mean.

    Twice the work for a steadier answer: how published teachers are evaluated, not what a device
    runs. Both runs draw about cell centres, so the mirrored maps need no shift.
    """

    def __init__(self, model: LandmarkModel) -> None:
        """Run `model` where it is.

        Raises:
            LandmintError: its head draws no heatmaps.
        """
        contract = model.contract
        if contract.head.kind != "heatmap":
            raise LandmintError(
                f"{model.config.name} has no flip test",
                reason=f"heatmaps can be averaged, its head is '{contract.head.kind}'",
            )
        super().__init__(model)
        self._mirror = list(contract.landmarks.flip)

    def outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Mean heatmaps of crops (N, 3, S, S) and of their mirror images."""
        plain, mirrored = super().outputs(images), super().outputs(images.flip(3))
        return {
            name: (maps + mirrored[name][:, self._mirror].flip(3)) / 2
            for name, maps in plain.items()
        }


@dataclass(frozen=True, eq=False)
class FaceCrops:
    """Faces cropped as the device would."""

    crops: Image
    """(N, S, S, 3) uint8 RGB."""
    matrices: Floats
    """(N, 2, 3), each from crop to image pixels."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A network's landmarks of labelled faces; errors are shares of the markup's normaliser."""

    points: Floats
    """(N, L, 2) in original image pixels."""
    confidence: Floats
    """(N, L)."""
    truth: Truth
    """What the points should be."""
    per_face: Floats
    """(N,) error of each face; infinite where a landmark is not finite."""

    @property
    def nme(self) -> float:
        """Mean error over the faces."""
        return float(self.per_face.mean())

    @property
    def failure_rate(self) -> float:
        """Share of faces whose error exceeds 10 %."""
        return failure_rate(self.per_face, 0.10)


def crop_faces(faces: Sequence[Face], contract: Contract) -> FaceCrops:
    """The crops of faces.

    Raises:
        LandmintError: an image cannot be read, or a box has no area.
    """
    size = contract.input_size
    crops = np.empty((len(faces), size, size, 3), dtype=np.uint8)
    matrices = np.empty((len(faces), 2, 3))
    for i, face in enumerate(faces):
        matrices[i] = crop_matrix(face.box, contract.crop, size)
        crops[i] = warp(read_face(face), matrices[i], size)
    return FaceCrops(crops, matrices)


def truth_of(faces: FaceSet) -> Truth:
    """The labels of faces as the metrics take them.

    Raises:
        LandmintError: there are no faces.
    """
    return Truth(
        markup=faces.markup,
        names=tuple(face.name for face in faces.faces),
        persons=tuple(face.person for face in faces.faces),
        points=np.array([face.points for face in faces.faces]),
        boxes=np.array([face.box for face in faces.faces], dtype=np.float64),
    )


def evaluate(
    model: LandmarkModel,
    faces: FaceSet,
    batch_size: int = 32,
    crops: FaceCrops | None = None,
    session: type[TorchSession] = TorchSession,
) -> Evaluation:
    """Run a network over faces.

    Args:
        model: runs where it is; its mode is put back afterwards.
        faces: of the model's markup.
        batch_size: how many faces go through the network together.
        crops: what `crop_faces` gave for the same faces, where they are evaluated often.
        session: how the network is run, plainly or as a `FlipTestSession`.

    Raises:
        LandmintError: the markups differ, there are no faces, or an image cannot be read.
    """
    contract, truth = model.contract, truth_of(faces)
    if faces.markup != contract.markup:
        raise LandmintError(
            f"the faces have markup {faces.markup}, the model {contract.markup}",
            remedy="evaluate the model on faces of its own markup",
        )
    running = session(model)
    answers, matrices = [], []
    for i in range(0, len(faces.faces), batch_size):
        window = slice(i, i + batch_size)
        some = (
            crop_faces(faces.faces[window], contract)
            if crops is None
            else FaceCrops(crops.crops[window], crops.matrices[window])
        )
        answers.append(_landmarks(running, contract, some.crops))
        matrices.append(some.matrices)
    # All batches are under way before the first answer is waited for.
    decoded, confidence = (torch.cat(parts) for parts in zip(*answers, strict=True))
    points = _in_image(decoded, contract, np.concatenate(matrices))
    sizes = face_sizes(truth)
    return Evaluation(
        points=points,
        confidence=confidence.cpu().double().numpy(),
        truth=truth,
        per_face=nme_per_image(point_errors(points, truth.points), sizes),
    )


def own_lean(model: LandmarkModel, faces: FaceSet) -> Floats:
    """How far a network's landmarks lie right of where it sees them both ways round.

    A network without lean puts the landmarks of a mirrored picture at the mirrored places. What
    mirroring cannot tell is whether it leans up or down.

    Args:
        model: any trained network.
        faces: of the model's markup; their labels do not count.

    Returns:
        (N,) mean over the landmarks of each face, as a share of the longer side of its box.

    Raises:
        LandmintError: the markups differ, there are no faces, or an image cannot be read.
    """
    plain, middle = both_ways(model, faces)
    sides = np.array([max(face.box.w, face.box.h) for face in faces.faces])
    share: Floats = (plain.points - middle)[..., 0].mean(axis=1) / sides
    return share


def both_ways(model: LandmarkModel, faces: FaceSet) -> tuple[Evaluation, Floats]:
    """A network on faces, and the middle (N, L, 2) of that and what it sees in their mirror.

    The middle leans to neither side, whatever the network has learnt.

    Raises:
        LandmintError: the markups differ, there are no faces, or an image cannot be read.
    """
    contract = model.contract
    seen = crop_faces(faces.faces, contract)
    turn = np.array([[-1.0, 0.0, contract.input_size - 1.0], [0.0, 1.0, 0.0]])
    turned = np.array([compose(matrix, turn) for matrix in seen.matrices])
    mirrored = FaceCrops(seen.crops[:, :, ::-1], turned)
    plain, other = (evaluate(model, faces, crops=crops) for crops in (seen, mirrored))
    middle: Floats = (plain.points + other.points[:, list(contract.landmarks.flip)]) / 2
    return plain, middle


def predict_batch(
    session: TorchSession, contract: Contract, some: FaceCrops
) -> tuple[Floats, Floats]:
    """Landmarks (N, L, 2) in image pixels and confidence (N, L), in one batch."""
    points, confidence = _landmarks(session, contract, some.crops)
    return _in_image(points, contract, some.matrices), confidence.cpu().double().numpy()


def _landmarks(
    session: TorchSession, contract: Contract, crops: Image
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (N, L, 2) in [0, 1] over the crop and confidence (N, L), on the network's device."""
    batch = finish_batch(
        {"crop": torch.from_numpy(np.ascontiguousarray(crops))}, contract, session.device
    )
    return session.landmarks(batch["images"])


def _in_image(points: torch.Tensor, contract: Contract, matrices: Floats) -> Floats:
    """Points in [0, 1] over crops as pixels of the images."""
    return apply_affine(matrices, points.cpu().double().numpy() * contract.input_size - 0.5)
