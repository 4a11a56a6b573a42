"""A foreign TFLite file: read, run as it came, and written behind the contract's names.

The file stays a TFLite file: its operators are kept, and a few are added at its ends.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landmint.export.embed import write_contract
from landmint.export.importing.binding import Binding, Step, Tap, steps_of
from landmint.export.importing.foreign_contract import Signature
from landmint.export.importing.original import Run
from landmint.runtime.contract import Contract, Output, Shape
from landmint.runtime.engines.engine import loading
from landmint.runtime.engines.litert_engine import LiteRtEngine
from landmint.runtime.errors import LandmintError

if TYPE_CHECKING:
    from landmint.export.flatbuffer import Flatbuffer

_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def read(path: Path, size: int) -> tuple["Flatbuffer", Signature]:
    """A file taken apart, and its input and outputs.

    Args:
        path: of the file.
        size: not needed: a TFLite file has fixed shapes.

    Raises:
        LandmintError: it is no sound TFLite file of one float32 graph.
    """
    from landmint.export.flatbuffer import Flatbuffer

    interpreter = _open(path)
    try:
        flatbuffer = Flatbuffer(path.read_bytes())
    except (ValueError, TypeError, IndexError, struct.error):
        raise LandmintError(
            f"{path.name} holds several graphs",
            reason="landmint adds operators to one graph",
            remedy="convert the network without control flow, or import it as ONNX",
        ) from None
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    for detail in (*inputs, *outputs):
        if detail["dtype"] is not np.float32:
            raise LandmintError(
                f"tensor '{detail['name']}' of {path.name} is of type {detail['dtype'].__name__}",
                reason="a reference of drift computes in float32",
                remedy="import the float network that it was made of",
            )
        if (np.asarray(detail["shape_signature"])[1:] < 1).any():
            raise LandmintError(
                f"tensor '{detail['name']}' of {path.name} has an open shape",
                reason="a device runs one shape",
                remedy="convert the network again with a fixed input size",
            )
    return flatbuffer, Signature(_shapes(inputs), _shapes(outputs))


def _shapes(details: Any) -> dict[str, Shape]:
    return {detail["name"]: tuple(int(n) for n in detail["shape"]) for detail in details}


def _open(path: Path) -> Any:
    with loading("litert", path):
        return LiteRtEngine().open(path, threads=1)


def runner(path: Path) -> tuple[Run, str]:
    """What runs the file as it came, and with which library."""
    interpreter = _open(path)
    (entrance,) = interpreter.get_input_details()
    outputs = interpreter.get_output_details()

    def infer(tensor: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        interpreter.set_tensor(entrance["index"], tensor)
        interpreter.invoke()
        return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in outputs}

    return infer, LiteRtEngine().version


def write(model: "Flatbuffer", contract: Contract, binding: Binding, path: Path) -> None:
    """Write the file with the contract's input and outputs, channels last.

    Args:
        model: of `read`; it cannot be used afterwards.
        contract: in NCHW.
        binding: how its tensors become the contract's.
        path: of the .tflite.
    """
    own = contract.with_layout("NHWC")
    entrance = model.index(binding.input)
    if binding.layout == "NCHW":
        picture = model.add_computed("landmint_picture", own.input_shape)
        permutation = model.add_whole("landmint_order", _TO_FIRST)
        turn = model.operator("TRANSPOSE", [picture, permutation], entrance)
        model.operators.insert(0, turn)
        entrance = picture
    ends = {}
    for output in contract.outputs:
        tap = binding.taps[output.name]
        tensor = model.index(tap.tensor)
        steps = _steps(tap, model.shape(tensor), output, contract)
        for place, step in enumerate(steps):
            tensor = _append(model, step, tensor, f"landmint_{output.name}_{place}")
        ends[output.name] = tensor
    model.sign({contract.input_name: entrance}, ends)
    path.write_bytes(model.pack())
    write_contract(path, own)


def _steps(tap: Tap, shape: Shape, output: Output, contract: Contract) -> tuple[Step, ...]:
    """The steps to an output as a channels-last file has it."""
    if len(output.shape) == 3:
        return (Step("transpose", _TO_LAST),) if tap.layout == "NCHW" else ()
    return steps_of(tap, shape, output, contract)


def _append(model: "Flatbuffer", step: Step, source: int, name: str) -> int:
    """Add the operators of one step; returns the index of what they make."""
    shape, operators = model.shape(source), model.operators
    if step.kind == "reshape":
        made = model.add_computed(name, step.whole)
        numbers = model.add_whole(f"{name}_shape", step.whole)
        operators.append(model.operator("RESHAPE", [source, numbers], made, newShape=step.whole))
    elif step.kind == "transpose":
        made = model.add_computed(name, tuple(shape[axis] for axis in step.whole))
        numbers = model.add_whole(f"{name}_order", step.whole)
        operators.append(model.operator("TRANSPOSE", [source, numbers], made))
    elif step.kind == "first":
        kept = (*shape[:-1], step.whole[0])
        made = model.add_computed(name, kept)
        begin = model.add_whole(f"{name}_from", (0,) * len(shape))
        count = model.add_whole(f"{name}_count", kept)
        operators.append(model.operator("SLICE", [source, begin, count], made))
    else:
        factor, summand = step.numbers
        scaled, made = (model.add_computed(f"{name}{end}", shape) for end in ("_scaled", ""))
        number = model.add_number(f"{name}_factor", factor)
        operators.append(model.operator("MUL", [source, number], scaled))
        number = model.add_number(f"{name}_summand", summand)
        operators.append(model.operator("ADD", [scaled, number], made))
    return made
