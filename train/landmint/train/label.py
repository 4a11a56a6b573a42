"""Labels the faces of many images with a trained network: pseudo-labels to train on.

Images are divided into shards, and shards among the processes of a run. Each shard is written when
it is finished, so an interrupted run goes on where it stopped. A shard's labels depend on its
images alone, so neither an interruption nor the number of processes changes the result.
"""

import contextlib
import itertools
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from lightning.fabric import Fabric
from torch.utils.data import DataLoader, Dataset

from landmint.runtime.contract import Contract
from landmint.runtime.crop import Floats, crop_matrix, warp
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import digest, read_json, sha256_file, write_json
from landmint.runtime.progress import SILENT, Progress
from landmint.train.evaluate import FaceCrops, FlipTestSession, TorchSession, predict_batch
from landmint.train.faces.dataset import start_worker
from landmint.train.faces.face import read_image
from landmint.train.faces.unlabelled import BoxSource
from landmint.train.interruption import StopSignal
from landmint.train.label_file import Labelled, read_summary, write_labels
from landmint.train.launch import device_of, fabric_for, launch, started_outside, workers_of
from landmint.train.models import load_model
from landmint.train.processes import ProcessConfig
from landmint.train.torch_state import torch_threads

SHARD_IMAGES = 32
PARTS_SUFFIX = ".parts"
"""Suffix of the folder of finished shards; before it stands the name of the file to write."""
_JOB_FILE = "job.json"
_POLL_S = 0.2


@dataclass(frozen=True)
class LabelConfig:
    """How images are labelled."""

    flip_test: bool = False
    """Heatmap networks: the mean over each crop and its mirror image, at twice the work."""
    min_confidence: float | None = None
    """Faces with a lower confidence are left out; it is the mean over a face's landmarks."""
    batch_size: int = 32
    """Faces that go through the network together."""
    processes: ProcessConfig = ProcessConfig()
    """Where to run, and on how many processes of each machine. Its precision and threads do not
    count: the result may depend on neither."""


