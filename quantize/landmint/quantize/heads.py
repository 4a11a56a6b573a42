"""Which outputs 8 bits would spoil, and so come from a layer that stays in float.

One scale spans a whole output tensor. Coordinates in [0, 1] on 255 levels cost about 0.3 points of
NME and step visibly; a heatmap's peak becomes a plateau of equal levels, in which a quarter offset
and DARK read rounding noise. PIP's outputs are split, each with a scale of its own, and every
landmark is the mean of some eleven votes: there 8 bits cost less than 0.1 points, and the heads
are two fifths of the network.
"""

from landmint.runtime.contract import Contract

_NEEDS_SLOPES = ("quarter", "dark")


def float_outputs(contract: Contract) -> frozenset[str]:
    """Names of the outputs whose last layer stays in float."""
    head = contract.head
    spoilt = head.kind == "coordinates" or head.decode in _NEEDS_SLOPES
    return frozenset(output.name for output in contract.outputs if spoilt)
