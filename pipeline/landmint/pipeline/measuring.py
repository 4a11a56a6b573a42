"""The stage that measures: test faces cropped once, every variant on a target, and the reference.

What it writes is raw: `<format>-<precision>.json` and `.npy` of each variant, and `truth.npz`, so
that the folder alone can be judged. Statistics and verdicts are made from it elsewhere.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landmint.pipeline.judge.truth import TRUTH_FILE, write_truth
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.opening import load_reference
from landmint.runtime.accuracy import Truth
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import is_reference
from landmint.runtime.measurement import Measurement, write_measurement
from landmint.runtime.predict import predict_crops
from landmint.runtime.progress import Progress
from landmint.runtime.scratch import scratch_folder
from landmint.targets import load_target
from landmint.targets.measure import measure_bundle
from landmint.targets.sustained import check_minutes
from landmint.train.evaluate import FaceCrops, crop_faces, truth_of
from landmint.train.faces.face import FaceSet, missing_lines


def measure_into(
    folder: Path,
    bundle: Bundle,
    faces: FaceSet,
    config: MeasureConfig,
    variants: Sequence[str],
    bar: Progress,
    minutes: float = 0.0,
) -> None:
    """Measure variants on labelled faces and write everything into `folder`.

    Args:
        folder: created if it is not there.
        bundle: what to measure.
        faces: of the bundle's markup.
        config: target, threads and how long to time.
        variants: names; none means all. The reference is always among them.
        bar: told of each step.
        minutes: how long each variant runs without a pause afterwards; not at all when 0.

    Raises:
        LandmintError: faces and bundle have different markups, there is no such variant, or
            minutes are asked for of a target whose times say nothing.
    """
    target = load_target(config.target)
    check_minutes(target, minutes)
    contract = bundle.manifest.contract
    if faces.markup != contract.markup:
        raise LandmintError(
            f"the faces have markup {faces.markup}, the bundle {contract.markup}",
            remedy="measure a bundle on faces of its own markup",
        )
    folder.mkdir(parents=True, exist_ok=True)
    bar.step(f"crops of {len(faces.faces)} faces")
    for line in missing_lines(faces):
        bar.step(line)
    truth, crops = truth_of(faces), crop_faces(faces.faces, contract)
    write_truth(folder / TRUTH_FILE, truth)
    _measure_reference(folder, bundle, truth, crops)
    others = [name for name in variants if not is_reference(name)]
    if variants and not others:
        return
    with scratch_folder() as scratch:
        packed = scratch / "crops.npz"
        np.savez(packed, crops=crops.crops, matrices=crops.matrices, names=np.array(truth.names))
        measure_bundle(target, bundle, others, packed, config.latency, folder, bar, minutes)


def _measure_reference(folder: Path, bundle: Bundle, truth: Truth, crops: FaceCrops) -> None:
    """Landmarks of the network before it was converted; its time says nothing about a device."""
    variant = bundle.manifest.reference
    session, version = load_reference(bundle)
    points, _ = predict_crops(session, bundle.manifest.contract, crops.crops, crops.matrices)
    write_measurement(
        folder,
        Measurement(
            bundle=bundle.manifest.name,
            variant=variant.name,
            engine=variant.engine,
            status="measured",
            bundle_sha256=bundle.sha256,
            engine_version=version,
            executed_precision=session.executed_precision,
            files={name: bundle.manifest.files[name] for name in variant.files},
            size_bytes=bundle.size_bytes(variant),
            faces=truth.names,
            points=points,
        ),
    )
