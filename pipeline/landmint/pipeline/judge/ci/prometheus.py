"""Prometheus' text exposition format, for a push gateway or node_exporter's textfile collector.

Version 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats: a label's value escapes
backslash, quote and line feed.
"""

import math
from collections.abc import Iterator

from landmint.pipeline.judge.judgement import Judgement

_BOUNDS = {"": "value", "_low": "low", "_high": "high", "_limit": "limit"}
_MEANINGS = {
    "": "{}.",
    "_low": "Lower bound of the 95 % interval of {}.",
    "_high": "Upper bound of the 95 % interval of {}.",
    "_limit": "Most that is allowed of {}.",
}


def to_prometheus(judgement: Judgement) -> str:
    """A gauge for every figure, its bounds and its limit, by variant; and the exit code."""
    gate = judgement.title
    lines = [
        *_metric("landmint_gate_exit_code", "0 where every limit is kept."),
        _sample("landmint_gate_exit_code", float(judgement.exit_code), gate=gate),
        *_metric("landmint_gate_status", "1 for the verdict on a variant."),
    ]
    for verdict in judgement.verdicts:
        labels = {"gate": gate, "variant": verdict.variant, "status": verdict.status}
        lines.append(_sample("landmint_gate_status", 1.0, **labels))
    checks = [check for verdict in judgement.verdicts for check in verdict.checks]
    for key, figure in {check.name: check.figure for check in checks}.items():
        for suffix, field in _BOUNDS.items():
            samples = [
                _sample(f"landmint_{key}{suffix}", value, gate=gate, variant=verdict.variant)
                for verdict in judgement.verdicts
                for check in verdict.checks
                if check.name == key and (value := getattr(check, field)) is not None
            ]
            if samples:
                text = _MEANINGS[suffix].format(f"{figure.name} in {figure.unit}")
                lines += [*_metric(f"landmint_{key}{suffix}", text), *samples]
    return "\n".join(lines) + "\n"


def _metric(name: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} gauge"


def _sample(name: str, value: float, **labels: str) -> str:
    listed = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
    return f"{name}{{{listed}}} {_number(value)}"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
