"""A candidate judged by the history of its device."""

from pathlib import Path
from typing import TYPE_CHECKING

from landmint.pipeline.extras import naming_extras
from landmint.runtime.progress import SILENT

if TYPE_CHECKING:
    from landmint.pipeline.judge.judgement import Judgement


@naming_extras
def gate_by_history(
    measurements: str | Path, history: str | Path, *, out: str | Path | None = None
) -> "Judgement":
    """Judge latency by earlier sessions of a device that cannot hold two builds at once.

    Args:
        measurements: folder of the candidate's measurements.
        history: SQLite file that `landmint history add` wrote; it is not changed.
        out: folder for the verdict and what CI reads of it; nothing is written when absent.

    Returns:
        a verdict for each variant. "Not measured" where no earlier session is comparable,
        "inconclusive" where there are too few.

    Raises:
        LandmintError: a measurement or the history is missing or damaged.
        MissingLibraryError: landmint[pipeline] is not installed.

    Example:
        >>> from landmint import api
        >>> api.gate_by_history("measured", "pi5.sqlite").exit_code  # doctest: +SKIP
        0
    """
    from landmint.pipeline.history.store import open_history
    from landmint.pipeline.judge.history import judge_against_history
    from landmint.pipeline.judge.judgement import Judgement
    from landmint.pipeline.lock import hold
    from landmint.runtime.measurement import read_measurements

    candidates = read_measurements(Path(measurements))
    with open_history(Path(history)) as opened:
        past = [entry.measurement for entry in opened.entries()]
    title = f"{Path(measurements).name} against its history"
    judgement = Judgement(title, judge_against_history(candidates, past))
    if out is not None:
        with hold(Path(out), SILENT.step):
            judgement.write(Path(out))
    return judgement
