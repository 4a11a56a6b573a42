"""How far each step goes: the optimiser, the learning rate, and the average of the weights.

Not the loop: nothing here reads data or computes a loss.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from landmint.train.fit_config import FitConfig
from landmint.train.models.base import LandmarkModel


def optimizer_for(module: nn.Module, config: FitConfig, fused: bool) -> Optimizer:
    """Adam or AdamW over what is trainable; only weights of two or more axes decay.

    Args:
        module: whose parameters.
        config: kind, learning rate and decay.
        fused: one kernel for all tensors, four times faster on a CPU; it cannot clip gradients
            that a float16 scaler has scaled.
    """
    trainable = [p for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adam":
        return Adam(groups, lr=config.learning_rate, fused=fused)
    return AdamW(groups, lr=config.learning_rate, fused=fused)


def learning_rate(config: FitConfig, step: int, steps_per_epoch: int, total_steps: int) -> float:
    """The learning rate of a step, 0-based; a pure function, so nothing of it is saved."""
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return config.learning_rate * (step + 1) / math.ceil(warmup)
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "milestones":
        passed = sum(step >= share * total_steps for share in config.milestones)
        return config.learning_rate * config.milestone_factor**passed
    done = (step - warmup) / max(1.0, total_steps - warmup)
    cosine = (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * (config.final_factor + (1 - config.final_factor) * cosine)


class Average:
    """An exponential moving average of a network's weights and of its norms' statistics.

    The decay of step n is min(decay, (1 + n) / (10 + n)), so that the average of a short run does
    not hold on to its random beginning. Integer buffers are copied.
    """

    def __init__(self, model: LandmarkModel, decay: float) -> None:
        """Start from the weights of `model`, which stays where it is; decay 0 follows exactly."""
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay
        pairs = list(
            zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
        )
        # Looked up once: to gather a thousand tensors at every step costs more than to mix them.
        self._floats = _lists([pair for pair in pairs if pair[0].is_floating_point()])
        self._integers = _lists([pair for pair in pairs if not pair[0].is_floating_point()])

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step `step`, 0-based."""
        share = 1 - min(self._decay, (1 + step) / (10 + step))
        own, new = self._floats
        if share < 1:
            torch._foreach_lerp_(own, new, share)
        else:
            torch._foreach_copy_(own, new)
        if self._integers[0]:
            torch._foreach_copy_(*self._integers)


def _lists(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    """Pairs as two lists, for operators that take all tensors in one call."""
    return [own for own, _ in pairs], [new for _, new in pairs]
