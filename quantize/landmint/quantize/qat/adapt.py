"""Quantisation-aware training from start to end: trained weights in, adapted weights out.

Its parts are in `training.py`; the training loop is `landmint.train.fit`.
"""

from pathlib import Path
from typing import Any

from landmint.quantize.config import QatConfig, QuantizeConfig
from landmint.quantize.decide.decision import RANGES, decide, write_decision
from landmint.quantize.qat.training import (
    QatTask,
    calibration_crops,
    carried,
    fit_config,
    float_graph,
    simulate,
    truth_task,
)
from landmint.runtime.files import sha256_file
from landmint.runtime.progress import SILENT, Progress
from landmint.train.config import TrainingPlan
from landmint.train.fit import fit
from landmint.train.models import load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.processes import launcher_rank


def adapt_network(
    plan: TrainingPlan,
    config: QatConfig,
    quantize: QuantizeConfig,
    student: Path,
    place: Path,
    progress: Progress = SILENT,
) -> Path:
    """Train a trained student on while it is rounded as its INT8 form will be.

    Call it again after an interruption: it goes on from its checkpoint.

    Args:
        plan: how the student was trained; some of its `train` faces set the ranges.
        config: how it adapts.
        quantize: how its INT8 forms are made.
        student: weights of the trained student.
        place: folder for weights, ranges, checkpoint and logs.
        progress: called at every step.

    Returns:
        the path of the adapted weights.

    Raises:
        LandmintError: a library is missing, faces, networks and settings do not fit, or the
            training diverged.
    """
    progress.step("rounding the network as its INT8 graph does")
    model = load_model(student)
    # Training makes up for what these would correct; both together would correct twice.
    int8 = quantize.model_copy(update={"equalise": False, "bias_correction": False})
    graph = float_graph(model)
    crops = calibration_crops(model.contract, graph, plan.train, int8)
    decision = decide(graph, crops, int8)
    weights = fit(
        simulate(model, graph, decision, crops, int8),
        _task(plan, config, model),
        plan.train,
        plan.val,
        plan.network.augment,
        fit_config(plan.network.fit, config),
        place,
        progress,
        _identity(plan, config, quantize, student),
    )
    if launcher_rank() == 0:
        write_decision(place / RANGES, carried(decision, load_model(weights)))
    return weights


def _task(plan: TrainingPlan, config: QatConfig, model: LandmarkModel) -> QatTask:
    truth = truth_task(model, plan.network.loss, plan.train)
    teachers = [load_model(weights) for weights in plan.teachers]
    return QatTask(truth, model, config, teachers, plan.distill)


def _identity(
    plan: TrainingPlan, config: QatConfig, quantize: QuantizeConfig, student: Path
) -> dict[str, Any]:
    """What a checkpoint must agree on to be resumed."""
    settings = {
        "qat": config,
        "quantize": quantize,
        "distill": plan.distill,
        "loss": plan.network.loss,
    }
    weights = {"student": sha256_file(student)}
    if plan.teachers:
        weights["teacher"] = ", ".join(map(sha256_file, plan.teachers))
    return weights | {name: part.model_dump(mode="json") for name, part in settings.items()}
