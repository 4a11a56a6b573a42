"""Training speed in faces per second: this loop, what its loader costs it, and a plain loop.

Both train the recipe's network on the same faces at the same batch size. The plain loop is what a
torchvision tutorial would have: every image decoded and transformed anew by `transforms.v2` in one
loader process, float32, contiguous images, Adam, no average of the weights. The two take turns.
With --cpu, this loop takes turns with itself instead: threads and arithmetic on a CPU, bfloat16
where the processor has it in hardware (in software it is tens of times as slow). There, faces a
core are those of one second of processor time of the training process, which other work on the
machine hardly changes; the loader's process is not in it. Prints Markdown.

    python benchmarks/training.py recipes/pipnet-mbv3-ytf68.toml --network student
    python benchmarks/training.py recipes/pipnet-mbv3-ytf68.toml --cpu
"""

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.io import decode_image
from torchvision.transforms import v2

from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, number, percent
from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import Progress
from landmint.train.config import NetworkRecipe
from landmint.train.faces.dataset import mean_shape
from landmint.train.faces.face import FaceSet, face_set
from landmint.train.fit import fit
from landmint.train.launch import precision_on
from landmint.train.models import create_model
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import Task, task_for

ROOT = Path(__file__).resolve().parents[1]
_COLUMNS = ("network", "loop", "faces/s", "waiting for the loader, %", "faces/s without the wait")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--network", choices=("teacher", "student"), default="student")
    parser.add_argument("--faces", type=int, default=320, help="faces per turn and loop")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="1 and 2 threads, float32 and bfloat16")
    options = parser.parse_args(arguments)
    try:
        recipe = load_recipe(options.recipe)
        network = getattr(recipe, options.network)
        run = Run(recipe, options.runs / recipe.name)
        train, val = (_first(run.faces(split), options.faces) for split in ("train", "val"))
        if options.cpu:
            print(on_cpu(network, train, val, options.turns))
            return 0
        turns = [(ours(network, train, val), plain(network, train)) for _ in range(options.turns)]
    except LandmintError as error:
        print(f"training: {error}", file=sys.stderr)
        return error.exit_code
    name = f"{network.model.name}, {network.model.input_size} px"
    rows = []
    for place, loop in enumerate(("landmint", "plain")):
        rate = median(turn[place][0] for turn in turns)
        share = median(turn[place][1] for turn in turns)
        rows.append([name, loop, number(rate, 1), percent(share, 1), number(rate / (1 - share), 1)])
    print(markdown_table(_COLUMNS, rows))
    ratios = sorted(one / other for (one, _), (other, _) in turns)
    print(f"\nlandmint over plain: {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    return 0


def _first(faces: FaceSet, count: int) -> FaceSet:
    return face_set(faces.markup, list(faces.faces[:count]), faces.source)


def _built(network: NetworkRecipe, train: FaceSet) -> tuple[LandmarkModel, Task]:
    torch.manual_seed(0)
    model = create_model(network.model, mean_shape(train, network.model.crop))
    return model, task_for(model, network.loss, train)


def ours(network: NetworkRecipe, train: FaceSet, val: FaceSet) -> tuple[float, float]:
    """Faces per second and the loader's share of the second epoch; the first fills the caches."""
    model, task = _built(network, train)
    few = replace(val, faces=val.faces[:8])
    config = network.fit.model_copy(update={"epochs": 2, "validate_every_epochs": 2})
    with tempfile.TemporaryDirectory() as folder:
        fit(model, task, train, few, network.augment, config, Path(folder))
        with (Path(folder) / "metrics.csv").open(newline="") as lines:
            *_, last = csv.DictReader(lines)
    return float(last["faces_per_s"]), float(last["loader_share"])


class Watch(Progress):
    """Reads two clocks after each step."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.readings: list[tuple[float, float]] = []

    def at(self, done: int, total: int, note: str = "") -> None:
        """Note wall time and processor time of this process."""
        self.readings.append((time.monotonic(), time.process_time()))

    def step(self, note: str) -> None:
        """Messages take no time."""


def on_cpu(network: NetworkRecipe, train: FaceSet, val: FaceSet, turns: int) -> str:
    """A table of threads and arithmetic: medians, and the ratio to the first row, by turn."""
    own = precision_on("cpu", network.fit.model_copy(update={"precision": "auto"}))
    kinds = [(threads, precision) for threads in (1, 2) for precision in dict.fromkeys(("32", own))]
    speeds = {kind: [_cpu_speed(network, train, val, *kind)] for kind in kinds}
    for _ in range(turns - 1):
        for kind in kinds:
            speeds[kind].append(_cpu_speed(network, train, val, *kind))
    rows = []
    for (threads, precision), measured in speeds.items():
        ratios = sorted(
            own[1] / base[1] for own, base in zip(measured, speeds[kinds[0]], strict=True)
        )
        rows.append(
            [
                f"{network.model.name}, {network.model.input_size} px",
                str(threads),
                {"32": "float32", "bf16": "bfloat16"}[precision],
                number(median(wall for wall, _ in measured), 1),
                number(median(core for _, core in measured), 1),
                f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            ]
        )
    columns = ("network", "threads", "arithmetic", "faces/s", "faces/s a core", "a core, times")
    table = markdown_table(columns, rows)
    if own == "bf16":
        return table
    return f"{table}\n\nbfloat16: not measured, for this processor has no arithmetic of it."


def _cpu_speed(
    network: NetworkRecipe, train: FaceSet, val: FaceSet, threads: int, precision: str
) -> tuple[float, float]:
    """Faces a second, and faces a second of processor time, without the first five steps."""
    model, task = _built(network, train)
    change = {"epochs": 1, "accelerator": "cpu", "threads": threads, "precision": precision}
    config, watch = network.fit.model_copy(update=change), Watch()
    with tempfile.TemporaryDirectory() as folder:
        few = replace(val, faces=val.faces[:8])
        fit(model, task, train, few, network.augment, config, Path(folder), watch)
    first, last = watch.readings[5], watch.readings[-2]  # the last is after the validation
    faces = (len(watch.readings) - 7) * config.batch_size
    return faces / (last[0] - first[0]), faces / (last[1] - first[1])


class _PlainFaces(Dataset[tuple[Tensor, Tensor]]):
    """Images and points in [0, 1] through torchvision's own transforms."""

    def __init__(self, faces: FaceSet, size: int) -> None:
        self._faces = faces.faces
        self._transform = v2.Compose(
            [
                v2.RandomAffine(degrees=30, translate=(0.08, 0.08), scale=(0.85, 1.2)),
                v2.Resize((size, size), antialias=True),
                v2.ColorJitter(0.25, 0.3, 0.4),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self._faces)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        face = self._faces[index]
        image = tv_tensors.Image(decode_image(str(face.image), "RGB"))
        size = (image.shape[-2], image.shape[-1])
        points = tv_tensors.KeyPoints(face.points, dtype=torch.float32, canvas_size=size)
        image, points = self._transform(image, points)
        return image, points / image.shape[-1]


def plain(network: NetworkRecipe, train: FaceSet) -> tuple[float, float]:
    """Faces per second and the loader's share of a plain loop's second epoch."""
    model, task = _built(network, train)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = nn.ModuleList([model, task]).to(device).train()
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    loader = DataLoader(
        _PlainFaces(train, network.model.input_size),
        network.fit.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=1,
        persistent_workers=True,
    )
    for _ in range(2):
        began, waited_s, faces = time.monotonic(), 0.0, 0
        batches = iter(loader)
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            waited_s += time.monotonic() - asked
            if batch is None:
                break
            images, points = (tensor.to(device) for tensor in batch)
            zeros = points.new_zeros(len(points), 6)
            truth = {"points": points, "euler_rad": zeros[:, :3], "attributes": zeros}
            loss = task(model, {"images": images, **truth})["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            faces += len(images)
        spent_s = time.monotonic() - began
    return faces / spent_s, waited_s / spent_s


if __name__ == "__main__":
    sys.exit(main())
