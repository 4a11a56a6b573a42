"""A torch network that computes, in float, what its deployed INT8 graph will compute.

Each weight and activation that the INT8 graph quantises is rounded to the same levels. In the
backward pass rounding counts as the identity, and values that were clipped get no gradient (Jacob
et al., "Quantization and training of neural networks", CVPR 2018, section 3). The network is
wrapped, not copied: training changes its own weights, under their own names.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from landmint.quantize.explain.placement import Levels, Placement
from landmint.runtime.errors import LandmintError
from landmint.train.models.base import LandmarkModel

ValuesByName = Mapping[str, NDArray[np.float32]]

_CASTS = (Tensor.float, Tensor.to)
_WEIGHTED = (torch.conv2d, F.linear)
_CLOSE = 1e-3  # relative to a tensor's greatest value; the graph's batch norms are folded
_EXPORTED = "model."  # prefix of the exporter's names of weights
_WITHIN = "network."


class _Step(NamedTuple):
    """What is rounded at one operation of the network."""

    weight: int | None
    """Greatest level of its weights; None leaves them exact."""
    output: Levels | None
    """Levels of its output; None leaves it exact."""


_FLOAT = _Step(None, None)


class FakeQuantised(LandmarkModel):
    """A network whose forward pass rounds as the deployed graph does.

    Batch norms must stay in eval mode, since they are folded in the deployed graph; their scales
    and shifts may be trained. The state dict has the network's names, so a file of it loads as a
    file of the network.
    """

    def __init__(self, network: LandmarkModel, placement: Placement, values: ValuesByName) -> None:
        """Find the operations whose outputs the deployed graph rounds.

        Args:
            network: trained; it is not copied.
            placement: what the INT8 graph quantises.
            values: all tensors of the float graph by name, on one crop.

        Raises:
            LandmintError: the INT8 graph quantises a tensor that the network does not compute.
        """
        super().__init__(network.config, network.contract)
        self.network = network
        self.eval()
        self.register_state_dict_post_hook(_without_prefix)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_with_prefix)  # type: ignore[no-untyped-call]
        self._input, self._features, self._head = _plan(network, placement, values)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The network's maps, computed on rounded weights and activations."""
        crops = rounded(images, self._input)
        with _Rounding(self._features):
            return self.network.features(crops)

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The network's outputs, computed on rounded weights and activations."""
        with _Rounding(self._head):
            return self.network.head(features)


def _without_prefix(
    module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    """Take the wrapper's prefix off the names of a state dict."""
    for name in [name for name in state if name.startswith(prefix + _WITHIN)]:
        state[prefix + name[len(prefix + _WITHIN) :]] = state.pop(name)


def _with_prefix(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        state[prefix + _WITHIN + name[len(prefix) :]] = state.pop(name)


class _Operations(TorchFunctionMode):
    """Intercepts the operations of a network, which come in the same order at every pass.

    Hard-swish and hard-sigmoid count as several operations, as in `integer_friendly`.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Intercept what returns a tensor of floats."""
        if func in _CASTS:  # training on a CPU adds some, which change nothing in float32
            return func(*args, **(kwargs or {}))
        if func in (F.hardswish, F.hardsigmoid):
            clipped = self._made((args[0] + 3).clamp(0, 6))
            return self._made((args[0] if func is F.hardswish else 1) * clipped / 6)
        if func in _WEIGHTED:
            args = (args[0], self._weight(args[1]), *args[2:])
        result = func(*args, **(kwargs or {}))
        is_float = isinstance(result, Tensor) and result.is_floating_point()
        return self._made(result) if is_float else result

    def _weight(self, weight: Tensor) -> Tensor:
        return weight

    def _made(self, result: Tensor) -> Tensor:
        raise NotImplementedError


class _Recording(_Operations):
    """Records the output and the weight of each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Tensor, Tensor | None]] = []
        self._newest: Tensor | None = None

    def _weight(self, weight: Tensor) -> Tensor:
        self._newest = weight
        return weight

    def _made(self, result: Tensor) -> Tensor:
        self.made.append((result.detach().clone(), self._newest))
        self._newest = None
        return result


class _Rounding(_Operations):
    """Rounds weight and output of each operation by its step in a plan."""

    def __init__(self, plan: Sequence[_Step]) -> None:
        super().__init__()
        self._plan = plan
        self._done = 0

    def _weight(self, weight: Tensor) -> Tensor:
        highest = self._plan[self._done].weight
        return weight if highest is None else rounded_weight(weight, highest)

    def _made(self, result: Tensor) -> Tensor:
        step = self._plan[self._done]
        self._done += 1
        return rounded(result, step.output)


def rounded(values: Tensor, levels: Levels | None) -> Tensor:
    """Round values to the nearest levels; None leaves them as they are."""
    if levels is None:
        return values
    return torch.fake_quantize_per_tensor_affine(
        values, levels.scale, levels.zero_point, levels.lowest, levels.highest
    )


def rounded_weight(weight: Tensor, highest: int) -> Tensor:
    """Round a weight to the levels -highest..highest, with a scale for each output channel.

    A batch norm behind it is folded into the deployed weight. It scales whole channels, so rounding
    before folding gives the same as rounding after.
    """
    scale = weight.detach().flatten(1).abs().amax(dim=1).clamp(min=1e-12) / highest
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -highest, highest)


def _plan(
    network: LandmarkModel, placement: Placement, values: ValuesByName
) -> tuple[Levels | None, list[_Step], list[_Step]]:
    """What to round: levels of the input, steps of the features, steps of the head.

    Exporters rename tensors and fold layers, but keep the values. So an operation is matched with a
    tensor of the graph by its output on one crop.
    """
    entrance = network.contract.input_name
    crop = torch.from_numpy(values[entrance])
    with torch.no_grad(), _Recording() as recording:
        features = network.features(crop)
        border = len(recording.made)
        network.head(features)
    names = {id(weight): f"{_EXPORTED}{name}" for name, weight in network.named_parameters()}
    weights, activations = dict(placement.weights), dict(placement.activations)
    levels = activations.pop(entrance, None)
    steps = []
    for made, weight in recording.made:
        same = next((name for name in activations if _same(made.numpy(), values[name])), "")
        name = names.get(id(weight), "")
        steps.append(_Step(weights.pop(name, None), activations.pop(same, None)))
    if weights or activations:
        raise LandmintError(
            f"the INT8 graph rounds {next(iter((*weights, *activations)))}, and no operation of "
            f"the {network.config.name} makes it",
            remedy="leave [qat] out of the recipe, and report the network",
        )
    return levels, steps[:border], steps[border:]


def _same(made: NDArray[np.float32], value: NDArray[np.float32]) -> bool:
    if made.shape != value.shape:
        return False
    return bool(np.abs(made - value).max() <= _CLOSE * np.abs(value).max())
