"""Counted instructions of two builds: which changes are faults, and which are not compared."""

import dataclasses

import pytest

from landmint.pipeline.judge.instructions import instructions_check
from landmint.runtime.engines.engine import Operator
from landmint.runtime.instructions import Instructions
from landmint.runtime.measurement import Measurement

RUN = Instructions(total=10_000_000, simd=6_000_000, fmla=5_000, mlal=700_000, dot=4_000_000)
BASE = Measurement(
    "model",
    "tflite/int8",
    "litert",
    "measured",
    executed_precision="i8",
    operators=(Operator("CONV_2D", "i8"),),
    instructions=(RUN, RUN),
)


def changed(**counts: int) -> Measurement:
    run = dataclasses.replace(RUN, **counts)
    return dataclasses.replace(BASE, instructions=(run, run))


@pytest.mark.parametrize(
    ("candidate", "status"),
    [
        (BASE, "pass"),
        (changed(total=10_009_000), "pass"),
        (changed(total=10_011_000), "regression"),
        (changed(total=9_000_000), "pass"),
        (changed(dot=0), "regression"),
        (changed(dot=4_300_000), "pass"),
        (dataclasses.replace(BASE, instructions=()), "not measured"),
        (dataclasses.replace(BASE, executed_precision="f32"), "not judged"),
        (dataclasses.replace(BASE, operators=(Operator("ADD", "i8"),)), "not judged"),
    ],
)
def test_what_is_a_fault(candidate: Measurement, status: str) -> None:
    assert instructions_check(BASE, candidate).status == status


def test_openvino_may_differ_more() -> None:
    base = dataclasses.replace(BASE, engine="openvino")
    for total, status in ((10_090_000, "pass"), (10_110_000, "regression")):
        candidate = dataclasses.replace(changed(total=total), engine="openvino")
        assert instructions_check(base, candidate).status == status


def test_a_change_of_a_class_is_named() -> None:
    assert instructions_check(BASE, changed(dot=2_000_000)).reason == "dot -50.00 %"
