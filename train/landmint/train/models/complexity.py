"""How large a network is: parameters and multiply-accumulates. Not how fast: that is measured."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from landmint.train.models.base import LandmarkModel
from landmint.train.models.deployed import deployed


class Complexity(NamedTuple):
    """Size of a network for one face."""

    parameters: int
    """Trainable numbers."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products; element-wise work is left out,
    as in the literature."""


def complexity(model: LandmarkModel) -> Complexity:
    """Count for one input of the contract's size, of the form that a device runs.

    The network is run once on zeros.
    """
    size, on_device = model.config.input_size, deployed(model).eval()
    device = next(on_device.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        on_device(torch.zeros(1, 3, size, size, device=device))
    parameters = sum(p.numel() for p in on_device.parameters())
    return Complexity(parameters, counter.get_total_flops() // 2)
