"""The steps of a run, in one process of it; `fit` is the way in.

One flat loop. Everything that a step needs besides the state is a pure function of its number:
which faces, how they are augmented, the learning rate, the random numbers of the network.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import remove_if_empty, write_json
from landmint.runtime.progress import Progress
from landmint.train.budget import BUDGET_FILE, Pace, planned
from landmint.train.checkpoint import load_checkpoint, save_checkpoint
from landmint.train.evaluate import FaceCrops, crop_faces, evaluate
from landmint.train.faces.dataset import EpochBatches, FaceDataset, finish_batch, load_batches
from landmint.train.fit_job import FitJob, State
from landmint.train.interruption import StopSignal, workers_end_too
from landmint.train.launch import workers_of
from landmint.train.logs import Events, Means, write_history
from landmint.train.models import save_model
from landmint.train.models.base import LandmarkModel
from landmint.train.schedule import Average, learning_rate, optimizer_for
from landmint.train.tasks import Task

MODEL_FILE = "model.safetensors"
CHECKPOINT_FILE = "last.pt"
HISTORY_FILE = "metrics.csv"
EVENTS_FOLDER = "tensorboard"


class TrainingModule(nn.Module):
    """Network and task as one module: one forward pass, as distributed training wants it."""

    def __init__(self, model: LandmarkModel, task: Task) -> None:
        """Pair them."""
        super().__init__()
        self.model = model
        self.task = task

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss under "loss", and its parts."""
        parts: dict[str, Tensor] = self.task(self.model, batch)
        return parts


