"""The trained students that come with landmint: `NAME.safetensors`, and `NAME.md` that tells all.

Beside them lie INT8 forms that are ready to deploy, `NAME.tflite` and `NAME.onnx`. What stands in
this folder is what is shipped; there is no other list. `benchmarks/publish.py` puts models here.
Importing this loads no torch, nor does listing: only the files' heads are read.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.train.home import join

SUFFIX = ".safetensors"
FORMS: Mapping[str, str] = MappingProxyType({"tflite/int8": ".tflite", "onnx/int8": ".onnx"})
"""Suffixes of the forms that may lie beside the weights, by variant; the fastest first."""
_NOTE = "published"


@dataclass(frozen=True)
class Published:
    """What a shipped model's file says about it, beside its weights."""

    network: str
    """Architecture and trunk, for people."""
    input_size: int
    """Side of the square input, in pixels."""
    markup: str
    """Its landmark scheme."""
    parameters: int
    """Trainable numbers."""
    faces: str
    """What its NME was measured on, for people."""
    drawn: bool
    """Whether those faces are drawn, not photographed."""
    nme: float
    """Mean error in PyTorch on them, as a share of the markup's normaliser."""

    def to_note(self) -> dict[str, str]:
        """As an entry of the metadata of safetensors."""
        return {_NOTE: json.dumps(asdict(self))}


@dataclass(frozen=True)
class Shipped:
    """One model of the zoo."""

    name: str
    """What people call it."""
    weights: Path
    """Its file."""
    about: Published
    """What that says."""

    @property
    def card(self) -> Path:
        """Its model card, in Markdown."""
        return self.weights.with_suffix(".md")


def folder() -> Path:
    """Where the shipped models lie."""
    return Path(str(resources.files(__name__)))


def shipped() -> tuple[Shipped, ...]:
    """Every shipped model: those measured on photographs first, each kind by its NME.

    Raises:
        LandmintError: a file in the folder is none that was published.
    """
    models = [_read(path) for path in _files().values()]
    return tuple(sorted(models, key=lambda model: (model.about.drawn, model.about.nme)))


def best() -> Shipped:
    """The shipped model with the lowest NME.

    Raises:
        NotMeasuredError: none is shipped.
    """
    for model in shipped():
        return model
    raise NotMeasuredError(
        "no model is shipped with this landmint",
        reason=f"{folder()} holds no {SUFFIX} file",
        remedy="train one, `landmint run demo`, and name its bundle or weights",
    )


def find_model(given: str) -> Path:
    """The weights of a shipped model, or what stands at a path; every verb finds models by this.

    A shipped name means the shipped model even where a file has that name; "./NAME" means the file.
    Weights that came home in parts are joined first.

    Args:
        given: a shipped name, or the path of weights or of a bundle.

    Raises:
        LandmintError: it is neither, or a part of it is missing.
    """
    models = _files()
    if given in models:
        return models[given]
    if Path(given).exists() or join(Path(given)):
        return Path(given)
    near = difflib.get_close_matches(given, models, n=1)
    raise LandmintError(
        f"{given} is no file, no folder and no shipped model",
        reason="" if models else "this landmint came without models",
        remedy=f"did you mean {near[0]}?" if near else "give weights, a bundle or a shipped model",
        choices=models,
    )


def forms_beside(weights: Path) -> dict[str, Path]:
    """The INT8 forms of a shipped model by variant, the fastest first; empty for other weights."""
    if weights not in _files().values():
        return {}
    files = {variant: weights.with_suffix(suffix) for variant, suffix in FORMS.items()}
    return {variant: file for variant, file in files.items() if file.exists()}


def _files() -> dict[str, Path]:
    """The weights of every shipped model by its name."""
    return {path.stem: path for path in sorted(folder().glob(f"*{SUFFIX}"))}


def _read(path: Path) -> Shipped:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            notes: Mapping[str, str] = file.metadata() or {}
        content: dict[str, Any] = json.loads(notes[_NOTE])
        return Shipped(path.stem, path, Published(**content))
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise LandmintError(
            f"{path} is no published model",
            reason=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            remedy="put models there with benchmarks/publish.py; name others by their path",
        ) from None
