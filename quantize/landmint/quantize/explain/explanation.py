"""What is known of where INT8 loses: plain data, and its JSON.

Not the finding: `bundle_explain.py` fills it. No engine is imported here, so that a report can
read it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json, write_json

SCHEMA = 1
EXPLANATION = "explain.json"
"""Its name in a bundle's folder. It is no part of the model, so the manifest does not list it."""


@dataclass(frozen=True)
class Cost:
    """What a quantised graph costs against the float graph, on the same faces."""

    nme_rise: float
    """NME less that of the float graph; a share."""
    drift_px: float
    """Mean distance from the float graph's landmarks on the median face, in pixels of the crop.

    The median, since a face that the network does not understand jumps by half a crop at the least
    change, and would hide the layers from each other. NME counts such faces."""


@dataclass(frozen=True)
class Layer:
    """One weighted layer of the float32 ONNX graph."""

    name: str
    """Name of its node, as quantize.float_layers takes it."""
    weight: str
    """Name of its weight, which says where in the network it stands."""
    kind: str
    """Its operator."""
    shape: tuple[int, ...]
    """Shape of its weight."""
    macs: int
    """Multiply-accumulates for one face."""
    quantised: bool
    """False for a layer that the INT8 graph keeps in float."""
    snr_db: float
    """Signal to noise of its activations in the INT8 graph as built; median over the faces."""
    cosine: float
    """Cosine between its activations in the INT8 graph as built and in the float graph; median."""
    alone: Cost | None = None
    """When it alone is quantised; None for a float layer."""
    all_but: Cost | None = None
    """When all but it is quantised; None for a float layer."""

    @property
    def place(self) -> str:
        """Where in the network it stands, for people."""
        return self.weight.removeprefix("model.").removesuffix(".weight")


@dataclass(frozen=True)
class Divergence:
    """Where two engines part, or that they do not."""

    left: str
    """One engine with what it ran."""
    right: str
    """The other."""
    tolerance: float
    """Difference from which on they part."""
    tensors: int
    """How many tensors both engines have."""
    computed: int
    """How many of them were computed to find it."""
    difference: float
    """Root mean square of the difference over that of the left tensor: of the tensor where they
    part; of the worst output when they agree."""
    operator: str = ""
    """Name and kind of the first operator whose inputs agree and whose result does not; empty
    when the engines agree."""
    tensor: str = ""
    """What it makes."""
    left_values: tuple[float, ...] = ()
    """A few of the values that differ most, as the one computed them."""
    right_values: tuple[float, ...] = ()
    """The same as the other computed them."""
    reason: str = ""
    """Why they could not be compared; empty when they could."""


@dataclass(frozen=True)
class Explanation:
    """Where INT8 loses, layer by layer and engine by engine."""

    model: str
    """Name of the bundle."""
    faces: int
    """Labelled faces that everything was computed on."""
    split: str
    """Name of the split that they are from."""
    float_nme: float
    """NME of the float32 ONNX graph on them; a share."""
    built: Cost
    """Of onnx/int8 as ONNX Runtime runs it."""
    simulated: Cost
    """Of the simulation with every layer quantised; near `built`, or the rest means little."""
    layers: tuple[Layer, ...]
    """In order of execution."""
    divergences: tuple[Divergence, ...] = ()
    """Pairs of engines."""

    def saved_px(self, layer: Layer) -> float:
        """How much drift a layer takes back when it alone is left in float."""
        return self.simulated.drift_px - layer.all_but.drift_px if layer.all_but else 0.0

    def worst_first(self) -> list[Layer]:
        """Quantised layers by what they cost alone, then the float ones."""
        return sorted(self.layers, key=lambda layer: -layer.alone.drift_px if layer.alone else 1.0)


def write_explanation(path: Path, explanation: Explanation) -> None:
    """Write it as JSON."""
    write_json(path, {"schema": SCHEMA, **dataclasses.asdict(explanation)})


def read_explanation(path: Path) -> Explanation:
    """What `write_explanation` wrote.

    Raises:
        LandmintError: the file is missing, truncated, or of another schema.
    """
    content = read_json(path)
    try:
        if content.pop("schema") != SCHEMA:
            raise ValueError(f"this landmint reads schema {SCHEMA}")
        layers = tuple(_layer(layer) for layer in content.pop("layers"))
        pairs = tuple(_divergence(pair) for pair in content.pop("divergences"))
        built, simulated = (Cost(**content.pop(name)) for name in ("built", "simulated"))
        return Explanation(
            **content, built=built, simulated=simulated, layers=layers, divergences=pairs
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LandmintError(
            f"{path} is incomplete",
            reason=f"{type(error).__name__}: {error}",
            remedy="quantise again with --explain",
        ) from None


def _layer(content: Mapping[str, Any]) -> Layer:
    costs = {
        name: Cost(**content[name]) if content[name] is not None else None
        for name in ("alone", "all_but")
    }
    return Layer(**{**content, "shape": tuple(content["shape"]), **costs})


def _divergence(content: Mapping[str, Any]) -> Divergence:
    values = {name: tuple(content[name]) for name in ("left_values", "right_values")}
    return Divergence(**{**content, **values})
