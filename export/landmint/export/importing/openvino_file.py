"""A foreign OpenVINO IR: read, run as it came, and written behind the contract's names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.export.embed import write_contract
from landmint.export.forms.openvino import save_ir
from landmint.export.importing.binding import Binding, Step, steps_of
from landmint.export.importing.foreign_contract import Signature
from landmint.export.importing.original import Run
from landmint.runtime.contract import Contract, Shape
from landmint.runtime.engines.engine import import_library, loading
from landmint.runtime.errors import LandmintError


def files_of(path: Path) -> tuple[str, ...]:
    """The graph, and the file with its weights.

    Raises:
        LandmintError: there are no weights beside it.
    """
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise LandmintError(
            f"{path} has no weights",
            reason=f"{weights} is missing",
            remedy="put it beside",
        )
    return path.name, weights.name


def read(path: Path, size: int) -> tuple[Any, Signature]:
    """A model with batch 1, for pictures of a size, and its input and outputs.

    Raises:
        LandmintError: it is no sound float model of static shapes.
    """
    files_of(path)
    model, _ = _read(path)
    if any(node.get_type_name() == "FakeQuantize" for node in model.get_ops()):
        raise LandmintError(
            f"{path.name} is quantised already",
            reason="INT8 forms are compared with a float network",
            remedy="import the float network that it was made of",
        )
    with _one_message(path, size):
        shapes = {}
        for port in model.inputs:
            axes = [axis.get_length() if axis.is_static else 0 for axis in port.partial_shape]
            sides = (1, size, size, 3) if axes[-1:] == [3] else (1, 3, size, size)
            closed = [n or side for n, side in zip(axes, sides, strict=True)]
            shapes[port] = [1 if axes[0] == 0 else axes[0], *closed[1:]]
        model.reshape(shapes)
        return model, Signature(_shapes(model.inputs), _shapes(model.outputs))


class _one_message:
    """Turn what OpenVINO raises over shapes into one message."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            raise LandmintError(
                f"{self._path.name} does not take one picture of {self._size} px",
                reason=" ".join(str(error).split())[:400],
                remedy="correct input.size in the contract, or convert the network with a fixed "
                "input size",
            ) from None


def _shapes(ports: Any) -> dict[str, Shape]:
    return {port.get_any_name(): tuple(port.shape) for port in ports}


def _read(path: Path) -> tuple[Any, Any]:
    library = import_library("openvino", "pip install openvino")
    core = library.Core()
    with loading("openvino", path):
        return core.read_model(path), core


def runner(path: Path) -> tuple[Run, str]:
    """What runs the file as it came, and with which library."""
    library = import_library("openvino", "pip install openvino")
    model, core = _read(path)
    with loading("openvino", path):
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    names = [port.get_any_name() for port in compiled.outputs]

    def infer(tensor: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        values = request.infer([tensor])
        return {name: values[place].copy() for place, name in enumerate(names)}

    return infer, f"openvino {library.__version__.split('-')[0]}"


def write(model: Any, contract: Contract, binding: Binding, path: Path) -> None:
    """Write the model with the contract's input and outputs.

    Args:
        model: of `read`, changed in place.
        contract: in NCHW.
        binding: how its tensors become the contract's.
        path: of the .xml.
    """
    import openvino
    from openvino import opset13

    (entrance,) = model.get_parameters()
    picture = opset13.parameter(list(contract.input_shape), openvino.Type.f32)
    made = picture.output(0)
    if binding.layout == "NHWC":
        made = opset13.transpose(picture, np.array([0, 2, 3, 1], np.int64)).output(0)
    if entrance.get_element_type() != openvino.Type.f32:
        made = opset13.convert(made, entrance.get_element_type().to_string()).output(0)
    results, sources = [], {}
    for port in model.outputs:
        sources[port.get_any_name()] = port.get_node().input_value(0)
    entrance.output(0).get_tensor().set_names(set())
    entrance.output(0).replace(made)
    picture.set_friendly_name(contract.input_name)
    picture.output(0).get_tensor().set_names({contract.input_name})
    for output in contract.outputs:
        tap = binding.taps[output.name]
        tensor = sources[tap.tensor]
        tensor.get_tensor().set_names(set())
        if tensor.get_element_type() != openvino.Type.f32:
            tensor = opset13.convert(tensor, "f32").output(0)
        shape = tuple(tensor.get_shape())
        for step in steps_of(tap, shape, output, contract):
            tensor = _append(step, tensor)
        result = opset13.result(tensor)
        tensor.get_tensor().set_names({output.name})
        results.append(result)
    save_ir(openvino.Model(results, [picture], path.stem), path)
    write_contract(path, contract)


def _append(step: Step, tensor: Any) -> Any:
    from openvino import opset13

    if step.kind == "reshape":
        return opset13.reshape(tensor, np.array(step.whole, np.int64), special_zero=False).output(0)
    if step.kind == "transpose":
        return opset13.transpose(tensor, np.array(step.whole, np.int64)).output(0)
    if step.kind == "first":
        ends = (np.array([number], np.int64) for number in (0, step.whole[0], 1, -1))
        return opset13.slice(tensor, *ends).output(0)
    factor, summand = (np.float32(number) for number in step.numbers)
    return opset13.add(opset13.multiply(tensor, factor), summand).output(0)
