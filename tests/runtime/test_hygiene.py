"""What the machine spoiled is named, by one rule for all sides; nothing else is."""

import dataclasses

import pytest

from landmint.runtime.conditions import Conditions
from landmint.runtime.hygiene import block_fault, full_speed_mhz, launch_fault, spoiled_blocks
from landmint.runtime.latency import Block, Launch, WarmUp

CALM = Conditions("performance", 45.0)
QUIET = Block((2.0, 2.1, 2.2), 6.2, preempted=(), frequency_mhz=1800.0)
CROWDED = dataclasses.replace(QUIET, preempted=(0, 1, 2))
SLOW = dataclasses.replace(QUIET, frequency_mhz=1500.0)


def launch(*blocks: Block, before: Conditions | None = CALM, after: Conditions = CALM) -> Launch:
    return Launch(20.0, WarmUp(9.0, 40, True), blocks, before, after)


def test_one_run_left_alone_makes_a_block_count() -> None:
    assert block_fault(dataclasses.replace(QUIET, preempted=(0, 2)), None) == ""
    assert block_fault(CROWDED, None) == "other work took the core away in every run"
    assert block_fault(Block((2.0,), 2.0), None) == "", "an older measurement tells nothing"


def test_a_low_clock_is_one_under_nine_tenths_of_the_highest_of_either_side() -> None:
    full = full_speed_mhz([QUIET, SLOW])
    assert full == pytest.approx(1800)
    assert block_fault(SLOW, full) == "the clock of its core was low: 1500 of 1800 MHz"
    assert block_fault(dataclasses.replace(QUIET, frequency_mhz=1620.0), full) == ""
    assert full_speed_mhz([Block((2.0,), 2.0)]) is None


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        ({}, ""),
        ({"temperature_c": 54.9}, ""),
        ({"temperature_c": 55.1}, "the temperature moved by +10 degrees"),
        ({"governor": "powersave"}, "the frequency governor changed from performance to powersave"),
        ({"throttled": ("throttled",)}, "the firmware held the processor back: throttled"),
        (
            {"throttled_since_boot": ("under-voltage",)},
            "the firmware held the processor back meanwhile: under-voltage",
        ),
    ],
)
def test_the_state_of_the_machine_spoils_a_launch(after: dict[str, object], fault: str) -> None:
    state = dataclasses.replace(CALM, **after)  # type: ignore[arg-type]
    assert launch_fault(launch(QUIET, after=state)) == fault


def test_what_held_back_before_the_first_block_is_no_news() -> None:
    tired = dataclasses.replace(CALM, throttled_since_boot=("under-voltage",))
    assert launch_fault(launch(QUIET, before=tired, after=tired)) == ""
    assert launch_fault(launch(QUIET, before=None)) == ""


def test_other_work_spoils_blocks_but_no_launch() -> None:
    assert launch_fault(launch(CROWDED, CROWDED)) == ""


def test_spoiled_blocks_are_counted_by_cause() -> None:
    counts = spoiled_blocks([launch(QUIET, CROWDED), launch(CROWDED, SLOW)])
    assert counts == {
        "other work took the core away in every run": 2,
        "the clock of its core was low": 1,
    }
