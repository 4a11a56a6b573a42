"""A foreign network as an origin of forms, beside the networks that landmint trained."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from landmint.export.importing.binding import Binding
from landmint.export.importing.foreign_contract import corrected, read_foreign_contract
from landmint.export.importing.original import (
    BINDING,
    FOLDER,
    KINDS,
    Kind,
    open_original,
    write_binding,
)
from landmint.export.parity import Crops, Tensors, engine_outputs, require_finite
from landmint.runtime.bundle import Variant
from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import ORIGINAL, Format, load

_EXPORT = (
    "export the network to ONNX from its framework, or name the function that builds it in "
    "PyTorch: package.module:function"
)
_REFUSED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        ".dat": (
            "a shape predictor of dlib's is decision trees, no network: there is no graph to "
            "export or to quantise",
            "measure it beside your networks with benchmarks/rivals.py; benchmarks/dlib_forest.py "
            "runs it by numpy",
        ),
        ".safetensors": (
            "it has weights, and no network",
            "name the function that builds the network: package.module:function --weights FILE",
        ),
    }
)
"""Files that people bring and that cannot be imported: reason and remedy by suffix."""


@dataclass(frozen=True, eq=False)
class Imported:
    """The origin that is a file which somebody else exported."""

    path: Path
    """The file."""
    contract: Contract
    """What it takes and returns, once bound."""
    binding: Binding
    """How its tensors become the contract's."""
    model: Any
    """What its kind's `read` returned."""

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.stem

    @property
    def source(self) -> Format:
        """The format that is made of the file itself."""
        return self._kind.form

    @property
    def label(self) -> str:
        """What the file is, in a sentence."""
        return f"the {self._kind.label} file {self.path.name}"

    @property
    def _kind(self) -> Kind:
        return KINDS[self.path.suffix]

    def outputs(self, crops: Crops) -> Tensors:
        """Canonical outputs of the file as it came."""
        session = open_original(self.path, self.contract, self.binding)
        try:
            outputs = engine_outputs(session, self.contract, crops)
        except LandmintError:
            raise
        except Exception as error:  # engines raise types of their own
            raise LandmintError(
                f"{self.path.name} does not run",
                reason=" ".join(str(error).split())[:400],
                remedy="check that the file runs by itself, and that the contract is right",
            ) from None
        require_finite(outputs)
        return outputs

    def save(self, folder: Path) -> Variant:
        """Copy the file, byte for byte, with the files in which it keeps tensors."""
        names = load(self._kind.files)(self.path) if self._kind.files else (self.path.name,)
        for name in names:
            place = folder / FOLDER / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path.parent / name, place)
        write_binding(folder / BINDING, self.contract, self.binding)
        files = (*(f"{FOLDER}/{name}" for name in names), BINDING)
        return Variant(ORIGINAL, FOLDER, files)

    def write_source(self, path: Path) -> None:
        """Write the network with the contract's input and outputs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        load(self._kind.write)(self.model, self.contract, self.binding, path)


def read_imported(path: Path, contract_path: Path) -> Imported:
    """A foreign network, bound to what a person says of it.

    Args:
        path: of the model.
        contract_path: the TOML.

    Raises:
        LandmintError: either cannot be read, or they do not fit each other.
    """
    spec = read_foreign_contract(contract_path)
    model, signature = load(kind_of(path).read)(path, spec.input.size)
    try:
        contract, binding = spec.bind(signature)
    except LandmintError as error:
        raise corrected(error, contract_path) from None
    return Imported(path, contract, binding, model)


def kind_of(path: Path) -> Kind:
    """The kind of a file, by its suffix.

    Raises:
        LandmintError: it is not there, or of a kind that is not imported.
    """
    if path.suffix not in KINDS:
        known = f"its name ends in {path.suffix!r}", _EXPORT
        reason, remedy = _REFUSED.get(path.suffix, known)
        raise LandmintError(
            f"{path} is no file that can be imported", reason=reason, remedy=remedy, choices=KINDS
        )
    if not path.is_file():
        raise LandmintError(f"{path} does not exist", remedy="check the path")
    return KINDS[path.suffix]
