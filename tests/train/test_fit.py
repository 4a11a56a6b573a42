"""The loop: exact resume, signals, broken and foreign checkpoints, what it leaves behind."""

import csv
import dataclasses
import hashlib
import os
import re
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import (  # type: ignore[import-untyped]
    masked_crc32c,
)
from torch import Tensor, nn

from landmint.runtime.crop import box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import SILENT, Progress
from landmint.train import loop
from landmint.train.config import LossConfig
from landmint.train.evaluate import Evaluation, evaluate
from landmint.train.faces.augment import AugmentConfig
from landmint.train.faces.dataset import mean_shape
from landmint.train.faces.face import Face, FaceSet, face_set
from landmint.train.fit import FitConfig, fit
from landmint.train.models import ModelConfig, create_model, load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.models.pfld import PFLD
from landmint.train.tasks import Task, task_for

CONFIG = ModelConfig(name="pfld", input_size=112)
FIT = FitConfig(
    epochs=3,
    batch_size=4,
    learning_rate=1e-2,
    warmup_epochs=0.5,
    accelerator="cpu",
    precision="32",
    threads=1,
    workers=0,
    log_every_steps=1,
)
STEPS = 9


class Tiny(LandmarkModel):
    """A few weights, batch norm and dropout: everything that a resume can get wrong."""

    def __init__(self) -> None:
        super().__init__(CONFIG, PFLD.contract_for(CONFIG, np.full((68, 2), 0.5)))
        torch.manual_seed(7)
        self.conv = nn.Conv2d(3, 4, 8, stride=8)
        self.norm = nn.BatchNorm2d(4)
        self.out = nn.Linear(4, 136)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        return (torch.relu(self.norm(self.conv(images))),)

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        pooled = nn.functional.dropout(features[-1].mean(dim=(2, 3)), 0.2, self.training)
        return {"coordinates": self.out(pooled)}


class TinyTask(Task):
    """Squared error, with a net of its own that exists only in training."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(8)
        self.pose_net = nn.Linear(4, 3)

    def parts(
        self, features: tuple[Tensor, ...], outputs: dict[str, Tensor], batch: object
    ) -> dict[str, Tensor]:
        assert isinstance(batch, dict)
        pose = self.pose_net(features[-1].mean(dim=(2, 3))) - batch["euler_rad"]
        points = outputs["coordinates"] - batch["points"].flatten(1)
        return {"points": points.square().mean(), "pose": 0.1 * pose.square().mean()}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceSet, FaceSet]:
    """13 faces to train on, 5 to validate."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    shape, made = rng.uniform(0, 1, (68, 2)), []
    for i in range(18):
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (130, 130, 3), dtype=np.uint8))
        points = shape * 60 + rng.normal(0, 2, (68, 2)) + 30
        made.append(Face(str(i), path, points, box_of(points), f"{i}", np.ones(68, bool), {}))
    return face_set("68", made[:13], "train"), face_set("68", made[13:], "val")


Sets = tuple[FaceSet, FaceSet]


def run(
    sets: Sets,
    folder: Path,
    config: FitConfig = FIT,
    progress: Progress = SILENT,
    task: Task | None = None,
    **more: object,
) -> dict[str, Tensor]:
    """Weights that a run leaves in its checkpoint."""
    fit(Tiny(), task or TinyTask(), *sets, AugmentConfig(), config, folder, progress, more or None)
    return weights_in(folder)


def weights_in(folder: Path) -> dict[str, Tensor]:
    state = torch.load(folder / "last.pt", weights_only=True)["state"]
    best = {f"best.{name}": tensor for name, tensor in state["run"]["best"]["weights"].items()}
    average = {f"average.{name}": tensor for name, tensor in state["average"].items()}
    return dict(state["weights"]) | average | best


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def events_in(path: Path) -> list[Any]:
    """Events of a TensorBoard file, read by its format: TensorBoard's reader needs tensorflow."""
    content, events = path.read_bytes(), []
    while content:
        length, length_crc = struct.unpack("<QI", content[:12])
        data, (data_crc,) = (
            content[12 : 12 + length],
            struct.unpack_from("<I", content, 12 + length),
        )
        assert (length_crc, data_crc) == (masked_crc32c(content[:8]), masked_crc32c(data))
        events.append(Event.FromString(data))
        content = content[16 + length :]
    return events


class Watch:
    """Notes what a run reports, and may do something after a step."""

    def __init__(self, step: int = -1, action: Callable[[], None] = lambda: None) -> None:
        self._step, self._action = step, action
        self.done: list[int] = []
        self.totals: set[int] = set()
        self.note = ""

    def at(self, done: int, total: int, note: str = "") -> None:
        self.done.append(done)
        self.totals.add(total)
        self.note = note
        if done == self._step:
            self._action()

    def step(self, note: str) -> None:
        raise AssertionError("the loop counts its steps")


