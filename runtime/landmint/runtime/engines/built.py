"""What a builder made of a variant: the layers that it parsed, and how large its plan is.

A plan that was built is a check of the graph by whoever wrote the builder. It says nothing of speed
or of landmarks, which only a run tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

QUANTIZE, DEQUANTIZE = "QUANTIZE", "DEQUANTIZE"
"""Kinds of parsed layers, as TensorRT calls them."""


@dataclass(frozen=True)
class Built:
    """A plan that was built on a machine that cannot run it."""

    builder: str
    """The library that parsed and built, with its version."""
    layers: Mapping[str, int]
    """Number of parsed layers by kind and type of their output, such as "CONVOLUTION half"."""
    weighted: int
    """Number of convolutions, and of matrix products with a weight, among them."""
    float_layers: tuple[str, ...]
    """Names of those that do not read INT8: input or weight comes from no DEQUANTIZE."""
    plan_bytes: int
    """Size of the plan."""
    warnings: tuple[str, ...] = ()
    """What the library warned of, each once."""
    caution: str = ""
    """What the plan is not, in a sentence; empty where there is nothing to say."""

    def count(self, kind: str) -> int:
        """Number of parsed layers of a kind, whatever their type."""
        return sum(number for name, number in self.layers.items() if name.split()[0] == kind)

    @property
    def notes(self) -> dict[str, str]:
        """What was parsed, in the words and under the names of an INT8 variant's own notes."""
        return {
            "pairs": pairs_note(self.count(QUANTIZE), self.count(DEQUANTIZE)),
            "float layers": float_layers_note(self.float_layers, self.weighted),
        }


def pairs_note(quantize: int, dequantize: int) -> str:
    """The note "pairs" of a variant: how many nodes of Q/DQ pairs its graph has."""
    return f"{quantize} QuantizeLinear, {dequantize} DequantizeLinear"


def float_layers_note(names: Sequence[str], layers: int) -> str:
    """The note "float layers" of a variant: which of its layers stay in float."""
    return f"{len(names)} of {layers}: {', '.join(names) or 'none'}"


@runtime_checkable
class Builder(Protocol):
    """An engine that can build what it cannot run, for want of its device."""

    def build(self, entry: Path) -> Built | None:
        """Build a variant, and keep nothing.

        Args:
            entry: the file that the variant names first.

        Returns:
            what was built; None where the library that is installed needs the device for that too.

        Raises:
            LandmintError: the graph was refused.
        """
        ...
