"""What a report knows of a run, gathered from its folder before anything is written or drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landmint.export.finding import Finding
from landmint.pipeline.judge.gate import Verdict
from landmint.pipeline.judge.summary import VariantSummary
from landmint.pipeline.report.figures import Curve
from landmint.quantize.explain.explanation import Explanation
from landmint.runtime.accuracy import Truth
from landmint.runtime.bundle import Manifest
from landmint.runtime.markup import Markup, get_markup
from landmint.runtime.measurement import Measurement


@dataclass(frozen=True, eq=False)
class Network:
    """One trained network."""

    role: str
    """"teacher", "student", "self-trained student": after faces without labels, or "adapted
    student": after quantisation-aware training."""
    facts: tuple[tuple[str, str], ...]
    """Name and value, to be read."""
    loss: tuple[Curve, ...] = ()
    """Training curves of the loss."""
    error: tuple[Curve, ...] = ()
    """Validation error over the epochs, in %."""
    settings: str = ""
    """What it was trained with, as JSON."""


@dataclass(frozen=True, eq=False)
class StageRecord:
    """One stage of the run."""

    name: str
    """Which."""
    seconds: float
    """How long it took."""
    digest: str
    """Digest of its inputs."""
    settings: Mapping[str, Any]
    """What the recipe said."""


@dataclass(frozen=True, eq=False)
class RunRecord:
    """Everything that a page is made from."""

    name: str
    """Name of the model."""
    manifest: Manifest
    """Of the bundle that was measured."""
    summaries: tuple[VariantSummary, ...]
    """Every variant, in reading order."""
    truth: Truth
    """The labelled faces."""
    verdicts: tuple[Verdict, ...] = ()
    """What the gate said; empty when it was not asked."""
    advice: tuple[str, ...] = ()
    """What to deploy, in sentences; empty when the gate was not asked."""
    networks: tuple[Network, ...] = ()
    """Teacher and student, as far as they are known."""
    images: Mapping[str, Path] = field(default_factory=dict)
    """Face name to image file, for those whose pictures are at hand."""
    upright: frozenset[str] = frozenset()
    """Names of the faces whose pictures are turned as their EXIF entry says."""
    about: str = ""
    """A sentence for people: what this run is for."""
    recipe: str = ""
    """The recipe, letter by letter."""
    command: str = ""
    """What makes this again."""
    faces: tuple[tuple[str, str], ...] = ()
    """Facts about the data set: name and value."""
    stages: tuple[StageRecord, ...] = ()
    """The stages that have a record."""
    findings: tuple[Finding, ...] = ()
    """What the linter said of the float graph."""
    explanation: Explanation | None = None
    """Where INT8 loses; None when nobody asked."""
    sustained: tuple[Measurement, ...] = ()
    """Those with minutes without a pause."""

    @property
    def markup(self) -> Markup:
        """The landmark scheme."""
        return get_markup(self.manifest.contract.markup)

    @property
    def measured(self) -> tuple[VariantSummary, ...]:
        """The variants whose landmarks are known."""
        return tuple(s for s in self.summaries if s.accuracy is not None)

    @property
    def timed(self) -> tuple[VariantSummary, ...]:
        """The variants whose latency is known."""
        return tuple(s for s in self.summaries if s.latency is not None)

    @property
    def missing(self) -> tuple[VariantSummary, ...]:
        """The variants that were not measured, whether or not they were built."""
        return tuple(s for s in self.summaries if s.measurement.status != "measured")

    @property
    def reference(self) -> VariantSummary | None:
        """What the others are compared with."""
        return next((s for s in self.measured if s.is_reference), None)

    def verdict_of(self, variant: str) -> Verdict | None:
        """What the gate said of one variant."""
        return next((v for v in self.verdicts if v.variant == variant), None)
