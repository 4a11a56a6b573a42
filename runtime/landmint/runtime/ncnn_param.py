"""Reads and writes the text of ncnn's `.param` files: the layers of a network, one a line.

The weights lie beside it in a `.bin` file, in the order of the layers, without names or sizes. What
stands behind the last layer is read by nothing in ncnn: landmint keeps the contract there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_MAGIC = "7767517"
_HEAD_LINES = 2
_FIXED_WORDS = 4  # kind, name, and how many inputs and outputs


@dataclass(frozen=True)
class Layer:
    """One layer."""

    kind: str
    """Such as "Convolution"."""
    name: str
    """Its own name."""
    inputs: tuple[str, ...]
    """Names of the tensors that it reads."""
    outputs: tuple[str, ...]
    """Names of the tensors that it makes; each is made once and read once."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Numbers and lists of numbers, as text, by their key; what a key means depends on the kind."""

    @property
    def is_int8(self) -> bool:
        """Whether its weights are INT8."""
        return self.settings.get(_INT8_KEYS.get(self.kind, ""), "0") != "0"


_INT8_KEYS = {"Convolution": "8", "ConvolutionDepthWise": "8", "InnerProduct": "8", "Gemm": "18"}
"""By the kind of layer: the key of the setting that is not zero where the weights are INT8."""
WEIGHTED = frozenset({*_INT8_KEYS, "Deconvolution", "DeconvolutionDepthWise"})
"""Kinds of layers that multiply by weights."""


def parse(text: str) -> tuple[tuple[Layer, ...], str]:
    """The layers of a network, and what stands behind them.

    Raises:
        ValueError: it is no such text, or it ends too early.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or lines[0].strip() != _MAGIC:
        raise ValueError(f"it does not begin with {_MAGIC}")
    count = _number(lines[1].split()[0]) if len(lines) > 1 else 0
    end = _HEAD_LINES + count
    if not 0 < count <= len(lines) - _HEAD_LINES:
        raise ValueError(f"it has not the {count} layers that it speaks of")
    return tuple(map(_layer, lines[_HEAD_LINES:end])), "\n".join(lines[end:])


def render(layers: Sequence[Layer], behind: str = "") -> str:
    """The text of a network, with more text behind its layers."""
    tensors = sum(len(layer.outputs) for layer in layers)
    lines = [_MAGIC, f"{len(layers)} {tensors}", *map(_line, layers), behind]
    return "\n".join(lines).rstrip("\n") + "\n"


def _layer(line: str) -> Layer:
    words = line.split()
    if len(words) < _FIXED_WORDS:
        raise ValueError(f"a layer has too few words: {line[:80]!r}")
    start = _FIXED_WORDS + _number(words[2])
    end = start + _number(words[3])
    settings = dict(_setting(word) for word in words[end:])
    if end > len(words):
        raise ValueError(f"a layer has too few tensors: {line[:80]!r}")
    inputs, outputs = tuple(words[_FIXED_WORDS:start]), tuple(words[start:end])
    return Layer(words[0], words[1], inputs, outputs, settings)


def _setting(word: str) -> tuple[str, str]:
    key, sign, value = word.partition("=")
    if not sign:
        raise ValueError(f"a setting has no value: {word[:80]!r}")
    return key, value


def _number(word: str) -> int:
    if not word.isdecimal():
        raise ValueError(f"{word[:80]!r} is not a number of things")
    return int(word)


def _line(layer: Layer) -> str:
    counts = f"{len(layer.inputs)} {len(layer.outputs)}"
    settings = (f"{key}={value}" for key, value in layer.settings.items())
    return " ".join([layer.kind, layer.name, counts, *layer.inputs, *layer.outputs, *settings])
