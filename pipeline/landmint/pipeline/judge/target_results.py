"""What came of one run on several targets, which `landmint.pipeline.several_targets` visits."""

from dataclasses import dataclass
from pathlib import Path

from landmint.pipeline.judge.gate import EXIT_CODES, VerdictStatus, worst
from landmint.pipeline.judge.summary import VariantSummary, machine_of


@dataclass(frozen=True)
class TargetResult:
    """What came of one target."""

    target: str
    """As it was named."""
    status: VerdictStatus
    """The verdict on all variants together; "not measured" where the target dropped out."""
    reason: str = ""
    """Why it dropped out; empty where it did not."""
    measurements: Path | None = None
    """The folder with the raw samples; None where it dropped out."""
    summaries: tuple[VariantSummary, ...] = ()
    """Every variant that was measured or tried."""

    @property
    def machine(self) -> str:
        """What ran there, in words."""
        return machine_of(self.summaries)


@dataclass(frozen=True)
class Visits:
    """What came of several targets."""

    results: tuple[TargetResult, ...]
    """Of each, in the order given."""
    report: Path
    """The page that compares them."""

    @property
    def exit_code(self) -> int:
        """That of the worst verdict."""
        return EXIT_CODES[worst([result.status for result in self.results])]

    @property
    def measurements(self) -> list[Path]:
        """The folders of those that were measured."""
        return [result.measurements for result in self.results if result.measurements]
