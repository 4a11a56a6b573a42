"""From a run's folder to a `RunRecord`: what stands there is read, what is absent is left out.

Only the bundle and the measurements have to be there; a report without a teacher, or away from the
data set, is still a report.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
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
from landmint.pipeline.report.run_files import (
    AskedFile,
    FacesFile,
    StageFile,
    VerdictFile,
    parse,
    read_run_file,
)
from landmint.pipeline.text import number, percent, thousands
from landmint.quantize.explain.explanation import EXPLANATION, read_explanation
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
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
    bundle = Bundle.open(run_dir / "bundle", verify=False)
    manifest = bundle.manifest
    measurements = read_measurements(run_dir / "measurements")
    truth = read_truth(run_dir / "measurements" / TRUTH_FILE)
    provenance = manifest.provenance
    asked = read_run_file(run_dir / RUN_FILE, AskedFile) or AskedFile()
    faces = read_run_file(run_dir / "faces" / FACES_FILE, FacesFile)
    faces = faces or _faces_of_the_bundle(bundle)
    verdict = read_run_file(run_dir / "verdict" / VERDICT_FILE, VerdictFile) or VerdictFile()
    losses_file = run_dir / "bundle" / EXPLANATION
    networks = (_network(name, run_dir / name, provenance) for name in ROLES)
    return RunRecord(
        name=asked.name or str(provenance.get("recipe") or manifest.name),
        about=asked.about or str(provenance.get("about", "")),
        recipe=asked.recipe,
        command=asked.command,
        manifest=manifest,
        summaries=summarise_run(measurements, truth),
        truth=truth,
        verdicts=tuple(Verdict.from_json(content) for content in verdict.verdicts),
        advice=verdict.advice,
        networks=tuple(network for network in networks if network),
        images=_images(faces),
        upright=frozenset(faces.upright_images),
        faces=_faces(faces),
        stages=tuple(_stages(run_dir)),
        findings=read_findings(run_dir / "bundle" / LINT_FILE),
        explanation=read_explanation(losses_file) if losses_file.is_file() else None,
        sustained=_sustained(measurements, run_dir / SUSTAINED),
    )


def _sustained(measurements: Sequence[Measurement], folder: Path) -> tuple[Measurement, ...]:
    """Those with minutes without a pause, of the run itself and of the folder that is for them."""
    more = read_measurements(folder) if folder.is_dir() else ()
    return tuple(each for each in (*measurements, *more) if each.sustained is not None)


def _faces_of_the_bundle(bundle: Bundle) -> FacesFile:
    """What the bundle says of the faces, where the run's own file is not there."""
    about = bundle.manifest.provenance.get("faces")
    about = about if isinstance(about, Mapping) else {}
    splits = {name: part for name, part in about.items() if isinstance(part, Mapping)}
    return parse({"kind": about.get("kind", ""), "splits": splits}, FacesFile, bundle.path)


def _images(faces: FacesFile) -> dict[str, Path]:
    """The test pictures that can still be found."""
    paths = {name: Path(faces.root) / place for name, place in faces.test_images.items()}
    return {name: path for name, path in paths.items() if path.is_file()}


def _faces(faces: FacesFile) -> tuple[tuple[str, str], ...]:
    """Counts of each split."""
    facts = [("kind", faces.kind)]
    for split, counts in faces.splits.items():
        persons = f" of {thousands(counts.persons)} persons" if counts.persons is not None else ""
        facts.append((split, f"{thousands(counts.faces)} faces{persons}"))
        facts.append((f"{split} fingerprint", counts.fingerprint))
    return tuple(facts)


def _network(stage: str, folder: Path, provenance: Mapping[str, Any]) -> Network | None:
    weights = folder / WEIGHTS
    if not weights.is_file():
        return None
    facts = _architecture(weights)
    rows = _history(folder / HISTORY_FILE)
    known = provenance.get(stage)
    known = known if isinstance(known, Mapping) else {}
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
    """One row an epoch; cells without a finite number are left out."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    except (TypeError, ValueError, csv.Error) as error:
        raise LandmintError(
            f"{path} is no log of a training",
            reason=str(error)[:400],
            remedy="train again, or remove it: the page does without it",
        ) from None
    finite = [{k: v for k, v in row.items() if math.isfinite(v)} for row in rows]
    return [row for row in finite if "epoch" in row]


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
    records = {record.stage: record for file in files if (record := _finished(file))}
    needs = {name: list(record.inputs.upstream) for name, record in records.items()}
    ordered = []
    for name in _in_order(needs):
        # What several runs share, as the teacher, has its record beside the shared place.
        record = records.get(name) or _finished(record_path((run_dir / name).resolve()))
        if record:
            ordered.append(StageRecord(name, record.seconds, record.digest, record.inputs.settings))
    return ordered


def _finished(path: Path) -> StageFile | None:
    """The record of a stage; None where it has none, or has not come to its end."""
    record = read_run_file(path, StageFile)
    return record if record and record.outcome else None


def _in_order(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Stages after those that they need.

    Raises:
        LandmintError: they need each other.
    """
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise LandmintError(
            "stages of the run need each other",
            reason=" needs ".join(map(str, error.args[1])),
            remedy="run it again",
        ) from None
