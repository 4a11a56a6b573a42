"""How large a network is: parameters and multiply-accumulates. Not how fast: that is measured."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from landmint.train.models.base import LandmarkModel


class Complexity(NamedTuple):
    """Size of a network for one face."""

    parameters: int
    """Trainable numbers."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products; element-wise work is left out,
    as in the literature."""


def complexity(model: LandmarkModel) -> Complexity:
    """Count for one input of the contract's size; the network is run once on zeros."""
    size, training = model.config.input_size, model.training
    device = next(model.parameters()).device
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, size, size, device=device))
    model.train(training)
    parameters = sum(p.numel() for p in model.parameters())
    return Complexity(parameters, counter.get_total_flops() // 2)
