"""Where a training step's time goes: loader, copy, forward, teacher, backward, optimiser, average.

Trains the networks of recipes for two short epochs and prints the second as Markdown: faces per
second, and the share of each part. The device is waited for around each part, so the whole is a
little slower than an undisturbed training; `benchmarks/training.py` measures that. A student is
taught by an untrained teacher, which answers as fast as a trained one.

    python benchmarks/training_step.py recipes/pipnet-mbv3-ytf68.toml --device cuda
    python benchmarks/training_step.py recipes/pfld-ytf68.toml --device cuda --side-by-side 3
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from lightning.fabric import Fabric
from lightning.fabric.wrappers import _FabricOptimizer

from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, number, percent
from landmint.runtime.errors import LandmintError
from landmint.runtime.machine import identify
from landmint.train import distill, loop
from landmint.train.config import NetworkRecipe, TrainingPlan
from landmint.train.faces.face import FaceSet, face_set
from landmint.train.models import save_model
from landmint.train.schedule import Average
from landmint.train.starting import untrained_model
from landmint.train.training import train_network

ROOT = Path(__file__).resolve().parents[1]
PARTS: dict[str, tuple[Any, str]] = {
    "loader": (loop.Loop, "_wait_for"),
    "copy": (loop, "finish_batch"),
    "forward": (loop.TrainingModule, "forward"),
    "teacher": (distill.DistillTask, "_lesson"),
    "backward": (Fabric, "backward"),
    "optimiser": (_FabricOptimizer, "step"),
    "average": (Average, "update"),
    "validation": (loop.Loop, "_validate"),
}
"""Each part, and the call that does it. The teacher is asked within the forward pass."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--network", choices=("teacher", "student"), default="student")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batches", type=int, default=20, help="of each epoch")
    parser.add_argument("--side-by-side", type=int, default=1, help="trainings on one device")
    parser.add_argument("--json", action="store_true", help="print figures for a program")
    options = parser.parse_args(arguments)
    if options.side_by_side > 1:
        return side_by_side(list(arguments or sys.argv[1:]), options.side_by_side)
    try:
        figures = {
            recipe.stem: measured(load_recipe(recipe), options) for recipe in options.recipes
        }
    except LandmintError as error:
        print(f"training_step: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(figures))
        return 0
    columns = ("recipe", "faces/s", *(f"{part}, %" for part in (*PARTS, "rest")))
    rows = [
        [name, number(of.pop("faces_per_s"), 0), *(percent(share, 1) for share in of.values())]
        for name, of in figures.items()
    ]
    print(markdown_table(columns, rows))
    print(f"\n{device_words(options.device)}")
    return 0


def device_words(device: str) -> str:
    """The machine, in words."""
    gpu = f"{torch.cuda.get_device_name()}, " if device == "cuda" else ""
    return f"{gpu}{identify().cpu}, torch {torch.__version__}"


def side_by_side(words: list[str], count: int) -> int:
    """The same in several processes at once; prints the sum of their speeds."""
    command = [sys.executable, __file__, *words, "--side-by-side", "1", "--json"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        return 1
    results = [json.loads(text) for text in printed]
    rows = []
    for name in results[0]:
        speeds = [result[name]["faces_per_s"] for result in results]
        rows.append([name, number(sum(speeds), 0), ", ".join(number(s, 0) for s in speeds)])
    print(markdown_table(("recipe", "faces/s together", "each"), rows))
    return 0


def measured(recipe: Recipe, options: argparse.Namespace) -> dict[str, float]:
    """Faces per second of the second epoch, and each part's share of its time."""
    network: NetworkRecipe = getattr(recipe, options.network)
    fit = network.fit.model_copy(
        update={
            "epochs": 2,
            "validate_every_epochs": 2,
            "accelerator": options.device,
            "log_every_steps": 10,
        }
    )
    run = Run(recipe, options.runs / recipe.name)
    train = _first(run.faces("train"), options.batches * fit.batch_size)
    val = _first(run.faces("val"), 2 * fit.batch_size)
    short = network.model_copy(update={"fit": fit, "start": None})
    spent: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        teachers: tuple[Path, ...] = ()
        if options.network == "student" and recipe.teacher:
            teachers = (Path(folder) / "teacher.safetensors",)
            save_model(untrained_model(recipe.teacher), teachers[0])
        for part, (owner, name) in PARTS.items():
            timed = _timed(getattr(owner, name), spent[part], options.device)
            stack.enter_context(mock.patch.object(owner, name, timed))
        ends = _note_ends(stack)
        plan = TrainingPlan(short, train, val, teachers, recipe.distill)
        train_network(plan, Path(folder) / "run")
    steps = len(train.faces) // fit.batch_size
    whole_s = ends[1] - ends[0]
    parts = {
        name: sum(times[-1 if name == "validation" else -steps :]) for name, times in spent.items()
    }
    parts["forward"] -= parts["teacher"]
    parts["rest"] = whole_s - sum(parts.values())
    shares = {name: seconds / whole_s for name, seconds in parts.items()}
    return {"faces_per_s": steps * fit.batch_size / whole_s, **shares}


def _note_ends(stack: ExitStack) -> list[float]:
    """A list that gets the time at each epoch's end."""
    ends: list[float] = []
    real = loop.Loop._end_epoch

    def noted(self: loop.Loop, epoch: int) -> None:
        real(self, epoch)
        ends.append(time.monotonic())

    stack.enter_context(mock.patch.object(loop.Loop, "_end_epoch", noted))
    return ends


def _timed(work: Callable[..., Any], times: list[float], device: str) -> Callable[..., Any]:
    """The same work; how long the device took for it goes into `times`."""

    def timed(*arguments: Any, **options: Any) -> Any:
        _wait(device)
        began = time.monotonic()
        result = work(*arguments, **options)
        _wait(device)
        times.append(time.monotonic() - began)
        return result

    return timed


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _first(faces: FaceSet, count: int) -> FaceSet:
    return face_set(faces.markup, list(faces.faces[:count]), faces.source)


if __name__ == "__main__":
    sys.exit(main())
