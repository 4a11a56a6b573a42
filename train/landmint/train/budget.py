"""Training inside a time budget: how many epochs there is time for, by the measured pace.

The loop measures what its steps and the ends of its epochs cost, and asks here how many epochs fit.
The learning rate's schedule is laid over those, so that a short training ends as a long one does:
warmed up, annealed, its norms frozen.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from landmint.runtime.errors import LandmintError
from landmint.train.fit_config import FitConfig

BUDGET_FILE = "budget.json"
"""In a training's folder: the plan, and the pace that it was made by."""

WARM_UP_STEPS = 10
"""The first steps start loaders and choose kernels; they do not count as the pace."""
MEASURED_STEPS = 20
"""Steps of the first measurement; from then on whole epochs are measured."""
_LONGEST_LOOK = 0.05
"""Share of the budget after which warm-up and measurement end in any case."""
_RESERVE = 0.03
"""Share of the budget that no epoch is planned into: saving the model, and a pace that wavers."""
_GROWS_UNTIL = 0.5
"""Share of the budget after which a plan may be shortened, but no longer grow."""
_LONGEST_WARM_UP = 0.2
"""Share of a shortened training that the rise of the learning rate may take."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


class ShortBudgetError(LandmintError):
    """A budget has no time for one epoch."""

    needed_s: float = 0.0
    """The least budget that has, by the pace that was measured."""


@dataclass(frozen=True)
class Budget:
    """The time that a training may take."""

    seconds: float
    """How long, from `began` to the saved weights. Time between an interruption and going on does
    not count."""
    clock: Callable[[], float] = time.monotonic
    """Seconds since any moment."""
    began: float = field(default=-1.0)
    """When it began, by that clock; left out, at this object's making."""

    def __post_init__(self) -> None:
        """Begin now, unless it is said when."""
        if self.began < 0:
            object.__setattr__(self, "began", self.clock())


def budget_seconds(text: str) -> float:
    """Seconds of a budget such as `9m`, `1h30m` or `90s`.

    Raises:
        LandmintError: it is no such duration, or not above zero.
    """
    parts = re.fullmatch(r"(?:(\d+\.?\d*)h)?(?:(\d+\.?\d*)m)?(?:(\d+\.?\d*)s)?", text.strip())
    numbers = parts.groups() if parts else ()
    seconds = sum(float(n) * unit for n, unit in zip(numbers, _UNITS.values(), strict=False) if n)
    if not seconds:
        raise LandmintError(
            f"the budget '{text}' is no length of time",
            reason="it is a number with a unit, above zero",
            remedy="write it as 9m, 1h30m or 90s",
        )
    return seconds


def planned(config: FitConfig, epochs: int) -> FitConfig:
    """The loop's settings for another number of epochs; the warm-up is at most a fifth of them."""
    warmup = min(config.warmup_epochs, _LONGEST_WARM_UP * epochs)
    change = {"epochs": epochs, "warmup_epochs": warmup if epochs < config.epochs else None}
    return config.model_copy(update={k: v for k, v in change.items() if v is not None})


