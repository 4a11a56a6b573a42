"""The parts of quantisation-aware training: the rounding network, its task, its settings.

A trained network is trained on while its weights and activations are rounded as in the INT8 graph.
The result is a float network of the same architecture that loses less by rounding, and the ranges
it was trained with. Both are exported and quantised like any other network's.
"""

import copy
import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from landmint.export.forms.onnx import to_onnx
from landmint.export.graphs import ending_at
from landmint.quantize.config import QatConfig, QuantizeConfig
from landmint.quantize.decide.decision import Decision, weight_tops
from landmint.quantize.decide.features import features_of
from landmint.quantize.decide.ranges import run_all
from landmint.quantize.decide.strategies import choose
from landmint.quantize.explain.placement import placement_of
from landmint.quantize.forms import onnx as onnx_form
from landmint.quantize.integer_friendly import make_friendly
from landmint.quantize.job import Job
from landmint.quantize.qat.fake_quant import FakeQuantised
from landmint.runtime.contract import Contract
from landmint.runtime.crop import normalise
from landmint.runtime.scratch import scratch_folder
from landmint.train import losses
from landmint.train.config import DistillConfig, LossConfig
from landmint.train.distill import DistillTask
from landmint.train.evaluate import crop_faces
from landmint.train.faces.face import FaceSet
from landmint.train.fit_config import FitConfig
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import Batch, Parts, Task, task_for

TRAINED = "quantisation-aware training"
"""Entry "weights from" in a file of ranges whose weights were trained so."""


def float_graph(network: LandmarkModel) -> onnx.ModelProto:
    """Export a network to the float32 ONNX graph that a bundle holds."""
    with scratch_folder() as work:
        to_onnx(network, work / "float32.onnx")
        return onnx.load(work / "float32.onnx")


def calibration_crops(
    contract: Contract, graph: onnx.ModelProto, faces: FaceSet, config: QuantizeConfig
) -> NDArray[np.float32]:
    """Choose calibration faces for a float graph; returns normalised crops (N, 3, S, S).

    Raises:
        LandmintError: there are too few faces, or an image cannot be read.
    """
    chosen = choose(faces, config, partial(features_of, graph, contract))
    return normalise(crop_faces(chosen, contract).crops, contract)


def int8_graph(
    contract: Contract,
    graph: onnx.ModelProto,
    decision: Decision,
    tensors: NDArray[np.float32],
    config: QuantizeConfig,
) -> onnx.ModelProto:
    """Quantise a float graph to the INT8 graph of ONNX Runtime."""
    with scratch_folder() as work:
        source, target = work / "float32.onnx", work / "int8.onnx"
        onnx_form.quantize(Job(source, target, graph, decision, tensors, contract, config))
        return onnx.load(target)


def simulate(
    network: LandmarkModel,
    graph: onnx.ModelProto,
    decision: Decision,
    tensors: NDArray[np.float32],
    config: QuantizeConfig,
) -> FakeQuantised:
    """A copy of a network that rounds as its INT8 graph for ONNX Runtime does.

    Args:
        network: trained.
        graph: of `float_graph`.
        decision: the ranges.
        tensors: (N, 3, S, S) calibration crops. On the first one the tensors of graph and network
            are matched.
        config: how INT8 is made.

    Raises:
        LandmintError: the INT8 graph quantises a tensor that the network does not compute.
    """
    placement = placement_of(int8_graph(network.contract, graph, decision, tensors, config))
    friendly, _ = make_friendly(graph)
    crop = tensors[:1]
    inner = [name for node in friendly.graph.node for name in node.output]
    values = {network.contract.input_name: crop, **run_all(ending_at(friendly, inner), crop)}
    return FakeQuantised(copy.deepcopy(network), placement, values)


def carried(decision: Decision, network: LandmarkModel) -> Decision:
    """The decision for a network after training: the same activation ranges, new weight ranges.

    Activations keep the ranges they were trained with, since the weights have adapted to these.
    Bias correction is off: training has corrected the biases.

    Args:
        decision: what the network was trained with.
        network: after training.
    """
    about = {**decision.about, "weights from": TRAINED}
    weights = weight_tops(float_graph(network).graph)
    return dataclasses.replace(decision, weights=weights, bias_correction=False, about=about)


def truth_task(network: LandmarkModel, config: LossConfig, faces: FaceSet) -> Task:
    """The task on the true landmarks: the student's own, but with Wing loss for coordinates.

    PFLD's own loss needs an auxiliary pose network, which is not stored with the student's weights.
    """
    if network.contract.head.kind == "coordinates":
        config = config.model_copy(update={"kind": "wing"})
    return task_for(network, config, faces)


def fit_config(student: FitConfig, config: QatConfig) -> FitConfig:
    """The student's training settings: fewer epochs, a lower learning rate, and 32 bits."""
    changed = {
        "epochs": config.epochs,
        "learning_rate": config.learning_rate,
        "warmup_epochs": 0.0,
        "frozen_norms": 1.0,  # from the start: in the deployed graph they are folded
        "precision": "32",  # half precision would round before the levels do
    }
    return student.model_copy(update=changed)


class QatTask(Task):
    """Learns from the true landmarks, a frozen float copy of the network, and maybe a teacher.

    Loss = (1 - alpha) truth + alpha copy. The teacher's share is within the truth part, as in
    distillation. Features are imitated of the copy, not of the teacher: those of the teacher would
    need convolutions that are not stored with the student's weights.
    """

    def __init__(
        self,
        task: Task,
        network: LandmarkModel,
        config: QatConfig,
        teachers: Sequence[LandmarkModel] = (),
        distill: DistillConfig | None = None,
    ) -> None:
        """Keep a frozen copy of the float network.

        Args:
            task: the task on the true landmarks.
            network: the trained network, without rounding.
            config: weights of the parts of the loss.
            teachers: trained networks, if there are any.
            distill: weight of the teachers in the loss, and their precision.

        Raises:
            LandmintError: teachers and student do not fit each other.
        """
        super().__init__()
        self.own = task
        self.truth = task
        if teachers:
            settings = (distill or DistillConfig()).model_copy(update={"feature_weight": 0.0})
            self.truth = DistillTask(task, network, teachers, settings)
        self.config = config
        self.before = FloatCopy(network)

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """The task's own parts times 1 - alpha; the copy's, named "copy_...", times alpha."""
        alpha, weight = self.config.alpha, self.config.feature_weight
        maps, wanted = self.before.run(batch["images"])
        unlike = [losses.relative_mse(own, tap) for own, tap in zip(features, maps, strict=True)]
        copied = self.own.copy_parts(outputs, wanted)
        copied["features"] = weight * torch.stack(unlike).mean()
        truth = self.truth.parts(features, outputs, batch)
        return {name: (1 - alpha) * part for name, part in truth.items()} | {
            f"copy_{name}": alpha * part for name, part in copied.items()
        }


class FloatCopy:
    """A frozen copy of a network. It is no `nn.Module`, so that nothing trains or saves it."""

    def __init__(self, network: LandmarkModel) -> None:
        """Copy the network and freeze the copy."""
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def run(self, images: Tensor) -> tuple[tuple[Tensor, ...], Parts]:
        """Features and outputs of the copy on crops (B, 3, S, S)."""
        self.network.to(images.device)
        features = self.network.features(images)
        return features, self.network.head(features)