def kill_at(step: int, number: signal.Signals) -> Watch:
    return Watch(step, lambda: os.kill(os.getpid(), number))


@pytest.fixture(scope="module")
def whole(sets: Sets, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The weights of a run that nothing interrupted."""
    return run(sets, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_stopped_run_goes_on_to_the_same_bits(
    sets: Sets, tmp_path: Path, whole: dict[str, Tensor], step: int, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match=f"after step {step} of {STEPS}"):
        run(sets, tmp_path, progress=kill_at(step, number))
    assert signal.getsignal(number) is before
    assert not (tmp_path / "model.safetensors").exists()
    seen = Watch()
    resumed = run(sets, tmp_path, FIT.model_copy(update={"workers": 1}), seen)
    assert seen.done == list(range(step, STEPS + 1))
    assert same(resumed, whole)
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1 + 3


def test_a_crash_goes_on_from_the_last_checkpoint(
    sets: Sets, tmp_path: Path, whole: dict[str, Tensor]
) -> None:
    def cut() -> None:
        raise RuntimeError("power cut")

    config = FIT.model_copy(update={"checkpoint_every_steps": 2})
    with pytest.raises(RuntimeError, match="power cut"):
        run(sets, tmp_path, config, Watch(5, cut))
    seen = Watch()
    assert same(run(sets, tmp_path, config, seen), whole)
    assert seen.done[0] == 4


@pytest.mark.parametrize(("share", "counted"), [(0.0, 9), (0.5, 5), (1.0, 0)])
def test_norms_are_frozen_for_the_last_share_of_a_run(
    sets: Sets, tmp_path: Path, share: float, counted: int
) -> None:
    config = FIT.model_copy(update={"frozen_norms": share})
    assert run(sets, tmp_path, config)["model.norm.num_batches_tracked"] == counted


def test_a_finished_run_is_done_at_once(sets: Sets, tmp_path: Path) -> None:
    run(sets, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    seen = Watch()
    run(sets, tmp_path, progress=seen)
    assert (tmp_path / "model.safetensors").exists() and not seen.done


def test_settings_of_torch_are_given_back(sets: Sets, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    Tiny(), TinyTask()
    state = torch.get_rng_state()
    torch.manual_seed(3)
    during: list[int] = []
    watch = Watch(2, lambda: during.append(torch.get_num_threads()))
    run(sets, tmp_path, FIT.model_copy(update={"threads": threads + 1}), watch)
    assert during == [threads + 1]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_what_a_run_leaves_behind(sets: Sets, tmp_path: Path) -> None:
    seen = Watch()
    run(sets, tmp_path, progress=seen)
    assert seen.done == list(range(STEPS + 1)) and seen.totals == {STEPS}
    assert re.fullmatch(r"epoch 3/3  loss [\d.e+-]+  NME [\d.]+ %", seen.note)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {"loss", "points", "pose", "val_nme", "faces_per_s"} <= set(rows[-1])
    assert 0 < float(rows[-1]["loader_share"]) < 1
    assert float(rows[0]["loss"]) == pytest.approx(
        float(rows[0]["points"]) + float(rows[0]["pose"]), rel=1e-5
    )
    (path,) = (tmp_path / "tensorboard").iterdir()
    scalars = [(v.tag, event.step) for event in events_in(path) for v in event.summary.value]
    assert [s for tag, s in scalars if tag == "train/loss"] == list(range(1, STEPS + 1))
    assert [s for tag, s in scalars if tag == "epoch/val_nme"] == [3, 6, 9]


@pytest.mark.parametrize("select", ["best", "last"])
def test_the_weights_are_chosen_on_the_validation_faces(
    sets: Sets, tmp_path: Path, select: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[LandmarkModel] = []
    monkeypatch.setattr(loop, "save_model", lambda model, path: saved.append(model))
    # Errors that do not fall all the way.
    real, factors = evaluate, iter([1.0, 0.1, 1.0])

    def uneven(*arguments: Any) -> Evaluation:
        found = real(*arguments)
        return dataclasses.replace(found, per_face=found.per_face * next(factors))

    monkeypatch.setattr(loop, "evaluate", uneven)
    run(sets, tmp_path, FIT.model_copy(update={"select": select}))
    with (tmp_path / "metrics.csv").open() as file:
        errors = [float(row["val_nme"]) for row in csv.DictReader(file)]
    wanted = 10 * errors[1] if select == "best" else errors[2]
    assert evaluate(saved[0], sets[1]).nme == pytest.approx(wanted, rel=1e-6)


def test_it_learns(sets: Sets, tmp_path: Path) -> None:
    config = FIT.model_copy(update={"epochs": 12, "ema_decay": 0.9})
    run(sets, tmp_path, config)
    with (tmp_path / "metrics.csv").open() as file:
        losses = [float(row["points"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0] / 2


def test_a_broken_checkpoint_is_one_clear_error(sets: Sets, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(sets, tmp_path, progress=kill_at(2, signal.SIGTERM))
    path = tmp_path / "last.pt"
    content = path.read_bytes()
    for broken in (b"", b"PK nonsense", content[: len(content) // 2]):
        path.write_bytes(broken)
        with pytest.raises(LandmintError, match="last.pt") as error:
            run(sets, tmp_path)
        assert "delete it" in str(error.value)


def test_a_checkpoint_that_runs_code_is_refused(sets: Sets, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    path = tmp_path / "last.pt"
    torch.save({"schema": 1, "identity": {}, "state": Evil()}, path)
    path.write_bytes(path.read_bytes() + hashlib.sha256(path.read_bytes()).digest())
    with pytest.raises(LandmintError, match="Weights only load failed"):
        run(sets, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_other_settings_is_refused(sets: Sets, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(sets, tmp_path, progress=kill_at(2, signal.SIGTERM), loss="mse")
    with pytest.raises(LandmintError, match=r"fit\.learning_rate was 0\.01, is 0\.02"):
        run(sets, tmp_path, FIT.model_copy(update={"learning_rate": 0.02}), loss="mse")
    with pytest.raises(LandmintError, match="loss was 'mse', is 'wing'"):
        run(sets, tmp_path, loss="wing")
    with pytest.raises(LandmintError, match="training faces"):
        run((sets[1], sets[0]), tmp_path, loss="mse")
    indifferent = {"workers": 1, "log_every_steps": 50, "checkpoint_every_s": 1.0}
    run(sets, tmp_path, FIT.model_copy(update=indifferent), loss="mse")


class NanTask(TinyTask):
    """Breaks after a while."""

    def __init__(self, good_steps: int) -> None:
        super().__init__()
        self.left = good_steps

    def parts(
        self, features: tuple[Tensor, ...], outputs: dict[str, Tensor], batch: object
    ) -> dict[str, Tensor]:
        self.left -= 1
        parts = super().parts(features, outputs, batch)
        return parts if self.left >= 0 else parts | {"pose": parts["pose"] * torch.nan}


def test_a_loss_that_is_not_finite_stops_the_run(sets: Sets, tmp_path: Path) -> None:
    config = FIT.model_copy(update={"checkpoint_every_steps": 1, "log_every_steps": 100})
    with pytest.raises(LandmintError, match="not finite: loss, pose") as error:
        run(sets, tmp_path, config, task=NanTask(4))
    assert "between steps 5 and 5" in str(error.value)
    good = torch.load(tmp_path / "last.pt", weights_only=True)["state"]["weights"]
    assert all(torch.isfinite(tensor).all() for tensor in good.values())


def test_too_few_faces_are_refused(sets: Sets, tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="do not fill one batch"):
        run(sets, tmp_path, FIT.model_copy(update={"batch_size": 14}))
    nobody = FaceSet("68", (), "nobody", "")
    with pytest.raises(LandmintError, match="no validation faces"):
        run((sets[0], nobody), tmp_path)


def test_bf16_rounds_the_network_but_not_the_batch(sets: Sets, tmp_path: Path) -> None:
    kinds: dict[str, torch.dtype] = {}

    class Spy(TinyTask):
        def parts(
            self, features: tuple[Tensor, ...], outputs: dict[str, Tensor], batch: object
        ) -> dict[str, Tensor]:
            assert isinstance(batch, dict)
            kinds.update(points=batch["points"].dtype, outputs=outputs["coordinates"].dtype)
            kinds.update(images=batch["images"].dtype)
            return super().parts(features, outputs, batch)

    run(sets, tmp_path, FIT.model_copy(update={"precision": "bf16", "epochs": 1}), task=Spy())
    assert kinds == {
        "points": torch.float32, "images": torch.float32, "outputs": torch.bfloat16
    }  # fmt: skip


@pytest.mark.slow
def test_two_processes_train_together(sets: Sets, tmp_path: Path) -> None:
    torch.manual_seed(0)
    rule = PFLD.contract_for(CONFIG, np.full((68, 2), 0.5)).crop
    model = create_model(CONFIG.model_copy(update={"width": 0.25}), mean_shape(sets[0], rule))
    task = task_for(model, LossConfig(), sets[0])
    config = FIT.model_copy(update={"devices": 2, "batch_size": 2, "epochs": 1})
    seen = Watch()
    path = fit(model, task, *sets, AugmentConfig(), config, tmp_path, seen)
    assert seen.done == [0, 1, 2, 3]
    with (tmp_path / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    nme = evaluate(load_model(path), sets[1]).nme
    wanted = pytest.approx(float(row["val_nme"]), rel=1e-4)
    assert nme == wanted, "another number of threads rounds otherwise"
