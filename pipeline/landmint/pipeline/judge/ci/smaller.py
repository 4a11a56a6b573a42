"""JSON for the GitHub action benchmark-action/github-action-benchmark, as customSmallerIsBetter."""

import json
import math

from landmint.pipeline.judge.gate_text import interval_text
from landmint.pipeline.judge.judgement import Judgement


def to_smaller_is_better(judgement: Judgement) -> str:
    """An entry for each figure of which less is better; its name says of which variant."""
    entries = []
    for verdict in judgement.verdicts:
        for check in verdict.checks:
            figure = check.figure
            if figure.better == "lower" and check.value is not None and math.isfinite(check.value):
                entry = {
                    "name": f"{verdict.variant} {figure.name}",
                    "unit": figure.unit,
                    "value": check.value,
                    "range": interval_text(check),
                    "extra": f"{check.status}, limit {figure.write_limit(check.limit)}",
                }
                entries.append({key: value for key, value in entry.items() if value != ""})
    return json.dumps(entries, indent=2, allow_nan=False) + "\n"
