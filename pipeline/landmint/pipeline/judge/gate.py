"""Limits in, measurements in, verdicts out: what passes, what does not, what cannot be told.

It measures nothing and knows no recipe. Every figure that has a sampling error is judged by its
95 % interval: within the limit, pass; beyond it, fail; across it, inconclusive. Intervals stand
each for itself: of forty figures that lie exactly at their limits, one fails by chance.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal

from landmint.runtime.accuracy import Drift, Floats, Truth, drift, summarise
from landmint.runtime.bundle import REFERENCE
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import latency_ratio
from landmint.runtime.measurement import Measurement
from landmint.runtime.stats import MIN_PERSONS, Interval

Status = Literal["pass", "regression", "inconclusive", "not measured", "accuracy drift"]

# Worst first: what is proved comes before what is unknown, and a wrong face before a slow one.
_EXIT_CODES: Mapping[Status, int] = MappingProxyType(
    {"accuracy drift": 5, "regression": 1, "not measured": 3, "inconclusive": 4, "pass": 0}
)
PRECEDENCE: tuple[Status, ...] = tuple(_EXIT_CODES)


@dataclass(frozen=True)
class Limits:
    """What a variant may cost.

    Each field maps patterns of variant names, such as "*/int8", to a limit; the first pattern
    that matches a variant, in the order written, is its limit.
    """

    nme_percent: Mapping[str, float] = field(default_factory=dict)
    """Most NME, in percent of the markup's normaliser."""
    drift_percent: Mapping[str, float] = field(default_factory=dict)
    """Most that NME may rise over the reference model's, in points of percent."""
    displacement_percent: Mapping[str, float] = field(default_factory=dict)
    """Most mean distance from the reference model's landmarks, in percent of the same."""
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """Most warm median latency."""
    latency_ratio: Mapping[str, float] = field(default_factory=dict)
    """Most latency over that of the same format's float32 variant, measured in the same visit."""
    size_mib: Mapping[str, float] = field(default_factory=dict)
    """Most size on disk."""
    optional: tuple[str, ...] = ()
    """Patterns of variants that may be missing: not measured, they do not fail the gate."""
    reference: str = REFERENCE
    """The variant that drift is measured from."""

    def __post_init__(self) -> None:
        """Refuse a limit that nothing can keep, or everything.

        Raises:
            LandmintError: a limit is not finite, negative, or zero where nothing is zero.
        """
        for name, limits in self.by_name().items():
            least_allowed = 0.0 if name == "drift_percent" else math.ulp(0.0)
            for pattern, limit in limits.items():
                if not (math.isfinite(limit) and limit >= least_allowed):
                    raise LandmintError(f"limit {name}.'{pattern}' = {limit} is not positive")

    def by_name(self) -> dict[str, Mapping[str, float]]:
        """The limits alone, by field."""
        rest = ("optional", "reference")
        names = [item.name for item in dataclasses.fields(self) if item.name not in rest]
        return {name: getattr(self, name) for name in names}

    def of(self, name: str, variant: str) -> float | None:
        """The limit of one figure for one variant; None when there is none."""
        limits: Mapping[str, float] = getattr(self, name)
        return next((v for pattern, v in limits.items() if fnmatchcase(variant, pattern)), None)

    def is_optional(self, variant: str) -> bool:
        """Whether a variant may be missing."""
        return any(fnmatchcase(variant, pattern) for pattern in self.optional)


@dataclass(frozen=True)
class Check:
    """One figure against one limit."""

    name: str
    """The figure, by its field in `Limits`."""
    status: Status
    """Whether it keeps the limit."""
    limit: float
    """The limit, in the unit that the name says."""
    value: float | None = None
    """The figure; None when there is none."""
    low: float | None = None
    """Lower bound of its 95 % interval; None for a figure without sampling error."""
    high: float | None = None
    """Upper bound."""
    detectable: float | None = None
    """Excess over the limit that this measurement would have found nine times in ten."""
    reason: str = ""
    """Why there is no figure, or why it cannot be judged."""


