"""The errors of a shipped model in all its forms, on faces that are the same everywhere.

What `benchmarks/publish.py` writes into tests/reference and the suite measures again: a change
that costs a model accuracy is seen where it is made. No times: those belong to one machine.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from landmint.pipeline.opening import load_variant
from landmint.pipeline.recipe import Recipe
from landmint.runtime.accuracy import Truth, face_sizes, nme_per_image, point_errors
from landmint.runtime.bundle import Bundle
from landmint.runtime.crop import Floats
from landmint.runtime.engines import ON_GPU
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import write_text
from landmint.runtime.formats import FORMATS, TORCH, Format
from landmint.runtime.machine import Machine
from landmint.runtime.markup import get_markup
from landmint.runtime.predict import predict_crops
from landmint.runtime.progress import SILENT, Progress
from landmint.train.evaluate import crop_faces, evaluate, truth_of
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import FacesConfig, Split, SyntheticConfig, load_faces
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.models.base import LandmarkModel

DRAWN = SyntheticConfig(train=64, val=16, test=60, size_px=160, seed=2026)
"""The faces of the reference: enough to calibrate on, to compare forms on and to measure on, and
drawn in seconds."""
TIES_POINTS = 0.02
"""Least tolerance. Forms in float differ by sums in another order, which moves no landmark, except
where two cells of a map tie: then it jumps by a cell, a fifth of the distance between the eyes or
two. One landmark of one of 60 faces that does so moves NME by .01 points."""
_DEVIATIONS = 3.0


@dataclass(frozen=True)
class FormError:
    """One form's error."""

    nme_percent: float
    """NME in percent of the markup's normaliser."""
    tolerance_points: float
    """By how much another machine may differ, in points of percent."""


@dataclass(frozen=True)
class Measured:
    """A model's errors on one set of faces."""

    what: str
    """Which faces, for people."""
    faces: int
    """Their number."""
    fingerprint: str
    """Of the `FaceSet`; empty where its pictures are drawn anew."""
    figures: Mapping[str, FormError]
    """By variant."""
    saturated: Mapping[str, FormError] = field(default_factory=dict)
    """The same of INT8 variants on a processor where their sums overflow (see
    `Machine.int8_saturates`); empty where none was at hand."""

    def figures_on(self, machine: Machine) -> Mapping[str, FormError]:
        """The figures that hold on a machine."""
        return {**self.figures, **(self.saturated if machine.int8_saturates else {})}


@dataclass(frozen=True)
class Reference:
    """What stands in one file of tests/reference."""

    recipe: str
    """The recipe's name; it says how INT8 is made."""
    weights_sha256: str
    """Of the shipped file."""
    drawn: Measured
    """On the faces of `DRAWN`."""
    test: Measured
    """On the recipe's own test faces, which may not be here."""


def draw_faces(folder: Path, markup: str, drawn: SyntheticConfig) -> dict[Split, FaceSet]:
    """Draw faces into a folder and read them; splits without faces are left out."""
    write_synthetic(folder, drawn.counts, get_markup(markup), drawn.size_px, drawn.seed)
    config = FacesConfig(root=folder, markup=markup, synthetic=drawn)
    return {
        split: load_faces(config, split, Path()) for split, count in drawn.counts.items() if count
    }


def make_float_forms(model: LandmarkModel, recipe: Recipe, faces: FaceSet, folder: Path) -> Bundle:
    """The recipe's float forms of a network, without those that only a GPU runs.

    Args:
        model: trained.
        recipe: says which forms.
        faces: to compare the forms on.
        folder: of the bundle.

    Raises:
        LandmintError: a form is not in parity with the network.
    """
    from landmint.export.bundle_export import export_bundle

    formats = _without_gpu(recipe.export.formats)
    config = recipe.export.model_copy(update={"formats": formats})
    return export_bundle(model, faces, config, folder, {})


def add_int8(
    bundle: Bundle, recipe: Recipe, faces: Mapping[Split, FaceSet], folder: Path
) -> Bundle:
    """The same with INT8 as the recipe makes it of a network as it was trained.

    Args:
        bundle: of `make_float_forms`.
        recipe: says which forms, and how they are calibrated.
        faces: "train" to calibrate on; "test" to keep apart from those.
        folder: of the new bundle.

    Raises:
        LandmintError: too few faces, or a quantiser failed.
    """
    from landmint.quantize.bundle_quantize import quantize_bundle

    formats = _without_gpu(recipe.quantize.formats)
    config = recipe.quantize.model_copy(update={"formats": formats, "explain": False})
    return quantize_bundle(bundle, faces["train"], faces["test"], config, folder)


