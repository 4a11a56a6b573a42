"""Small networks and faces for the tests of this room."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from landmint.runtime.crop import Box
from landmint.train.faces.face import Face, FaceSet
from landmint.train.models import ModelConfig, create_model
from landmint.train.models.base import LandmarkModel

Shape = NDArray[np.float64]
MakeModel = Callable[..., LandmarkModel]
MakeFaces = Callable[..., FaceSet]


def ring(points: int) -> Shape:
    """Landmarks on a circle in the crop; which are near which is known."""
    angle = np.arange(points) * 2 * np.pi / points
    return 0.5 + 0.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@pytest.fixture(scope="session")
def mean_shape() -> Shape:
    """68 landmarks (68, 2) on a circle, in [0, 1]."""
    return ring(68)


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """Makes a network from the settings of its ModelConfig; the mean shape is a circle."""

    def make(name: str, **settings: object) -> LandmarkModel:
        torch.manual_seed(0)
        config = ModelConfig.model_validate({"name": name, **settings})
        return create_model(config, ring(int(config.markup)))

    return make


@pytest.fixture(scope="session")
def make_faces() -> MakeFaces:
    """Makes a set of faces without images, one for each given mapping of attributes."""

    def make(*attributes: dict[str, int]) -> FaceSet:
        faces = tuple(
            Face(
                name=str(i),
                image=Path(f"{i}.png"),
                points=ring(68) * 100,
                box=Box(0, 0, 100, 100),
                person=str(i),
                visible=np.ones(68, dtype=np.bool_),
                attributes=flags,
            )
            for i, flags in enumerate(attributes)
        )
        return FaceSet("68", faces, "test", "")

    return make


@pytest.fixture
def batch() -> Callable[[int, int], dict[str, Tensor]]:
    """Makes a batch of noise images with landmarks near the circle."""

    def make(count: int, size: int) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(1)
        shape = torch.from_numpy(ring(68)).float()
        return {
            "images": torch.randn(count, 3, size, size, generator=random),
            "points": shape + 0.05 * torch.randn(count, 68, 2, generator=random),
            "euler_rad": 0.3 * torch.randn(count, 3, generator=random),
            "attributes": torch.zeros(count, 6),
        }

    return make
