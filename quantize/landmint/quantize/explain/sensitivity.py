"""How much each layer loses to INT8: in its output, and in the landmarks.

The output is that of the real INT8 graph. The landmarks come from two simulations for each layer:
one quantises only this layer, the other all layers but this one.
"""

from collections.abc import Mapping
from math import prod

import numpy as np
import onnx
from onnx import NodeProto

from landmint.export.graphs import attribute, ending_at
from landmint.quantize.decide.ranges import Optimise, open_session, run_all
from landmint.quantize.displacement import Points
from landmint.quantize.explain.divergence import Values
from landmint.quantize.explain.explanation import Cost, Layer
from landmint.quantize.explain.simulation import Simulation
from landmint.runtime.accuracy import face_sizes, nme_per_image, point_errors
from landmint.runtime.contract import Contract
from landmint.runtime.crop import apply_affine, normalise
from landmint.runtime.decode import decode
from landmint.runtime.progress import SILENT, Progress
from landmint.train.evaluate import crop_faces, truth_of
from landmint.train.faces.face import FaceSet

NO_NOISE_DB = 150.0
"""Signal-to-noise ratio of an output without error; its negative, of one without signal."""


class Examination:
    """Labelled faces, cropped once, to compare graphs on."""

    def __init__(self, faces: FaceSet, contract: Contract) -> None:
        """Crop the faces.

        Raises:
            LandmintError: an image cannot be read.
        """
        self._contract, self._truth = contract, truth_of(faces)
        crops = crop_faces(faces.faces, contract)
        self._matrices = crops.matrices
        self.tensors: Values = normalise(crops.crops, contract)
        self._sizes = face_sizes(self._truth)

    def points(self, model: onnx.ModelProto, optimise: Optimise = "all") -> Points:
        """Run a graph in ONNX Runtime; returns landmarks (N, L, 2) in crop pixels."""
        return decode(self._contract, run_all(model, self.tensors, optimise))[0]

    def simulated_cost(self, model: onnx.ModelProto, reference: Points) -> Cost:
        """Cost of a graph that `Simulation` made, against the float graph's landmarks.

        It is run without integer kernels: ONNX Runtime would otherwise quantise a layer that stands
        between two Q/DQ pairs, even one that the simulation leaves in float.
        """
        return self.cost(self.points(model, optimise="float"), reference)

    def nme(self, points: Points) -> float:
        """NME of landmarks (N, L, 2) in crop pixels, by the markup's own normaliser."""
        errors = point_errors(apply_affine(self._matrices, points), self._truth.points)
        return float(nme_per_image(errors, self._sizes).mean())

    def cost(self, points: Points, reference: Points) -> Cost:
        """Cost of landmarks (N, L, 2) in crop pixels, against those of the float graph."""
        moved = np.linalg.norm(points - reference, axis=2).mean(axis=1)
        return Cost(self.nme(points) - self.nme(reference), float(np.median(moved)))


def layer_sensitivities(
    simulation: Simulation,
    twin: onnx.ModelProto,
    faces: Examination,
    progress: Progress = SILENT,
) -> tuple[Layer, ...]:
    """Measure every weighted layer, in order of execution.

    Args:
        simulation: of the float graph and the INT8 graph.
        twin: the INT8 graph.
        faces: faces to run everything on.
        progress: called at every layer.
    """
    reference = faces.points(simulation.plain)
    fidelity = fidelities(simulation, twin, faces.tensors)
    shapes = _shapes(simulation.plain)
    layers = []
    for number, node in enumerate(simulation.layers):
        progress.at(number, len(simulation.layers), node.name)
        costs: dict[str, Cost] = {}
        if simulation.is_quantised(node):
            costs["alone"] = faces.simulated_cost(simulation.only(node), reference)
            costs["all_but"] = faces.simulated_cost(simulation.all_but(node), reference)
        snr_db, cosine = fidelity[node.name]
        weight = shapes[node.input[1]]
        layers.append(
            Layer(
                name=node.name,
                weight=node.input[1],
                kind=_kind(node),
                shape=weight,
                macs=_macs(node, shapes),
                quantised=simulation.is_quantised(node),
                snr_db=snr_db,
                cosine=cosine,
                **costs,
            )
        )
    return tuple(layers)


def fidelities(
    simulation: Simulation, twin: onnx.ModelProto, tensors: Values
) -> dict[str, tuple[float, float]]:
    """SNR in dB and cosine of each layer's output in INT8 against float, by the layer's name.

    Both are medians over the faces: in a mean, the few faces whose activations are clipped would
    outweigh all others.

    Args:
        simulation: knows the float graph, and which of its tensors is which in the INT8 graph.
        twin: the INT8 graph, which is run as it is.
        tensors: (N, 3, S, S) normalised crops.
    """
    activations = [simulation.activation(layer) for layer in simulation.layers]
    plain = open_session(ending_at(simulation.plain, activations))
    levels = open_session(ending_at(twin, [simulation.dequantised(name) for name in activations]))
    (entrance,) = plain.get_inputs()
    per_face = []
    for face in tensors:
        runs = [session.run(None, {entrance.name: face[None]}) for session in (plain, levels)]
        per_face.append([_fidelity(*pair) for pair in zip(*runs, strict=True)])
    medians = np.median(np.array(per_face), axis=0)
    names = [layer.name for layer in simulation.layers]
    return {name: (float(m[0]), float(m[1])) for name, m in zip(names, medians, strict=True)}


def _fidelity(signal: Values, noisy: Values) -> tuple[float, float]:
    """SNR in dB, from -NO_NOISE_DB to NO_NOISE_DB, and cosine."""
    x, y = signal.astype(np.float64).ravel(), noisy.astype(np.float64).ravel()
    power, noise = float(x @ x), float((x - y) @ (x - y))
    least = 10 ** (-NO_NOISE_DB / 10)
    if noise <= power * least:
        return NO_NOISE_DB, 1.0
    if power <= noise * least:
        return -NO_NOISE_DB, 0.0
    size = float(np.sqrt(power * (y @ y)))
    return 10 * float(np.log10(power / noise)), float(x @ y) / size if size > 0 else 0.0


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor and constant that has one."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes[value.name] = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
    return shapes


def _macs(node: NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Multiply-accumulates of a layer: weights times output pixels (input ones if transposed).

    Of a Gemm the output's rows are what pixels are elsewhere.
    """
    transposed = node.op_type == "ConvTranspose"
    shape = shapes[node.input[0] if transposed else node.output[0]]
    places = shape[0] if node.op_type == "Gemm" else prod(shape[2:])
    return prod(shapes[node.input[1]]) * places


def _kind(node: NodeProto) -> str:
    group = attribute(node, "group", 1)
    return node.op_type if group == 1 else f"{node.op_type}, {group} groups"
