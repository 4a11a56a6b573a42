"""Appends the decode to a network's graph, so that the model returns landmarks.

This serves devices without numpy. The decode is that of `landmint.train.torch_decode`, for one
face. It is appended to a finished graph, float or INT8, and stays in float.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from landmint.export.embed import write_contract
from landmint.export.forms.onnx import save_onnx, trace_onnx
from landmint.export.forms.openvino import save_ir
from landmint.export.forms.tflite import decode_to_tflite
from landmint.export.graphs import DECODE
from landmint.runtime.contract import Contract
from landmint.runtime.embedded import read_contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.telemetry import without_telemetry
from landmint.train.torch_decode import decoder_for

if TYPE_CHECKING:
    import onnx


_FUSABLE = ("local_soft_argmax",)
"""Heatmap decodes that a graph may hold: those that were tried in every engine."""


def fuse_decode(onnx_path: Path, fused_path: Path) -> None:
    """Write a copy of an ONNX file with its decode appended; its contract is `Contract.decoded`.

    Args:
        onnx_path: of `to_onnx`, or quantised from it.
        fused_path: of the file to write.

    Raises:
        LandmintError: the head returns coordinates already, or its decode cannot be fused.
    """
    import onnx

    contract = read_contract(onnx_path)
    decoder = decode_graph(contract)
    network = onnx.load(onnx_path)
    # Of a quantised graph the opset may be a later one; the decode's operators are the same there.
    decoder.opset_import[0].version = next(
        opset.version for opset in network.opset_import if not opset.domain
    )
    decoder.ir_version = network.ir_version
    network.ClearField("metadata_props")
    fused = onnx.compose.merge_models(
        network,
        onnx.compose.add_prefix(decoder, DECODE, rename_inputs=True, rename_outputs=False),
        io_map=[(output.name, DECODE + output.name) for output in contract.outputs],
    )
    save_onnx(fused, contract.decoded(), fused_path)


def fuse_decode_ir(xml_path: Path, fused_path: Path) -> None:
    """Write a copy of an IR with its decode appended; its contract is `Contract.decoded`.

    Args:
        xml_path: of a finished IR, float or INT8.
        fused_path: of the .xml to write.

    Raises:
        LandmintError: the head returns coordinates already, or its decode cannot be fused.
    """
    with without_telemetry():
        import openvino

    contract = read_contract(xml_path)
    core = openvino.Core()
    network = core.read_model(xml_path)
    decoder = core.read_model(decode_graph(contract).SerializeToString())
    for entrance in decoder.get_parameters():
        (name,) = entrance.output(0).get_names()
        made = network.output(name).get_node().input_value(0)
        made.set_names(set())  # the decoder's parameter brings the name along
        entrance.output(0).replace(made)
    fused = openvino.Model(decoder.get_results(), network.get_parameters(), network.get_name())
    save_ir(fused, fused_path)
    write_contract(fused_path, contract.decoded())


def fuse_decode_tflite(source: Path, fused_path: Path) -> None:
    """Write a copy of a .tflite with its decode appended; its contract is `Contract.decoded`.

    Args:
        source: a finished .tflite, float or INT8; integer outputs are dequantised first.
        fused_path: of the .tflite to write.

    Raises:
        LandmintError: the head returns coordinates already, its decode cannot be fused, or the
            converter failed.
    """
    from landmint.export.flatbuffer import Flatbuffer

    contract = read_contract(source)
    decoder = decode_to_tflite(decode_graph(contract), contract)
    network = Flatbuffer(source.read_bytes())
    network.append(Flatbuffer(decoder), DECODE)
    fused_path.parent.mkdir(parents=True, exist_ok=True)
    fused_path.write_bytes(network.pack())
    write_contract(fused_path, contract.decoded())


def decode_graph(contract: Contract) -> "onnx.ModelProto":
    """The decode alone as an ONNX graph: takes the contract's outputs, returns landmarks.

    Raises:
        LandmintError: there is nothing to decode, or the decode cannot be fused.
    """
    inputs = {output.name: (1, *output.shape) for output in contract.outputs}
    outputs = [output.name for output in contract.decoded().outputs]
    return trace_onnx(fusable_decoder(contract), inputs, outputs)


def fusable_decoder(contract: Contract) -> nn.Module:
    """The decode as a module: takes the outputs of one face, returns coordinates and confidence.

    Coordinates are (1, 2L), confidence is (1, L).

    Raises:
        LandmintError: there is nothing to decode, or the decode cannot be fused.
    """
    head = contract.head
    if head.kind == "coordinates":
        raise LandmintError(
            "the network returns landmarks already: there is no decode to fuse",
            remedy="leave export.fuse_decode away",
        )
    if head.kind == "heatmap" and head.decode not in _FUSABLE:
        raise LandmintError(
            f"the decode '{head.decode}' cannot be fused into a graph",
            remedy="train with another one, or decode outside of the graph",
            choices=_FUSABLE,
        )
    return _Row(decoder_for(head))


class _Row(nn.Module):
    """A decoder whose landmarks come as one row, as in `Contract.decoded`."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, *outputs: Tensor) -> tuple[Tensor, Tensor]:
        points, confidence = self.decoder(*outputs)
        return points.reshape(1, -1), confidence
