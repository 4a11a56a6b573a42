"""Every published system: its recipe is whole, its size the published one, its network at work."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from landmint.export.forms.onnx import to_onnx
from landmint.pipeline import cli
from landmint.pipeline.networks import _one_face
from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.shipped_recipes import published_systems
from landmint.runtime.decode import decode
from landmint.runtime.engines import load_engine
from landmint.train.config import NetworkRecipe
from landmint.train.models import ModelConfig, create_model, model_class
from landmint.train.models.base import LandmarkModel
from landmint.train.models.complexity import Complexity, complexity
from landmint.train.starting import stand_in_shape
from landmint.train.tasks import task_for

RECIPES = {name.partition("/")[2]: load_recipe(path) for name, path in published_systems().items()}
SIZED = [name for name, recipe in RECIPES.items() if recipe.source and recipe.source.size]
WIDTH = 0.125  # of the channels that an architecture has of its own
BATCH = 2


def _toy(recipe: Recipe, stacks: int = 2) -> NetworkRecipe:
    """The recipe's student with fewer stacks or a smaller trunk, channels and pixels."""
    model = recipe.student.model
    kind = model_class(model.name)
    settings = model.model_dump(exclude={"pretrained"})
    settings["backbone"] = _small(kind.backbone_of(model), stacks)
    settings["input_size"] = max(64, kind.divisor_of(model))
    if kind.scales(model):
        settings["width"] = WIDTH
    return recipe.student.model_copy(update={"model": ModelConfig.model_validate(settings)})


def _small(backbone: str, stacks: int) -> str:
    family, _, size = backbone.rpartition("_")
    if family == "cpm":
        return "cpm_2"
    stacked = family in ("hourglass", "residual", "fan", "unet")
    return f"{family}_{min(stacks, int(size))}" if stacked else _SMALLER.get(backbone, backbone)


_SMALLER = {"resnet50": "resnet18", "resnet101": "resnet18", "mobilenetv2_100": "mobilenetv2_050"}
# By other tests, and what is made of the same layers as those.
_EXPORTED = ("hrnet", "pipnet", "pfld", "mobilefan", "simcc", "simplebaseline", "deeppose", "cpm")
_DECODED_BY = {"decode", "heatmap_sigma", "soft_argmax_radius"}
# Networks that differ in training alone, or in how a device decodes, are one graph.
GRAPHS = {
    json.dumps(_toy(recipe, 1).model.model_dump(exclude=_DECODED_BY)): name
    for name, recipe in RECIPES.items()
    if recipe.student.model.name not in _EXPORTED
}


def _network(recipe: NetworkRecipe) -> LandmarkModel:
    torch.manual_seed(0)
    return create_model(recipe.model, stand_in_shape(int(recipe.model.markup)))


def _batch(network: LandmarkModel) -> dict[str, torch.Tensor]:
    size, points = network.contract.input_size, network.contract.landmarks.points
    shape = torch.from_numpy(stand_in_shape(points)).float()
    return {
        "images": torch.randn(BATCH, 3, size, size),
        "points": shape + 0.03 * torch.randn(BATCH, points, 2),
        "euler_rad": 0.3 * torch.randn(BATCH, 3),
        "attributes": torch.zeros(BATCH, 6),
        "visible": torch.ones(BATCH, points),
    }


@cache
def _size(config: str) -> Complexity:
    """Of a network whose weights are never made."""
    model = ModelConfig.model_validate_json(config)
    kind = model_class(model.name)
    with torch.device("meta"):
        points = int(model.markup)
        return complexity(kind(model, kind.contract_for(model, stand_in_shape(points))))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.source is not None
    for text in (recipe.about, recipe.source.system, recipe.source.ours, recipe.source.paper):
        assert text
    assert recipe.student.model.input_size <= 128, "so that a CPU trains it in minutes"


def test_there_are_the_systems_of_the_surveys() -> None:
    assert len(RECIPES) > 10
    systems = {recipe.source.system for recipe in RECIPES.values() if recipe.source}
    assert len(systems) == len(RECIPES), "each once"


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZED)
def test_a_published_network_has_the_published_size(name: str) -> None:
    source = RECIPES[name].source
    assert source and source.size
    size = _size(source.size.published_model(RECIPES[name].student.model).model_dump_json())
    assert size.parameters / 1e6 == pytest.approx(source.size.parameters_m, rel=0.01)
    assert size.macs / 1e9 == pytest.approx(source.size.gmacs, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_training_lowers_the_loss(name: str) -> None:
    toy = _toy(RECIPES[name])
    network = _network(toy).train()
    task = task_for(network, toy.loss, _one_face(toy))
    optimiser = torch.optim.Adam([*network.parameters(), *task.parameters()], lr=1e-4)
    batch, history = _batch(network), []
    for _ in range(4):
        loss = task(network, batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    assert history[-1] < history[0]
    assert np.isfinite(history).all()


@pytest.mark.parametrize("name", RECIPES)
def test_a_mirrored_answer_is_that_of_the_mirrored_face(name: str) -> None:
    """What the decode makes of maps that are turned over, landmarks swapped as the markup says."""
    contract = _network(_toy(RECIPES[name])).contract
    rng = np.random.default_rng(0)
    outputs: dict[str, Any] = {
        output.name: rng.normal(size=(1, *output.shape)) for output in contract.outputs
    }
    if contract.head.kind not in ("heatmap", "simcc"):
        pytest.skip(f"{contract.head.kind}: coordinates and offsets are not turned over")
    flip = list(contract.landmarks.flip)
    mirrored = {
        key: maps[:, flip] if key in ("simcc_y", "confidence") else maps[:, flip, ..., ::-1]
        for key, maps in outputs.items()
    }
    points, confidence = decode(contract, outputs)
    other, as_sure = decode(contract, mirrored)
    other[..., 0] = contract.input_size - 1 - other[..., 0]
    np.testing.assert_allclose(other, points[:, flip], atol=1e-6)
    np.testing.assert_allclose(as_sure, confidence[:, flip])


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS.values())
def test_the_exported_graph_computes_the_same(name: str, tmp_path: Path) -> None:
    network = _network(_toy(RECIPES[name], 1)).eval()
    to_onnx(network, tmp_path / "net.onnx")
    size = network.contract.input_size
    image = np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32)
    session = load_engine("onnxruntime").load(tmp_path / "net.onnx", network.contract, 1)
    with torch.no_grad():
        expected = network(torch.from_numpy(image))
    for key, values in session.run(image).items():
        np.testing.assert_allclose(values, expected[key].numpy(), rtol=1e-3, atol=1e-4)


def test_systems_are_listed() -> None:
    result = CliRunner().invoke(cli.app, ["zoo"])
    assert result.exit_code == 0, result.output
    assert "zoo/hourglass: Stacked Hourglass, heatmap, 25.6 M parameters" in result.stdout
    listed = CliRunner().invoke(cli.app, ["recipes"]).stdout
    assert "landmint zoo" in listed
    assert "zoo/hourglass" not in listed
