"""Which layers stay in float: those that were asked for, and the last ones before some outputs.

A whole output tensor has one scale, so 8 bits are too few for some heads. Coordinates in [0, 1] on
255 levels cost about 0.3 points of NME and jump visibly. A heatmap's peak becomes a plateau of
equal levels, in which the quarter offset and DARK would read rounding noise. PIPNet is different:
its outputs have a scale each, and every landmark is the mean of some eleven votes. There 8 bits
cost less than 0.1 points, while the heads are two fifths of the network. SimCC is different too:
a vector's levels only say how likely each bin is; where it lies does not round.
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
    """Names of the layers that stay in float in every format.

    They are those of `config.float_layers`, and the last ones before `float_outputs`.

    Raises:
        LandmintError: `config.float_layers` names a layer that the graph does not have.
    """
    asked = chosen_layers(graph, config.float_layers)
    return asked | last_layers(graph, float_outputs(contract))


def joins_in_float(graph: onnx.GraphProto, in_float: frozenset[str]) -> frozenset[str]:
    """Names of the Concat and reshape nodes whose every reader runs in float.

    Their inputs are quantised tensors. Quantising the joined tensor too would round the same
    values a second time, and no integer operator would use the result.

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
