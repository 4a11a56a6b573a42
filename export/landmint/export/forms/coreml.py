"""ONNX to Core ML: an ML program in a package, by onnx2coreml and Apple's coremltools.

Both run in a process of their own. The package can be made anywhere, and runs on macOS and iOS.
"""

from collections.abc import Mapping
from pathlib import Path

from landmint.export.embed import write_contract
from landmint.export.isolated import run_isolated
from landmint.runtime.contract import Contract
from landmint.runtime.embedded import read_contract
from landmint.runtime.mlpackage import package_of

_WORKER = "landmint.export.forms.coreml_worker"


def export(onnx_path: Path, files: Mapping[str, Path]) -> Mapping[str, str]:
    """Write a package for each precision, as `Export` says.

    Args:
        onnx_path: of `to_onnx`.
        files: of the graphs inside the packages, by precision. In "float16" weights are stored and
            activations are computed so; input and outputs are float32 in both.

    Raises:
        LandmintError: the converter failed, or the ONNX file carries no contract.
    """
    contract = read_contract(onnx_path)
    for precision, path in files.items():
        convert(onnx_path, path, contract, half=precision == "float16")
        write_contract(path, contract)
    return {}


def convert(onnx_path: Path, path: Path, contract: Contract, *, half: bool) -> None:
    """Convert an ONNX file, without writing the contract into the result.

    Args:
        onnx_path: of a float32 graph, or of one with Q/DQ pairs: symmetric int8, scales of one
            tensor for activations and of each channel for weights.
        path: of the graph inside the package to write, as `landmint.runtime.mlpackage` says.
        contract: what the graph takes and returns.
        half: compute in float16 what is not INT8.

    Raises:
        LandmintError: the converter failed, or its package does not keep the contract.
    """
    request = {
        "onnx": str(onnx_path.absolute()),
        "package": str(package_of(path).absolute()),
        "half": half,
        "input": [contract.input_name, list(contract.input_shape)],
        "outputs": {output.name: [1, *output.shape] for output in contract.outputs},
    }
    run_isolated(_WORKER, request, fact=f"{onnx_path.name} could not be converted to Core ML")
