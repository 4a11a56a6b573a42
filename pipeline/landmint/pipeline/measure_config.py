"""What a recipe says about measuring and judging.

It neither measures nor judges: it checks the settings of `landmint.runtime.latency` and
`landmint.pipeline.judge.gate`.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from landmint.pipeline.judge.gate import Limits
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import LatencyConfig
from landmint.targets import check_target

ByVariant = dict[str, float]


class MeasureConfig(BaseModel):
    """Where and how long every variant is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    target: str = "host"
    """Where the variants run: a name that `landmint targets` lists, such as host, or null for a
    rehearsal without engines; or the file of a profile, such as "my-pi.toml". The device's address
    may follow after a colon: "rpi5:pi@raspberrypi.local"."""
    threads: int = Field(default=1, ge=1)
    """Threads that one inference may use."""
    launches: int = Field(default=3, ge=1)
    """Fresh processes of each variant; with fewer than two there is no interval."""
    samples: int = Field(default=700, ge=1)
    """Warm runs of each variant wanted over all launches; p99 needs 662."""
    seconds: float = Field(default=4.0, gt=0)
    """Time for each variant's warm runs over all launches; a slow variant gets fewer runs."""
    seed: int = 0
    """Seed of the order in which variants take turns."""

    @field_validator("target")
    @classmethod
    def _known_target(cls, target: str) -> str:
        try:
            return check_target(target)
        except LandmintError as error:
            lines = (line.strip() for line in str(error).splitlines())
            raise ValueError("; ".join(lines)) from None

    @classmethod
    def chosen(cls, config: Self | None, target: str | None) -> Self:
        """What a call was given: settings, or the defaults; on another target if one is named.

        Raises:
            LandmintError: there is no such target, or it cannot be reached.
        """
        config = config or cls()
        return (
            config if target is None else config.model_copy(update={"target": check_target(target)})
        )

    @property
    def latency(self) -> LatencyConfig:
        """The settings of the device layer."""
        return LatencyConfig(**self.model_dump(exclude={"target"}))


class GateConfig(BaseModel):
    """What a variant may cost.

    Each limit maps patterns of variant names, such as "*/int8", to a figure; the first pattern
    that matches a variant, in the order written, is its limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    nme_percent: ByVariant = {}
    """Highest NME, in percent of the size that the markup's errors are divided by, such as the
    distance of the outer eye corners."""
    drift_percent: ByVariant = {}
    """Largest rise of NME over the student in PyTorch, in points of percent."""
    displacement_percent: ByVariant = {}
    """Largest mean distance from the landmarks of the student in PyTorch, in percent of the same
    size."""
    jitter_percent: ByVariant = {}
    """Most trembling over videos: how far a landmark's error moves from one frame to the next, in
    percent of the same size. The test faces must be frames whose names end in their number; a
    `person_pattern` tells who is who."""
    closed_eye_percent: ByVariant = {}
    """Highest NME of the eye landmarks on faces with closed eyes, in percent of the same size."""
    latency_ms: ByVariant = {}
    """Highest latency of a warm run, the median, in ms."""
    latency_ratio: ByVariant = {}
    """Highest latency as a multiple of that of the float32 variant of the same format."""
    size_mib: ByVariant = {}
    """Largest size on disk, in MiB."""
    optional: tuple[str, ...] = ("tensorrt/*",)
    """Patterns of variants that may be missing: not measured, they do not fail the gate."""

    @property
    def limits(self) -> Limits:
        """The same limits as the gate takes them."""
        settings: dict[str, Any] = self.model_dump()
        return Limits(**settings)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        try:
            _ = self.limits
        except LandmintError as error:
            raise ValueError(error.fact) from None
        return self
