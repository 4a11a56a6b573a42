"""What to try where INT8 loses too much, the cheapest first: other decisions, then float layers.

Neither NME nor latency is estimated here: the pipeline builds and measures each cure, and chooses
by what it measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from landmint.quantize.config import Calibrator, QuantizeConfig
from landmint.quantize.explain.explanation import Explanation, Layer

SIZES = (1, 2, 4, 8)
"""Number of float layers in each candidate that has some."""
_WORTH = 0.01


@dataclass(frozen=True)
class Cure:
    """One change to how INT8 is made.

    Example:
        >>> str(Cure({"calibrator": "mse"})), str(Cure())
        ('calibrator = "mse"', 'plain INT8')
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `QuantizeConfig` that differ from the recipe's; none for plain INT8."""

    @property
    def float_layers(self) -> tuple[str, ...]:
        """Layers that it keeps in float: what it costs in speed."""
        return tuple(self.settings.get("float_layers", ()))

    def __str__(self) -> str:
        """As a table names it."""
        if self.float_layers:
            return f"layers in float: {len(self.float_layers)}"
        return ", ".join(self.as_toml()) or "plain INT8"

    def applied(self, config: QuantizeConfig) -> QuantizeConfig:
        """The settings with this cure; its layers add to those that are in float already."""
        changes = dict(self.settings)
        if self.float_layers:
            changes["float_layers"] = (*config.float_layers, *self.float_layers)
        return config.model_copy(update=changes)

    def as_toml(self) -> list[str]:
        """Lines for [quantize] in a recipe."""
        return [f"{name} = {_toml(value)}" for name, value in self.settings.items()]


def decisions(config: QuantizeConfig) -> list[Cure]:
    """Cures that cost no speed: other ranges, other weights before they are rounded.

    Where `config` names a file of ranges these are given: then only biases can be corrected.
    """
    cures = []
    if config.ranges is None:
        others = (name for name in get_args(Calibrator) if name != config.calibrator)
        cures += [Cure({"calibrator": name}) for name in others]
        cures += [] if config.equalise else [Cure({"equalise": True})]
    cures += [] if config.bias_correction else [Cure({"bias_correction": True})]
    reducible = not {"onnx", "openvino"}.isdisjoint(config.formats) and not config.reduce_range
    return [*cures, Cure({"reduce_range": True})] if reducible else cures


def fallbacks(explanation: Explanation, sizes: Sequence[int] = SIZES) -> list[Cure]:
    """Cures that keep layers in float.

    Layers are ranked by gain over cost. Gain: by how many pixels the displacement falls when this
    layer alone stays in float. Cost: its share of the network's multiply-accumulates, plus the
    share of an average layer, for the type conversions at its borders. A layer that lowers the
    displacement by less than 1 % is never tried.

    Args:
        explanation: of the INT8 bundle.
        sizes: how many layers the cures have.
    """
    total = sum(layer.macs for layer in explanation.layers) or 1
    border = total / len(explanation.layers)

    def gain(layer: Layer) -> float:
        return explanation.saved_px(layer) / ((layer.macs + border) / total)

    least = _WORTH * explanation.simulated.displacement_px
    worthy = [layer for layer in explanation.layers if explanation.saved_px(layer) > least]
    ranked = [layer.name for layer in sorted(worthy, key=gain, reverse=True)]
    sets = dict.fromkeys(tuple(ranked[:size]) for size in sizes if ranked)
    return [Cure({"float_layers": layers}) for layers in sets]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"'
