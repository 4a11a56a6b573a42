"""A folder of measurements, judged by limits. The judging itself is `judge.gate`."""

from pathlib import Path

from landmint.pipeline.judge.advice import advise_folder
from landmint.pipeline.judge.gate import Limits, Verdict, judge
from landmint.pipeline.judge.judgement import Judgement
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.runtime.measurement import read_measurements


def judge_measurements(measurements: Path, limits: Limits, title: str) -> Judgement:
    """Verdicts on a folder of measurements, and the advice that follows from them.

    Raises:
        LandmintError: something is missing or truncated there.
    """
    verdicts = judge_folder(measurements, limits)
    return Judgement(title, verdicts, advise_folder(measurements, limits))


def judge_folder(measurements: Path, limits: Limits) -> tuple[Verdict, ...]:
    """Judge a folder of measurements against the labels that lie in it.

    Raises:
        LandmintError: something is missing or truncated there.
    """
    return judge(read_measurements(measurements), read_truth(measurements / TRUTH_FILE), limits)
