"""Two builds that took turns in the same launches: what is compared, launch by launch.

A launch is one process of each build. Within it, blocks of both alternate in pairs. What a launch
tells is one number; the launches are the sample, since runs of one process repeat each other's
luck. Statistics over launches stand in `landmint.runtime.stats`.
"""

from dataclasses import dataclass
from math import log
from statistics import median

from landmint.runtime.errors import LandmintError
from landmint.runtime.hygiene import full_speed_mhz, is_preempted, is_slow, launch_fault
from landmint.runtime.latency import Block, Launch
from landmint.runtime.measurement import Measurement

_LEAST_CALM = 1 / 3
Pairs = tuple[tuple[Block, Block], ...]


@dataclass(frozen=True)
class PairedLaunch:
    """One launch of two builds; block i of one was timed next to block i of the other."""

    baseline: Launch
    """The build that is compared with."""
    candidate: Launch
    """The build that is judged."""

    def __post_init__(self) -> None:
        """Refuse a launch whose blocks are not in pairs.

        Raises:
            LandmintError: there are no blocks, or not equally many.
        """
        counts = len(self.baseline.blocks), len(self.candidate.blocks)
        if not counts[0] or counts[0] != counts[1]:
            raise LandmintError(f"a launch with {counts[0]} and {counts[1]} blocks has no pairs")

    @property
    def pairs(self) -> Pairs:
        """Blocks of baseline and candidate that were timed next to each other."""
        return tuple(zip(self.baseline.blocks, self.candidate.blocks, strict=True))

    @property
    def counted_pairs(self) -> Pairs:
        """The pairs that tell the ratio, chosen by one rule for both builds.

        Those at full clock in which other work left both blocks a run of their own. If these are
        fewer than a third of all, the launch is busy, and every pair at full clock counts.
        """
        return self._steady_pairs if self.is_busy else self._calm_pairs

    @property
    def is_busy(self) -> bool:
        """Whether other work took the core away in nearly all pairs. Such a launch still counts."""
        return len(self._calm_pairs) < _LEAST_CALM * len(self.pairs)

    @property
    def fault(self) -> str:
        """What the machine did that spoiled the launch, in words; empty when it is sound."""
        for launch in (self.baseline, self.candidate):
            if fault := launch_fault(launch):
                return fault
        slow, pairs = len(self.pairs) - len(self._steady_pairs), len(self.pairs)
        return f"the clock was low in {slow} of {pairs} pairs" if slow > pairs / 2 else ""

    @property
    def log_ratio(self) -> float:
        """Median over counted pairs of ln(candidate's quickest run / baseline's quickest run).

        Above 0 the candidate is slower. Other work on the machine lengthens some runs of a block,
        seldom all of them; a pair is so short that it meets both blocks alike. Where the clock was
        low in every pair, all of them count: such a launch has a `fault`.
        """
        pairs = self.counted_pairs or self.pairs
        quickest = [(min(a.samples_ms), min(b.samples_ms)) for a, b in pairs]
        return median(log(b) - log(a) for a, b in quickest)

    @property
    def _steady_pairs(self) -> Pairs:
        """At full clock."""
        full_mhz = self._full_mhz
        return tuple(p for p in self.pairs if not any(is_slow(block, full_mhz) for block in p))

    @property
    def _calm_pairs(self) -> Pairs:
        """Those of them in which neither block was preempted in every run."""
        return tuple(p for p in self._steady_pairs if not any(map(is_preempted, p)))

    @property
    def _full_mhz(self) -> float | None:
        return full_speed_mhz([*self.baseline.blocks, *self.candidate.blocks])


def paired_launches(baseline: Measurement, candidate: Measurement) -> tuple[PairedLaunch, ...]:
    """The launches of two measurements in which both builds took turns.

    Raises:
        LandmintError: they are of different visits, or their launches do not match.
    """
    if baseline.session != candidate.session:
        raise LandmintError(
            f"{candidate.variant} and its baseline were measured in different visits",
            reason="the machine may have been in another state",
            remedy="measure both in one visit",
        )
    if len(baseline.launches) != len(candidate.launches):
        raise LandmintError(
            f"{candidate.variant} has {len(candidate.launches)} launches, its baseline "
            f"{len(baseline.launches)}",
            reason="launches are compared one by one",
            remedy="measure both in one visit",
        )
    pairs = zip(baseline.launches, candidate.launches, strict=True)
    return tuple(PairedLaunch(a, b) for a, b in pairs)
