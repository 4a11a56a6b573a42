"""Each task gives parts that add up, learns a batch, and weighs faces as it says."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from landmint.runtime.errors import LandmintError
from landmint.train import losses
from landmint.train.config import Curriculum, LossConfig
from landmint.train.faces.face import FaceSet
from landmint.train.models.base import LandmarkModel
from landmint.train.models.pipnet import PIPNet
from landmint.train.tasks import Lesson, PfldTask, Task, task_for

MakeModel = Callable[..., LandmarkModel]
MakeFaces = Callable[..., FaceSet]
MakeBatch = Callable[[int, int], dict[str, Tensor]]

CASES: tuple[tuple[str, dict[str, Any], LossConfig, set[str]], ...] = (
    ("hrnet", {"backbone": "hrnet_w18_small"}, LossConfig(), {"heatmaps"}),
    ("mobilefan", {}, LossConfig(kind="adaptive_wing"), {"heatmaps"}),
    ("mobilefan", {}, LossConfig(kind="latent"), {"heatmaps"}),
    ("mobilefan", {}, LossConfig(boundary_weight=1), {"heatmaps", "boundaries"}),
    ("mobilefan", {}, LossConfig(consistency_weight=1), {"heatmaps", "consistency"}),
    (
        "awing",
        {"backbone": "fan_2", "width": 0.125},
        LossConfig(kind="adaptive_wing", boundary_weight=1),
        {"heatmaps", "boundaries"},
    ),
    (
        "propagation",
        {"backbone": "hourglass_2", "width": 0.125},
        LossConfig(kind="focal_wing", boundary_weight=1),
        {"heatmaps", "boundaries"},
    ),
    (
        "luvli",
        {"backbone": "unet_2", "width": 0.25},
        LossConfig(kind="spread_nll"),
        {"heatmaps", "spread"},
    ),
    ("cunet", {"backbone": "unet_2", "width": 0.25}, LossConfig(), {"heatmaps"}),
    (
        "adnet",
        {"backbone": "hourglass_2", "width": 0.125},
        LossConfig(kind="directional"),
        {"landmarks", "edges", "points"},
    ),
    (
        "adnet",
        {"backbone": "residual_1", "width": 0.125},
        LossConfig(kind="star"),
        {"landmarks", "edges", "points"},
    ),
    *(
        (name, {"backbone": "mobilenetv2_050"}, LossConfig(kind=kind), {"scores", "offsets"})
        for name, kind in (
            ("grmi", "disk"),
            ("grmi", "udp"),
            ("grmi", "laplace"),
            ("centernet", "focal"),
        )
    ),
    ("san", {"backbone": "cpm_3", "width": 0.125}, LossConfig(), {"heatmaps"}),
    ("hih", {"backbone": "residual_2", "width": 0.125}, LossConfig(), {"heatmaps", "inner"}),
    (
        "deeppose",
        {"backbone": "mobilenetv3_small_050"},
        LossConfig(kind="wing", companion_weight=1),
        {"points", "companion"},
    ),
    ("ghostone", {"width": 0.25}, LossConfig(kind="wing"), {"points"}),
    (
        "lab",
        {"backbone": "residual_2", "width": 0.125},
        LossConfig(kind="wing", boundary_weight=1),
        {"points", "boundaries"},
    ),
    ("deeppose", {"backbone": "mobilenetv3_small_050"}, LossConfig(kind="l2"), {"points"}),
    (
        "spiga",
        {"backbone": "hourglass_2", "width": 0.125},
        LossConfig(kind="cascade"),
        {"points", "steps", "pose", "maps"},
    ),
    ("pipnet", {"stride": 16}, LossConfig(), {"cls", "offsets", "neighbours"}),
    ("simcc", {"stride": 16}, LossConfig(), {"simcc_x", "simcc_y"}),
    ("pfld", {"width": 0.25}, LossConfig(), {"points", "pose"}),
    ("pfld", {"backbone": "mobilenetv3_small_050"}, LossConfig(kind="wing"), {"points"}),
)


def lesson_of(task: Task, points: Tensor, confidence: float = 1.0) -> Lesson:
    decoded = {"points": points, "confidence": torch.full(points.shape[:2], confidence)}
    return task.lesson(losses.encode_heatmaps(points, (16, 16), 1.5), lambda _: decoded)


@pytest.mark.parametrize(("name", "settings", "config", "names"), CASES)
def test_parts_add_up_and_a_few_steps_reduce_the_loss(
    name: str,
    settings: dict[str, Any],
    config: LossConfig,
    names: set[str],
    make_model: MakeModel,
    make_faces: MakeFaces,
    batch: MakeBatch,
) -> None:
    model = make_model(name, input_size=64, **settings).train()
    task = task_for(model, config, make_faces({}, {}))
    examples = batch(4, 64)
    optimiser = torch.optim.Adam([*model.parameters(), *task.parameters()], lr=1e-3)
    history = []
    for _ in range(12):
        parts = task(model, examples)
        assert set(parts) == {"loss"} | names
        total = sum(float(part.detach()) for key, part in parts.items() if key != "loss")
        assert total == pytest.approx(float(parts["loss"].detach()), rel=1e-5)
        optimiser.zero_grad()
        parts["loss"].backward()
        optimiser.step()
        history.append(float(parts["loss"].detach()))
    # Edges and peaks of a few cells are hardly drawn in a dozen steps.
    slow = name in ("adnet", "grmi", "centernet", "hih", "cunet", "propagation", "spiga")
    assert history[-1] < (0.95 if slow else 0.8) * history[0]
    assert not [n for n, p in task.named_parameters() if p.grad is None]


@pytest.mark.parametrize(("name", "settings", "config", "names"), CASES)
def test_equal_outputs_cost_nothing_and_other_outputs_do(
    name: str,
    settings: dict[str, Any],
    config: LossConfig,
    names: set[str],
    make_model: MakeModel,
    make_faces: MakeFaces,
) -> None:
    model = make_model(name, input_size=64, **settings).eval()
    task = task_for(model, config, make_faces({}, {}))
    with torch.no_grad():
        outputs = model(torch.randn(2, 3, 64, 64))
    equal = task.copy_parts(outputs, outputs)
    assert set(equal) <= names - {"pose"} or set(equal) == {"heatmaps"}
    assert all(float(part) == pytest.approx(0, abs=1e-9) for part in equal.values())
    for output, values in outputs.items():
        # Not by a constant: a softmax over bins does not see it.
        parts = task.copy_parts(
            {**outputs, output: values + 0.1 * torch.rand_like(values)}, outputs
        )
        assert sum(map(float, parts.values())) > 1e-6, output


def test_copied_scores_weigh_as_true_ones_and_offsets_count_at_their_peak(
    make_model: MakeModel, make_faces: MakeFaces
) -> None:
    """The same sums, written out in numpy."""
    task = task_for(make_model("pipnet", input_size=64, stride=16), LossConfig(), make_faces({}))
    rng = np.random.default_rng(0)
    channels = {"cls": 68, "x": 68, "y": 68, "nb_x": 680, "nb_y": 680}
    ours, theirs = (
        {k: rng.normal(size=(2, n, 4, 4)).astype(np.float32) for k, n in channels.items()}
        for _ in range(2)
    )
    parts = task.copy_parts(
        {k: torch.from_numpy(v) for k, v in ours.items()},
        {k: torch.from_numpy(v) for k, v in theirs.items()},
    )
    apart = {name: np.abs(ours[name] - theirs[name]) for name in channels}
    misses = {"offsets": 0.0, "neighbours": 0.0}
    for b, i in np.ndindex(2, 68):
        row, column = np.unravel_index(theirs["cls"][b, i].argmax(), (4, 4))
        near = slice(10 * i, 10 * i + 10)
        for axis in ("x", "y"):
            misses["offsets"] += apart[axis][b, i, row, column] / 136
            misses["neighbours"] += apart[f"nb_{axis}"][b, near, row, column].mean() / 136
    wanted = {"cls": 10 * np.mean(apart["cls"] ** 2), **misses}
    assert {k: float(v) for k, v in parts.items()} == pytest.approx(wanted, rel=1e-4)


def test_an_empty_heatmap_costs_one(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    model = make_model("mobilefan", input_size=64)
    task = task_for(model, LossConfig(), make_faces({}))
    empty = {"heatmaps": torch.zeros(2, 68, 16, 16)}
    assert float(task.parts((), empty, batch(2, 64))["heatmaps"]) == pytest.approx(1, abs=0.02)


def test_every_stack_of_fan_learns_the_heatmaps(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    model = make_model("fan", input_size=64, backbone="fan_2")
    task, examples = task_for(model, LossConfig(), make_faces({}, {})), batch(2, 64)
    truth = losses.encode_heatmaps(examples["points"], (16, 16), 1.5)
    early, last = torch.zeros_like(truth), {"heatmaps": truth}
    cost = float(task.parts((early, torch.zeros(2, 256, 16, 16)), last, examples)["heatmaps"])
    assert cost == pytest.approx(0.5, abs=0.01)


def test_heatmap_task_of_the_truth_is_zero(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    model = make_model("mobilefan", input_size=64)
    task = task_for(model, LossConfig(), make_faces({}))
    examples = batch(2, 64)
    truth = {"heatmaps": losses.encode_heatmaps(examples["points"], (16, 16), 1.5)}
    assert float(task.parts((), truth, examples)["heatmaps"]) == pytest.approx(0, abs=1e-9)


def pfld_task(
    make_model: MakeModel, faces: FaceSet, **settings: float
) -> tuple[PfldTask, tuple[Tensor, ...], dict[str, Tensor]]:
    model = make_model("pfld", input_size=64, width=0.25)
    task = task_for(model, LossConfig.model_validate(settings), faces)
    assert isinstance(task, PfldTask)
    features = model.features(torch.randn(2, 3, 64, 64))
    return task, features, model.head(features)


def test_pfld_teaches_faces_without_attributes(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    task, features, outputs = pfld_task(make_model, make_faces({"blur": 1}, {}, {}, {}))
    assert float(task.parts(features, outputs, batch(2, 64))["points"].detach()) > 0


def test_pfld_weighs_rare_attributes_more(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    task, features, outputs = pfld_task(make_model, make_faces({"blur": 1}, {}, {}, {}))
    plain, blurred = batch(2, 64), batch(2, 64)
    blurred["attributes"][:, 5] = 1  # the last name in ATTRIBUTES
    ratio = (
        task.parts(features, outputs, blurred)["points"]
        / task.parts(features, outputs, plain)["points"]
    )
    assert float(ratio.detach()) == pytest.approx(3, rel=1e-4)  # (1 / 0.25) / (1 / 0.75)


def test_pfld_of_an_exact_pose_teaches_unless_the_floor_is_zero(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    for floor in (0.0, 1.0):
        task, features, outputs = pfld_task(make_model, make_faces({}), pose_floor=floor)
        task.pose_net.eval()
        examples = batch(2, 64)
        examples["euler_rad"] = task.pose_net(features[0]).detach()
        points = float(task.parts(features, outputs, examples)["points"].detach())
        assert (points > 1e-4) == (floor > 0)


def test_pfld_gradient_passes_through_the_poses_weight(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    task, features, outputs = pfld_task(make_model, make_faces({}))
    part = task.parts(features, outputs, batch(2, 64))["points"]
    gradients = torch.autograd.grad(part, [*task.pose_net.parameters(), features[0]])
    assert all(bool(gradient.abs().sum() > 0) for gradient in gradients)


def test_pose_net_is_no_part_of_the_model(make_model: MakeModel, make_faces: MakeFaces) -> None:
    model = make_model("pfld", input_size=64, width=0.25)
    before = set(model.state_dict())
    task = task_for(model, LossConfig(), make_faces({}))
    assert set(model.state_dict()) == before
    assert any(key.startswith("pose_net.") for key in task.state_dict())


@pytest.mark.parametrize(
    ("name", "kind", "choices"),
    [
        ("pipnet", "wing", "choices: pip"),
        ("pfld", "mse", "choices: pfld, wing, l2"),
        ("mobilefan", "pip", "choices: mse, adaptive_wing"),
    ],
)
def test_a_loss_that_does_not_fit_the_head_is_refused(
    name: str, kind: str, choices: str, make_model: MakeModel, make_faces: MakeFaces
) -> None:
    with pytest.raises(LandmintError, match=choices):
        task_for(
            make_model(name, input_size=64),
            LossConfig.model_validate({"kind": kind}),
            make_faces({}),
        )


def told(task: Task, outputs: dict[str, Tensor], lesson: Lesson) -> float:
    return float(torch.stack(list(task.lesson_parts(outputs, lesson).values())).sum().detach())


def test_what_the_teacher_says_costs_nothing_and_doubt_costs_less(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    points = batch(2, 64)["points"]
    exact, off = points.flatten(1), (points + 0.1).flatten(1)
    for kind in ("pfld", "wing"):
        config = LossConfig.model_validate({"kind": kind})
        task = task_for(make_model("pfld", input_size=64), config, make_faces({}))
        assert told(task, {"coordinates": exact}, lesson_of(task, points)) == 0
        sure = told(task, {"coordinates": off}, lesson_of(task, points))
        doubtful = told(task, {"coordinates": off}, lesson_of(task, points, 0.5))
        assert doubtful == pytest.approx(sure / 2, rel=1e-4)
        assert told(task, {"coordinates": off}, lesson_of(task, points, 0.0)) == 0

    task = task_for(make_model("mobilefan", input_size=64), LossConfig(), make_faces({}))
    lesson = lesson_of(task, points)
    assert told(task, {"heatmaps": lesson["heatmaps"]}, lesson) == 0


def test_pip_learns_scores_from_the_teachers_mass(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    model = make_model("pipnet", input_size=64, stride=16)
    task = task_for(model, LossConfig(), make_faces({}))
    points = batch(2, 64)["points"].clamp(0, 1)
    lesson = lesson_of(task, points)
    with torch.no_grad():
        outputs = model(torch.randn(2, 3, 64, 64))
    heatmaps = losses.encode_heatmaps(points, (16, 16), 1.5)
    outputs["cls"] = losses.heatmap_mass(heatmaps, (4, 4))
    assert float(task.lesson_parts(outputs, lesson)["cls"]) == pytest.approx(0, abs=1e-9)
    assert all(
        float(part) == 0
        for part in task.lesson_parts(outputs, lesson_of(task, points, 0.0)).values()
    )


def test_simcc_learns_the_teachers_points_by_confidence(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    task = task_for(make_model("simcc", input_size=64), LossConfig(), make_faces({}))
    points = batch(2, 64)["points"]
    exact = {
        f"simcc_{axis}": losses.encode_bins(points[..., place], 128, math.sqrt(128) / 4)
        for place, axis in enumerate("xy")
    }
    assert told(task, exact, lesson_of(task, points)) == pytest.approx(0, abs=1e-9)
    other = {name: vectors.roll(3, dims=2) for name, vectors in exact.items()}
    sure = told(task, other, lesson_of(task, points))
    assert sure > 0.1
    doubtful = told(task, other, lesson_of(task, points, 0.5))
    assert doubtful == pytest.approx(sure / 2, rel=1e-4)


def test_tasks_run_under_autocast(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    for name in ("mobilefan", "pipnet", "pfld", "simcc"):
        model = make_model(name, input_size=64)
        task = task_for(model, LossConfig(), make_faces({}))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = task(model, batch(2, 64))["loss"]
        assert loss.dtype == torch.float32
        assert bool(torch.isfinite(loss))


@pytest.mark.parametrize(("curriculum", "cells"), [("cls2", 16), ("cls3", 4)])
def test_the_curriculum_scores_the_pooled_map_with_the_same_layer(
    curriculum: Curriculum,
    cells: int,
    make_model: MakeModel,
    make_faces: MakeFaces,
    batch: MakeBatch,
) -> None:
    model = make_model("pipnet", input_size=128, stride=16)
    task = task_for(model, LossConfig(), make_faces({}), curriculum)
    assert not list(task.parameters()), "the shared layer is the model's"
    examples = {**batch(2, 128), "pseudo": torch.tensor([0.0, 1.0])}
    assert isinstance(model, PIPNet)
    model.requires_grad_(False)
    features = model.features(examples["images"])
    outputs = model.head(features)
    parts = task.parts(features, outputs, examples)
    side = int(cells**0.5)
    pooled = torch.nn.functional.adaptive_max_pool2d(features[-1], side)
    scores = model.convs["cls"](pooled)
    contract = model.contract.head.neighbours
    wanted = losses.curriculum_loss(
        outputs, scores, examples["points"], torch.tensor(contract), examples["pseudo"]
    )
    assert float(parts["cls"]) == pytest.approx(10 * float(wanted["cls"]), rel=1e-5)
    assert float(parts["offsets"]) == pytest.approx(float(wanted["offsets"]), rel=1e-5)


def test_in_coarse_rounds_pseudo_labels_teach_no_offsets(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    model = make_model("pipnet", input_size=64, stride=16)
    task = task_for(model, LossConfig(), make_faces({}), "cls2")
    task(model, {**batch(2, 64), "pseudo": torch.ones(2)})["loss"].backward()
    assert isinstance(model, PIPNet)
    for name, conv in model.convs.items():
        weight = conv.weight
        assert isinstance(weight, Tensor) and weight.grad is not None
        assert bool(weight.grad.any()) == (name == "cls")


def test_curricula_that_do_not_fit_are_refused(
    make_model: MakeModel, make_faces: MakeFaces
) -> None:
    small = make_model("pipnet", input_size=64, stride=16)
    with pytest.raises(LandmintError, match="a 4 x 4 score map cannot be 4 times as coarse"):
        task_for(small, LossConfig(), make_faces({}), "cls3")
    with pytest.raises(LandmintError, match="self-training is for PIPNet, not for pfld"):
        task_for(make_model("pfld"), LossConfig(), make_faces({}), "cls2")
