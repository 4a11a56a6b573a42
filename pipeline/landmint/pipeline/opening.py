"""From the path of a model to something that predicts: a bundle's variant, a shipped form, weights.

Not a converter: weights are run by PyTorch as they are, so that the first picture takes seconds.
Importing this loads numpy alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.pipeline.extras import naming_extras
from landmint.runtime.bundle import Bundle, Variant
from landmint.runtime.contract import Contract
from landmint.runtime.crop import Box, Image
from landmint.runtime.embedded import read_contract
from landmint.runtime.engines import ENGINES, Session, load_engine
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.formats import FORMATS, TORCH
from landmint.runtime.predict import Prediction, predict_image


@dataclass(frozen=True)
class Model:
    """A model that is ready to predict."""

    session: Session
    """Runs it."""
    contract: Contract
    """What it eats and returns, in the session's layout."""
    name: str
    """Its name, for people."""
    about: Mapping[str, Any]
    """Model, variant, engine, executed precision and markup, for the JSON beside landmarks."""

    @naming_extras
    def predict(
        self,
        image: str | Path | NDArray[np.uint8],
        box: tuple[float, float, float, float] | None = None,
    ) -> list[Prediction]:
        """Landmarks of the faces in an image.

        Args:
            image: (H, W, 3) uint8 RGB, or a file.
            box: x, y, width and height of the face in image pixels, tight around its landmarks;
                faces are looked for when absent.

        Returns:
            box, points (L, 2) in image pixels and confidence (L,) of each face: of the one given,
            else of all that are seen, the largest first.

        Raises:
            LandmintError: the image cannot be read or is not RGB, or the box lies outside it.
            MissingLibraryError: OpenCV, which reads files and looks for faces, is not installed.

        Example:
            >>> from landmint import api
            >>> model = api.load("pipnet-mbv3")
            >>> [face] = model.predict("photo.jpg", box=(60, 60, 130, 130))
            >>> face.points.shape, face.confidence.shape
            ((68, 2), (68,))
        """
        pixels = image if isinstance(image, np.ndarray) else _read(Path(image))
        name = "the image" if isinstance(image, np.ndarray) else str(image)
        return [
            predict_image(self.session, self.contract, pixels, face)
            for face in self._boxes(pixels, box, name)
        ]

    def _boxes(
        self, image: Image, box: tuple[float, float, float, float] | None, name: str
    ) -> list[Box]:
        if box is None:
            from landmint.pipeline.detect import find_faces

            return find_faces(image)
        check_inside(Box(*box), image, name)
        return [Box(*box)]


def _read(path: Path) -> Image:
    from landmint.train.faces.face import read_image

    return read_image(path, upright=True)


def check_inside(box: Box, image: Image, name: str) -> None:
    """Refuse a box beside the image; one that reaches over its edge is no mistake.

    Raises:
        LandmintError: the box lies outside the image called `name`.
    """
    height, width = image.shape[:2]
    if box.x < width and box.y < height and box.x + box.w > 0 and box.y + box.h > 0:
        return
    raise LandmintError(
        f"the box {','.join(f'{value:g}' for value in box)} lies outside {name}",
        reason=f"the image has {width} x {height} pixels",
        remedy="give the box in pixels of the image as it is stored",
    )


def open_model(path: Path, variant: str | None, plans: bool = False) -> Model:
    """Load a model.

    Args:
        path: a bundle's folder, or weights.
        variant: which form of a bundle; the first that runs here when absent.
        plans: whether a TensorRT plan of the bundle may run.

    Raises:
        LandmintError: there is no model at the path, or it has no such variant.
        NotMeasuredError: the variant cannot run here.
    """
    if not path.is_file():
        return _open_bundle(Bundle.open(path, plans=plans), variant)
    if variant not in (None, TORCH):
        raise LandmintError(
            f"{path.name} has no variant '{variant}'",
            reason="it holds weights, which PyTorch runs",
            remedy="make a bundle of them with `landmint export`, and name that",
            choices=[TORCH],
        )
    return _open_weights(path)


