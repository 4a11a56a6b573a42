"""The decode as a graph: appended to a network, it returns landmarks by itself.

For devices without numpy. It computes what `landmint.runtime.decode` does, in float and in
operators that ONNX Runtime, OpenVINO and TFLite all have: no gathering by computed indices, no
types but float32 and bool. Not a way to quantise: it is appended to a graph that is finished,
float or INT8.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from landmint.export.embed import read_contract, write_contract
from landmint.export.graphs import DECODE
from landmint.export.to_onnx import save_onnx, trace_onnx
from landmint.export.to_openvino import save_ir
from landmint.export.to_tflite import decode_to_tflite
from landmint.runtime.contract import Contract
from landmint.runtime.decode import SOFT_ARGMAX_RADIUS, SOFT_ARGMAX_TAU, pip_votes
from landmint.runtime.errors import LandmintError

if TYPE_CHECKING:
    import onnx


def fuse_decode(onnx_path: Path, fused_path: Path) -> None:
    """Write the ONNX file once more with its decode appended, under `Contract.decoded`.

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
    """Write an IR once more with its decode appended, under `Contract.decoded`.

    Args:
        xml_path: of an IR that OpenVINO's quantiser or ours has finished.
        fused_path: of the .xml to write.

    Raises:
        LandmintError: the head returns coordinates already, or its decode cannot be fused.
    """
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
    """Write a .tflite once more with its decode appended, under `Contract.decoded`.

    Args:
        source: of `to_tflite`, or quantised from it; outputs in levels are read as what those
            stand for.
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
    """The decode alone: from the contract's outputs to those of `contract.decoded()`.

    Raises:
        LandmintError: there is nothing to decode, or the decode cannot be fused.
    """
    inputs = {output.name: (1, *output.shape) for output in contract.outputs}
    outputs = [output.name for output in contract.decoded().outputs]
    return trace_onnx(decoder_for(contract), inputs, outputs)


def decoder_for(contract: Contract) -> nn.Module:
    """A module from the contract's outputs at batch 1 to coordinates (1, 2L), confidence (1, L).

    Raises:
        LandmintError: there is nothing to decode, or the decode cannot be fused.
    """
    head = contract.head
    if head.kind == "pip":
        return PipDecode(head.neighbours)
    if head.decode == "local_soft_argmax":
        return SoftArgmaxDecode()
    if head.kind == "coordinates":
        raise LandmintError(
            "the network returns landmarks already: there is no decode to fuse",
            remedy="leave export.fuse_decode away",
        )
    raise LandmintError(
        f"the decode '{head.decode}' cannot be fused into a graph",
        remedy="train with another one, or decode outside of the graph",
        choices=("local_soft_argmax",),
    )


class SoftArgmaxDecode(nn.Module):
    """Local soft-argmax of heatmaps (1, L, H, W), as `landmint.runtime.decode` defines it."""

    def forward(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates and peaks."""
        maps = heatmaps.reshape(heatmaps.shape[1:])
        height, width = maps.shape[1:]
        x, y, top = _peak(maps)
        steps = torch.arange(-float(SOFT_ARGMAX_RADIUS), SOFT_ARGMAX_RADIUS + 1.0)
        rows, columns = _picks(y + steps, height), _picks(x + steps, width)
        patch = rows @ maps @ columns.transpose(1, 2)
        inside = rows.sum(dim=2)[:, :, None] * columns.sum(dim=2)[:, None, :]
        # Outside of the map the patch is 0, which may lie above the peak: it must not overflow.
        below = torch.relu(top[:, :, None] - patch)
        weights = torch.exp(-SOFT_ARGMAX_TAU * below) * inside
        # Multiplied before they are summed: OpenVINO 2026.4 reads past a sum of one axis that is
        # multiplied by a vector afterwards.
        sums = [(weights * along).sum(dim=(1, 2)) for along in (steps, steps[:, None])]
        shift_x, shift_y = ((part / weights.sum(dim=(1, 2)))[:, None] for part in sums)
        points = _landmarks((x + shift_x + 0.5) / width, (y + shift_y + 0.5) / height)
        return points, top.reshape(1, -1)


class PipDecode(nn.Module):
    """PIPNet's decode of scores and offsets, as `landmint.runtime.decode` defines it."""

    votes: Tensor

    def __init__(self, neighbours: tuple[tuple[int, ...], ...]) -> None:
        """Look up whose votes count for each landmark."""
        super().__init__()
        self.register_buffer("votes", torch.from_numpy(pip_votes(neighbours)))

    def forward(
        self, cls: Tensor, x: Tensor, y: Tensor, nb_x: Tensor, nb_y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Coordinates and the score maps' peaks."""
        _, landmarks, rows, columns = cls.shape
        cell_x, cell_y, top = _peak(cls.reshape(cls.shape[1:]))
        there = _picks(cell_y, rows).transpose(1, 2) * _picks(cell_x, columns)
        cell = there.reshape(landmarks, rows * columns, 1)

        def mean_vote(own: Tensor, others: Tensor, start: Tensor, cells: int) -> Tensor:
            maps = (part.reshape(landmarks, -1, rows * columns) for part in (own, others))
            votes = torch.cat([part @ cell for part in maps], dim=1).squeeze(2) + start
            return votes.reshape(-1)[self.votes].mean(dim=1, keepdim=True) / cells

        points = _landmarks(mean_vote(x, nb_x, cell_x, columns), mean_vote(y, nb_y, cell_y, rows))
        return points, top.reshape(1, -1)


def _peak(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where maps (L, H, W) are highest, the first such cell in reading order.

    In two steps of small numbers: a flat index may be too large for a half float.

    Returns:
        column, row and height, (L, 1) each.
    """
    tops = maps.amax(dim=2)
    y = _first_of_highest(tops)
    row = (_picks(y, maps.shape[1]) @ maps).squeeze(1)
    return _first_of_highest(row), y, tops.amax(dim=1, keepdim=True)


def _first_of_highest(values: Tensor) -> Tensor:
    """Index (L, 1), in float, of the first among the highest of (L, N)."""
    count = values.shape[1]
    highest = values == values.amax(dim=1, keepdim=True)
    places = torch.where(highest, torch.arange(float(count)), torch.tensor(float(count)))
    return places.amin(dim=1, keepdim=True)


def _picks(places: Tensor, count: int) -> Tensor:
    """One-hot rows (L, K, count) for whole-numbered places (L, K); zeros for a place outside."""
    return torch.relu(1 - (torch.arange(float(count)) - places[:, :, None]).abs())


def _landmarks(x: Tensor, y: Tensor) -> Tensor:
    """Columns x and y (L, 1) as coordinates (1, 2L)."""
    return torch.cat([x, y], dim=1).reshape(1, -1)
