"""The range of every tensor in INT8: decided once, on the float32 ONNX graph, for every format.

It is written into the bundle as `ranges.json`, and read from such a file. Which of the tensors a
format quantises is not decided here, but in `landmint.quantize.forms`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from landmint.export.graphs import SHAPERS, WEIGHTED, Wiring, output_axis
from landmint.quantize.config import Calibrator, QuantizeConfig
from landmint.quantize.decide.calibrators import COUNTING, Seen, settle
from landmint.quantize.decide.equalise import Factors, equalised, equalising
from landmint.quantize.decide.ranges import (
    Range,
    histograms,
    is_dead,
    observe,
    outermost,
    weight_scales,
    zero_point,
)
from landmint.quantize.decide.read_values import read_extremes
from landmint.quantize.integer_friendly import bounded
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json, write_json

SCHEMA = 2
RANGES = "ranges.json"
"""Path of the decision in a bundle."""

_TOP = 127
_NAMED = 3


@dataclass(frozen=True)
class Decision:
    """Ranges and corrections. All names are those of the float32 ONNX graph."""

    activations: Mapping[str, Range]
    """Range of each activation, by the name of the tensor."""
    weights: Mapping[str, tuple[float, ...]]
    """Greatest magnitude in each output channel of a weight, by the name of the weight."""
    bias_correction: bool = False
    """Whether each format corrects its biases (see `decide.bias_correction`)."""
    equalised: Factors = field(default_factory=dict)
    """Factors of cross-layer equalisation, by the name of the layer; applied before all else."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """The settings that it was made with."""
    dead: tuple[str, ...] = ()
    """Names of activations that were zero on every face, and of weights with a channel of zeros."""

    def to_json(self) -> dict[str, Any]:
        """The content of the file. Scales and zero points are in it for people who read it."""
        return {
            "schema": SCHEMA,
            "about": dict(self.about),
            "dead": list(self.dead),
            "activations": {name: _range_json(span) for name, span in self.activations.items()},
            "weights": {
                name: {
                    "min": [-top for top in tops],
                    "max": list(tops),
                    "scale": [top / _TOP if top else 1.0 for top in tops],
                    "zero_point": 0,
                }
                for name, tops in self.weights.items()
            },
            "equalised": {name: list(factors) for name, factors in self.equalised.items()},
            "bias_correction": self.bias_correction,
        }


def _range_json(span: Range) -> dict[str, float | int]:
    low, high = span
    scale = (high - low) / 255
    return {"min": low, "max": high, "scale": scale, "zero_point": zero_point(span)}


def decide(
    model: onnx.ModelProto,
    tensors: NDArray[np.float32],
    config: QuantizeConfig,
    faces: Sequence[str] = (),
) -> Decision:
    """Run a float graph on the calibration faces, and choose the range of every tensor.

    Args:
        model: float32, of batch 1.
        tensors: (N, 3, S, S) normalised crops.
        config: calibrator and corrections.
        faces: names of the crops, for messages.

    Raises:
        LandmintError: a weight or an activation is not finite.
    """
    factors = equalising(model) if config.equalise else {}
    model = equalised(model, factors)
    weights = weight_tops(model.graph)
    extremes = observe(model, tensors, faces) | read_extremes(model, tensors)
    counts = histograms(model, tensors, extremes) if config.calibrator in COUNTING else {}
    rules: dict[str, Calibrator] = dict.fromkeys(extremes, config.calibrator)
    rules |= dict.fromkeys(_unclipped(model.graph), "min_max")
    activations = {
        name: settle(Seen(ends, counts.get(name, np.empty(0))), rules[name], config.coverage)
        for name, ends in extremes.items()
    }
    dead = [name for name, ends in extremes.items() if is_dead(outermost(ends))]
    dead += [name for name, tops in weights.items() if 0.0 in tops]
    return Decision(
        bounded(activations, model.graph),
        weights,
        config.bias_correction,
        factors,
        {
            "calibrator": config.calibrator,
            **({"coverage": config.coverage} if config.calibrator == "percentile" else {}),
            "equalise": config.equalise,
            "faces": len(tensors),
        },
        tuple(dead),
    )


def _unclipped(graph: onnx.GraphProto) -> set[str]:
    """Tensors that no calibrator clips: the graph's input and outputs, also before a reshape.

    They have the range "min_max" whatever the calibrator. What is clipped at the input is lost to
    all layers, and landmarks are read from the greatest values of the outputs.
    """
    names = {value.name for value in (*graph.input, *graph.output)}
    for node in reversed(graph.node):
        if node.op_type in SHAPERS and node.output[0] in names:
            names.add(node.input[0])
    return names


def layers_of(graph: onnx.GraphProto) -> list[NodeProto]:
    """The nodes with a weight (convolutions and alike), where that weight is a constant."""
    constants = {tensor.name for tensor in graph.initializer}
    return [n for n in graph.node if n.op_type in WEIGHTED and n.input[1] in constants]


def weight_tops(graph: onnx.GraphProto) -> dict[str, tuple[float, ...]]:
    """Greatest magnitude per output channel of each layer's weight.

    Raises:
        LandmintError: a weight is not finite.
    """
    wiring = Wiring(graph)
    magnitudes = {}
    for node in layers_of(graph):
        values = wiring.array(node.input[1])
        assert values is not None
        if not np.isfinite(values).all():
            raise LandmintError(
                f"weight '{node.input[1]}' of layer '{node.name}' is not finite",
                remedy="train the network again; its training diverged",
            )
        scales = weight_scales(values, output_axis(node))
        flat = np.moveaxis(values, output_axis(node), 0).reshape(len(scales), -1)
        alive = flat.any(axis=1)
        magnitudes[node.input[1]] = tuple((scales * _TOP * alive).tolist())
    return magnitudes


def write_decision(path: Path, decision: Decision) -> None:
    """Write a decision as a JSON file."""
    write_json(path, decision.to_json())


def read_decision(path: Path, graph: onnx.GraphProto) -> Decision:
    """Read a decision for a graph. Scales and zero points in the file are ignored.

    Args:
        path: a file as `write_decision` writes it.
        graph: the float32 graph, all of whose tensors the file must name.

    Raises:
        LandmintError: it is no such file, does not fit the graph, or holds an impossible range.
    """
    content = read_json(path)
    try:
        if content["schema"] != SCHEMA:
            raise KeyError("schema")
        decision = Decision(
            {
                name: (float(a["min"]), float(a["max"]))
                for name, a in content["activations"].items()
            },
            {name: tuple(map(float, w["max"])) for name, w in content["weights"].items()},
            bool(content["bias_correction"]),
            {n: tuple(map(float, f)) for n, f in content.get("equalised", {}).items()},
            content.get("about", {}),
            tuple(content.get("dead", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LandmintError(
            f"{path} is no file of ranges",
            reason=f"{type(error).__name__}: {error}",
            remedy=f"give the {RANGES} of a bundle that `landmint quantize` wrote, or one like it",
        ) from None
    _check_fits(decision, graph, path)
    _check_sound(decision, path)
    return decision


def _check_fits(decision: Decision, graph: onnx.GraphProto, path: Path) -> None:
    """Refuse ranges of another network."""
    wiring = Wiring(graph)
    layers = layers_of(graph)
    channels = {n.name: int(wiring.constants[n.input[1]].dims[output_axis(n)]) for n in layers}
    tensors = (*(value.name for value in graph.input), *wiring.maker)
    wanted = dict.fromkeys(tensors, 1) | {n.input[1]: channels[n.name] for n in layers}
    given = dict.fromkeys(decision.activations, 1)
    given |= {name: len(tops) for name, tops in decision.weights.items()}
    wrong = sorted(n for n in wanted.keys() | given.keys() if wanted.get(n) != given.get(n))
    wrong += [name for name, f in decision.equalised.items() if channels.get(name) != len(f)]
    if wrong:
        raise LandmintError(
            f"{path} does not fit the graph: {', '.join(wrong[:_NAMED])}",
            reason=f"{len(wrong)} tensors stand in only one of the two, or differ in channels",
            remedy="use the ranges that were made from this very network",
        )


def _check_sound(decision: Decision, path: Path) -> None:
    """Refuse empty ranges, and numbers that are not finite or too small."""
    for name, ends in decision.activations.items():
        low, high = ends
        if not (np.isfinite(ends).all() and low <= 0 <= high and not is_dead(ends)):
            raise LandmintError(
                f"{path}: tensor '{name}' has the range [{low}, {high}]",
                reason="a range has finite ends, the least first, and zero between them",
                remedy="correct the file, or let `landmint quantize` decide",
            )
    groups = (
        ("weight", decision.weights, 0.0),
        ("factors of layer", decision.equalised, np.finfo(np.float32).tiny),
    )
    for kind, group, least in groups:
        for name, values in group.items():
            if not np.isfinite(values).all() or min(values) < least:
                raise LandmintError(
                    f"{path}: {kind} '{name}' holds a number that is too small or not finite",
                    remedy="correct the file, or let `landmint quantize` decide",
                )
