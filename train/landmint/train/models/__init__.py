"""The networks: teachers and students, each with the contract that it keeps when deployed.

Not losses, not decoding, not training. Importing this package loads no torch; a network's module
is loaded when one is made.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from landmint.train.models.config import ModelConfig
from landmint.train.models.registry import MODELS, model_class

if TYPE_CHECKING:
    from landmint.train.models.base import LandmarkModel

__all__ = ["MODELS", "ModelConfig", "create_model", "load_model", "model_class", "save_model"]


def create_model(config: ModelConfig, mean_shape: NDArray[np.float64]) -> "LandmarkModel":
    """A fresh network with its contract.

    Args:
        config: the architecture and its settings.
        mean_shape: (L, 2) mean of the training faces' landmarks in the crop, in [0, 1]. PIPNet's
            neighbours and PFLD's first guess come from it.

    Raises:
        LandmintError: the settings do not fit the architecture, or the shape the markup.
    """
    kind = model_class(config.name)
    model = kind(config, kind.contract_for(config, mean_shape))
    model.start_from(mean_shape)
    return model


def save_model(
    model: "LandmarkModel",
    path: Path,
    half: bool = False,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write weights, configuration and contract as one safetensors file, whole or not at all.

    Args:
        model: the network; it is not changed.
        path: the file.
        half: whether to store kernels and matrices in half precision, at half the size;
            `load_model` gives float32 in any case.
        notes: further entries of the file's metadata.
    """
    from landmint.train.models.weights import write_model

    write_model(model, path, half, notes)


def load_model(path: Path) -> "LandmarkModel":
    """The network that `save_model` wrote, in eval mode on the CPU. Nothing is unpickled.

    Raises:
        LandmintError: the file is missing, truncated, or not one of landmint's.
    """
    from landmint.train.models.weights import read_model

    return read_model(path)
