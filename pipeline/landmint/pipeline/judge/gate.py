"""The gate: takes measurements and limits, returns a verdict for each variant.

A figure with a sampling error is judged by its 95 %
interval: all of it within the limit is a pass, all of it beyond is a failure, anything else is
inconclusive. Each interval is judged alone, with no correction for their number: of forty figures
whose true values lie exactly at their limits, about one fails by chance.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal

from landmint.pipeline.judge.comparison import paired_ratio
from landmint.pipeline.judge.figures import JUDGED, Figure
from landmint.runtime.accuracy import Difference, Floats, Truth, difference, summarise
from landmint.runtime.closed_eyes import closed_eye_error
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import is_reference, reference_among
from landmint.runtime.jitter import jitter
from landmint.runtime.measurement import Measurement
from landmint.runtime.stats import MIN_PERSONS, Interval
from landmint.runtime.typed_json import MismatchError, read_as

VerdictStatus = Literal[
    "pass", "regression", "inconclusive", "not measured", "accuracy drift", "not judged"
]
"""Not judged: no limit applies. It is no pass."""

# Worst first: what is proved comes before what is unknown, and a wrong face before a slow one.
EXIT_CODES: Mapping[VerdictStatus, int] = MappingProxyType(
    {
        "accuracy drift": 5,
        "regression": 1,
        "not measured": 3,
        "inconclusive": 4,
        "pass": 0,
        "not judged": 0,
    }
)
"""The exit code of every status, the worst first."""
PRECEDENCE: tuple[VerdictStatus, ...] = tuple(EXIT_CODES)
"""Every status, the worst first."""


@dataclass(frozen=True)
class Limits:
    """The most that a variant may cost.

    Each field maps patterns of variant names, such as "*/int8", to a limit; the first pattern
    that matches a variant, in the order written, is its limit.
    """

    nme_percent: Mapping[str, float] = field(default_factory=dict)
    """Most NME, in percent of the markup's normaliser."""
    drift_percent: Mapping[str, float] = field(default_factory=dict)
    """Most that NME may rise over the reference model's, in points of percent."""
    displacement_percent: Mapping[str, float] = field(default_factory=dict)
    """Most mean distance from the reference model's landmarks, in percent of the same."""
    jitter_percent: Mapping[str, float] = field(default_factory=dict)
    """Most movement of the error between neighbouring frames, in percent of the same."""
    closed_eye_percent: Mapping[str, float] = field(default_factory=dict)
    """Most NME of the eye landmarks on faces with closed eyes, in percent of the same."""
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """Most warm median latency."""
    latency_ratio: Mapping[str, float] = field(default_factory=dict)
    """Most latency over that of the same format's float32 variant, measured in the same visit."""
    size_mib: Mapping[str, float] = field(default_factory=dict)
    """Most size on disk."""
    optional: tuple[str, ...] = ()
    """Patterns of variants that may be missing: not measured, they do not fail the gate."""

    def __post_init__(self) -> None:
        """Refuse a limit that makes no sense.

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
        names = [item.name for item in dataclasses.fields(self) if item.name != "optional"]
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
    """One figure compared with one limit."""

    name: str
    """The figure, by its key in `landmint.pipeline.judge.figures.JUDGED`."""
    status: VerdictStatus
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

    @property
    def figure(self) -> Figure:
        """What the figure is called, and how it is written."""
        return JUDGED[self.name]


@dataclass(frozen=True)
class Verdict:
    """The gate's verdict on one variant."""

    variant: str
    """Its name, or the pattern of a limit that no variant matches."""
    status: VerdictStatus
    """The worst of its checks."""
    reason: str = ""
    """Why it was not measured, or what else is worth knowing."""
    checks: tuple[Check, ...] = ()
    """A check for every limit that applies."""
    optional: bool = False
    """Whether it may be missing."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """What stands behind it, as plain data: `landmint.pipeline.judge.evidence`."""

    @property
    def failed(self) -> bool:
        """Whether a figure is surely beyond its limit."""
        return self.status in ("accuracy drift", "regression")

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
            verdict = read_as(Verdict, content, "verdict")
            unknown = [check.name for check in verdict.checks if check.name not in JUDGED]
            if unknown:
                raise MismatchError(f"no figure is called {unknown[0][:80]!r}")
            return verdict
        except MismatchError as error:
            raise LandmintError(
                "a verdict is incomplete",
                reason=str(error),
                remedy="run `landmint gate` again",
            ) from None


def judge(measurements: Sequence[Measurement], truth: Truth, limits: Limits) -> tuple[Verdict, ...]:
    """One verdict for every measurement, and one for every limit that matches none of them.

    Rise and displacement are those over the bundle's reference, whose latency and size are not
    judged: it is not deployed.

    Args:
        measurements: of one bundle, the reference among them if NME rise or displacement
            have limits.
        truth: the faces that they were measured on.
        limits: what the variants may cost.

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


