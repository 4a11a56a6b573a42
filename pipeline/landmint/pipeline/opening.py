"""From the path of a model to something that predicts: a bundle's variant, or weights in PyTorch.

Not a converter: weights are run as they are, so that the first picture takes seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmint.runtime.bundle import REFERENCE, Bundle, Variant
from landmint.runtime.contract import Contract
from landmint.runtime.engines import ENGINES, Session, load_engine
from landmint.runtime.errors import LandmintError, NotMeasuredError


@dataclass(frozen=True)
class OpenModel:
    """A model that is ready to run."""

    session: Session
    """Runs it."""
    contract: Contract
    """What it eats and returns, in the session's layout."""
    told: str
    """Its name on the screen."""
    about: Mapping[str, Any]
    """What found the landmarks, for the JSON beside them."""

    @property
    def runnable(self) -> tuple[Session, Contract]:
        """Session and contract, as prediction takes them."""
        return self.session, self.contract


def open_model(path: Path, variant: str | None, plans: bool = False) -> OpenModel:
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
    if variant not in (None, REFERENCE):
        raise LandmintError(
            f"{path.name} has no variant '{variant}'",
            reason="it holds weights, which PyTorch runs",
            remedy="make a bundle of them with `landmint export`, and name that",
            choices=[REFERENCE],
        )
    return _open_weights(path)


def _open_weights(path: Path) -> OpenModel:
    from landmint.train.evaluate import TorchSession
    from landmint.train.models import load_model

    model = load_model(path)
    session = TorchSession(model)
    about = _about("model", path.stem, REFERENCE, "torch", session, model.contract)
    return OpenModel(session, model.contract, f"{path.stem}, {REFERENCE}", about)


def _open_bundle(bundle: Bundle, name: str | None) -> OpenModel:
    variant, session = _open_variant(bundle, name)
    contract = bundle.contract_of(variant)
    about = _about("bundle", bundle.manifest.name, variant.name, variant.engine, session, contract)
    return OpenModel(session, contract, variant.name, about)


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
