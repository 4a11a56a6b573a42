"""The rounded network computes what the deployed INT8 graph computes, and passes gradients on."""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from landmint.export.graphs import Wiring, ending_at
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import decide
from landmint.quantize.decide.ranges import run_all
from landmint.quantize.explain.placement import Levels, Placement, placement_of
from landmint.quantize.integer_friendly import make_friendly
from landmint.quantize.qat.fake_quant import FakeQuantised, rounded, rounded_weight
from landmint.quantize.qat.training import float_graph, int8_graph
from landmint.runtime.errors import LandmintError
from landmint.train.models import save_model
from landmint.train.models.base import LandmarkModel

Tensors = NDArray[np.float32]
STEM, DEEP = "model.stem.weight", "model.deep.0.weight"


@dataclasses.dataclass(frozen=True)
class Deployed:
    """A network's INT8 graph."""

    twin: onnx.ModelProto
    placement: Placement
    values: Mapping[str, Tensors]


@pytest.fixture(scope="module")
def deployed(make_tiny: Callable[[], LandmarkModel], tensors: Tensors) -> Deployed:
    network, config = make_tiny(), QuantizeConfig()
    graph = float_graph(network)
    decision = decide(graph, tensors, config)
    twin = int8_graph(network.contract, graph, decision, tensors, config)
    friendly, _ = make_friendly(graph)
    inner = [name for node in friendly.graph.node for name in node.output]
    values = run_all(ending_at(friendly, inner), tensors[:1])
    return Deployed(twin, placement_of(twin), {"image": tensors[:1], **values})


def error(reference: Tensors, found: Tensors) -> float:
    return float(np.sqrt(np.mean((found - reference) ** 2) / np.mean(reference**2)))


def said(network: nn.Module, tensors: Tensors) -> Tensors:
    with torch.no_grad():
        found: Tensors = network(torch.from_numpy(tensors))["coordinates"].numpy()
    return found


def test_the_graph_says_what_it_rounds(deployed: Deployed) -> None:
    placement = deployed.placement
    # Stem, depthwise, two of the gate, thin, wide; the head that makes coordinates is in float.
    assert len(placement.weights) == 6
    assert not any("coordinates" in name for name in placement.weights)
    assert set(placement.weights.values()) == {127}
    assert "image" in placement.activations
    assert "coordinates" not in placement.activations
    clipped = [levels for name, levels in placement.activations.items() if "_clipped" in name]
    assert [levels.scale * 255 for levels in clipped] == pytest.approx([6.0, 6.0], rel=1e-5)


def test_it_computes_what_the_deployed_graph_does(
    tiny_network: LandmarkModel, deployed: Deployed, tensors: Tensors
) -> None:
    exact = said(tiny_network, tensors)
    simulated = FakeQuantised(tiny_network, deployed.placement, deployed.values)
    expected = run_all(deployed.twin, tensors, "none")["coordinates"]
    apart = error(expected, said(simulated, tensors))
    assert apart < 0.2 * error(expected, exact)
    assert said(tiny_network, tensors) == pytest.approx(exact)  # by itself it does not round


@pytest.mark.parametrize("missing", ["activation", "weight"])
def test_one_tensor_in_float_would_be_noticed(
    missing: str, tiny_network: LandmarkModel, deployed: Deployed, tensors: Tensors
) -> None:
    placement = deployed.placement
    activations, weights = dict(placement.activations), dict(placement.weights)
    if missing == "activation":
        activations.pop("add")
    else:
        weights.pop(DEEP)
    expected = run_all(deployed.twin, tensors, "none")["coordinates"]
    whole = FakeQuantised(tiny_network, placement, deployed.values)
    partial = FakeQuantised(tiny_network, Placement(activations, weights), deployed.values)
    apart = error(expected, said(whole, tensors))
    assert error(expected, said(partial, tensors)) > 1.5 * apart


def test_weights_are_rounded_to_the_deployed_levels(
    tiny_network: LandmarkModel, deployed: Deployed
) -> None:
    levels = Wiring(deployed.twin.graph).array(f"{STEM}_quantized")
    assert levels is not None
    weight = tiny_network.get_parameter("stem.weight").detach()
    ends = weight.abs().amax(dim=(1, 2, 3), keepdim=True)
    found = (rounded_weight(weight, 127) / ends * 127).round().numpy()
    # A batch norm with a negative scale turns the sign of its channel.
    np.testing.assert_array_equal(np.abs(found), np.abs(levels.astype(np.float32)))


def test_what_nobody_computes_is_refused(tiny_network: LandmarkModel, deployed: Deployed) -> None:
    levels = next(iter(deployed.placement.activations.values()))
    more = Placement({**deployed.placement.activations, "ghost": levels}, {})
    values = {**deployed.values, "ghost": np.full((1, 2), 5, np.float32)}
    with pytest.raises(LandmintError, match="rounds ghost"):
        FakeQuantised(tiny_network, more, values)


def test_gradients_pass_through_rounding_and_stop_at_the_ends() -> None:
    values = torch.tensor([-1.0, 0.26, 0.9, 7.0], requires_grad=True)
    made = rounded(values, Levels(scale=0.5, zero_point=0, lowest=0, highest=3))
    assert made.tolist() == [0.0, 0.5, 1.0, 1.5]
    made.backward(torch.ones(4))  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_every_weight_learns(
    tiny_network: LandmarkModel, deployed: Deployed, tensors: Tensors
) -> None:
    simulated = FakeQuantised(tiny_network, deployed.placement, deployed.values)
    simulated(torch.from_numpy(tensors))["coordinates"].square().sum().backward()
    for name, parameter in tiny_network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_its_file_is_the_networks(
    tiny_network: LandmarkModel, deployed: Deployed, tensors: Tensors, tmp_path: Path
) -> None:
    simulated = FakeQuantised(tiny_network, deployed.placement, deployed.values)
    assert list(simulated.state_dict()) == list(tiny_network.state_dict())
    save_model(simulated, tmp_path / "rounded")
    kept = load_file(tmp_path / "rounded")
    assert all(torch.equal(kept[name], at) for name, at in tiny_network.state_dict().items())
    twin = copy.deepcopy(simulated)
    changed = {name: tensor * 1.1 for name, tensor in twin.state_dict().items()}
    before = said(simulated, tensors)
    twin.load_state_dict(changed)
    assert error(before, said(twin, tensors)) > 0.01
    twin.load_state_dict(simulated.state_dict())
    np.testing.assert_array_equal(said(twin, tensors), before)
