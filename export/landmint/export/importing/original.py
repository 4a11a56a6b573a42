"""Runs a foreign file as it came, behind the names and shapes of the contract.

It is the reference that forms are compared with: on this machine, one face at a time, never timed.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.export.importing.binding import Binding, steps_of, take
from landmint.runtime.bundle import Bundle
from landmint.runtime.contract import Contract
from landmint.runtime.engines.engine import Tensor
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json, write_json
from landmint.runtime.formats import Format, load
from landmint.runtime.typed_json import MismatchError, read_as

FOLDER = "original"
"""Folder of the file in a bundle; also the name of what runs it."""
BINDING = f"{FOLDER}/binding.json"
"""Path in a bundle of the contract and the binding of the file."""


@dataclass(frozen=True)
class Kind:
    """One kind of file that can be imported; each function as "module:function"."""

    label: str
    """What people call it."""
    form: Format
    """The format whose float32 form is made of it first; all others need the ONNX form."""
    read: str
    """Takes the path and the side of the crop; returns what `write` takes, and a `Signature`."""
    write: str
    """Takes what `read` returned, contract, binding and the path of that form, and writes it."""
    run: str
    """Takes the path; returns a `Run`, and the library with its version."""
    files: str = ""
    """Takes the path; returns all files of the model, in its folder. Empty: it is alone."""


_HERE = "landmint.export.importing"
_TORCHSCRIPT = Kind(
    label="TorchScript",
    form="onnx",
    read=f"{_HERE}.torchscript_file:read",
    write=f"{_HERE}.torchscript_file:write",
    run=f"{_HERE}.torchscript_file:runner",
)
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        ".onnx": Kind(
            label="ONNX",
            form="onnx",
            read=f"{_HERE}.onnx_file:read",
            write=f"{_HERE}.onnx_graph:write",
            run=f"{_HERE}.onnx_file:runner",
            files=f"{_HERE}.onnx_file:files_of",
        ),
        ".tflite": Kind(
            label="TFLite",
            form="tflite",
            read=f"{_HERE}.tflite_file:read",
            write=f"{_HERE}.tflite_file:write",
            run=f"{_HERE}.tflite_file:runner",
        ),
        ".xml": Kind(
            label="OpenVINO IR",
            form="openvino",
            read=f"{_HERE}.openvino_file:read",
            write=f"{_HERE}.openvino_file:write",
            run=f"{_HERE}.openvino_file:runner",
            files=f"{_HERE}.openvino_file:files_of",
        ),
        ".pt": _TORCHSCRIPT,
        ".pth": _TORCHSCRIPT,
    }
)
"""The files that can be imported, by suffix."""

Run = Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]
"""Takes the input in the file's layout; returns the file's outputs by name."""


@dataclass(frozen=True, eq=False)
class OriginalSession:
    """A foreign file behind the runtime's `Session` protocol."""

    contract: Contract
    """In NCHW."""
    binding: Binding
    """How the file's tensors become the contract's."""
    infer: Run
    """Runs the file."""
    version: str
    """The library that runs it, with its version."""
    executed_precision: str = "unknown"
    """No library is asked what it ran."""

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """Canonical outputs of one normalised crop (1, 3, S, S)."""
        own = tensor.transpose(0, 2, 3, 1) if self.binding.layout == "NHWC" else tensor
        raw = self.infer(np.ascontiguousarray(own))
        outputs = {}
        for output in self.contract.outputs:
            tap = self.binding.taps[output.name]
            values = raw[tap.tensor]
            steps = steps_of(tap, values.shape, output, self.contract)
            outputs[output.name] = take(steps, values)
        return outputs


def open_original(path: Path, contract: Contract, binding: Binding) -> OriginalSession:
    """Load a foreign file.

    Raises:
        LandmintError: it does not load.
        NotMeasuredError: what runs it is not installed.
    """
    infer, version = load(KINDS[path.suffix].run)(path)
    return OriginalSession(contract, binding, infer, version)


def write_binding(path: Path, contract: Contract, binding: Binding) -> None:
    """Write what `open_reference` needs beside the file."""
    write_json(path, {"contract": contract.to_json(), "binding": asdict(binding)})


def open_reference(bundle: Bundle) -> OriginalSession:
    """The reference of a bundle that was made by importing a file.

    Raises:
        LandmintError: the file does not load, or is of another contract than the manifest.
        NotMeasuredError: what runs it is not installed.
    """
    path, contract = bundle.path / BINDING, bundle.manifest.contract
    try:
        content = read_json(path)
        binding = read_as(Binding, content["binding"], "binding")
        same = Contract.from_json(content["contract"]) == contract
    except (OSError, KeyError, TypeError, MismatchError) as error:
        raise LandmintError(
            f"{path} cannot be read", reason=str(error), remedy="import the model again"
        ) from None
    if not same or set(binding.taps) != {output.name for output in contract.outputs}:
        raise LandmintError(
            f"{path} is of another contract than the manifest", remedy="import the model again"
        )
    return open_original(bundle.entry(bundle.manifest.reference), contract, binding)
