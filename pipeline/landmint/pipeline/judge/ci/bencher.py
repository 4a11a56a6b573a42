"""Bencher Metric Format, for the continuous benchmarking of https://bencher.dev.

A benchmark has measures, and a measure a value with bounds: `bencher run --adapter json --file`.
"""

import json
import math

from landmint.pipeline.judge.judgement import Judgement


def to_bencher(judgement: Judgement) -> str:
    """Each variant is a benchmark, each of its figures a measure named as its limit is."""
    benchmarks: dict[str, dict[str, dict[str, float]]] = {}
    for verdict in judgement.verdicts:
        for check in verdict.checks:
            values = {"value": check.value, "lower_value": check.low, "upper_value": check.high}
            metric = {key: v for key, v in values.items() if v is not None and math.isfinite(v)}
            if "value" in metric:
                benchmarks.setdefault(verdict.variant, {})[check.name] = metric
    return json.dumps(benchmarks, indent=2, allow_nan=False) + "\n"
