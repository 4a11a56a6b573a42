"""A trained student trained on, rounded as its INT8 form rounds: the whole of it from settings.

Its parts stand in `training.py`, the loop in train's `fit`.
"""

from pathlib import Path

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
from landmint.train.config import DistillConfig, NetworkRecipe
from landmint.train.faces.face import FaceSet
from landmint.train.fit import fit
from landmint.train.models import load_model
from landmint.train.processes import launcher_rank


def adapt_network(
    network: NetworkRecipe,
    config: QatConfig,
    quantize: QuantizeConfig,
    student: Path,
    train: FaceSet,
    val: FaceSet,
    place: Path,
    progress: Progress = SILENT,
    teacher: Path | None = None,
    distill: DistillConfig | None = None,
) -> Path:
    """Train a student on, rounded as it will be deployed, or go on with that.

    Args:
        network: how the student was trained.
        config: how it adapts.
        quantize: how its INT8 forms are made.
        student: its weights.
        train: faces to learn from; some of them set the ranges.
        val: faces to choose the weights on.
        place: folder for weights, ranges, checkpoint and logs.
        progress: called at every step.
        teacher: weights of a trained network to learn from as well.
        distill: how to learn from the teacher.

    Returns:
        the path of the adapted weights.

    Raises:
        LandmintError: a library is missing, faces, networks and settings do not fit, or the
            training diverged.
    """
    progress.step("rounding the network as its INT8 graph does")
    model, distill = load_model(student), distill or DistillConfig()
    # What corrects the weights of a network that was not trained for it would correct twice here.
    int8 = quantize.model_copy(update={"equalise": False, "bias_correction": False})
    graph = float_graph(model)
    crops = calibration_crops(model.contract, graph, train, int8)
    decision = decide(graph, crops, int8)
    files = {"student": student, "teacher": teacher}
    settings = {"qat": config, "quantize": quantize, "distill": distill, "loss": network.loss}
    weights = fit(
        simulate(model, graph, decision, crops, int8),
        QatTask(
            truth_task(model, network.loss, train),
            model,
            config,
            None if teacher is None else load_model(teacher),
            distill,
        ),
        train,
        val,
        network.augment,
        fit_config(network.fit, config),
        place,
        progress,
        {role: sha256_file(file) for role, file in files.items() if file}
        | {name: part.model_dump(mode="json") for name, part in settings.items()},
    )
    if launcher_rank() == 0:
        write_decision(place / RANGES, carried(decision, load_model(weights)))
    return weights
