"""A PyTorch network that a function of somebody's package builds, as a TorchScript file.

Its code is imported and called since the user named it; nothing in a file or in a bundle can do
that. What goes on is the traced network, so that a bundle needs the package no more.
"""

import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landmint.export.importing.torchscript_file import (
    is_near,
    jit,
    named,
    noise,
    one_reason,
    quiet,
    run_on_noise,
)
from landmint.runtime.errors import LandmintError
from landmint.runtime.scratch import scratch_folder

_FUNCTION = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")


@contextmanager
def model_file(model: str, weights: Path | None, sizes: Sequence[int]) -> Iterator[Path]:
    """The file of a network: the one that is given, or one that is traced for as long as needed.

    Args:
        model: a path, or `package.module:function`.
        weights: safetensors that the function's network gets.
        sizes: sides of the picture to trace it with; the first that it takes.

    Raises:
        LandmintError: there is no such function, it fails or builds no network, the weights do not
            fit, or the network cannot be traced.
    """
    parts = _FUNCTION.fullmatch(model)
    if parts is None:
        if weights is not None:
            raise LandmintError(
                "weights are given beside a file",
                reason=f"{model} has its own",
                remedy="leave --weights away, or name a function: package.module:function",
            )
        yield Path(model)
        return
    network = _build(*parts.groups())
    if weights is not None:
        _give_weights(network, weights)
    traced = _trace(network.eval().float().cpu(), sizes, model)
    with scratch_folder() as folder, quiet():
        path = folder / f"{parts[2]}.pt"
        jit.save(traced, str(path))
        yield path


def _build(module: str, function: str) -> nn.Module:
    """The network that a function returns."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        make = getattr(_import(module), function, None)
        if not callable(make):
            raise LandmintError(
                f"{module} has no function '{function}'",
                remedy="name one that takes nothing and returns the network",
            )
        try:
            network = make()
        except Exception as error:  # a stranger's code raises anything
            raise LandmintError(
                f"{module}:{function} failed",
                reason=one_reason(error),
                remedy="name a function that needs no arguments and builds the network",
            ) from None
    finally:
        sys.path.remove(here)
    if not isinstance(network, nn.Module):
        raise LandmintError(
            f"{module}:{function} returned {type(network).__name__}",
            reason="landmint exports a torch.nn.Module",
            remedy="let it return the network itself, with its weights",
        )
    return network


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise LandmintError(
                f"{module} cannot be imported",
                reason=f"it needs {error.name}, which is not installed",
                remedy=f"install {error.name} beside landmint",
            ) from None
        raise LandmintError(
            f"there is no module {module}",
            reason=f"{error.name} is neither installed nor in this folder",
            remedy="install its package beside landmint, or go to the folder that it is in",
        ) from None
    except Exception as error:  # a stranger's code raises anything
        raise LandmintError(
            f"{module} cannot be imported",
            reason=one_reason(error),
            remedy="check that `import` of it works in Python",
        ) from None


def _give_weights(network: nn.Module, path: Path) -> None:
    from safetensors.torch import load_file

    try:
        missing, unknown = network.load_state_dict(load_file(path), strict=False)
        reason = _listed(missing, "are missing") or _listed(unknown, "are not in the network")
    except Exception as error:  # safetensors has a type of its own; torch raises RuntimeError
        reason = one_reason(error)
    if reason:
        raise LandmintError(
            f"the weights in {path} do not fit the network",
            reason=reason,
            remedy="give a safetensors file of its state_dict; pickled weights become one by "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=True), NEW)",
        )


def _listed(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}: {', '.join(names[:4])}" if names else ""


def _trace(network: nn.Module, sizes: Sequence[int], model: str) -> Any:
    """The network as TorchScript, in the first size that it takes."""
    for size in sizes:
        try:
            run_on_noise(network, size, model)
            break
        except LandmintError:
            if size == sizes[-1]:
                raise
    flat, other = _Named(network), noise(size, seed=1)
    try:
        with torch.no_grad(), quiet():
            traced = jit.trace(flat, noise(size, seed=0), check_trace=False, strict=False)
            expected, actual = flat(other), traced(other)
    except Exception as error:  # torch raises bare RuntimeErrors, and a stranger's code anything
        raise LandmintError(
            f"{model} cannot be traced",
            reason=one_reason(error),
            remedy="export it to ONNX yourself, and import that file",
        ) from None
    if not all(is_near(expected[name], actual[name]) for name in expected):
        raise LandmintError(
            f"{model} computes otherwise once it is traced",
            reason="its Python decides by what is in the picture, and a trace takes one way",
            remedy="write that decision with torch.where, or use torch.jit.script and import "
            "the file",
        )
    return traced


class _Named(nn.Module):
    """A network with its tensors as a dict."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        return named(self.network(picture))
