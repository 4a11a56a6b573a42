"""From a run's folder to a `RunRecord`: what stands there is read, what is absent is left out.

Only the bundle and the measurements have to be there; a report without a teacher, or away from the
data set, is still a report.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

from landmint.export.config import LINT_FILE
from landmint.export.finding import read_findings
from landmint.pipeline.judge.gate import Verdict
from landmint.pipeline.judge.summary import summarise_run
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.places import (
    FACES_FILE,
    HISTORY_FILE,
    RECORDS,
    REPORT_FILE,
    RUN_FILE,
    SUSTAINED,
    VERDICT_FILE,
    WEIGHTS,
    record_path,
)
from landmint.pipeline.report.figures import Curve
from landmint.pipeline.report.record import Network, RunRecord, StageRecord
from landmint.pipeline.text import number, percent, thousands
from landmint.quantize.explain.explanation import EXPLANATION, read_explanation
from landmint.runtime.bundle import Bundle
from landmint.runtime.files import read_json
from landmint.runtime.measurement import Measurement, read_measurements

ROLES = {
    "teacher": "teacher",
    "student": "student",
    "self-training": "self-trained student",
    "qat": "adapted student",
}
"""What is trained, as the page calls it, by the name of its stage."""


def gather(run_dir: Path) -> RunRecord:
    """Read a run.

    Raises:
        LandmintError: bundle or measurements are missing or broken.
    """
    manifest = Bundle.open(run_dir / "bundle", verify=False).manifest
    measurements = read_measurements(run_dir / "measurements")
    truth = read_truth(run_dir / "measurements" / TRUTH_FILE)
    provenance = manifest.provenance
    request = _optional_json(run_dir / RUN_FILE)
    faces_record = _optional_json(run_dir / "faces" / FACES_FILE)
    verdict = _optional_json(run_dir / "verdict" / VERDICT_FILE)
    losses_file = run_dir / "bundle" / EXPLANATION
    networks = (_network(name, run_dir / name, provenance) for name in ROLES)
    return RunRecord(
        name=str(request.get("name") or provenance.get("recipe") or manifest.name),
        about=str(request.get("about") or provenance.get("about", "")),
        recipe=str(request.get("recipe", "")),
        command=str(request.get("command", "")),
        manifest=manifest,
        summaries=summarise_run(measurements, truth),
        truth=truth,
        verdicts=tuple(Verdict.from_json(content) for content in verdict.get("verdicts", ())),
        advice=tuple(verdict.get("advice", ())),
        networks=tuple(network for network in networks if network),
        images=_images(faces_record),
        upright=frozenset(faces_record.get("upright_images", ())),
        faces=_faces(faces_record, provenance),
        stages=tuple(_stages(run_dir)),
        findings=read_findings(run_dir / "bundle" / LINT_FILE),
        explanation=read_explanation(losses_file) if losses_file.is_file() else None,
        sustained=_sustained(measurements, run_dir / SUSTAINED),
    )


def _sustained(measurements: Sequence[Measurement], folder: Path) -> tuple[Measurement, ...]:
    """Those with minutes without a pause, of the run itself and of the folder that is for them."""
    more = read_measurements(folder) if folder.is_dir() else ()
    return tuple(each for each in (*measurements, *more) if each.sustained is not None)


def _optional_json(path: Path) -> dict[str, Any]:
    """A JSON object that may be absent; {} then. A broken one is an error."""
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _images(faces_record: Mapping[str, Any]) -> dict[str, Path]:
    """The test pictures that can still be found."""
    root = Path(faces_record.get("root", "."))
    paths = {name: root / place for name, place in faces_record.get("test_images", {}).items()}
    return {name: path for name, path in paths.items() if path.is_file()}


def _faces(
    faces_record: Mapping[str, Any], provenance: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Counts of each split, from what the run read, else from what the bundle says."""
    about = provenance.get("faces", {})
    splits = faces_record.get("splits") or {k: v for k, v in about.items() if isinstance(v, dict)}
    facts = [("kind", str(faces_record.get("kind") or about.get("kind", "")))]
    for split, counts in splits.items():
        persons = f" of {thousands(counts['persons'])} persons" if "persons" in counts else ""
        facts.append((split, f"{thousands(counts['faces'])} faces{persons}"))
        facts.append((f"{split} fingerprint", counts["fingerprint"]))
    return tuple(facts)


