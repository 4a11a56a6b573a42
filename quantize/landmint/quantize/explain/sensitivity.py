"""What each layer of a network loses to INT8: in its activations, and in the landmarks.

Activations are those of the INT8 graph as built; landmarks come from a simulation, in which one
layer is quantised at a time, and all but one. Faces are labelled and none of the calibration set.
"""

from collections.abc import Mapping
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from landmint.export.graphs import attribute, ending_at
from landmint.quantize.decide.ranges import Optimise, open_session, run_all
from landmint.quantize.drift import Points
from landmint.quantize.explain.explanation import Cost, Layer
from landmint.quantize.explain.simulation import Simulation
from landmint.runtime.accuracy import face_sizes, nme_per_image, point_errors
from landmint.runtime.contract import Contract
from landmint.runtime.crop import apply_affine, normalise
from landmint.runtime.decode import decode
from landmint.runtime.progress import SILENT, Progress
from landmint.train.evaluate import crop_faces, truth_of
from landmint.train.faces.face import FaceSet

Tensors = NDArray[np.float32]
"""Told the steps done, the steps in all, and what comes next."""
NO_NOISE_DB = 150.0
"""Written for activations that are equal to float32's last digits; silence gives its negative."""


class Examination:
    """Labelled faces, cropped once, and the error of any graph on them."""

    def __init__(self, faces: FaceSet, contract: Contract) -> None:
        """Crop the faces.

        Raises:
            LandmintError: an image cannot be read.
        """
        self._contract, self._truth = contract, truth_of(faces)
        crops = crop_faces(faces.faces, contract)
        self._matrices = crops.matrices
        self.tensors: Tensors = normalise(crops.crops, contract)
        self._sizes = face_sizes(self._truth)

    def points(self, model: onnx.ModelProto, optimise: Optimise = "all") -> Points:
        """Landmarks (N, L, 2) in crop pixels, as ONNX Runtime finds them."""
        return decode(self._contract, run_all(model, self.tensors, optimise))[0]

    def simulated_cost(self, model: onnx.ModelProto, reference: Points) -> Cost:
        """What a graph of `Simulation` loses against the float graph's landmarks.

        Between two Q/DQ pairs, ONNX Runtime would quantise the very layer that is left in float.
        """
        return self.cost(self.points(model, optimise="float"), reference)

    def nme(self, points: Points) -> float:
        """NME of landmarks (N, L, 2) in crop pixels, by the markup's own normaliser."""
        errors = point_errors(apply_affine(self._matrices, points), self._truth.points)
        return float(nme_per_image(errors, self._sizes).mean())

    def cost(self, points: Points, reference: Points) -> Cost:
        """What landmarks lose against the float graph's."""
        moved = np.linalg.norm(points - reference, axis=2).mean(axis=1)
        return Cost(self.nme(points) - self.nme(reference), float(np.median(moved)))


def layer_sensitivities(
    simulation: Simulation,
    twin: onnx.ModelProto,
    faces: Examination,
    progress: Progress = SILENT,
) -> tuple[Layer, ...]:
    """Every weighted layer, in order of execution.

    Args:
        simulation: of the float graph and its INT8 twin.
        twin: the INT8 graph.
        faces: to run everything on.
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
    simulation: Simulation, twin: onnx.ModelProto, tensors: Tensors
) -> dict[str, tuple[float, float]]:
    """SNR in dB and cosine of each layer's activations, by name of the layer.

    Each is the median over faces: a face that drives activations beyond their levels has so much
    noise that nothing else would be seen in a sum.

    Args:
        simulation: says which tensors belong together.
        twin: the INT8 graph; it is run as built.
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


def _fidelity(signal: Tensors, noisy: Tensors) -> tuple[float, float]:
    """SNR in dB, within the two limits, and cosine."""
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
    """Multiply-accumulates of a layer: every weight, once at each place."""
    transposed = node.op_type == "ConvTranspose"
    places = prod(shapes[node.input[0] if transposed else node.output[0]][2:])
    return prod(shapes[node.input[1]]) * places


def _kind(node: NodeProto) -> str:
    group = attribute(node, "group", 1)
    return node.op_type if group == 1 else f"{node.op_type}, {group} groups"
