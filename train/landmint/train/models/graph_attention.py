"""Attention among landmarks, of vectors (B, C, L, 1): layers of 1x1 convolutions and products.

Velickovic et al., "Graph attention networks", ICLR 2018, in the form of Sarlin et al., "SuperGlue",
CVPR 2020, equations 3 to 6: what the others say is joined to what a landmark knows.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from landmint.train.models.base import conv_bn_relu

_HEADS = 4


def perceptron(*widths: int) -> nn.Sequential:
    """1x1 convolutions from width to width, norm and ReLU between them."""
    *hidden, last = pairwise(widths)
    return nn.Sequential(*(conv_bn_relu(a, b, 1) for a, b in hidden), nn.Conv2d(*last, 1))


class GraphAttention(nn.Module):
    """A vector of each landmark, and a message from all of them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build it; a 1x1 convolution is the shortcut where channels differ."""
        super().__init__()
        self.query, self.key, self.value, self.merge = (
            nn.Conv2d(inputs, inputs, 1) for _ in range(4)
        )
        self.message = perceptron(2 * inputs, 2 * inputs, outputs)
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors (B, inputs, L, 1) to (B, outputs, L, 1)."""
        batch, channels, landmarks, _ = vectors.shape
        shape = (batch, _HEADS, channels // _HEADS, landmarks)
        query, key, value = (
            layer(vectors).reshape(shape) for layer in (self.query, self.key, self.value)
        )
        alike = query.transpose(2, 3) @ key / math.sqrt(shape[2])
        heard = value @ alike.softmax(dim=3).transpose(2, 3)
        merged = self.merge(heard.reshape(vectors.shape))
        joined: Tensor = self.shortcut(vectors) + self.message(torch.cat([vectors, merged], dim=1))
        return joined
