"""Faces as training batches: each crop is a pure function of (seed, epoch, index).

So batches are the same whatever the number of workers, and a run that was interrupted goes on with
the batch that it would have seen. Not an evaluation: that crops as the device does, see evaluate.
"""

import functools
import itertools
import os
import signal
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from landmint.runtime.contract import Contract, CropRule
from landmint.runtime.crop import (
    Box,
    Floats,
    Image,
    apply_affine,
    crop_matrix,
    invert_affine,
    warp,
)
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.augment import AugmentConfig, augment
from landmint.train.faces.face import ATTRIBUTES, Face, FaceSet, read_face
from landmint.train.faces.pose import euler_angles

EpochIndex = tuple[int, int]
"""Epoch and index of a face."""

# Independent random streams of one seed.
_ORDER_STREAM, _CROP_STREAM = 0, 1


@dataclass(frozen=True, eq=False)
class Excerpt:
    """The part of an image that a face's crops are drawn from."""

    image: Image
    """(H, W, 3) uint8 RGB."""
    points: Floats
    """(L, 2) in its pixels."""
    box: Box
    """The face box in its pixels."""


class FaceDataset(Dataset[dict[str, Tensor]]):
    """Augmented crops by (epoch, index).

    An item has "crop" (S, S, 3) uint8 RGB, "points" (L, 2) in [0, 1], NaN for a missing landmark,
    "euler_rad" (3,), NaN where too many are missing to tell, "attributes" (6,) flags in the order
    of `ATTRIBUTES`, zeros where the data set has none, "pseudo", 1 for a face whose landmarks a
    network said, and "row" (), which is equal for equal crops alone.
    `finish_batch` makes of a batch of them what a task eats. Crops travel from worker to trainer
    as bytes: a quarter of the shared memory that normalised images would take.
    """

    def __init__(
        self,
        faces: FaceSet,
        contract: Contract,
        augmentation: AugmentConfig | None,
        seed: int,
        cache_mib: float = 0,
    ) -> None:
        """Open no file yet.

        Args:
            faces: labelled faces.
            contract: crop rule, size and markup of the crops.
            augmentation: how they vary; None for the device's own crop, the same every epoch.
            seed: of everything drawn, unless the augmentation has its own.
            cache_mib: how much of this process's memory may keep decoded faces; 0 reads each
                face from disk every time.

        Raises:
            LandmintError: faces and contract have different markups.
        """
        if faces.markup != contract.markup:
            raise LandmintError(
                f"the faces have markup {faces.markup}, the model {contract.markup}",
                remedy="set the same markup for the faces and the model",
            )
        self._faces = faces.faces
        self._contract = contract
        self._markup = get_markup(contract.markup)
        self._augmentation = augmentation
        own = augmentation.seed if augmentation else None
        self._seed = seed if own is None else own
        self._cache: dict[int, Excerpt] = {}
        self._cache_left = cache_mib * 2**20

    def __len__(self) -> int:
        """Number of faces."""
        return len(self._faces)

    def __getitem__(self, key: EpochIndex) -> dict[str, Tensor]:
        """The crop of face `key[1]` in epoch `key[0]`.

        Raises:
            LandmintError: its image cannot be read.
        """
        epoch, index = key
        views = self._augmentation.views if self._augmentation else 1
        view = epoch % views if views else epoch
        crop, points = self._crop(self._excerpt(index), view, index)
        normalised = (points + 0.5) / self._contract.input_size
        flags = [self._faces[index].attributes.get(name, 0) for name in ATTRIBUTES]
        return {
            "crop": torch.from_numpy(crop),
            "points": torch.from_numpy(normalised.astype(np.float32)),
            "euler_rad": torch.from_numpy(
                euler_angles(normalised, self._markup).astype(np.float32)
            ),
            "attributes": torch.tensor(flags, dtype=torch.float32),
            "pseudo": torch.tensor(self._faces[index].pseudo, dtype=torch.float32),
            "row": torch.tensor(view * len(self._faces) + index),
        }

    def _crop(self, excerpt: Excerpt, view: int, index: int) -> tuple[Image, Floats]:
        rule, size = self._contract.crop, self._contract.input_size
        image, points, box = excerpt.image, excerpt.points, excerpt.box
        if self._augmentation is None:
            matrix = crop_matrix(box, rule, size)
            return warp(image, matrix, size), apply_affine(invert_affine(matrix), points)
        rng = np.random.default_rng((self._seed, _CROP_STREAM, view, index))
        return augment(image, points, box, rule, size, self._markup, self._augmentation, rng)

    def _excerpt(self, index: int) -> Excerpt:
        kept = self._cache.get(index)
        if kept is not None:
            return kept
        excerpt = excerpt_of(self._faces[index], self._contract, self._augmentation)
        if excerpt.image.nbytes <= self._cache_left:
            self._cache_left -= excerpt.image.nbytes
            self._cache[index] = excerpt
        return excerpt


