"""What ran is told fact by fact, and two measurements by what differs between them."""

import dataclasses

import pytest

from landmint.pipeline.judge.identity import (
    NOT_TOLD,
    incomparable,
    instruction_sets,
    mismatches,
    what_ran,
)
from landmint.runtime.engines.engine import Operator
from landmint.runtime.machine import Machine
from landmint.runtime.measurement import Measurement

BOARD = Machine("4x Cortex-A76", "aarch64", 4, flags=("asimd", "asimddp"), affinity="0-3")
BASELINE = Measurement(
    "pfld",
    "tflite/int8",
    "litert",
    "measured",
    engine_version="ai-edge-litert 1.2",
    executed_precision="i8 52",
    operators=(
        *(Operator("CONV_2D", "i8", kernel="XNNPACK") for _ in range(3)),
        Operator("SOFTMAX", "f32", kernel="built-in"),
    ),
    machine=BOARD,
)


def test_the_facts_of_a_measurement() -> None:
    facts = what_ran(BASELINE)
    assert facts["kernels"] == "3 XNNPACK, 1 built-in"
    assert facts["operators by precision"] == "3 i8, 1 f32"
    assert (facts["affinity"], facts["instruction sets"]) == ("0-3", "asimd, asimddp")
    assert facts["instructions in kernels"] == facts["governor"] == NOT_TOLD


def test_another_engine_version_is_told_in_words() -> None:
    newer = dataclasses.replace(BASELINE, engine_version="ai-edge-litert 1.3")
    (only,) = mismatches(BASELINE, newer)
    assert only.sentence == (
        "another engine version: ai-edge-litert 1.3 against ai-edge-litert 1.2"
    )
    assert incomparable(BASELINE, newer) == (only,)
    assert mismatches(BASELINE, BASELINE) == ()


def test_another_delegate_partition_is_seen() -> None:
    outside = dataclasses.replace(BASELINE.operators[0], kernel="built-in")
    candidate = dataclasses.replace(BASELINE, operators=(outside, *BASELINE.operators[1:]))
    (only,) = mismatches(BASELINE, candidate)
    assert (only.fact, only.candidate) == ("kernels", "2 XNNPACK, 2 built-in")
    assert incomparable(BASELINE, candidate) == (), "it is part of what is compared"


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"affinity": "0"}, "affinity"),
        ({"flags": ("asimd",)}, "instruction sets"),
        ({"governor": "powersave"}, None),  # the baseline does not know its own
    ],
)
def test_what_differs_in_the_machine(change: dict[str, object], fact: str | None) -> None:
    machine = dataclasses.replace(BOARD, **change)  # type: ignore[arg-type]
    differing = mismatches(BASELINE, dataclasses.replace(BASELINE, machine=machine))
    assert [each.fact for each in differing] == ([fact] if fact else [])


def test_an_older_measurement_knows_fewer_facts() -> None:
    older = dataclasses.replace(BASELINE, machine=None, operators=())
    assert mismatches(older, BASELINE) == ()


@pytest.mark.parametrize(
    ("kernel", "instructions"),
    [
        ("jit_avx512_I8", ("avx512",)),
        ("brgconv_avx512_amx_I8", ("avx512_amx",)),
        ("jit_avx2_FP32", ("avx2",)),
        ("acl_i8", ("acl",)),
        ("ref_any_FP32", ()),
        ("CPUExecutionProvider", ()),
    ],
)
def test_kernels_that_name_their_instructions(kernel: str, instructions: tuple[str, ...]) -> None:
    assert instruction_sets([Operator("Convolution", "i8", kernel=kernel)]) == instructions
