"""What a recipe says about the training loop.

Not the loop: this file imports no torch, so that a recipe is checked in a moment.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from landmint.train.processes import ProcessConfig

# What may change between an interruption and going on: it alters no step, but for rounding.
INDIFFERENT = {
    "accelerator",
    "threads",
    "select",
    "workers",
    "cache_mib",
    "most_epochs",
    "log_every_steps",
    "checkpoint_every_s",
    "checkpoint_every_steps",
}


class FitConfig(ProcessConfig):
    """How a network is trained, and on which processes."""

    epochs: int = Field(default=60, ge=1)
    """Passes over the training faces."""
    most_epochs: int | None = Field(default=None, ge=1)
    """The most passes that a time budget (`--budget`) may choose, where there is time for more than
    `epochs`. Left out: a budget only shortens the training."""
    batch_size: int = Field(default=16, ge=2)
    """Faces in a batch, in each process."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """adamw decays weights apart from the gradient; adam adds the decay to it."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Highest learning rate, reached after the warm-up."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Decay of matrices and kernels; biases and norms have none."""
    warmup_epochs: float = Field(default=1.0, ge=0)
    """The learning rate rises linearly for so many epochs."""
    schedule: Literal["cosine", "milestones", "constant"] = "cosine"
    """What the learning rate does after the warm-up."""
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 5 / 6)
    """milestones: shares of the run after each of which the learning rate falls. The default means
    after 30 and 50 of 60 epochs."""
    milestone_factor: float = Field(default=0.1, gt=0, le=1)
    """milestones: the learning rate is multiplied by it each time."""
    final_factor: float = Field(default=0.01, ge=0, le=1)
    """cosine: where the learning rate ends, as a share of the highest."""
    frozen_norms: float = Field(default=0.0, ge=0, le=1)
    """Share of the run, at its end, in which batch norms normalise by their running statistics,
    as they will on the device."""
    clip_norm: float = Field(default=5.0, ge=0)
    """Largest norm of the gradient; a longer one is shortened to it. 0 does not clip."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay per step of the averaged weights, which are evaluated and kept; it starts lower, so
    that a short run forgets its beginning. 0 keeps the plain weights."""
    select: Literal["best", "last"] = "best"
    """Which averaged weights become the model: those of the lowest NME on the validation faces,
    or those of the last step."""
    validate_every_epochs: int = Field(default=1, ge=1)
    """How often the validation faces are evaluated; always after the last epoch."""
    channels_last: bool = True
    """Keep images channels-last in memory; faster on tensor cores and on most CPUs."""
    cache_mib: int = Field(default=1024, ge=0)
    """Memory that all workers together may use to keep decoded faces, in MiB."""
    seed: int = Field(default=0, ge=0)
    """Seed of the order of the faces, of their augmentation and of everything random in the
    network."""
    log_every_steps: int = Field(default=20, ge=1)
    """Losses are averaged, checked and logged every so many steps."""
    checkpoint_every_s: float = Field(default=120.0, gt=0)
    """A checkpoint is written every so many seconds: the most work that a crash can cost."""
    checkpoint_every_steps: int = Field(default=0, ge=0)
    """A checkpoint is also written every so many steps; 0 writes them by time and epoch alone."""

    @field_validator("milestones")
    @classmethod
    def _rising(cls, milestones: tuple[float, ...]) -> tuple[float, ...]:
        if list(milestones) != sorted(milestones):
            raise ValueError("milestones must rise")
        return milestones