def three_way(interval: Interval, limit: float, beyond: VerdictStatus) -> VerdictStatus:
    """Pass when the whole interval keeps the limit, `beyond` when none of it does."""
    if interval.high <= limit:
        return "pass"
    return beyond if interval.low > limit else "inconclusive"


def worst(statuses: Sequence[VerdictStatus]) -> VerdictStatus:
    """The status that decides: the first in `PRECEDENCE`; "not judged" for none."""
    return min(statuses, key=PRECEDENCE.index, default="not judged")


def outcome(verdicts: Sequence[Verdict]) -> VerdictStatus:
    """The verdict on all variants together.

    A fault that is proved is not hidden by a variant that never ran. An optional variant that was
    not measured does not count; when nothing at all was measured, that is the outcome.
    """
    if all(verdict.status == "not measured" for verdict in verdicts):
        return "not measured"
    return worst([v.status for v in verdicts if not (v.optional and v.status == "not measured")])


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """The exit code of the gate: 5 accuracy drift, 1 regression, 3 not measured, 4 inconclusive.

    0 when every limit is kept, and when there is none. Where several apply, that of `outcome`.
    """
    return EXIT_CODES[outcome(verdicts)]


def not_passed(verdicts: Sequence[Verdict]) -> list[tuple[Verdict, Check]]:
    """Every check that was not passed, with its variant, the worst first.

    Of checks with the same status, the one furthest beyond its limit comes first, as a multiple of
    the limit.
    """
    checks = [(v, check) for v in verdicts for check in v.checks if check.status != "pass"]
    return sorted(checks, key=lambda pair: badness(pair[1]))


def badness(check: Check) -> tuple[int, float]:
    """A sorting key of checks: the worst is the least."""
    has_ratio = check.value is not None and check.limit > 0
    multiple = (check.value or 0.0) / check.limit if has_ratio else math.inf
    return PRECEDENCE.index(check.status), -multiple


