"""ONNX to OpenVINO IR, in float32 or with weights stored as float16.

The precision in which OpenVINO computes is chosen when the model is loaded.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from landmint.export.embed import write_contract
from landmint.runtime.embedded import read_contract
from landmint.runtime.telemetry import without_telemetry

_WEIGHTED = (
    "MatMul",
    "Convolution",
    "GroupConvolution",
    "ConvolutionBackpropData",
    "GroupConvolutionBackpropData",
)
_SMALL = 1024  # numbers; weights are larger, and no two are equal


def export(onnx_path: Path, files: Mapping[str, Path]) -> Mapping[str, str]:
    """Write the IR of an ONNX file with the contract in its `rt_info`, as `Export` says.

    Args:
        onnx_path: of `to_onnx`.
        files: of the graphs, by precision; the weights stand beside each under the suffix .bin.
            float16 is how the weights are stored.

    Raises:
        LandmintError: the ONNX file carries no contract.
    """
    with without_telemetry():
        import openvino

    contract = read_contract(onnx_path)
    for precision, xml_path in files.items():
        # read_model, unlike convert_model, sends no telemetry.
        model = openvino.Core().read_model(onnx_path)
        save_ir(model, xml_path, half=precision == "float16")
        write_contract(xml_path, contract)
    return {}


def save_ir(model: Any, xml_path: Path, *, half: bool = False) -> None:
    """Simplify a model that was read from ONNX, and write it as an IR.

    Without this, an IR computes the shape of each bias and the ends of each clip when it is loaded,
    and needs five operators to round a tensor: the graph of an INT8 file was half as large as its
    weights. The passes are those of OpenVINO's own converter, which keeps them in no public module.
    Equal constants are stored once, and internal names are shortened. In a quantised model the
    weights of float layers are stored as float16: a head of PFLD's would else be a fifteenth of the
    file.

    Args:
        model: an `openvino.Model`, changed in place.
        xml_path: of the IR's graph.
        half: store float weights as float16.
    """
    with without_telemetry():
        import openvino
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(model, cf=True, smart_reshape=False)
    nodes = model.get_ordered_ops()
    quantisers = [node for node in nodes if node.get_type_name() == "FakeQuantize"]
    for quantiser in quantisers:
        _make_scalars(quantiser)
    if quantisers:
        _halve_weights(nodes)
    _share_constants(model)
    _shorten_names(model)
    openvino.save_model(model, xml_path, compress_to_fp16=half)


def _make_scalars(quantiser: Any) -> None:
    """Store the ends of a quantiser as scalars, so that equal ones can be shared."""
    import openvino

    for place in range(1, 5):
        end = quantiser.input_value(place).get_node()
        if end.get_type_name() == "Constant" and end.get_data().size == 1:
            scalar = openvino.op.Constant(end.get_data().reshape(()))
            quantiser.input(place).replace_source_output(scalar.output(0))


def _halve_weights(nodes: Iterable[Any]) -> None:
    """Store float weights as float16; the plugin widens them when it loads the graph."""
    import openvino

    for node in nodes:
        if node.get_type_name() not in _WEIGHTED:
            continue
        weight = node.input_value(1).get_node()
        if weight.get_type_name() == "Constant" and weight.get_element_type() == openvino.Type.f32:
            stored = openvino.op.Constant(weight.get_data().astype(np.float16))
            widened = openvino.opset13.convert(stored, "f32")
            node.input(1).replace_source_output(widened.output(0))


def _share_constants(model: Any) -> None:
    """Store equal constants once; large weights are not compared."""
    held: dict[tuple[str, tuple[int, ...], bytes], Any] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_data().size > _SMALL:
            continue
        values = node.get_data()
        key = str(node.get_element_type()), values.shape, values.tobytes()
        first = held.setdefault(key, node).output(0)
        if first.get_node() != node:
            for reader in node.output(0).get_target_inputs():
                reader.replace_source_output(first)


def _shorten_names(model: Any) -> None:
    """Give constants, and the nodes that dequantise weights, numbers instead of long names."""
    for number, node in enumerate(model.get_ordered_ops()):
        kind = node.get_type_name()
        widened = kind == "Multiply" and node.input_value(0).get_node().get_type_name() == "Convert"
        if widened or kind in ("Constant", "Convert"):
            node.set_friendly_name(str(number))
            node.output(0).set_names(set())