class Pace:
    """What this process's steps and ends of epochs cost, and how many epochs that allows."""

    def __init__(
        self,
        budget: Budget,
        config: FitConfig,
        steps_per_epoch: int,
        val_batches: int,
        resumed: bool = False,
    ) -> None:
        """Nothing is measured yet.

        Args:
            budget: the time that there is.
            config: the recipe's settings.
            steps_per_epoch: steps that an epoch takes.
            val_batches: batches of the validation faces. Until a validation was measured, each
                counts as a training step, which takes longer.
            resumed: whether a plan is resumed, which may be shortened but no longer grow.
        """
        self._budget, self._config = budget, config
        self._per_epoch, self._val_batches = steps_per_epoch, val_batches
        self._mark_s, self._steps = budget.clock(), 0  # where the measurement under way began
        self._resumed, self._warm, self.measured = resumed, False, False
        self._step_s, self._end_s = 0.0, 0.0

    def step_taken(self) -> None:
        """Count a step."""
        self._steps += 1

    def due(self) -> bool:
        """Whether enough steps were taken, or time spent on them, for `look`."""
        wanted = MEASURED_STEPS if self._warm else WARM_UP_STEPS
        waited_s = self._budget.clock() - self._mark_s
        return self._steps >= wanted or waited_s > _LONGEST_LOOK * self._budget.seconds

    def look(self) -> None:
        """Read the clock, when the device has done its work: the first time to begin to measure."""
        if self._warm:
            self._measure()
        self._warm = True
        self._restart()

    def epoch_trained(self) -> None:
        """The steps of an epoch are done; its validation is still to come."""
        self._measure()
        self._restart()

    def epoch_ended(self) -> None:
        """The validation and the checkpoint are done as well."""
        self._end_s = max(self._end_s, self._budget.clock() - self._mark_s)
        self._warm = True
        self._restart()

    def epochs(self, step: int, spent_s: float, before: int | None) -> int:
        """How many epochs the whole training may have; 0 without time for the first.

        Args:
            step: steps that are done.
            spent_s: what has been spent of the budget.
            before: the plan so far, if there is one; it then stays for the epochs that are begun.
        """
        share = spent_s / self._budget.seconds
        left_s = (1 - _RESERVE) * self._budget.seconds - spent_s
        done, end_s = step // self._per_epoch, self._end()
        each_end_s = end_s / self._config.validate_every_epochs
        done_s = step * self._step_s + done * each_end_s
        fitting = int((left_s - end_s + done_s) / (self._per_epoch * self._step_s + each_end_s))
        begun = -(-step // self._per_epoch) if done or before else 0
        most = max(begun, min(fitting, self._config.most_epochs or self._config.epochs))
        settled = self._resumed or share > _GROWS_UNTIL
        return min(most, before) if before and settled else most

    def plan(self, epochs: int, faces_per_step: int, spent_s: float) -> dict[str, Any]:
        """The plan in figures and in words, as `BUDGET_FILE` holds it."""
        figures = {
            "budget_s": self._budget.seconds,
            "spent_s": spent_s,
            "epochs": epochs,
            "recipe_epochs": self._config.epochs,
            "faces_per_s": faces_per_step / max(self._step_s, 1e-9),
            "epoch_s": self._epoch_s(),
            "validation_s": self._end(),
        }
        return {"schema": 1, **figures, "summary": _words(figures, self._config.most_epochs)}

    def too_short(self, spent_s: float) -> ShortBudgetError:
        """What to say where the first epoch does not fit; `spent_s` of the budget is spent."""
        needed_s = (spent_s + self._epoch_s() + self._end()) / (1 - _RESERVE)
        error = ShortBudgetError(
            f"a budget of {duration(self._budget.seconds)} is too short for one epoch",
            reason=f"at the pace measured here, {self._step_s:.3g} s a step, one epoch and its "
            f"validation take {duration(self._epoch_s())}; {duration(spent_s)} are spent already",
            remedy=f"give {budget_option(needed_s)} or more, fewer faces, or a smaller network",
        )
        error.needed_s = needed_s
        return error

    def _measure(self) -> None:
        self._step_s = max(self._budget.clock() - self._mark_s, 1e-9) / max(self._steps, 1)
        self.measured = True

    def _restart(self) -> None:
        self._mark_s, self._steps = self._budget.clock(), 0

    def _end(self) -> float:
        return self._end_s or self._val_batches * self._step_s

    def _epoch_s(self) -> float:
        return self._per_epoch * self._step_s + self._end()


def budget_option(seconds: float) -> str:
    """The command's option for a budget of at least so many seconds."""
    return f"--budget {math.ceil(seconds / 60)}m"


def duration(seconds: float) -> str:
    """Seconds in words."""
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds / 60:.3g} min"


def _words(figures: Mapping[str, Any], most: int | None) -> str:
    epochs, recipe = figures["epochs"], figures["recipe_epochs"]
    if epochs < recipe:
        chosen = f"{epochs} of the recipe's {recipe} epochs fit"
    elif epochs > recipe:
        chosen = f"{epochs} epochs, more than the recipe's {recipe}: its fit.most_epochs is {most}"
    else:
        chosen = f"all {recipe} epochs of the recipe fit"
        chosen += "" if most else "; fit.most_epochs would allow more"
    return (
        f"budget {duration(figures['budget_s'])}: {chosen} ({duration(figures['epoch_s'])} each: "
        f"{figures['faces_per_s']:.0f} faces/s, then {duration(figures['validation_s'])} to "
        "validate and save)"
    )
