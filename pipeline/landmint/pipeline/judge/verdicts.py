"""Measurements judged by limits, and the verdict on disk: JSON, Markdown, JUnit XML.

Not the judging itself, which is `landmint.pipeline.judge.gate`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landmint.pipeline.judge.advice import advise_folder
from landmint.pipeline.judge.gate import Limits, Verdict, exit_code, judge
from landmint.pipeline.judge.gate_text import to_junit, to_markdown
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.places import VERDICT_FILE
from landmint.runtime.files import write_json, write_text
from landmint.runtime.measurement import read_measurements


@dataclass(frozen=True)
class Judgement:
    """What limits say of measurements."""

    title: str
    """What was judged."""
    verdicts: tuple[Verdict, ...]
    """One for each variant, and for each limit that no variant matches."""
    advice: tuple[str, ...]
    """Sentences for people: whether INT8 is worth it, and what to deploy."""

    @property
    def exit_code(self) -> int:
        """That of `landmint gate`: 0 where every limit is kept."""
        return exit_code(self.verdicts)

    @property
    def text(self) -> str:
        """Verdicts and advice as Markdown."""
        return verdict_text(self.verdicts, self.advice, self.title)

    def write(self, folder: Path) -> None:
        """Write verdict.json, verdict.md and junit.xml into a folder."""
        write_verdicts(self.verdicts, self.advice, self.title, folder)


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


def verdict_text(verdicts: Sequence[Verdict], advice: Sequence[str], title: str) -> str:
    """Verdicts and advice as Markdown."""
    text = to_markdown(verdicts, title)
    if advice:
        text += "\n## What to deploy\n\n" + "".join(f"- {line}\n" for line in advice)
    return text


def write_verdicts(
    verdicts: Sequence[Verdict], advice: Sequence[str], title: str, folder: Path
) -> None:
    """Write verdict.json, verdict.md and junit.xml.

    Args:
        verdicts: of `judge_folder`.
        advice: of `advise_folder`.
        title: what was judged.
        folder: where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "verdict.md", verdict_text(verdicts, advice, title))
    write_text(folder / "junit.xml", to_junit(verdicts, title))
    content = {
        "schema": 1,
        "exit_code": exit_code(verdicts),
        "summary": summary_of(verdicts),
        "verdicts": [verdict.to_json() for verdict in verdicts],
        "advice": list(advice),
    }
    write_json(folder / VERDICT_FILE, content)


def summary_of(verdicts: Sequence[Verdict]) -> str:
    """How many variants have which verdict, and that no limit applies where that is so."""
    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[verdict.status] = counts.get(verdict.status, 0) + 1
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    judged = any(verdict.checks for verdict in verdicts)
    return summary if judged or "not judged" not in counts else f"no limit applies: {summary}"