def excerpt_of(face: Face, contract: Contract, augmentation: AugmentConfig | None) -> Excerpt:
    """What a face's crops need of its image: cut out, and shrunk where no crop is as fine.

    Large photographs hold faces of many times the crop's size; this is done once, where it would
    otherwise be done for each crop. Without augmentation it is the whole image, untouched, so that
    the crop is bit for bit the device's.

    Raises:
        LandmintError: the image cannot be read.
    """
    image = read_face(face)
    if augmentation is None:
        return Excerpt(image, face.points, face.box)
    box, rule, size = face.box, contract.crop, contract.input_size
    factor = max(1, int(augmentation.finest_step(box, rule, size)))
    half = augmentation.reach_px(box, rule) / 2 + 2 * factor
    centre_x, centre_y = box.x + box.w / 2, box.y + box.h / 2
    height, width = image.shape[:2]
    # At least one pixel is left of an image that the box lies outside of.
    left, top = (
        int(np.clip(c - half, 0, n - 1)) for c, n in ((centre_x, width), (centre_y, height))
    )
    right = int(np.clip(centre_x + half + 1, left + 1, width))
    bottom = int(np.clip(centre_y + half + 1, top + 1, height))
    part = _shrunk(image[top:bottom, left:right], factor)
    moved = (face.points - (left, top) + 0.5) / factor - 0.5
    x, y = (box.x - left + 0.5) / factor - 0.5, (box.y - top + 0.5) / factor - 0.5
    return Excerpt(part, moved, Box(x, y, box.w / factor, box.h / factor))