def _network(stage: str, folder: Path, provenance: Mapping[str, Any]) -> Network | None:
    weights = folder / WEIGHTS
    if not weights.is_file():
        return None
    facts = _architecture(weights)
    rows = _history(folder / HISTORY_FILE)
    known = provenance.get(stage) or {}
    if rows:
        facts += _training_facts(rows)
    if "sha256" in known:
        facts.append(("weights, sha256", str(known["sha256"])))
    return Network(
        role=ROLES[stage],
        facts=tuple(facts),
        loss=_curves(rows, {"loss": "loss"}),
        error=_curves(rows, {"val_nme": "validation NME, %"}, scale=100),
        settings=json.dumps(known.get("settings", {}), indent=2),
    )


def _architecture(weights: Path) -> list[tuple[str, str]]:
    """What a network is and how large; without torch that cannot be told, and the page says so."""
    try:
        from landmint.train.models import load_model
        from landmint.train.models.complexity import complexity

        model = load_model(weights)
    except ModuleNotFoundError as error:
        return [("architecture", f"not known here: {error.name} is not installed")]
    size = complexity(model.to("meta"))  # shapes are enough to count; nothing is computed
    contract, config = model.contract, model.config
    head = " ".join(word for word in (contract.head.kind, contract.head.decode) if word)
    return [
        ("architecture", f"{config.name} on {model.backbone_of(config)}"),
        ("input", f"{contract.input_size} x {contract.input_size} px, {contract.color}"),
        ("head", head),
        ("parameters", f"{size.parameters / 1e6:.2f} million"),
        ("multiply-accumulates", f"{size.macs / 1e9:.3f} billion a face"),
    ]


def _training_facts(rows: list[dict[str, float]]) -> list[tuple[str, str]]:
    last = rows[-1]
    facts = [("epochs", f"{last['epoch']:.0f}")] if "epoch" in last else []
    if "seconds" in last:
        facts.append(("training time", f"{number(last['seconds'] / 60, 1)} min"))
    best = [row["best_nme"] for row in rows if "best_nme" in row]
    if best:
        facts.append(("best validation NME", f"{percent(best[-1])} %"))
    return facts


def _history(path: Path) -> list[dict[str, float]]:
    """One row an epoch; empty cells left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def _curves(
    rows: list[dict[str, float]], columns: Mapping[str, str], scale: float = 1.0
) -> tuple[Curve, ...]:
    curves = []
    for column, label in columns.items():
        points = [(row["epoch"], row[column] * scale) for row in rows if column in row]
        if points:
            epochs, values = np.array(points).T
            curves.append(Curve(label, epochs, values))
    return tuple(curves)


def _stages(run_dir: Path) -> list[StageRecord]:
    """What each finished stage depended on and how long it took; a stage after those it needs."""
    of_report = record_path(run_dir / REPORT_FILE)
    files = sorted(set((run_dir / RECORDS).glob("*.json")) - {of_report})
    contents = [content for content in map(_optional_json, files) if content.get("outcome")]
    records = {str(content["stage"]): content for content in contents}
    needs = {name: list(content["inputs"]["upstream"]) for name, content in records.items()}
    ordered = []
    for name in TopologicalSorter(needs).static_order():
        # What several runs share, as the teacher, has its record beside the shared place.
        shared = record_path((run_dir / name).resolve())
        content = records.get(name) or _optional_json(shared)
        if content.get("outcome"):
            settings = content["inputs"]["settings"]
            ordered.append(StageRecord(name, content["seconds"], content["digest"], settings))
    return ordered