def _without_gpu(formats: tuple[Format, ...]) -> tuple[Format, ...]:
    return tuple(name for name in formats if FORMATS[name].engine not in ON_GPU)


def measure_forms(
    model: LandmarkModel,
    bundle: Bundle,
    faces: FaceSet,
    progress: Progress = SILENT,
) -> dict[str, Floats]:
    """The error of each face by each form that was built: {variant: (N,)}, as shares.

    Args:
        model: the network in PyTorch.
        bundle: its other forms.
        faces: labelled.
        progress: called before each form.

    Raises:
        LandmintError: faces and model have different markups.
        NotMeasuredError: an engine is not installed here.
    """
    crops, truth = crop_faces(faces.faces, model.contract), truth_of(faces)
    progress.step(TORCH)
    errors = {TORCH: evaluate(model, faces, crops=crops).per_face}
    for variant in bundle.manifest.variants:
        if variant.name == TORCH or not variant.files:
            continue
        progress.step(variant.name)
        session, contract = load_variant(bundle, variant), bundle.contract_of(variant)
        points, _ = predict_crops(session, contract, crops.crops, crops.matrices)
        errors[variant.name] = _errors(points, truth)
    return errors


def _errors(points: Floats, truth: Truth) -> Floats:
    return nme_per_image(point_errors(points, truth.points), face_sizes(truth))


def figures_of(errors: Mapping[str, Floats]) -> dict[str, FormError]:
    """NME and tolerance of each form.

    An INT8 form rounds elsewhere on another processor, or with another version of its engine: as
    if chance drew its rounding anew. What rounding does to the NME has a standard error, that of
    the mean over faces of a form's error less PyTorch's; the difference of two draws has √2 times
    it. Three of those are tolerated: one comparison in 370 fails by chance alone.

    Args:
        errors: {variant: (N,)} of `measure_forms`.
    """
    reference = errors[TORCH]
    figures = {}
    for name, per_face in errors.items():
        deviation = float(np.std(per_face - reference)) * math.sqrt(2 / len(per_face))
        tolerance = max(TIES_POINTS, 100 * _DEVIATIONS * deviation)
        figures[name] = FormError(round(100 * float(per_face.mean()), 4), round(tolerance, 4))
    return figures


def write_reference(path: Path, reference: Reference) -> None:
    """Write the file that the suite measures against."""
    lines = [
        "# Written by benchmarks/publish.py, and measured again by tests/reference.",
        "# Where the tolerances come from: figures_of in pipeline/landmint/pipeline/reference.py.",
        f'recipe = "{reference.recipe}"',
        f'weights_sha256 = "{reference.weights_sha256}"',
    ]
    for name, measured in (("drawn", reference.drawn), ("test", reference.test)):
        lines += ["", f"[{name}]", f'what = "{measured.what}"', f"faces = {measured.faces}"]
        lines += [f'fingerprint = "{measured.fingerprint}"']
        lines += _figures_table(f"{name}.figures", measured.figures)
        if measured.saturated:
            lines += _figures_table(f"{name}.saturated", measured.saturated)
    write_text(path, "\n".join(lines) + "\n")


def _figures_table(name: str, figures: Mapping[str, FormError]) -> list[str]:
    lines = ["", f"[{name}]"]
    for variant, figure in figures.items():
        values = ", ".join(f"{key} = {value:.4f}" for key, value in asdict(figure).items())
        lines.append(f'"{variant}" = {{ {values} }}')
    return lines


def read_reference(path: Path) -> Reference:
    """What `write_reference` wrote.

    Raises:
        LandmintError: the file is missing, or something in it is.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        drawn, test = (_measured(content[name]) for name in ("drawn", "test"))
        return Reference(content["recipe"], content["weights_sha256"], drawn, test)
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise LandmintError(
            f"{path} is no reference of a shipped model",
            reason=f"{type(error).__name__}: {error}",
            remedy="write it with benchmarks/publish.py",
        ) from None


def _measured(content: Mapping[str, Any]) -> Measured:
    tables = {
        table: {name: FormError(**figure) for name, figure in content[table].items()}
        for table in ("figures", "saturated")
        if table == "figures" or table in content
    }
    return Measured(**{**content, **tables})
