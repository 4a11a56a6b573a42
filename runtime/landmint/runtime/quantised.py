"""Numbers that a quantised model reads and returns: integers, and what real numbers they stand for.

A session that takes and returns them spares the real numbers that nobody looks at: a crop is looked
up byte by byte, and of a heatmap only the cells about its peak are read.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float32]
Integers = NDArray[np.integer[Any]]


class Quantisation(NamedTuple):
    """The integers of one tensor stand for (integer - zero_point) * scale."""

    scale: float
    """Real numbers from one integer to the next; positive."""
    zero_point: int
    """The integer that stands for 0."""
    kind: np.dtype[Any]
    """Their type, such as int8."""

    def quantise(self, reals: Reals) -> Integers:
        """The nearest integers, halves to even; at most the type's own limits."""
        limits = np.iinfo(self.kind)
        levels = np.divide(reals, np.float32(self.scale))
        np.rint(levels, out=levels)
        levels += self.zero_point
        np.clip(levels, limits.min, limits.max, out=levels)
        return levels.astype(self.kind)

    def dequantise(self, integers: Integers) -> Reals:
        """The real numbers that integers stand for."""
        reals = integers.astype(np.float32)
        reals -= np.float32(self.zero_point)
        reals *= np.float32(self.scale)
        return reals


class Quantised:
    """An output left in integers; what is read of it is real. It has an array's shapes."""

    def __init__(self, integers: Integers, quantisation: Quantisation) -> None:
        """Wrap an array, which is not copied."""
        self.integers = integers
        """As the model returned them: larger integers are larger numbers."""
        self.quantisation = quantisation
        """What they stand for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's."""
        return self.integers.shape

    @property
    def ndim(self) -> int:
        """The array's."""
        return self.integers.ndim

    def reshape(self, *shape: int) -> "Quantised":
        """As of an array."""
        return Quantised(self.integers.reshape(shape), self.quantisation)

    def transpose(self, *axes: int) -> "Quantised":
        """As of an array: a view."""
        return Quantised(self.integers.transpose(axes), self.quantisation)

    def __getitem__(self, places: Any) -> Reals:
        """The real numbers at these places of the array."""
        return self.quantisation.dequantise(np.asarray(self.integers[places]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it in real numbers, wherever numpy is given it."""
        return self[...].astype(dtype or np.float32, copy=False)


Values = NDArray[np.floating[Any]] | Quantised
"""An output: real numbers, or integers that stand for them."""


def join(parts: Sequence[Values]) -> Values:
    """Outputs of several faces along their batch axis; of one model, so all are alike."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Quantised):
        integers = [part.integers for part in parts if isinstance(part, Quantised)]
        return Quantised(np.concatenate(integers), first.quantisation)
    return np.concatenate([np.asarray(part) for part in parts])
