"""Verdicts and checks in words, for every text that tells of them. It judges nothing."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from landmint.pipeline.judge.gate import Check, VerdictStatus

OUTCOMES: Mapping[VerdictStatus, str] = MappingProxyType(
    {
        "pass": "every limit is kept",
        "regression": "a variant is slower or larger than its limit",
        "not measured": "a variant that is not optional was not measured",
        "inconclusive": "it is not clear whether a figure keeps its limit",
        "accuracy drift": "a variant's landmarks are further off than their limit",
        "not judged": "no limit applies, and nothing was judged",
    }
)
"""What the verdict on all variants together means."""


def check_sentence(check: Check) -> str:
    """One figure with its interval, or the reason why it has none, and its limit."""
    figure = check.figure
    value = "no figure" if check.value is None else figure.write_with_unit(check.value)
    remark = interval_text(check) or (f"({check.reason})" if check.reason else "")
    return f"{f'{figure.name} {value} {remark}'.rstrip()}, limit {figure.write_limit(check.limit)}"


def interval_text(check: Check) -> str:
    """The 95 % interval in brackets; empty where there is none."""
    if check.low is None or check.high is None or not math.isfinite(check.high):
        return ""
    return f"[{check.figure.write(check.low)}, {check.figure.write(check.high)}]"
