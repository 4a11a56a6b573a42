"""SAN's second picture against OpenCV's blur, and that both pictures pass the same layers."""

from collections.abc import Callable

import cv2
import numpy as np
import torch

from landmint.train.models.base import LandmarkModel
from landmint.train.models.san import SAN

MakeModel = Callable[..., LandmarkModel]
SMALL = {"input_size": 64, "backbone": "cpm_3", "width": 0.125}


def _san(make_model: MakeModel) -> SAN:
    model = make_model("san", **SMALL)
    assert isinstance(model, SAN)
    return model


def test_the_style_is_gray_without_half_of_the_light(make_model: MakeModel) -> None:
    images = torch.randn(1, 3, 64, 64)
    plain, styled = _san(make_model).views(images)
    assert plain is images
    gray = images[0].mean(dim=0).numpy()
    light = cv2.blur(gray, (9, 9), borderType=cv2.BORDER_CONSTANT)
    for channel in styled[0].numpy():
        np.testing.assert_allclose(channel, (gray + (gray - light)) / 2, atol=1e-5)


def test_both_pictures_pass_the_same_layers(make_model: MakeModel) -> None:
    """With a style that changes nothing, the first stage draws the same twice."""
    model = _san(make_model).eval()
    model.style.zero_()
    for channel in range(3):
        model.style[channel, channel, 4, 4] = 1.0
    with torch.no_grad():
        first, second, third, _ = model.features(torch.randn(2, 3, 64, 64))
    torch.testing.assert_close(first, second)
    assert not torch.allclose(second, third)


def test_in_training_norms_see_both_pictures_as_one_batch(make_model: MakeModel) -> None:
    model = _san(make_model).train()
    images = torch.randn(2, 3, 64, 64)
    norm = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    convolution = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d))
    with torch.no_grad():
        mean = convolution(torch.cat(model.views(images))).mean(dim=(0, 2, 3))
        model.features(images)
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, 0.1 * mean, rtol=1e-4, atol=1e-5)
