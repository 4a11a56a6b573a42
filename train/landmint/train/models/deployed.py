"""A network as devices run it, where training needs another form of it."""

import copy
from typing import TypeVar

from timm.utils.model import reparameterize_model
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def deployed(model: Network) -> Network:
    """A copy whose branches, which training has, are merged into one convolution each.

    It computes what `model` does in eval mode (Ding et al., "RepVGG: making VGG-style ConvNets
    great again", CVPR 2021, section 3.3). Its batch norms' statistics are in its kernels.
    """
    copied = copy.deepcopy(model)
    with next(copied.parameters()).device:  # where the merged layers are to be made
        reparameterize_model(copied, inplace=True)
    return copied
