"""Names of the files and folders of a run, each in this one place.

What the rooms below write into a folder they name themselves: `landmint.runtime.bundle.MANIFEST`,
`landmint.quantize.decide.decision.RANGES`.
"""

from pathlib import Path

RUNS = Path("runs")
"""Where runs go unless another folder is given, each under its recipe's name."""
TEACHERS = "teachers"
"""Folder beside the runs: each teacher under the digest of what it was trained on and how, so that
recipes which agree on the teacher share it."""
LESSONS = "lessons"
"""Folder beside the runs: what teachers said, where they say points; students share it."""
RECORDS = "stages"
"""Folder of the stages' records, beside what the stages made."""
RUN_FILE = "run.json"
"""In the run's folder: name, about, recipe (its text) and command (what makes it again) of whoever
last measured, judged or reported on the run. What only borrows its faces leaves this alone."""
REPORT_FILE = "report.html"
"""In the run's folder: the page for people."""
SUSTAINED = "sustained"
"""In the run's folder: measurements with minutes without a pause, which the page shows; written by
`landmint measure --minutes` where somebody wants them there."""
TARGETS = "targets"
"""In the run's folder: measurements and verdict of each target, where a run visits several."""
TARGETS_REPORT_FILE = "targets.html"
"""In the run's folder: the page that compares them."""
FACES_FILE = "faces.json"
"""In a run's faces: what each split holds."""
WEIGHTS = "model.safetensors"
"""In a training's folder: the trained network."""
HISTORY_FILE = "metrics.csv"
"""In a training's folder: a line an epoch."""
VERDICT_FILE = "verdict.json"
"""In a verdict's folder: the verdict for programs."""


def record_path(place: Path) -> Path:
    """Where the record of what stands at `place` is kept."""
    return place.parent / RECORDS / f"{place.name}.json"
