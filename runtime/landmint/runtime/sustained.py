"""A model that runs for minutes without a pause: what heat and power make of its latency.

Raw samples are kept, in moments of a second, each with the state of the machine; figures are
derived from them. The latency of short launches is `landmint.runtime.latency`'s.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.conditions import frequency_mhz, read_conditions
from landmint.runtime.engines.engine import Session, Tensor
from landmint.runtime.files import atomic_path
from landmint.runtime.hygiene import FULL_SPEED
from landmint.runtime.latency import LatencyConfig, time_block
from landmint.runtime.stats import quantile, samples_needed, steady_from

Floats = NDArray[np.float64]

MOMENT_S = 1.0
"""Least duration of the runs of one moment."""
COLD_S = 1.0
"""Until then a model counts as cold, from its first run after loading."""
WARM_S = 30.0
"""Until then it counts as warm: caches and clocks are, the processor is not yet hot. After it, a
steady state is looked for."""
LASTING = 5
"""Moments in a row with a low clock that count as throttling; one alone may be a core's change."""
_CONFIG = LatencyConfig(block_ms=MOMENT_S * 1000, block_runs=1)


@dataclass(frozen=True)
class Moment:
    """Runs of about a second, one after the other, and the machine after the last."""

    begun_s: float
    """By the machine's monotonic clock, which a change of date or time does not move."""
    samples_ms: tuple[float, ...]
    """Each run."""
    frequency_mhz: float | None = None
    """Clock of the core; None where the machine does not tell."""
    temperature_c: float | None = None
    """The hottest of the kernel's thermal zones; None where there is none."""
    throttled: tuple[str, ...] = ()
    """What the firmware of a Raspberry Pi held the processor back for."""


def time_moment(session: Session, inputs: Sequence[Tensor]) -> Moment:
    """Run a model for a moment."""
    begun_s = time.monotonic()
    samples_ms = time_block(session, inputs, _CONFIG).samples_ms
    clock_mhz, conditions = frequency_mhz(), read_conditions()
    return Moment(begun_s, samples_ms, clock_mhz, conditions.temperature_c, conditions.throttled)


@dataclass(frozen=True, eq=False)
class Sustained:
    """One variant that ran without a pause; M moments, N runs."""

    minutes: float
    """How long it should run."""
    begun_s: Floats
    """(M,) begin of each moment, from that of the first."""
    runs: NDArray[np.int64]
    """(M,) runs of each moment."""
    samples_ms: NDArray[np.float32]
    """(N,) every run, in order."""
    frequency_mhz: Floats
    """(M,) clock of the core after each moment; NaN where unknown."""
    temperature_c: Floats
    """(M,) after each moment; NaN where unknown."""
    throttled: NDArray[np.str_]
    """(M,) what the firmware held the processor back for, in words; empty where nothing."""
    cut: str = ""
    """Why it ended before its time; empty where it did not."""

    @staticmethod
    def of(minutes: float, moments: Sequence[Moment], cut: str = "") -> "Sustained":
        """The same from its moments, which may be none."""
        samples = [ms for moment in moments for ms in moment.samples_ms]
        return Sustained(
            minutes,
            np.array([moment.begun_s - moments[0].begun_s for moment in moments]),
            np.array([len(moment.samples_ms) for moment in moments], dtype=np.int64),
            np.array(samples, dtype=np.float32),
            np.array([moment.frequency_mhz for moment in moments], dtype=np.float64),
            np.array([moment.temperature_c for moment in moments], dtype=np.float64),
            np.array([", ".join(moment.throttled) for moment in moments], dtype=np.str_),
            cut,
        )

    @property
    def moments_ms(self) -> list[Floats]:
        """The runs of each moment."""
        return np.split(self.samples_ms.astype(np.float64), np.cumsum(self.runs)[:-1])

    @property
    def medians_ms(self) -> Floats:
        """(M,) median run of each moment."""
        return np.array([np.median(samples) for samples in self.moments_ms])

    @property
    def seconds(self) -> float:
        """From the first run to the last one's end."""
        return float(self.begun_s[-1] + self.moments_ms[-1].sum() / 1000) if len(self.runs) else 0.0


@dataclass(frozen=True)
class Phase:
    """One part of a sustained run."""

    name: Literal["cold", "warm", "steady"]
    """Which."""
    begun_s: float
    """From the first run."""
    runs: int
    """How many."""
    p50_ms: float
    """Median."""
    p99_ms: float | None
    """None when there are too few runs."""


