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
    def calm_pairs(self) -> Pairs:
        """The pairs at full clock in which other work left each block a run of its own."""
        return tuple(p for p in self._steady_pairs if not any(map(is_preempted, p)))

    @property
    def is_busy(self) -> bool:
        """Whether fewer than a third of the pairs are calm. Such a launch counts all the same."""
        return len(self.calm_pairs) < _LEAST_CALM * len(self.pairs)

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
        """How much slower the candidate is, as a logarithm; above 0 it is slower.

        Of a calm launch: the median over calm pairs of ln(candidate's quickest run / baseline's
        quickest run). Other work lengthens some runs of a block, seldom all of them.

        Of a busy launch: the same of the processor time of a run, over all pairs at full clock. A
        run that takes 6 ms alone may take 40 ms among others, and 5 % more work is then less than
        1 % of its time by the clock: a slow build would pass.
        """
        if self.is_busy:
            pairs = self._steady_pairs or self.pairs
            return median(log(_processor_ms(b)) - log(_processor_ms(a)) for a, b in pairs)
        return median(log(min(b.samples_ms)) - log(min(a.samples_ms)) for a, b in self.calm_pairs)

    @property
    def _steady_pairs(self) -> Pairs:
        """At full clock."""
        full_mhz = self._full_mhz
        return tuple(p for p in self.pairs if not any(is_slow(block, full_mhz) for block in p))

    @property
    def _full_mhz(self) -> float | None:
        return full_speed_mhz([*self.baseline.blocks, *self.candidate.blocks])


def _processor_ms(block: Block) -> float:
    """Of one run, all threads; its time by the clock where the process used no processor."""
    return (block.cpu_ms or sum(block.samples_ms)) / len(block.samples_ms)


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