def largest_undetected(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """The largest detectable excess of each figure, by its field in `Limits`.

    An excess over a limit that is smaller than this may have been missed.
    """
    largest: dict[str, float] = {}
    for check in (check for verdict in verdicts for check in verdict.checks):
        if check.detectable is not None and math.isfinite(check.detectable):
            largest[check.name] = max(largest.get(check.name, 0.0), check.detectable)
    return largest


def _judge_one(
    measurement: Measurement,
    by_name: Mapping[str, Measurement],
    truth: Truth,
    limits: Limits,
) -> Verdict:
    variant = measurement.variant
    optional = limits.is_optional(variant)
    if measurement.status != "measured":
        return Verdict(variant, "not measured", measurement.why_not, optional=optional)
    if "null" in (measurement.target, measurement.engine):
        reason = "a rehearsal: the null engine ran instead of the model"
        return Verdict(variant, "not measured", reason, optional=optional)
    checks = [*_accuracy_checks(measurement, by_name, truth, limits)]
    if not is_reference(variant):
        checks += _cost_checks(measurement, by_name, limits)
    status = worst([check.status for check in checks])
    return Verdict(variant, status, "" if checks else "no limit applies", tuple(checks), optional)


_AGAINST_TRUTH: Mapping[str, tuple[Callable[[Floats, Truth], Interval | None], str]] = (
    MappingProxyType(
        {
            "nme_percent": (lambda points, truth: summarise(points, truth).interval, ""),
            "jitter_percent": (jitter, "no two faces are neighbouring frames of one person"),
            "closed_eye_percent": (closed_eye_error, "no face has closed eyes, by its labels"),
        }
    )
)
"""Figures of landmarks and labels alone, and why there may be none."""


def _accuracy_checks(
    measurement: Measurement,
    by_name: Mapping[str, Measurement],
    truth: Truth,
    limits: Limits,
) -> Iterator[Check]:
    variant = measurement.variant
    for name, (figure, reason) in _AGAINST_TRUTH.items():
        limit = limits.of(name, variant)
        if limit is not None:
            interval = figure(_points(measurement, truth), truth)
            if interval is None:
                yield Check(name, "not measured", limit, reason=reason)
            else:
                yield _check(name, _percent(interval), limit, "accuracy drift")
    named = {n: limits.of(n, variant) for n in ("drift_percent", "displacement_percent")}
    relative_limits = {name: limit for name, limit in named.items() if limit is not None}
    if is_reference(variant) or not relative_limits:
        return
    reference = reference_among(by_name)
    measured = _difference(measurement, by_name.get(reference), truth)
    for name, limit in relative_limits.items():
        if measured is None:
            reason = f"the reference {reference} was not measured"
            yield Check(name, "not measured", limit, reason=reason)
        else:
            interval = measured.nme_rise if name == "drift_percent" else measured.displacement
            yield _check(name, _percent(interval), limit, "accuracy drift")


def _difference(
    measurement: Measurement, reference: Measurement | None, truth: Truth
) -> Difference | None:
    if reference is None or reference.points is None:
        return None
    return difference(_points(measurement, truth), _points(reference, truth), truth)


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
        yield _latency_check(measurement, limit)
    limit = limits.of("latency_ratio", variant)
    twin = by_name.get(f"{variant.split('/')[0]}/float32")
    if limit is not None and twin is not measurement:
        yield _ratio_check(measurement, twin, limit)
    limit = limits.of("size_mib", variant)
    if limit is not None:
        size = measurement.size_bytes / 2**20
        yield Check("size_mib", "pass" if size <= limit else "regression", limit, size)


def _latency_check(measurement: Measurement, limit: float) -> Check:
    latency = measurement.latency
    if latency is None:
        reason = measurement.no_times or "latency was not measured"
        return Check("latency_ms", "not measured", limit, reason=reason)
    doubts = "; ".join(latency.notes)
    if latency.interval is None:
        return Check("latency_ms", "inconclusive", limit, latency.warm_ms, reason=doubts)
    check = _check("latency_ms", latency.interval, limit, "regression")
    if check.status == "inconclusive" and doubts:
        return dataclasses.replace(check, reason=f"{check.reason}; {doubts}")
    return check


def _ratio_check(measurement: Measurement, twin: Measurement | None, limit: float) -> Check:
    ratio = paired_ratio(measurement, twin)
    if ratio is None:
        reason = "its float32 twin was not timed with it in two or more launches"
        reason = measurement.no_times or reason
        return Check("latency_ratio", "not measured", limit, reason=reason)
    return _check("latency_ratio", ratio, limit, "regression")


def _check(name: str, interval: Interval, limit: float, beyond: VerdictStatus) -> Check:
    status = three_way(interval, limit, beyond)
    reason = ""
    if status == "inconclusive":
        reason = "the 95 % interval lies across the limit"
    if interval.is_unbounded:
        reason = f"not enough persons: an interval needs {MIN_PERSONS}"
    bounds = (interval.estimate, interval.low, interval.high, interval.detectable)
    return Check(name, status, limit, *bounds, reason=reason)


def _percent(share: Interval) -> Interval:
    return Interval(*(100 * value for value in dataclasses.astuple(share)))
