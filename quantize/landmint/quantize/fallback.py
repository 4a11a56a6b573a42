"""Which layers to try in float32: a few sets, proposed by how much each layer loses to INT8.

Latency is not estimated here: the pipeline builds and times each set, and chooses by what it
measured.
"""

from collections.abc import Sequence

from landmint.quantize.explain.explanation import Explanation, Layer

SIZES = (1, 2, 4, 8)
"""Number of float layers in each candidate; one more candidate has none."""
_WORTH = 0.01


def candidates(explanation: Explanation, sizes: Sequence[int] = SIZES) -> list[tuple[str, ...]]:
    """Sets of layers to try in float, from the empty set on.

    Layers are ranked by gain over cost. Gain: by how many pixels the displacement falls when this
    layer alone stays in float. Cost: its share of the network's multiply-accumulates, plus the
    share of an average layer, for the type conversions at its borders. A layer that lowers the
    displacement by less than 1 % is never tried.

    Args:
        explanation: of the INT8 bundle.
        sizes: how many layers the candidates have.
    """
    total = sum(layer.macs for layer in explanation.layers) or 1
    border = total / len(explanation.layers)

    def gain(layer: Layer) -> float:
        return explanation.saved_px(layer) / ((layer.macs + border) / total)

    least = _WORTH * explanation.simulated.displacement_px
    worthy = [layer for layer in explanation.layers if explanation.saved_px(layer) > least]
    ranked = [layer.name for layer in sorted(worthy, key=gain, reverse=True)]
    sets = [tuple(ranked[:size]) for size in (0, *sizes)]
    return list(dict.fromkeys(sets))
