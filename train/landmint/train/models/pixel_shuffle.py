"""Pixel shuffle: four channels become four cells, so that a map grows in integers."""

import torch
from torch import Tensor, nn


class PixelShuffle(nn.Module):
    """Maps (B, 4C, H, W) to (B, C, 2H, 2W): channel c + C (2i + j) becomes cell (i, j).

    nn.PixelShuffle takes the four of a cell from neighbouring channels instead. In this order the
    move is one operator of TFLite too, and not three transpositions.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Shuffle; one ONNX operator when exported."""
        count, channels, height, width = maps.shape
        shape = (count, channels // 4, 2 * height, 2 * width)
        if torch.onnx.is_in_onnx_export():
            shuffled: Tensor = torch.onnx.ops.symbolic(
                "DepthToSpace",
                (maps,),
                {"blocksize": 2, "mode": "DCR"},
                dtype=maps.dtype,
                shape=shape,
            )
            return shuffled
        cells = maps.reshape(count, 2, 2, channels // 4, height, width)
        return cells.permute(0, 3, 4, 1, 5, 2).reshape(shape)