@dataclass(frozen=True)
class Verdict:
    """One variant."""

    variant: str
    """Its name, or the pattern of a limit that no variant matches."""
    status: Status
    """The worst of its checks."""
    reason: str = ""
    """Why it was not measured, or what else is worth knowing."""
    checks: tuple[Check, ...] = ()
    """Every limit that applies."""
    optional: bool = False
    """Whether it may be missing."""

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists; a number that is not finite becomes null."""
        content = dataclasses.asdict(self)
        for check in content["checks"]:
            for key, value in check.items():
                if isinstance(value, float) and not math.isfinite(value):
                    check[key] = None
        return content

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Verdict":
        """The verdict that `to_json` wrote.

        Raises:
            LandmintError: something is missing or of another kind.
        """
        try:
            checks = tuple(Check(**check) for check in content["checks"])
            return Verdict(**{**content, "checks": checks})
        except (KeyError, TypeError) as error:
            raise LandmintError(
                "a verdict is incomplete",
                reason=f"{type(error).__name__}: {error}",
                remedy="run `landmint gate` again",
            ) from None


def judge(measurements: Sequence[Measurement], truth: Truth, limits: Limits) -> tuple[Verdict, ...]:
    """Judge every measurement, and every limit that found no measurement.

    Latency and size of the reference variant are not judged: it is not deployed.

    Args:
        measurements: of one bundle, the reference among them if drift has limits.
        truth: the faces that they were measured on.
        limits: what may be.

    Raises:
        LandmintError: a measurement was made on other faces than these.
    """
    by_name = {measurement.variant: measurement for measurement in measurements}
    verdicts = [_judge_one(m, by_name, truth, limits) for m in measurements]
    for pattern in dict.fromkeys(p for group in limits.by_name().values() for p in group):
        if not any(fnmatchcase(name, pattern) for name in by_name):
            reason = "no measurement matches this limit"
            optional = limits.is_optional(pattern)
            verdicts.append(Verdict(pattern, "not measured", reason, optional=optional))
    return tuple(verdicts)


def three_way(found: Interval, limit: float, beyond: Status) -> Status:
    """Pass when the whole interval keeps the limit, `beyond` when none of it does."""
    if found.high <= limit:
        return "pass"
    return beyond if found.low > limit else "inconclusive"


def worst(statuses: Sequence[Status]) -> Status:
    """The status that decides: the first in `PRECEDENCE`; "pass" for none."""
    return min(statuses, key=PRECEDENCE.index, default="pass")


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """The exit code of the gate.

    5 accuracy drift, else 1 regression, else 3 not measured, else 4 inconclusive, else 0: a fault
    that is proved is not hidden by a variant that never ran. An optional variant that was not
    measured does not count; when nothing at all was measured, the code is 3.
    """
    if all(verdict.status == "not measured" for verdict in verdicts):
        return _EXIT_CODES["not measured"]
    counted = [v.status for v in verdicts if not (v.optional and v.status == "not measured")]
    return _EXIT_CODES[worst(counted)]


def _judge_one(
    measurement: Measurement,
    by_name: Mapping[str, Measurement],
    truth: Truth,
    limits: Limits,
) -> Verdict:
    variant = measurement.variant
    optional = limits.is_optional(variant)
    if measurement.status == "not measured":
        return Verdict(variant, "not measured", measurement.reason, optional=optional)
    if "null" in (measurement.target, measurement.engine):
        reason = "a rehearsal: the null engine ran instead of the model"
        return Verdict(variant, "not measured", reason, optional=optional)
    checks = [*_accuracy_checks(measurement, by_name, truth, limits)]
    if variant != limits.reference:
        checks += _cost_checks(measurement, by_name, limits)
    status = worst([check.status for check in checks])
    return Verdict(variant, status, "" if checks else "no limit applies", tuple(checks), optional)


def _accuracy_checks(
    measurement: Measurement,
    by_name: Mapping[str, Measurement],
    truth: Truth,
    limits: Limits,
) -> Iterator[Check]:
    variant = measurement.variant
    limit = limits.of("nme_percent", variant)
    if limit is not None:
        found = summarise(_points(measurement, truth), truth).interval
        yield _check("nme_percent", _percent(found), limit, "accuracy drift")
    wanted = {n: limits.of(n, variant) for n in ("drift_percent", "displacement_percent")}
    if variant == limits.reference or not any(v is not None for v in wanted.values()):
        return
    moved = _drift(measurement, by_name.get(limits.reference), truth)
    for name, limit in wanted.items():
        if limit is None:
            continue
        if moved is None:
            reason = f"the reference {limits.reference} was not measured"
            yield Check(name, "not measured", limit, reason=reason)
        else:
            found = moved.nme_rise if name == "drift_percent" else moved.displacement
            yield _check(name, _percent(found), limit, "accuracy drift")


def _drift(measurement: Measurement, reference: Measurement | None, truth: Truth) -> Drift | None:
    if reference is None or reference.points is None:
        return None
    return drift(_points(measurement, truth), _points(reference, truth), truth)


def _points(measurement: Measurement, truth: Truth) -> Floats:
    if measurement.points is None or measurement.faces != truth.names:
        raise LandmintError(
            f"{measurement.variant} was measured on {len(measurement.faces)} other faces",
            reason=f"the gate was given {len(truth.names)} faces, which must be the same ones",
            remedy="measure again, or give the recipe that the measurements were made with",
        )
    return measurement.points


def _cost_checks(
    measurement: Measurement, by_name: Mapping[str, Measurement], limits: Limits
) -> Iterator[Check]:
    variant = measurement.variant
    limit = limits.of("latency_ms", variant)
    if limit is not None:
        latency = measurement.latency
        reason = "; ".join(latency.notes) if latency else "latency was not measured"
        found = latency.interval if latency else None
        value = latency.warm_ms if latency else None
        yield _timed("latency_ms", found, value, limit, reason)
    limit = limits.of("latency_ratio", variant)
    twin = by_name.get(f"{variant.split('/')[0]}/float32")
    if limit is not None and twin is not measurement:
        yield _timed("latency_ratio", *_ratio(measurement, twin), limit, "")
    limit = limits.of("size_mib", variant)
    if limit is not None:
        size = measurement.size_bytes / 2**20
        yield Check("size_mib", "pass" if size <= limit else "regression", limit, size)


def _ratio(measurement: Measurement, twin: Measurement | None) -> tuple[Interval | None, None]:
    """Only variants of one visit took turns; others met another machine."""
    if twin is None or twin.session != measurement.session:
        return None, None
    return latency_ratio(measurement.launches, twin.launches), None


def _timed(
    name: str, found: Interval | None, value: float | None, limit: float, reason: str
) -> Check:
    if found is not None:
        check = _check(name, found, limit, "regression")
        told = check.status == "inconclusive" and reason
        return dataclasses.replace(check, reason=f"{check.reason}; {reason}") if told else check
    if value is not None:
        return Check(name, "inconclusive", limit, value, reason=reason)
    reason = reason or "its float32 twin was not timed with it in two or more launches"
    return Check(name, "not measured", limit, reason=reason)


def _check(name: str, found: Interval, limit: float, beyond: Status) -> Check:
    status = three_way(found, limit, beyond)
    reason = ""
    if status == "inconclusive":
        reason = "the 95 % interval lies across the limit"
    if found.is_unbounded:
        reason = f"not enough persons: an interval needs {MIN_PERSONS}"
    bounds = (found.estimate, found.low, found.high, found.detectable)
    return Check(name, status, limit, *bounds, reason=reason)


def _percent(found: Interval) -> Interval:
    return Interval(*(100 * value for value in dataclasses.astuple(found)))