def open_forms(weights: Path, forms: Mapping[str, Path], name: str | None) -> Model | None:
    """A form that lies beside weights, with its contract inside; None where none is to run.

    Args:
        weights: of the same model.
        forms: variant to file, the fastest first.
        name: which of them; the first that runs here when absent.

    Raises:
        LandmintError: the file is broken.
        NotMeasuredError: the form that is named cannot run here.
    """
    for variant, path in forms.items():
        if name not in (None, variant):
            continue
        try:
            return _open_form(weights.stem, variant, path)
        except NotMeasuredError:
            if name is not None:
                raise
    return None


def _open_form(name: str, variant: str, path: Path) -> Model:
    engine = load_engine(FORMATS[variant.split("/")[0]].engine)
    contract = read_contract(path)
    session = engine.load(path, contract, threads=1)
    about = _about("model", name, variant, engine.name, session, contract)
    return Model(session, contract, f"{name}, {variant}", about)


def _open_weights(path: Path) -> Model:
    from landmint.train.evaluate import TorchSession
    from landmint.train.models import load_model

    model = load_model(path)
    session = TorchSession(model)
    about = _about("model", path.stem, TORCH, "torch", session, model.contract)
    return Model(session, model.contract, f"{path.stem}, {TORCH}", about)


def _open_bundle(bundle: Bundle, name: str | None) -> Model:
    variant, session = _open_variant(bundle, name)
    contract = bundle.contract_of(variant)
    about = _about("bundle", bundle.manifest.name, variant.name, variant.engine, session, contract)
    return Model(session, contract, variant.name, about)


def _about(
    kind: str, name: str, variant: str, engine: str, session: Session, contract: Contract
) -> dict[str, Any]:
    return {
        kind: name,
        "variant": variant,
        "engine": engine,
        "executed_precision": session.executed_precision,
        "markup": contract.markup,
    }


def _open_variant(bundle: Bundle, name: str | None) -> tuple[Variant, Session]:
    """The variant asked for, or the first that runs here."""
    if name is not None:
        variant = bundle.variant(name)
        return variant, load_variant(bundle, variant)
    reasons = []
    for variant in bundle.manifest.variants:
        if variant.engine not in ENGINES:
            continue
        try:
            return variant, load_variant(bundle, variant)
        except NotMeasuredError as error:
            reasons.append(f"{variant.name}: {error.reason or error.fact}")
    raise NotMeasuredError(
        f"no variant of {bundle.path} runs here",
        reason="; ".join(reasons) or "it has none for the engines that landmint knows",
        remedy="run `landmint doctor` to see what to install",
    )


def load_reference(bundle: Bundle) -> tuple[Session, str]:
    """The network before it was converted, with the library that runs it and its version.

    Raises:
        LandmintError: the bundle has no reference, or a broken one.
        NotMeasuredError: what runs it is not installed.
    """
    variant = bundle.manifest.reference
    if variant.format == "original":
        from landmint.export.importing.original import open_reference

        original = open_reference(bundle)
        return original, original.version
    import torch

    from landmint.train.evaluate import TorchSession
    from landmint.train.models import load_model

    bundle.check_artefact(variant)
    return TorchSession(load_model(bundle.entry(variant))), f"torch {torch.__version__}"


def load_variant(bundle: Bundle, variant: Variant) -> Session:
    """A variant in its engine, with one thread.

    Raises:
        LandmintError: no engine runs it.
        NotMeasuredError: it was not built, or its engine is not here.
    """
    if variant.engine not in ENGINES:
        raise LandmintError(
            f"{variant.name} is not run by `predict`",
            reason="it is the reference that other variants are compared with",
            choices=[v.name for v in bundle.manifest.variants if v.files and v.engine in ENGINES],
        )
    bundle.check_artefact(variant)
    entry, contract = bundle.entry(variant), bundle.contract_of(variant)
    return load_engine(variant.engine).load(entry, contract, threads=1)