@dataclass(frozen=True)
class SustainedFigures:
    """What came of a sustained run of at least one moment."""

    seconds: float
    """From the first run to the last one's end."""
    working: float
    """Share of that time in which the model ran; between moments the machine is looked at."""
    phases: tuple[Phase, ...]
    """Cold, warm and steady, as far as it came."""
    throttled_s: float | None
    """When throttling began, from the first run; None where it did not, or is not known."""
    throttled_by: str
    """By what it was seen; empty where it was not."""
    tells_clock: bool
    """Whether the machine tells its clock: else throttling may have gone unseen."""
    first_c: float | None
    """Temperature after the first moment."""
    hottest_c: float | None
    """Highest temperature."""

    def phase(self, name: str) -> Phase | None:
        """The phase of that name; None where the run did not come to it."""
        return next((phase for phase in self.phases if phase.name == name), None)


def summarise_sustained(run: Sustained) -> SustainedFigures | None:
    """The figures of a run; None of one that was cut before its first moment ended.

    Cold are the moments that begin in the first second, warm those up to half a minute. Steady is
    what `stats.steady_from` takes for it among the medians of the moments after that.

    Throttling begins with the first moment in which the firmware holds the processor back, or the
    first of five in a row whose clock is under 90 % of the run's highest.
    """
    if not len(run.runs):
        return None
    throttled_s, throttled_by = _throttling(run)
    degrees = run.temperature_c[~np.isnan(run.temperature_c)]
    return SustainedFigures(
        seconds=run.seconds,
        working=float(run.samples_ms.sum(dtype=np.float64)) / 1000 / run.seconds,
        phases=tuple(_phases(run)),
        throttled_s=throttled_s,
        throttled_by=throttled_by,
        tells_clock=not bool(np.isnan(run.frequency_mhz).all()),
        first_c=float(degrees[0]) if len(degrees) else None,
        hottest_c=float(degrees.max()) if len(degrees) else None,
    )


def _phases(run: Sustained) -> Iterator[Phase]:
    cold, warm = (int(np.searchsorted(run.begun_s, end)) for end in (COLD_S, WARM_S))
    yield _phase(run, "cold", 0, cold)
    if cold < warm:
        yield _phase(run, "warm", cold, warm)
    steady = steady_from(run.medians_ms[warm:])
    if steady is not None:
        yield _phase(run, "steady", warm + steady, len(run.runs))


def _phase(run: Sustained, name: Literal["cold", "warm", "steady"], first: int, last: int) -> Phase:
    """The moments from `first` up to `last`, which is not among them."""
    samples = np.concatenate(run.moments_ms[first:last])
    enough = len(samples) >= samples_needed(0.99)
    return Phase(
        name,
        float(run.begun_s[first]),
        len(samples),
        quantile(samples, 0.5),
        quantile(samples, 0.99) if enough else None,
    )


def _throttling(run: Sustained) -> tuple[float | None, str]:
    """When throttling began, and what told of it."""
    full = float(np.fmax.reduce(run.frequency_mhz, initial=0.0))
    low = run.frequency_mhz < FULL_SPEED * full  # False where unknown
    for moment, held in enumerate(run.throttled):
        if held:
            return float(run.begun_s[moment]), f"the firmware: {held}"
        if len(low) - moment >= LASTING and low[moment : moment + LASTING].all():
            clock = f"its clock: {run.frequency_mhz[moment]:.0f} of {full:.0f} MHz"
            return float(run.begun_s[moment]), clock
    return None, ""


def write_sustained(path: Path, run: Sustained) -> None:
    """Write a run as a compressed file of arrays."""
    with atomic_path(path) as fresh, fresh.open("wb") as file:
        np.savez_compressed(file, **vars(run))


def read_sustained(path: Path) -> Sustained:
    """The run that `write_sustained` wrote.

    Raises:
        KeyError: an array is missing.
        ValueError: it is no such file, or its arrays do not fit each other.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        values = {name: arrays[name] for name in Sustained.__dataclass_fields__}
    minutes, cut = float(values.pop("minutes")), str(values.pop("cut"))
    run = Sustained(minutes, **values, cut=cut)
    moments, samples = (len(run.begun_s),), (int(run.runs.sum()),)
    shapes = {name: np.shape(values[name]) for name in values if name != "samples_ms"}
    if set(shapes.values()) != {moments} or run.samples_ms.shape != samples:
        raise ValueError(f"moments of shapes {shapes} for samples {run.samples_ms.shape}")
    return run