class Loop:
    """One process's part of a run."""

    def __init__(self, job: FitJob, fabric: Fabric, progress: Progress) -> None:
        """Set up network, optimiser and average, and take over the state of an earlier run.

        Raises:
            LandmintError: the faces do not fill a batch, or the checkpoint cannot be resumed.
        """
        self.job, self.config, self.fabric, self.progress = job, job.config, fabric, progress
        self.training_module = TrainingModule(job.model, job.task).train()
        if self.config.channels_last:
            self.training_module.to(memory_format=torch.channels_last)
        self.norms = [m for m in self.training_module.modules() if isinstance(m, nn.BatchNorm2d)]
        self.norms_frozen = False
        precision = fabric.strategy.precision
        self.fused = getattr(precision, "scaler", None) is None
        self.module, self.optimizer = fabric.setup(
            self.training_module, optimizer_for(self.training_module, self.config, self.fused)
        )
        self.average = Average(self.training_module.model, self.config.ema_decay)
        self.state = State()
        self._resume()
        if self.state.epochs:
            self.config = planned(job.config, self.state.epochs)
        self.batches = EpochBatches(
            len(job.train.faces),
            self.config.batch_size,
            None if job.budget else self.config.epochs,
            self.config.seed,
            start=self.state.step,
            rank=fabric.global_rank,
            world=fabric.world_size,
        )
        self.now = job.budget.clock if job.budget else time.monotonic
        self.pace: Pace | None = None
        if job.budget:
            val_batches = math.ceil(len(job.val.faces) / self._val_batch_size)
            per_epoch, resumed = self.batches.steps_per_epoch, self.state.epochs > 0
            self.pace = Pace(job.budget, job.config, per_epoch, val_batches, resumed)
        self.means = Means()
        self.newest: dict[str, float] = {}  # of each figure, its last value
        self.val_crops: FaceCrops | None = None
        self.events: Events | None = None

    @property
    def total(self) -> int:
        """Steps of the whole run; a budget may change it."""
        return self.batches.steps_per_epoch * self.config.epochs

    @property
    def _faces_per_step(self) -> int:
        return self.config.batch_size * self.fabric.world_size

    @property
    def _val_batch_size(self) -> int:
        return max(32, self.config.batch_size)

    def go(self) -> None:
        """All steps that are left, then the model.

        Raises:
            LandmintError: the loss is not finite, or an image cannot be read.
            KeyboardInterrupt: the process was told to stop; the checkpoint is written.
        """
        if self.state.step < self.total:
            self._go_on()
        if self.fabric.is_global_zero:
            if self.config.select == "best":
                self.average.model.load_state_dict(self.state.best["weights"])
            save_model(self.average.model, self.job.run_dir / MODEL_FILE)
        self.fabric.barrier()

    def _go_on(self) -> None:
        job, config, contract = self.job, self.config, self.job.model.contract
        workers = workers_of(config)
        cache_mib = config.cache_mib / max(1, workers)
        dataset = FaceDataset(job.train, contract, job.augmentation, config.seed, cache_mib)
        with contextlib.ExitStack() as stack:
            if self.fabric.is_global_zero:
                self.val_crops = crop_faces(job.val.faces, contract)
                self.events = Events(job.run_dir / EVENTS_FOLDER, self.state.step)
                stack.callback(self.events.close)
            on_gpu = self.fabric.device.type == "cuda"
            loaded = load_batches(dataset, self.batches, workers, on_gpu)
            stop = stack.enter_context(StopSignal())
            self._show()
            self.saved = self.epoch_began = self.now()
            self.clock = job.budget.began if job.budget else self.saved
            self.epoch_first, self.waited_s = self.state.step, 0.0
            stack.enter_context(workers_end_too(stop))
            stack.enter_context(contextlib.closing(loaded))
            while self.state.step < self.total:
                batch = self._wait_for(loaded)
                self._step(finish_batch(batch, contract, self.fabric.device))
                self._log()
                self._show()
                self._keep(stop)

    def _wait_for(self, loaded: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The next batch."""
        began = self.now()
        batch = next(loaded)
        self.waited_s += self.now() - began
        return batch

    def _step(self, batch: dict[str, Tensor]) -> None:
        """One update of the weights."""
        config, step = self.config, self.state.step
        words = (config.seed, step, self.fabric.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))
        if not config.channels_last:
            batch["images"] = batch["images"].contiguous()
        rate = learning_rate(config, step, self.batches.steps_per_epoch, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._freeze_norms(step >= self.total * (1 - config.frozen_norms))
        parts = self.module(batch)
        self.fabric.backward(parts["loss"])
        if config.clip_norm:
            self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=config.clip_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(step)
        self.means.add(parts)
        self.newest["learning_rate"] = rate
        self.state.step += 1
        if self.pace:
            self.pace.step_taken()

    def _freeze_norms(self, frozen: bool) -> None:
        """Let batch norms keep their statistics, or gather them; done only where that changes."""
        if frozen != self.norms_frozen:
            self.norms_frozen = frozen
            for norm in self.norms:
                norm.train(not frozen)

    def _log(self) -> None:
        """Log every so often; at the end of an epoch evaluate and save."""
        step, per_epoch = self.state.step, self.batches.steps_per_epoch
        if step % per_epoch == 0:
            self._end_epoch(step // per_epoch)
        elif self.pace and not self.pace.measured:
            self._look(self.pace)
        elif step % self.config.log_every_steps == 0:
            self._flush()

    def _keep(self, stop: StopSignal) -> None:
        """Write a checkpoint if it is time, and stop if a signal came."""
        step, every = self.state.step, self.config.checkpoint_every_steps
        due = self.now() - self.saved > self.config.checkpoint_every_s
        stopped, due = self._agree(bool(stop.received), due)
        if stopped or due or (every and step % every == 0):
            self._save()
        if stopped and step < self.total:
            raise KeyboardInterrupt(
                f"training stopped by {stop.received or 'another process'} after step {step} of "
                f"{self.total}; the same command goes on from there"
            )

    def _flush(self) -> None:
        """Average the losses since the last flush over all processes, check and log them."""
        steps = self.means.steps
        if not steps:
            return
        means = self.means.take(lambda values: self._all_reduce(values, "mean"))
        self._check_finite(means, steps)
        state = self.state
        state.sums = {k: state.sums.get(k, 0.0) + v * steps for k, v in means.items()}
        state.counted += steps
        self.newest |= means
        if self.events:
            rate = {"learning_rate": self.newest["learning_rate"]}
            self.events.add(state.step, {f"train/{k}": v for k, v in (means | rate).items()})

    def _check_finite(self, means: Mapping[str, float], steps: int) -> None:
        wrong = [name for name, value in means.items() if not math.isfinite(value)]
        if wrong:
            last = self.state.step
            raise LandmintError(
                f"the training loss is not finite: {', '.join(wrong)}",
                reason=f"between steps {last - steps + 1} and {last}",
                remedy="lower learning_rate or clip_norm, or set precision = '32'; delete "
                f"{self.job.run_dir / CHECKPOINT_FILE}, if it exists, to start anew",
            )

    def _end_epoch(self, epoch: int) -> None:
        """Validate, note the epoch's row, save."""
        self._flush()
        if self.pace:
            self.pace.epoch_trained()
            self._plan(self.pace)
        state, config = self.state, self.config
        faces = (state.step - self.epoch_first) * self._faces_per_step
        spent_s = max(self.now() - self.epoch_began, 1e-9)
        row: dict[str, float] = {
            "epoch": epoch,
            "step": state.step,
            "learning_rate": self.newest["learning_rate"],
            **{name: total / state.counted for name, total in state.sums.items()},
            "faces_per_s": faces / spent_s,
            "loader_share": self.waited_s / spent_s,
        }
        if epoch % config.validate_every_epochs == 0 or epoch == config.epochs:
            row |= self._validate(epoch)
        self._count_time()
        row["seconds"] = state.seconds
        self.newest |= row
        state.history.append(row)
        state.sums, state.counted = {}, 0
        if self.events:
            self.events.add(state.step, {f"epoch/{k}": v for k, v in row.items()})
            write_history(self.job.run_dir / HISTORY_FILE, state.history)
        self._save()
        if self.pace:
            self.pace.epoch_ended()
            plan = self.pace.plan(config.epochs, self._faces_per_step, state.seconds)
            write_json(self.job.run_dir / BUDGET_FILE, plan)
        self.epoch_began, self.epoch_first, self.waited_s = self.now(), state.step, 0.0

    def _look(self, pace: Pace) -> None:
        """Measure the first steps, and plan when they are measured."""
        wanted, _ = self._agree(pace.due(), False)
        if wanted:
            self._flush()  # waits for the device
            pace.look()
            if pace.measured:
                self._plan(pace)

    def _plan(self, pace: Pace) -> None:
        """Take as many epochs as the budget allows at the pace that was measured."""
        self._count_time()
        state, before = self.state, self.state.epochs
        epochs = pace.epochs(state.step, state.seconds, before or None)
        epochs = self.fabric.broadcast(epochs)
        if not epochs:
            self._leave_nothing()
            raise pace.too_short(state.seconds)
        state.epochs = epochs
        self.config = planned(self.job.config, epochs)
        if epochs != before and self.fabric.is_global_zero:
            self.progress.step(pace.plan(epochs, self._faces_per_step, state.seconds)["summary"])

    def _leave_nothing(self) -> None:
        """Remove what was written before the budget was refused."""
        if self.events:
            self.events.discard()
            (self.job.run_dir / CHECKPOINT_FILE).unlink(missing_ok=True)
            remove_if_empty(self.job.run_dir)

    def _validate(self, epoch: int) -> dict[str, float]:
        """NME of the averaged weights; the best so far are kept."""
        figures = {"val_nme": 0.0, "val_failure_rate": 0.0}
        if self.val_crops is not None:
            result = evaluate(
                self.average.model, self.job.val, self._val_batch_size, self.val_crops
            )
            figures = {"val_nme": result.nme, "val_failure_rate": result.failure_rate}
        figures = self.fabric.broadcast(figures)
        best = self.state.best
        if not best or figures["val_nme"] < best["nme"]:
            weights = {k: v.clone() for k, v in self.average.model.state_dict().items()}
            self.state.best = {"nme": figures["val_nme"], "epoch": epoch, "weights": weights}
        return figures | {"best_nme": self.state.best["nme"]}

    def _save(self) -> None:
        """Write the checkpoint; never one with a loss that is not finite."""
        self._flush()
        self._count_time()
        self.saved = self.now()
        if self.fabric.is_global_zero:
            state = {
                "weights": self.training_module.state_dict(),
                "average": self.average.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.fabric.strategy.precision.state_dict(),
                "run": dict(vars(self.state)),
            }
            save_checkpoint(self.job.run_dir / CHECKPOINT_FILE, self.job.identity, state)

    def _count_time(self) -> None:
        now = self.now()
        self.state.seconds += now - self.clock
        self.clock = now

    def _resume(self) -> None:
        path = self.job.run_dir / CHECKPOINT_FILE
        saved = load_checkpoint(path, self.job.identity, self.fabric.device)
        if saved is not None:
            self.training_module.load_state_dict(saved["weights"])
            self.average.model.load_state_dict(saved["average"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.fabric.strategy.precision.load_state_dict(saved["scaler"])
            self.state = State(**saved["run"])

    def _agree(self, stopped: bool, due: bool) -> tuple[bool, bool]:
        """What any process wants, all do: they must take the same steps."""
        if self.fabric.world_size == 1:
            return stopped, due
        wish = torch.tensor([stopped, due], dtype=torch.float32, device=self.fabric.device)
        agreed = self._all_reduce(wish, "sum").tolist()
        return agreed[0] > 0, agreed[1] > 0

    def _all_reduce(self, tensor: Tensor, how: str) -> Tensor:
        reduced = self.fabric.all_reduce(tensor, reduce_op=how)
        assert isinstance(reduced, Tensor)
        return reduced

    def _show(self) -> None:
        """Say how far the run is: epoch under way, newest loss and NME."""
        if not self.fabric.is_global_zero:
            return
        step, epochs, newest = self.state.step, self.config.epochs, self.newest
        note = f"epoch {min(step // self.batches.steps_per_epoch + 1, epochs)}/{epochs}"
        note += f"  loss {newest['loss']:.3g}" if "loss" in newest else ""
        note += f"  NME {100 * newest['val_nme']:.2f} %" if "val_nme" in newest else ""
        self.progress.at(step, self.total, note)