@dataclass(frozen=True)
class _Job:
    """What every process of a run needs to know."""

    weights: Path
    contract: Contract
    images: Path
    names: tuple[str, ...]
    boxes: BoxSource
    config: LabelConfig
    workers: int
    parts: Path

    @property
    def shards(self) -> int:
        return -(-len(self.names) // SHARD_IMAGES)

    def names_of(self, shard: int) -> tuple[str, ...]:
        return self.names[shard * SHARD_IMAGES : (shard + 1) * SHARD_IMAGES]


@dataclass(frozen=True)
class _Prepared:
    """A shard with its images read and its faces cropped."""

    number: int
    entries: list[dict[str, Any]]
    """What is known of each image: its size and boxes, or why it cannot be read."""
    faces: FaceCrops


def label_images(
    weights: Path,
    images: Path,
    names: Sequence[str],
    boxes: BoxSource,
    config: LabelConfig,
    out: Path,
    progress: Progress = SILENT,
) -> Labelled:
    """Label images, or go on where an earlier call with the same arguments was stopped.

    Finished shards are kept in `OUT.parts`, a folder that all processes must see; it is removed
    when `out` is written. Processes started by torchrun or Slurm all return after that.

    Args:
        weights: a model.safetensors.
        images: folder of the images.
        names: paths of the images under it.
        boxes: where their faces are.
        config: how to label.
        out: COCO-style JSON, see `label_file`.
        progress: called after every shard of the first process, and once before.

    Returns:
        a summary of `out`; at once, if `out` is already the result of the same call.

    Raises:
        LandmintError: the weights cannot be read or do not fit an option; `out` or its parts are
            the result of other settings; the machine lacks what the config asks for.
        KeyboardInterrupt: SIGINT or SIGTERM came; finished shards stay.
    """
    contract = _contract_of(weights, config)
    identity = _identity_of(weights, images, names, boxes, config)
    settings = identity | {"min_confidence": config.min_confidence}
    if out.exists():
        return read_summary(out, digest(settings))
    processes = _processes_of(config.processes, len(names))
    parts = out.with_name(out.name + PARTS_SUFFIX)
    _claim(parts, identity)
    workers = workers_of(processes) if device_of(processes) == "cuda" else 0
    job = _Job(weights, contract, images, tuple(names), boxes, config, workers, parts)
    fabric = fabric_for(processes)
    launch(fabric, processes, partial(_work, job), progress)
    if fabric.global_rank == 0:
        _join(job, out, digest(settings))
    fabric.barrier()
    return read_summary(out, digest(settings))


def _join(job: _Job, out: Path, settings: str) -> None:
    """Write the result from the files of all shards, and remove these."""
    files = [path for _, path in sorted(_finished(job.parts).items())]
    states = states_confidence(job.contract)
    least, upright = job.config.min_confidence, job.boxes.upright
    write_labels(out, files, job.contract, states, least, settings, upright)
    shutil.rmtree(job.parts)


def _contract_of(weights: Path, config: LabelConfig) -> Contract:
    """The contract of the weights; refuses options that do not fit the network."""
    model = load_model(weights)
    if config.flip_test:
        FlipTestSession(model)
    if config.min_confidence is not None and not states_confidence(model.contract):
        raise LandmintError(
            "no least confidence can be asked of this network",
            reason=f"{model.config.name} states none",
            remedy="leave it out, or label with a network that draws heatmaps or scores",
        )
    return model.contract


def states_confidence(contract: Contract) -> bool:
    """Whether a network says how sure it is; decoding gives 1 where it does not."""
    return contract.head.kind != "coordinates" or any(
        output.name == "confidence" for output in contract.outputs
    )


def _identity_of(
    weights: Path, images: Path, names: Sequence[str], boxes: BoxSource, config: LabelConfig
) -> dict[str, Any]:
    """All that the shards depend on, as plain values by name."""
    sizes = [(name, (images / name).stat().st_size) for name in names]
    return {
        "schema": 1,
        "weights": sha256_file(weights),
        "images": digest(sizes),
        "boxes": boxes.identity(),
        "upright": boxes.upright,
        "flip_test": config.flip_test,
        "batch_size": config.batch_size,
        "shard_images": SHARD_IMAGES,
    }


def _processes_of(config: ProcessConfig, images: int) -> ProcessConfig:
    """No more processes than shards, unless a launcher has started them; with one thread each.

    Several threads may sum in another order, so that the result would depend on their number.
    """
    shards = max(1, -(-images // SHARD_IMAGES))
    devices = config.devices if started_outside(config) else min(config.devices, shards)
    fixed = {"devices": devices, "precision": "32", "threads": 1}
    return config.model_copy(update=fixed)


def _claim(parts: Path, identity: Mapping[str, Any]) -> None:
    """Make the folder of shards; refuse one that belongs to another run."""
    place = parts / _JOB_FILE
    if not place.exists():
        write_json(place, identity)
        return
    before = read_json(place)
    other = sorted(k for k in before.keys() | identity.keys() if before.get(k) != identity.get(k))
    if other:
        raise LandmintError(
            f"{parts} belongs to another labelling",
            reason=f"not the same: {', '.join(other)}",
            remedy="restore the settings to go on, or delete the folder to start anew",
        )


def _finished(parts: Path) -> dict[int, Path]:
    """The files of finished shards. Their names tell number and faces, which spares reading."""
    return {int(path.name.split(".")[0]): path for path in parts.glob("[0-9]*.json")}


def _work(job: _Job, fabric: Fabric, progress: Progress) -> None:
    """One process's part of a run."""
    fabric.barrier()  # a process that is late must not meet what this call has finished
    with contextlib.ExitStack() as stack:
        if fabric.device.type == "cpu":
            stack.enter_context(torch_threads(1))
        stack.callback(cv2.setNumThreads, cv2.getNumThreads())
        cv2.setNumThreads(0)  # detectors find equal faces in any order when threads race
        first = fabric.is_global_zero
        counter = _Counter(job, progress) if first else None
        finished = _finished(job.parts)
        mine = range(fabric.global_rank, job.shards, fabric.world_size)
        left = [number for number in mine if number not in finished]
        model = load_model(job.weights).to(fabric.device)
        session = FlipTestSession(model) if job.config.flip_test else TorchSession(model)
        stop = stack.enter_context(StopSignal())
        done = 0
        for prepared in _load(job, left):
            _write_shard(job, prepared, session)
            done = counter.show() if counter else 0
            _check(stop)
        while counter and done < job.shards:  # the other processes' part
            done = counter.show()
            _check(stop)
            time.sleep(_POLL_S)


class _Counter:
    """Counts what is finished, by all processes, from the files of finished shards."""

    def __init__(self, job: _Job, progress: Progress) -> None:
        self._job, self._progress = job, progress
        self._began, self._before = time.monotonic(), self._count()[1]

    def show(self) -> int:
        """Say how far the run is; returns the number of finished shards."""
        images, faces, shards = self._count()
        speed = (faces - self._before) / max(time.monotonic() - self._began, 1e-9)
        total = len(self._job.names)
        self._progress.at(images, total, f"{faces} faces  {speed:.1f} faces/s")
        return shards

    def _count(self) -> tuple[int, int, int]:
        finished = _finished(self._job.parts)
        images = sum(len(self._job.names_of(number)) for number in finished)
        faces = sum(int(path.name.split(".")[1]) for path in finished.values())
        return images, faces, len(finished)


def _check(stop: StopSignal) -> None:
    if stop.received:
        raise KeyboardInterrupt(f"labelling stopped by {stop.received}; finished images are kept")


def _load(job: _Job, numbers: Sequence[int]) -> Iterator[_Prepared]:
    loader = DataLoader(
        _Shards(job, numbers),
        batch_size=None,
        num_workers=job.workers,
        collate_fn=_as_it_is,
        worker_init_fn=start_worker,
    )
    for prepared in loader:
        if isinstance(prepared, LandmintError):
            raise prepared
        yield prepared


def _as_it_is(prepared: Any) -> Any:
    return prepared


class _Shards(Dataset[Any]):
    """Shards by their place in a list; errors are handed on as values, as in `load_batches`."""

    def __init__(self, job: _Job, numbers: Sequence[int]) -> None:
        self._job, self._numbers = job, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> _Prepared | LandmintError:
        try:
            return _prepare(self._job, self._numbers[index])
        except LandmintError as error:
            return error


def _prepare(job: _Job, number: int) -> _Prepared:
    """Read a shard's images and cut out their faces.

    Raises:
        LandmintError: faces cannot be looked for here. An image that cannot be read raises none.
    """
    size, rule = job.contract.input_size, job.contract.crop
    entries: list[dict[str, Any]] = []
    crops, matrices = [], []
    for name in job.names_of(number):
        try:
            image = read_image(job.images / name, job.boxes.upright)
        except (LandmintError, cv2.error) as error:
            reason = error.reason if isinstance(error, LandmintError) else str(error)
            entries.append({"file_name": name, "error": " ".join(reason.split())})
            continue
        boxes = job.boxes(name, image)
        height, width = image.shape[:2]
        listed = [list(box) for box in boxes]
        entries.append({"file_name": name, "width": width, "height": height, "boxes": listed})
        for box in boxes:
            matrices.append(crop_matrix(box, rule, size))
            crops.append(warp(image, matrices[-1], size))
    faces = FaceCrops(
        np.array(crops, dtype=np.uint8).reshape(-1, size, size, 3),
        np.array(matrices, dtype=np.float64).reshape(-1, 2, 3),
    )
    return _Prepared(number, entries, faces)


def _write_shard(job: _Job, prepared: _Prepared, session: TorchSession) -> None:
    """Label the faces of a shard and write it, whole or not at all."""
    crops, matrices = prepared.faces.crops, prepared.faces.matrices
    labels: list[dict[str, Any]] = []
    for i in range(0, len(crops), job.config.batch_size):
        window = slice(i, i + job.config.batch_size)
        some = FaceCrops(crops[window], matrices[window])
        points, confidence = predict_batch(session, job.contract, some)
        labels += [_face(*face) for face in zip(points, confidence, strict=True)]
    faces = iter(labels)
    images = []
    for entry in prepared.entries:
        boxes = entry.pop("boxes", [])
        entry["faces"] = [
            {"box": [round(float(v), 3) for v in box], **face}
            for box, face in zip(boxes, itertools.islice(faces, len(boxes)), strict=True)
        ]
        images.append(entry)
    write_json(job.parts / f"{prepared.number:07d}.{len(labels)}.json", images)


def _face(points: Floats, confidence: Floats) -> dict[str, Any]:
    """One face as JSON; without landmarks where one is no finite number."""
    if not (np.isfinite(points).all() and np.isfinite(confidence).all()):
        return {}
    points, confidence = points.round(3) + 0.0, confidence.round(4) + 0.0  # no negative zeros
    return {"points": points.tolist(), "confidence": confidence.tolist()}
