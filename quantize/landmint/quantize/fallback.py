"""Which layers may be worth float32: few candidates, by the sensitivity of each layer.

What a candidate costs in time is never guessed: the pipeline builds and times each of them, and
chooses by what it measured.
"""

from collections.abc import Sequence

from landmint.quantize.explain.explanation import Explanation, Layer

SIZES = (1, 2, 4, 8)
"""Float layers of each candidate, beside the one without any."""
_WORTH = 0.01


def candidates(explanation: Explanation, sizes: Sequence[int] = SIZES) -> list[tuple[str, ...]]:
    """Sets of layers to try in float, growing from none.

    Greedy by what a layer takes back when it alone stays in float, over what float costs there:
    its share of the multiply-accumulates, and as much again as an average layer for the change
    of type at its borders. A layer that takes back less than 1 % of the drift is never tried.

    Args:
        explanation: of the INT8 bundle.
        sizes: how many layers the candidates have.
    """
    total = sum(layer.macs for layer in explanation.layers) or 1
    border = total / len(explanation.layers)

    def gain(layer: Layer) -> float:
        return explanation.saved_px(layer) / ((layer.macs + border) / total)

    least = _WORTH * explanation.simulated.drift_px
    worthy = [layer for layer in explanation.layers if explanation.saved_px(layer) > least]
    ranked = [layer.name for layer in sorted(worthy, key=gain, reverse=True)]
    sets = [tuple(ranked[:size]) for size in (0, *sizes)]
    return list(dict.fromkeys(sets))
