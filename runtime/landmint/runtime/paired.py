"""Two builds that took turns in the same launches: what is compared, launch by launch.

A launch is one process of each build. Within it, blocks of both alternate in pairs. What a launch
tells is one number; the launches are the sample, since runs of one process repeat each other's
luck. Statistics over launches stand in `landmint.runtime.stats`.
"""

from dataclasses import dataclass
from math import log
from statistics import median

from landmint.runtime.errors import LandmintError
from landmint.runtime.hygiene import block_fault, full_speed_mhz, launch_fault
from landmint.runtime.latency import Block, Launch
from landmint.runtime.measurement import Measurement


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
    def pairs(self) -> tuple[tuple[Block, Block], ...]:
        """Blocks of baseline and candidate that were timed next to each other."""
        return tuple(zip(self.baseline.blocks, self.candidate.blocks, strict=True))

    @property
    def sound_pairs(self) -> tuple[tuple[Block, Block], ...]:
        """The pairs of which the machine spoiled neither block, by one rule for both builds."""
        full_mhz = self._full_mhz
        return tuple(
            pair for pair in self.pairs if not any(block_fault(block, full_mhz) for block in pair)
        )

    @property
    def fault(self) -> str:
        """What the machine did that spoiled the launch, in words; empty when it is sound."""
        for launch in (self.baseline, self.candidate):
            if fault := launch_fault(launch, self._full_mhz):
                return fault
        spoiled, pairs = len(self.pairs) - len(self.sound_pairs), len(self.pairs)
        if spoiled > pairs / 2:
            return f"{spoiled} of {pairs} pairs were spoiled by other work or a low clock"
        return ""

    @property
    def log_ratio(self) -> float:
        """Median over sound pairs of ln(candidate's quickest run / baseline's quickest run).

        Above 0 the candidate is slower. Other work on the machine lengthens some runs of a block,
        seldom all of them; a pair is so short that it meets both blocks alike. Where no pair is
        sound, all of them count: such a launch has a `fault`.
        """
        pairs = self.sound_pairs or self.pairs
        quickest = [(min(a.samples_ms), min(b.samples_ms)) for a, b in pairs]
        return median(log(b) - log(a) for a, b in quickest)

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
