"""A TorchScript file of a stranger: read, run as it came, and written as ONNX.

`torch.jit.load` unpickles no Python class: it reads tensors, numbers, texts, and objects of classes
whose code stands in the file. But that code is a program. Methods called `__setstate__` run while
the file loads, and TorchScript can write and read files (`torch.save`, `torch.from_file`). So the
code is read first, and what could do so is refused.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landmint.export.forms.onnx import OPSET
from landmint.export.importing import onnx_file, onnx_graph
from landmint.export.importing.binding import Binding
from landmint.export.importing.foreign_contract import Signature
from landmint.export.importing.original import Run
from landmint.runtime.contract import Contract
from landmint.runtime.engines.engine import loading
from landmint.runtime.errors import LandmintError
from landmint.runtime.scratch import scratch_folder

jit: Any = torch.jit
"""As it is, but for its missing types."""
_REACHING = frozenset(
    ("save", "from_file", "load_tensor", "rpc_async", "rpc_sync", "rpc_remote", "getattr")
)
"""Words by which TorchScript gets at files or other machines, and the one that may hide them."""
_WORD = re.compile(r"[^\W\d]\w*")
_PLAIN_GETATTR = re.compile(r'getattr\(([\w.]+), "(\w+)"\)')
"""As torch writes the layers of a `Sequential`: it hides nothing."""
_NEAR = 1e-4
"""Most by which rounding moves an output, over the largest number in it."""


@dataclass(frozen=True, eq=False)
class Scripted:
    """A network that was loaded, and what it was tried with."""

    network: nn.Module
    """In eval mode, in float32."""
    size: int
    """Side of the picture."""
    outputs: tuple[str, ...]
    """Names of its outputs."""


def read(path: Path, size: int) -> tuple[Scripted, Signature]:
    """A network that takes pictures of a size, and its input and outputs.

    Args:
        path: of the file.
        size: height and width; no TorchScript file tells its own.

    Raises:
        LandmintError: it is no TorchScript file, its code reaches out of it, or it does not take
            such a picture.
    """
    network = _load(path)
    names = [argument.name for argument in network.forward.schema.arguments[1:]]
    needed = [a.name for a in network.forward.schema.arguments[1:] if not a.has_default_value()]
    if not names or len(needed) > 1:
        raise LandmintError(
            f"{path.name} takes {len(needed)} inputs: {', '.join(needed)}",
            reason="landmint feeds one picture",
            remedy="save the network with the others as constants",
        )
    outputs = run_on_noise(network, size, path.name)
    shapes = {name: tuple(tensor.shape) for name, tensor in outputs.items()}
    return Scripted(network, size, tuple(shapes)), Signature({names[0]: (1, 3, size, size)}, shapes)


def runner(path: Path) -> tuple[Run, str]:
    """What runs the file as it came, and with which library."""
    network = _load(path)

    def infer(tensor: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        with torch.no_grad():
            outputs = named(network(torch.from_numpy(tensor)))
        return {name: values.numpy() for name, values in outputs.items()}

    return infer, f"torch {torch.__version__}"


def write(model: Scripted, contract: Contract, binding: Binding, path: Path) -> None:
    """Write the network as ONNX with the contract's input and outputs.

    Args:
        model: of `read`.
        contract: in NCHW.
        binding: how its tensors become the contract's.
        path: of the .onnx.

    Raises:
        LandmintError: torch cannot export it.
    """
    with scratch_folder() as folder:
        _export(model, binding.input, folder / "net.onnx")
        graph, _ = onnx_file.read(folder / "net.onnx", model.size)
    onnx_graph.write(graph, contract, binding, path)


def _export(model: Scripted, entrance: str, path: Path) -> None:
    picture = torch.zeros(1, 3, model.size, model.size)
    try:
        with torch.no_grad(), quiet():
            flat = jit.trace(_Flat(model.network), picture, check_trace=False)
            torch.onnx.export(
                flat,
                (picture,),
                path,
                input_names=[entrance],
                output_names=list(model.outputs),
                opset_version=OPSET,
                dynamo=False,  # the other exporter takes no TorchScript
            )
    except Exception as error:  # torch raises what its exporter raises: many types
        raise LandmintError(
            "torch cannot export the network to ONNX",
            reason=one_reason(error),
            remedy="leave out what ONNX has no operator for, or export it to ONNX yourself and "
            "import that file",
        ) from None


def named(outputs: object, name: str = "") -> dict[str, Tensor]:
    """The tensors among what a network returned, in float32, by name.

    A lone tensor is called `output`. Those of a dict have its keys for names, those of a tuple or a
    list `output.0`, `output.1`; deeper ones both: `maps.0`. What is no tensor is left out.
    """
    if isinstance(outputs, Tensor):
        return {name or "output": outputs.detach().float()}
    if isinstance(outputs, Mapping):
        items = [(name, key, value) for key, value in outputs.items()]
    elif isinstance(outputs, tuple | list):
        items = [(name or "output", place, value) for place, value in enumerate(outputs)]
    else:
        return {}
    tensors: dict[str, Tensor] = {}
    for prefix, key, value in items:
        tensors |= named(value, f"{prefix}.{key}" if prefix else str(key))
    return tensors


def run_on_noise(network: nn.Module, size: int, called: str) -> dict[str, Tensor]:
    """What a network returns for a picture of noise.

    Args:
        network: in eval mode.
        size: side of the picture.
        called: the network's name, for messages.

    Raises:
        LandmintError: it takes no such picture, returns no tensor, or other numbers each time.
    """
    picture = noise(size, seed=0)
    try:
        with torch.no_grad(), quiet():
            first, second = named(network(picture)), named(network(picture))
    except Exception as error:  # torch raises bare RuntimeErrors, and a stranger's code anything
        raise LandmintError(
            f"{called} does not take a picture (1, 3, {size}, {size})",
            reason=one_reason(error),
            remedy="say which size it takes in the contract, as input.size; a network of another "
            "batch, of other channels or with channels last has to be wrapped in a module that "
            "takes (1, 3, S, S)",
        ) from None
    if not first:
        raise LandmintError(
            f"{called} returns no tensor",
            reason="landmint takes a tensor, or a dict, tuple or list of tensors",
            remedy="wrap it in a module that returns such",
        )
    if not all(is_near(values, second[name]) for name, values in first.items()):
        raise LandmintError(
            f"{called} returns other numbers each time for one picture",
            reason="it was saved in training mode, or draws random numbers",
            remedy="call its eval() before it is traced or saved",
        )
    return first


def is_near(expected: Tensor, actual: Tensor) -> bool:
    """Whether two tensors are equal but for rounding."""
    near = _NEAR * max(1.0, float(expected.abs().nan_to_num().max()))
    return expected.shape == actual.shape and torch.allclose(
        actual, expected, rtol=0, atol=near, equal_nan=True
    )


def noise(size: int, seed: int) -> Tensor:
    """A picture (1, 3, S, S) of noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, size, size, generator=generator)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what torch says to its own developers from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def one_reason(error: BaseException) -> str:
    """What an error of somebody else's code says, in a line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(' '.join(lines).split())[:400]}"


def _load(path: Path) -> Any:
    _refuse_reaching(path)
    with loading("torch", path), quiet():
        network = jit.load(str(path), map_location="cpu")
        return network.eval().float()


def _refuse_reaching(path: Path) -> None:
    """Refuse a file that is no TorchScript, and one whose code could reach out of it."""
    code = _code(path)
    while (plain := _PLAIN_GETATTR.sub(r"\1.\2", code)) != code:
        code = plain
    words = set(_WORD.findall(code))
    if "quantized" in words:
        raise LandmintError(
            f"{path.name} is quantised already",
            reason="INT8 forms are made of a float network, and compared with it",
            remedy="import the float network that it was made of",
        )
    if reaching := sorted(words & _REACHING):
        raise LandmintError(
            f"the code in {path.name} says {', '.join(reaching)}",
            reason="with that TorchScript can write and read files, even while it is loaded",
            remedy="get the file from somebody whom you trust, without it; where it is only the "
            "name of something, save the network by torch.jit.trace",
        )


def _code(path: Path) -> str:
    """All code in a TorchScript archive, as torch itself finds it."""
    try:
        archive = torch._C.PyTorchFileReader(str(path))
        records = archive.get_all_records()
    except RuntimeError:  # no archive: weights of old, or anything else
        records = []
    if "constants.pkl" not in records or "model.json" in records:
        raise LandmintError(
            f"{path.name} is no TorchScript file",
            reason="a checkpoint has weights without the network, as a Python pickle: loading one "
            "may run anything",
            remedy="save the network by torch.jit.save(torch.jit.trace(network.eval(), picture), "
            "FILE), or import package.module:function, which builds it",
        )
    code = [name for name in records if name.startswith("code/") and name.endswith(".py")]
    return "\n".join(archive.get_record(name).decode(errors="replace") for name in code)


class _Flat(nn.Module):
    """A network with its tensors as a tuple."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        return tuple(named(self.network(picture)).values())
