"""A network on disk: one safetensors file that carries its configuration and contract.

Not a training checkpoint: no optimiser, no epoch.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path
from landmint.train.models.base import LandmarkModel
from landmint.train.models.config import ModelConfig
from landmint.train.models.registry import model_class
from landmint.train.torch_state import own_random_numbers


def write_model(
    model: LandmarkModel, path: Path, half: bool = False, notes: Mapping[str, str] | None = None
) -> None:
    """Write weights, configuration and contract, as `save_model` says."""
    # Cloned, because safetensors refuses tensors that share memory or are not contiguous, and
    # channels_last training leaves weights so.
    tensors = {
        name: _stored(tensor.detach().cpu(), half).clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    about = {
        "config": model.config.model_dump_json(),
        "contract": json.dumps(model.contract.to_json()),
    }
    with atomic_path(path) as fresh:
        fresh.write_bytes(_sorted(save(tensors, metadata={**(notes or {}), **about})))


def _sorted(data: bytes) -> bytes:
    """The same file with its metadata in order, so that equal networks are equal files.

    safetensors writes the entries as they happen to lie in a hash table. The header is JSON behind
    eight bytes that tell its length, padded with spaces so that the tensors are aligned.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


def _stored(tensor: Tensor, half: bool) -> Tensor:
    """The tensor as it is stored.

    Only kernels and matrices become half: what rounds to nothing there is nothing beside the rest
    of its sum. Biases and what batch norms know of their inputs are vectors, a fiftieth of a
    network: there a variance may be of any size, and a small one is divided by.
    """
    if not (half and tensor.is_floating_point() and tensor.ndim > 1):
        return tensor
    rounded = tensor.half()
    return rounded if rounded.isfinite().all() else tensor


def read_model(path: Path) -> LandmarkModel:
    """Build the network again and load its weights.

    Raises:
        LandmintError: the file is missing, truncated, or not one of landmint's.
    """
    if not path.is_file():
        raise LandmintError(f"{path} is not a file", remedy="check the path to the weights")
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        config = ModelConfig.model_validate_json(about["config"])
        contract = Contract.from_json(json.loads(about["contract"]))
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise LandmintError(
            f"{path} is not a whole landmint model",
            reason=_reason(error),
            remedy="give the model.safetensors that landmint train or distill wrote",
        ) from None
    # The weights are all here: nothing may be fetched to build the layers.
    with own_random_numbers():  # layers draw weights that are replaced
        model = model_class(config.name)(config.model_copy(update={"pretrained": False}), contract)
    model.config = config
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise LandmintError(
            f"the weights in {path} do not fit {config.name}",
            reason=str(error).splitlines()[-1].strip(),
            remedy="train the model again with this version of landmint",
        ) from None
    return model.eval()


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in a line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"config.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]
