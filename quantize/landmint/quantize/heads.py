"""Which outputs 8 bits would spoil, and so come from a layer that stays in float.

One scale spans a whole output tensor. Coordinates in [0, 1] on 255 levels cost about 0.3 points of
NME and step visibly; a heatmap's peak becomes a plateau of equal levels, in which a quarter offset
and DARK read rounding noise. PIP's outputs are split, each with a scale of its own, and every
landmark is the mean of some eleven votes: there 8 bits cost less than 0.1 points, and the heads
are two fifths of the network.
"""

import onnx

from landmint.export.graphs import SHAPERS, Wiring, chosen_layers, last_layers
from landmint.quantize.config import QuantizeConfig
from landmint.runtime.contract import Contract

_NEEDS_SLOPES = ("quarter", "dark")


def float_outputs(contract: Contract) -> frozenset[str]:
    """Names of the outputs whose last layer stays in float."""
    head = contract.head
    spoilt = head.kind == "coordinates" or head.decode in _NEEDS_SLOPES
    return frozenset(output.name for output in contract.outputs if spoilt)


def layers_in_float(
    graph: onnx.GraphProto, contract: Contract, config: QuantizeConfig
) -> frozenset[str]:
    """Names of the layers that no format quantises: asked for, or last before a spoilt output.

    Raises:
        LandmintError: `config.float_layers` names a layer that the graph has not.
    """
    asked = chosen_layers(graph, config.float_layers)
    return asked | last_layers(graph, float_outputs(contract))


def joins_in_float(graph: onnx.GraphProto, in_float: frozenset[str]) -> frozenset[str]:
    """Names of the Concats, and of the reshapes behind them, that nothing but such layers reads.

    A Concat has levels of its own. Where integers follow it needs them; here they would round its
    parts, which have levels already, once more and for nothing.

    Args:
        graph: float, as the exporter wrote it.
        in_float: of `layers_in_float`.
    """
    wiring, float_nodes = Wiring(graph), set(in_float)
    for node in reversed(graph.node):
        tensor = node.output[0]
        readers = {reader.name for reader in wiring.readers(tensor)}
        inner = bool(readers) and tensor not in wiring.outputs
        if node.op_type in ("Concat", *SHAPERS) and inner and readers <= float_nodes:
            float_nodes.add(node.name)
    return frozenset(float_nodes) - in_float
