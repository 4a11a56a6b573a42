"""The figures of each variant, derived from its raw samples; for advice, pages and tables.

They are derived anew each time and never stored. Whether a figure keeps its limit is for the gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landmint.pipeline.judge.comparison import paired_ratio
from landmint.runtime.accuracy import Accuracy, Difference, Truth, difference, summarise
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import (
    LISTED,
    PRECISIONS,
    PrecisionRecord,
    is_reference,
    reference_among,
)
from landmint.runtime.latency import Latency
from landmint.runtime.measurement import Measurement
from landmint.runtime.stats import Interval


@dataclass(frozen=True, eq=False)
class VariantSummary:
    """One row of every table."""

    measurement: Measurement
    """The raw samples."""
    accuracy: Accuracy | None
    """Against the labels; None when not measured."""
    difference: Difference | None
    """Against the reference; None when not measured, or when there is no reference."""
    latency: Latency | None
    """None when not measured."""
    speedup: Interval | None
    """How many times faster than the float32 variant of the same format; None when unknown."""

    @property
    def name(self) -> str:
        """Format and precision."""
        return self.measurement.variant

    @property
    def format(self) -> str:
        """The format that it is a file of, such as "tflite"."""
        return self.name.split("/")[0]

    @property
    def engine_name(self) -> str:
        """What runs it, by the name that people know."""
        record = LISTED.get(self.format)
        return record.label if record else self.measurement.engine

    @property
    def precision(self) -> str:
        """The precision that the file is named after, not the one that ran."""
        return self.name.partition("/")[2]

    @property
    def record(self) -> PrecisionRecord | None:
        """What is known of its precision; None for one of another landmint."""
        return PRECISIONS.get(self.precision)

    @property
    def is_reference(self) -> bool:
        """Whether this is what the others are compared with."""
        return is_reference(self.name)


def summarise_run(measurements: Sequence[Measurement], truth: Truth) -> tuple[VariantSummary, ...]:
    """One summary a variant, in reading order.

    Raises:
        LandmintError: a variant was measured on other faces than the labels are for.
    """
    by_name = {measurement.variant: measurement for measurement in measurements}
    ordered = sorted(measurements, key=lambda measurement: reading_order(measurement.variant))
    return tuple(_summarise(measurement, by_name, truth) for measurement in ordered)


def fastest_of(summaries: Sequence[VariantSummary]) -> VariantSummary | None:
    """The variant with the lowest latency; None where nothing was timed."""
    timed = {s.latency.warm_ms: s for s in reversed(summaries) if s.latency is not None}
    return timed[min(timed)] if timed else None


def machine_of(summaries: Sequence[VariantSummary]) -> str:
    """What the variants were timed on, in words; empty where nothing was timed.

    A PC's processor of the same name computes INT8 at half the speed where it lacks VNNI.
    """
    for summary in summaries:
        machine = summary.measurement.machine
        if machine is not None:
            board = f"{machine.board}, " if machine.board else ""
            threads = summary.measurement.threads
            cores = f"{machine.cores} cores" if machine.cores > 1 else "one core"
            used = "one thread" if threads == 1 else f"{threads} threads"
            cpu = f"{machine.cpu} without VNNI" if machine.int8_saturates else machine.cpu
            return f"{board}{cpu} ({cores}, {used} a model)"
    return ""


def reading_order(variant: str) -> tuple[int, int, str]:
    """Sorts variants by format, then by precision; unknown ones come last."""
    format_, _, precision = variant.partition("/")
    formats, precisions = tuple(LISTED), tuple(PRECISIONS)
    return (
        formats.index(format_) if format_ in formats else len(formats),
        precisions.index(precision) if precision in precisions else len(precisions),
        variant,
    )


def _summarise(
    measurement: Measurement, by_name: Mapping[str, Measurement], truth: Truth
) -> VariantSummary:
    if measurement.points is None:
        return VariantSummary(measurement, None, None, measurement.latency, None)
    if measurement.faces != truth.names:
        raise LandmintError(
            f"{measurement.variant} was measured on other faces than the labels are for",
            reason=f"{len(measurement.faces)} faces against {len(truth.names)} labels, "
            "or another order",
            remedy="measure again",
        )
    reference = by_name.get(reference_among(by_name))
    twin = by_name.get(f"{measurement.variant.partition('/')[0]}/float32")
    return VariantSummary(
        measurement,
        accuracy=summarise(measurement.points, truth),
        difference=None
        if reference is None or reference.points is None
        else difference(measurement.points, reference.points, truth),
        latency=measurement.latency,
        speedup=paired_ratio(twin, measurement) if twin and twin is not measurement else None,
    )
