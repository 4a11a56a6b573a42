"""One line about what a stage made, read from what it wrote.

Not the report: that says everything; this is what stands beside a stage's name on the screen.
"""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from landmint.export.config import LINT_FILE
from landmint.pipeline.places import FACES_FILE, HISTORY_FILE, VERDICT_FILE
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json
from landmint.runtime.measurement import read_measurements


def training_figures(folder: Path) -> dict[str, float]:
    """The last line of a training's history, with the lowest NME on the validation faces.

    Returns:
        epoch, seconds, loss, val_nme of the last validation and best_nme, as far as they are
        known; {} without a history.
    """
    try:
        with (folder / HISTORY_FILE).open(newline="", encoding="utf-8") as file:
            rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    except (OSError, ValueError):
        return {}
    wanted = ("epoch", "seconds", "loss", "val_nme", "best_nme")
    return {key: row[key] for row in rows for key in wanted if key in row}


def _faces(place: Path) -> str:
    splits = read_json(place / FACES_FILE)["splits"]
    return ", ".join(f"{about['faces']} {split}" for split, about in splits.items())


def _training(place: Path) -> str:
    figures = training_figures(place)
    if "best_nme" not in figures:
        return ""
    return f"val NME {100 * figures['best_nme']:.2f} %, {figures['epoch']:.0f} epochs"


def _bundle(place: Path) -> str:
    variants = Bundle.open(place, verify=False).manifest.variants
    built = [variant.name for variant in variants if variant.files]
    missing = [variant.name for variant in variants if not variant.files]
    said = f"{len(built)} variants"
    said += f"; not built: {', '.join(missing)}" if missing else ""
    findings = len(read_json(place / LINT_FILE)["findings"]) if (place / LINT_FILE).is_file() else 0
    return said + (f"; lint: {findings} findings" if findings else "")


def _measured(place: Path) -> str:
    found = read_measurements(place)
    missing = [one.variant for one in found if one.status != "measured"]
    said = f"{len(found) - len(missing)} variants measured"
    return f"{said}; not measured: {', '.join(missing)}" if missing else said


def _verdict(place: Path) -> str:
    told = read_json(place / VERDICT_FILE)
    return f"{told['summary']}; see {place / 'verdict.md'}"


def _shown(say: Callable[[Path], str]) -> Callable[[Path], str]:
    """A summary never stops a run that is otherwise whole."""

    def said(place: Path) -> str:
        try:
            return say(place)
        except (LandmintError, KeyError, OSError):
            return ""

    return said


SUMMARIES: Mapping[str, Callable[[Path], str]] = {
    "faces": _shown(_faces),
    "teacher": _shown(_training),
    "student": _shown(_training),
    "self-training": _shown(_training),
    "qat": _shown(_training),
    "float-bundle": _shown(_bundle),
    "bundle": _shown(_bundle),
    "measurements": _shown(_measured),
    "verdict": _shown(_verdict),
    "report": str,
}
