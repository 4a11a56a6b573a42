"""Which blocks and launches the machine spoiled: one rule, the same for whatever is compared.

The raw samples stay in the measurement; what is spoiled is left out by whoever compares, and
counted. Thresholds follow the practice on boards: a processor that is held back times something
else than one that is not. Other work spoils blocks, but no launch: on a machine that is always busy
no launch would ever be without it.
"""

from collections.abc import Iterator, Sequence

from landmint.runtime.latency import Block, Launch

BACK_OFF_S = (5.0, 20.0)
"""Wait before each retry of a spoiled launch: what heats or loads a machine takes seconds to go
away. After so many retries its variant is not measured."""
FULL_SPEED = 0.9
"""A clock under this share of the highest holds the processor back."""
_MOST_DRIFT_C = 10.0


def full_speed_mhz(blocks: Sequence[Block]) -> float | None:
    """The highest clock of any block; None where no block knows its clock.

    Args:
        blocks: of all sides that are compared, so that one rule holds for both.
    """
    return max((b.frequency_mhz for b in blocks if b.frequency_mhz is not None), default=None)


def block_fault(block: Block, full_mhz: float | None) -> str:
    """What spoiled a block, in words; empty when nothing did.

    Args:
        block: with at least one run.
        full_mhz: of `full_speed_mhz`; None where clocks are not known.
    """
    if is_preempted(block):
        return "other work took the core away in every run"
    if is_slow(block, full_mhz):
        return f"the clock of its core was low: {block.frequency_mhz:.0f} of {full_mhz:.0f} MHz"
    return ""


def is_preempted(block: Block) -> bool:
    """Whether the kernel took a core away in every run: then none tells the model's own time."""
    return block.preempted is not None and len(block.preempted) == len(block.samples_ms)


def is_slow(block: Block, full_mhz: float | None) -> bool:
    """Whether the clock was under 90 % of full speed; False where clocks are not known."""
    clock = block.frequency_mhz
    return clock is not None and full_mhz is not None and clock < FULL_SPEED * full_mhz


def launch_fault(launch: Launch) -> str:
    """What spoiled a whole launch, in words; empty when nothing did.

    Throttling, another governor, or more than 10 degrees of drift.
    """
    return next(_launch_faults(launch), "")


def spoiled_blocks(launches: Sequence[Launch]) -> dict[str, int]:
    """How many blocks of launches of one machine were spoiled, by what."""
    counts: dict[str, int] = {}
    full_mhz = full_speed_mhz([block for launch in launches for block in launch.blocks])
    for block in (block for launch in launches for block in launch.blocks):
        fault = block_fault(block, full_mhz).partition(":")[0]
        if fault:
            counts[fault] = counts.get(fault, 0) + 1
    return counts


def _launch_faults(launch: Launch) -> Iterator[str]:
    before, after = launch.before, launch.after
    if before is not None and after is not None:
        if held := after.throttled or before.throttled:
            yield f"the firmware held the processor back: {', '.join(held)}"
        fresh = [b for b in after.throttled_since_boot if b not in before.throttled_since_boot]
        if fresh:
            yield f"the firmware held the processor back meanwhile: {', '.join(fresh)}"
        if after.governor != before.governor and before.governor and after.governor:
            yield f"the frequency governor changed from {before.governor} to {after.governor}"
        if before.temperature_c is not None and after.temperature_c is not None:
            drift = after.temperature_c - before.temperature_c
            if abs(drift) > _MOST_DRIFT_C:
                yield f"the temperature moved by {drift:+.0f} degrees"
