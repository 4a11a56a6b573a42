"""The explanation of a bundle's INT8: plain data, and its JSON file.

`bundle_explain.py` computes it. No engine is imported here, so that a report can read it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json, write_json

SCHEMA = 2
EXPLANATION = "explain.json"
"""Name of the file in a bundle's folder. It is no part of the model: the manifest does not list
it."""


@dataclass(frozen=True)
class Cost:
    """How much worse a quantised graph is than the float graph, on the same faces."""

    nme_rise: float
    """NME less that of the float graph; a share."""
    displacement_px: float
    """Distance from the float graph's landmarks in pixels of the crop: mean over the landmarks of a
    face, then median over the faces.

    The median, because on a face that the network fails on, landmarks jump by half a crop at the
    slightest change. A mean would show only such faces, whatever the layer. The NME counts them."""


@dataclass(frozen=True)
class Layer:
    """One weighted layer of the float32 ONNX graph."""

    name: str
    """Name of its node, as quantize.float_layers takes it."""
    weight: str
    """Name of its weight; it shows where in the network the layer is."""
    kind: str
    """Its operator, and the number of groups of a grouped convolution."""
    shape: tuple[int, ...]
    """Shape of its weight."""
    macs: int
    """Multiply-accumulates for one face."""
    quantised: bool
    """False for a layer that the INT8 graph keeps in float."""
    snr_db: float
    """Signal-to-noise ratio of its output in the INT8 graph, against the float graph; median over
    the faces."""
    cosine: float
    """Cosine between its output in the INT8 graph and in the float graph; median over the faces."""
    alone: Cost | None = None
    """Cost when only this layer is quantised; None for a float layer."""
    all_but: Cost | None = None
    """Cost when every layer but this one is quantised; None for a float layer."""

    @property
    def place(self) -> str:
        """Where in the network the layer is: its module's name, for people."""
        return self.weight.removeprefix("model.").removesuffix(".weight")


@dataclass(frozen=True)
class Divergence:
    """The comparison of two engines: the first operator at which they differ, if they do."""

    left: str
    """One engine, and the artefact that it ran."""
    right: str
    """The other engine, and its artefact."""
    tolerance: float
    """Greatest difference that counts as agreement."""
    tensors: int
    """How many tensors both engines have."""
    computed: int
    """How many of them were computed to find it."""
    difference: float
    """Root mean square of the difference, over that of the left tensor. It is the difference of
    `tensor`; of the worst output when the engines agree."""
    operator: str = ""
    """Name and kind of the first operator whose inputs agree and whose result does not; empty
    when the engines agree."""
    tensor: str = ""
    """Name of the tensor that this operator makes."""
    left_values: tuple[float, ...] = ()
    """The few values of that tensor that differ most, from the left engine."""
    right_values: tuple[float, ...] = ()
    """The same values from the right engine."""
    reason: str = ""
    """Why they could not be compared; empty when they could."""


@dataclass(frozen=True)
class Explanation:
    """Where INT8 loses accuracy, layer by layer and engine by engine."""

    model: str
    """Name of the bundle."""
    faces: int
    """Number of labelled faces that everything was computed on."""
    split: str
    """Name of the split that these faces are from."""
    float_nme: float
    """NME of the float32 ONNX graph on them; a share."""
    built: Cost
    """Cost of onnx/int8 as ONNX Runtime runs it."""
    simulated: Cost
    """Cost of the simulation with every layer quantised. It should be near `built`; if it is not,
    the costs of single layers mean little."""
    layers: tuple[Layer, ...]
    """In order of execution."""
    divergences: tuple[Divergence, ...] = ()
    """Pairs of engines."""

    def saved_px(self, layer: Layer) -> float:
        """By how much the displacement falls when this layer alone stays in float, in pixels."""
        return (
            self.simulated.displacement_px - layer.all_but.displacement_px if layer.all_but else 0.0
        )

    def worst_first(self) -> list[Layer]:
        """Quantised layers by their `alone` cost, the greatest first; then the float layers."""
        return sorted(
            self.layers, key=lambda layer: -layer.alone.displacement_px if layer.alone else 1.0
        )


def write_explanation(path: Path, explanation: Explanation) -> None:
    """Write an explanation as JSON."""
    write_json(path, {"schema": SCHEMA, **dataclasses.asdict(explanation)})


def read_explanation(path: Path) -> Explanation:
    """Read what `write_explanation` wrote.

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