def _shrunk(part: Image, factor: int) -> Image:
    """Blocks of factor x factor pixels averaged; incomplete ones repeat the edge."""
    if factor == 1:
        return np.ascontiguousarray(part)
    height, width = part.shape[:2]
    whole = cv2.copyMakeBorder(part, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)
    small = (whole.shape[1] // factor, whole.shape[0] // factor)
    return np.asarray(cv2.resize(whole, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def finish_batch(
    batch: dict[str, Tensor], contract: Contract, device: torch.device
) -> dict[str, Tensor]:
    """A collated batch on the device, its crops normalised: "images" (B, 3, S, S) float32.

    The same arithmetic as `landmint.runtime.crop.normalise`, on the device that trains. "row" stays
    on the CPU, where files are looked up by it.
    """
    moved = {
        name: tensor if name == "row" else tensor.to(device, non_blocking=True)
        for name, tensor in batch.items()
    }
    crops = moved.pop("crop").float()
    mean, std = _on_device(contract.mean, device), _on_device(contract.std, device)
    normalised = (crops - mean) / std
    ordered = normalised.flip(-1) if contract.color == "BGR" else normalised
    # Channels last in memory, as the crops already are: convolutions are faster so.
    return {"images": ordered.permute(0, 3, 1, 2), **moved}


@functools.cache
def _on_device(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Constants, sent once: a copy of memory that is not pinned lets a GPU wait at every step."""
    return torch.tensor(values, device=device)


class EpochBatches(Sampler[list[EpochIndex]]):
    """Keys of all batches of a run, from a given step on; every epoch shuffled anew.

    Each process of a distributed run takes its own part of every batch. Faces that do not fill a
    last batch wait for the next epoch's shuffle: batch norm needs whole batches.
    """

    def __init__(
        self,
        faces: int,
        batch_size: int,
        epochs: int | None,
        seed: int,
        *,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Plan the run.

        Args:
            faces: number of faces in the data set.
            batch_size: faces per process and step.
            epochs: passes over the faces; None for batches without end.
            seed: of the order.
            start: steps that are already done.
            rank: which process this is.
            world: how many there are.

        Raises:
            LandmintError: the faces do not fill one batch.
        """
        self.steps_per_epoch = faces // (batch_size * world)
        if self.steps_per_epoch == 0:
            raise LandmintError(
                f"{faces} training faces do not fill one batch",
                reason=f"batch_size {batch_size} on {world} process(es)",
                remedy="lower batch_size or add faces",
            )
        self._end = None if epochs is None else self.steps_per_epoch * epochs
        self._faces, self._batch_size, self._seed = faces, batch_size, seed
        self._start, self._rank, self._world = start, rank, world

    def __iter__(self) -> Iterator[list[EpochIndex]]:
        """Batches of (epoch, index) in the order of the steps."""
        steps = itertools.count(self._start) if self._end is None else range(self._start, self._end)
        for step in steps:
            epoch, place = divmod(step, self.steps_per_epoch)
            if place == 0 or step == self._start:
                rng = np.random.default_rng((self._seed, _ORDER_STREAM, epoch))
                order = rng.permutation(self._faces).tolist()
            first = (place * self._world + self._rank) * self._batch_size
            yield [(epoch, index) for index in order[first : first + self._batch_size]]


def load_batches(
    dataset: FaceDataset, batches: Iterable[list[EpochIndex]], workers: int, pin_memory: bool
) -> Generator[dict[str, Tensor], None, None]:
    """Collated batches of a run, prepared by `workers` processes, or by this one for 0.

    Raises:
        LandmintError: an image cannot be read.
    """
    loader = DataLoader(
        _Messenger(dataset),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,
        worker_init_fn=start_worker,
    )
    for batch in loader:
        if isinstance(batch, LandmintError):
            raise batch
        yield batch


class _Messenger(Dataset[Any]):
    """Hands errors on as values: a loader's process would wrap their message in a traceback."""

    def __init__(self, dataset: FaceDataset) -> None:
        self._dataset = dataset

    def __getitems__(self, keys: list[EpochIndex]) -> list[dict[str, Tensor]] | LandmintError:
        try:
            return [self._dataset[key] for key in keys]
        except LandmintError as error:
            return error


def _collate(items: list[dict[str, Tensor]] | LandmintError) -> dict[str, Tensor] | LandmintError:
    if isinstance(items, LandmintError):
        return items
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def start_worker(worker: int) -> None:
    """One thread for each process; signals are left to the process that trains.

    What is sent to its whole group, as by Ctrl-C or a job's end, would kill this process too, and
    torch would tell of that death wherever the other one then is.
    """
    cv2.setNumThreads(0)
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def mean_shape(faces: FaceSet, rule: CropRule) -> Floats:
    """Mean landmarks (L, 2) of faces in their crops, in [0, 1]; for `create_model`.

    Pseudo-labelled faces do not count, nor do missing landmarks.

    Raises:
        LandmintError: there are no faces, a box has no area, or no face has some landmark.
    """
    labelled = [face for face in faces.faces if not face.pseudo]
    if not labelled:
        raise LandmintError(f"no faces in {faces.source}", remedy="check the split's folder")
    shapes = [
        apply_affine(invert_affine(crop_matrix(face.box, rule, 1)), face.points) + 0.5
        for face in labelled
    ]
    placed = np.any([face.placed for face in labelled], axis=0)
    if not placed.all():
        raise LandmintError(
            f"landmark {int(np.argmin(placed))} is missing in all faces of {faces.source}",
            remedy="label it in some, or choose a markup without it",
        )
    mean: Floats = np.nanmean(shapes, axis=0)
    return mean
