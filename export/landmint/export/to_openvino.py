"""ONNX to OpenVINO IR, in float32 or with weights stored as float16.

Not an engine: which precision the plugin computes in is settled where it runs.
"""

from pathlib import Path

from landmint.export.embed import read_contract, write_contract
from landmint.export.isolated import missing_packages


def unavailable() -> str:
    """Why this machine cannot write OpenVINO IR; empty when it can."""
    return missing_packages("openvino")


def to_openvino(onnx_path: Path, xml_path: Path, *, half: bool = False) -> tuple[Path, Path]:
    """Write the IR of an ONNX file with the contract in its `rt_info`.

    Not atomic by itself, since it is two files: `write_bundle` is.

    Args:
        onnx_path: of `to_onnx`.
        xml_path: of the IR's graph; the weights stand beside it under the suffix .bin.
        half: store the weights as float16.

    Returns:
        the two files, graph first.

    Raises:
        LandmintError: the ONNX file carries no contract.
    """
    import openvino

    contract = read_contract(onnx_path)
    # read_model, unlike convert_model, sends no telemetry.
    model = openvino.Core().read_model(onnx_path)
    xml_path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, xml_path, compress_to_fp16=half)
    write_contract(xml_path, contract)
    return xml_path, xml_path.with_suffix(".bin")
