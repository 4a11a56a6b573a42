"""A foreign network as an origin of forms, beside the networks that landmint trained."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import onnx

from landmint.export.forms.onnx import save_onnx
from landmint.export.importing.binding import Binding
from landmint.export.importing.foreign_contract import corrected, read_foreign_contract
from landmint.export.importing.onnx_file import close_shapes, files_of, read_onnx, signature_of
from landmint.export.importing.onnx_graph import canonical_graph
from landmint.export.importing.original import BINDING, FOLDER, open_original, write_binding
from landmint.export.parity import Crops, Tensors, engine_outputs, require_finite
from landmint.runtime.bundle import Variant
from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import ORIGINAL

SUFFIXES = (".onnx",)
"""Files that can be imported."""


@dataclass(frozen=True, eq=False)
class Imported:
    """The origin that is a file which somebody else exported."""

    path: Path
    """The file."""
    contract: Contract
    """What it takes and returns, once bound."""
    binding: Binding
    """How its tensors become the contract's."""
    model: onnx.ModelProto
    """Its graph, with closed shapes."""

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.stem

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
        names = files_of(self.path)
        for name in names:
            place = folder / FOLDER / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path.parent / name, place)
        write_binding(folder / BINDING, self.contract, self.binding)
        files = (*(f"{FOLDER}/{name}" for name in names), BINDING)
        return Variant(ORIGINAL, FOLDER, files)

    def to_onnx(self, path: Path) -> None:
        """Write the graph with the contract's input and outputs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_onnx(canonical_graph(self.model, self.contract, self.binding), self.contract, path)


def read_imported(path: Path, contract_path: Path) -> Imported:
    """A foreign network, bound to what a person says of it.

    Args:
        path: of the model.
        contract_path: the TOML.

    Raises:
        LandmintError: either cannot be read, or they do not fit each other.
    """
    if path.suffix not in SUFFIXES:
        raise LandmintError(
            f"{path} is no file that can be imported",
            reason=f"its name ends in {path.suffix!r}",
            remedy="export the network to ONNX from its framework",
            choices=SUFFIXES,
        )
    spec = read_foreign_contract(contract_path)
    model = close_shapes(read_onnx(path), spec.input.size)
    try:
        contract, binding = spec.bind(signature_of(model.graph))
    except LandmintError as error:
        raise corrected(error, contract_path) from None
    return Imported(path, contract, binding, model)
