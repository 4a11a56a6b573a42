"""Computes a Core ML package with PyTorch, operation by operation, where Core ML itself is missing.

It reads the files that were saved, by Apple's message classes and its documented blob format, and
shares nothing with what wrote them.
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

needs_coremltools = pytest.mark.skipif(
    importlib.util.find_spec("coremltools") is None, reason="coremltools is not installed"
)
"""Marks tests that read packages. Importing it to find out would load all that it converts from."""
_SENTINEL = 0xDEADBEEF
_BLOB_TYPES = {1: np.float16, 2: np.float32, 3: np.uint8, 4: np.int8}
_BYTES_TYPES = {10: np.float16, 21: np.int8, 22: np.int16, 31: np.uint8, 32: np.uint16}
_LISTS = ("floats", "ints", "bools", "strings", "longInts", "doubles")


def apple_model(graph: Path) -> Any:
    """The message in a `model.mlmodel`.

    coremltools itself is not imported: it loads TensorFlow and PyTorch into one process, which some
    machines end at once.
    """
    spec = importlib.util.find_spec("coremltools")
    assert spec is not None and spec.submodule_search_locations is not None
    package = ModuleType("coremltools")
    package.__path__ = list(spec.submodule_search_locations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "coremltools", package)
        from coremltools.proto import Model_pb2
    model = Model_pb2.Model()
    model.ParseFromString(graph.read_bytes())
    return model


def operations(model: Any) -> list[Any]:
    """The operations of a program's one function, in order."""
    (function,) = model.mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    return list(block.operations)


class Program:
    """A saved program."""

    def __init__(self, graph: Path, widened: bool = False) -> None:
        """Read the graph; its weights stand beside it.

        Args:
            graph: the file `model.mlmodel` in a package.
            widened: compute in float32 what the program computes in float16.
        """
        self.model = apple_model(graph)
        self._widened = widened
        self.operations = operations(self.model)
        self._weights = (graph.parent / "weights" / "weight.bin").read_bytes()

    @property
    def kinds(self) -> set[str]:
        """The operations' names, constants left out."""
        return {step.type for step in self.operations} - {"const"}

    def parameters(self, kind: str, name: str) -> list[NDArray[Any]]:
        """A stored parameter of all operations of a kind, in order."""
        return [self._value(s.attributes[name]) for s in self.operations if s.type == kind]

    def run(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The outputs by name; every operation in the type that the program says."""
        (entrance,) = self.model.description.input
        values: dict[str, Any] = {entrance.name: torch.from_numpy(image)}
        for step in self.operations:
            given = {name: self._argument(a, values) for name, a in step.inputs.items()}
            own = {n: self._value(v) for n, v in step.attributes.items() if n != "name"}
            given |= {name: self._wide(value) for name, value in own.items()}
            if self._widened and given.get("dtype") == "fp16":
                given["dtype"] = "fp32"
            result = self._wide(_COMPUTE[step.type](given))
            results = result if isinstance(result, tuple) else (result,)
            values |= {o.name: r for o, r in zip(step.outputs, results, strict=True)}
        ends = [output.name for output in self.model.description.output]
        return {name: values[name].numpy() for name in ends}

    def _wide(self, value: Any) -> Any:
        if not self._widened or not isinstance(value, torch.Tensor | np.ndarray):
            return value
        plain = torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value
        return plain.float() if plain.dtype == torch.float16 else value

    def _argument(self, argument: Any, values: Mapping[str, Any]) -> Any:
        each = [
            values[binding.name] if binding.WhichOneof("binding") == "name"
            else self._value(binding.value)
            for binding in argument.arguments
        ]  # fmt: skip
        return each[0] if len(each) == 1 else each

    def _value(self, value: Any) -> Any:
        kind = value.type.tensorType
        shape = [axis.constant.size for axis in kind.dimensions]
        if value.WhichOneof("value") == "blobFileValue":
            return self._blob(value.blobFileValue.offset).reshape(shape)
        held = value.immediateValue.tensor
        name = held.WhichOneof("value")
        if name == "strings":
            return held.strings.values[0]
        if name == "bytes":
            return np.frombuffer(held.bytes.values, _BYTES_TYPES[kind.dataType]).reshape(shape)
        assert name in _LISTS
        types = {"floats": np.float32, "ints": np.int32, "bools": np.bool_}
        return np.array(getattr(held, name).values, types[name]).reshape(shape)

    def _blob(self, offset: int) -> NDArray[Any]:
        sentinel, kind = np.frombuffer(self._weights, "<u4", 2, offset)
        size, place = np.frombuffer(self._weights, "<u8", 2, offset + 8)
        assert sentinel == _SENTINEL
        plain = np.dtype(_BLOB_TYPES[int(kind)])
        return np.frombuffer(self._weights, plain, int(size) // plain.itemsize, int(place))


Given = dict[str, Any]


def _tensor(value: Any) -> torch.Tensor:
    return value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))


def _numbers(value: Any) -> list[int]:
    return [int(number) for number in np.asarray(value).reshape(-1)]


def _binary(compute: Callable[..., torch.Tensor]) -> Callable[[Given], torch.Tensor]:
    return lambda given: compute(_tensor(given["x"]), _tensor(given["y"]))


def _unary(compute: Callable[..., torch.Tensor]) -> Callable[[Given], torch.Tensor]:
    return lambda given: compute(_tensor(given["x"]))


def _padded(given: Given) -> tuple[torch.Tensor, tuple[int, int, int, int]]:
    assert given["pad_type"] in ("valid", "custom")
    pads = _numbers(given["pad"]) if given["pad_type"] == "custom" else [0] * 4
    return given["x"], (pads[2], pads[3], pads[0], pads[1])


def _conv(given: Given) -> torch.Tensor:
    image, pads = _padded(given)
    bias = _tensor(given["bias"]) if "bias" in given else None
    strides, dilations = _numbers(given["strides"]), _numbers(given["dilations"])
    weight, groups = _tensor(given["weight"]), int(given["groups"])
    return F.conv2d(F.pad(image, pads), weight, bias, strides, 0, dilations, groups)


def _conv_transpose(given: Given) -> torch.Tensor:
    image, (left, right, top, bottom) = _padded(given)
    bias = _tensor(given["bias"]) if "bias" in given else None
    weight, groups = _tensor(given["weight"]), int(given["groups"])
    strides = _numbers(given["strides"])
    whole = F.conv_transpose2d(image, weight, bias, strides, 0, 0, groups)
    return whole[..., top : whole.shape[2] - bottom, left : whole.shape[3] - right]


def _linear(given: Given) -> torch.Tensor:
    bias = _tensor(given["bias"]) if "bias" in given else None
    return F.linear(_tensor(given["x"]), _tensor(given["weight"]), bias)


def _matmul(given: Given) -> torch.Tensor:
    left, right = _tensor(given["x"]), _tensor(given["y"])
    left = left.mT if given.get("transpose_x") else left
    return left @ (right.mT if given.get("transpose_y") else right)


def _mean(given: Given) -> torch.Tensor:
    return _tensor(given["x"]).mean(dim=_numbers(given["axes"]), keepdim=bool(given["keep_dims"]))


def _clip(given: Given) -> torch.Tensor:
    return torch.clamp(_tensor(given["x"]), float(given["alpha"]), float(given["beta"]))


def _hard_sigmoid(given: Given) -> torch.Tensor:
    return torch.clamp(given["x"] * float(given["alpha"]) + float(given["beta"]), 0, 1)


def _concat(given: Given) -> torch.Tensor:
    return torch.cat([_tensor(value) for value in given["values"]], int(given["axis"]))


def _split(given: Given) -> tuple[torch.Tensor, ...]:
    sizes = given.get("split_sizes")
    axis = int(given["axis"])
    if sizes is None:
        return torch.chunk(given["x"], int(given["num_splits"]), axis)
    return torch.split(given["x"], _numbers(sizes), axis)


def _depth_to_space(given: Given) -> torch.Tensor:
    image = _tensor(given["x"])
    batch, channels, rows, columns = image.shape
    size = int(given["block_size"])
    blocks = image.reshape(batch, size, size, channels // size**2, rows, columns)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(batch, -1, rows * size, columns * size)


def _bilinear(given: Given) -> torch.Tensor:
    factors = [float(given["scale_factor_height"]), float(given["scale_factor_width"])]
    aligned = bool(given["align_corners"])
    return F.interpolate(given["x"], scale_factor=factors, mode="bilinear", align_corners=aligned)


def _nearest(given: Given) -> torch.Tensor:
    factors = [float(given["scale_factor_height"]), float(given["scale_factor_width"])]
    return F.interpolate(given["x"], scale_factor=factors, mode="nearest")


def _cast(given: Given) -> torch.Tensor:
    types = {"fp16": torch.float16, "fp32": torch.float32, "int32": torch.int32}
    return _tensor(given["x"]).to(types[given["dtype"]])


def _quantize(given: Given) -> torch.Tensor:
    assert given["output_dtype"] == "int8" and "zero_point" not in given
    levels = torch.round(_tensor(given["input"]).float() / float(given["scale"]))
    return torch.clamp(levels, -128, 127).to(torch.int8)


def _dequantize(given: Given) -> torch.Tensor:
    scale = _tensor(given["scale"])
    return _tensor(given["input"]).to(scale.dtype) * scale


def _stored_levels(given: Given) -> torch.Tensor:
    levels, scale = _tensor(given["quantized_data"]), _tensor(given["scale"])
    assert not np.any(given["zero_point"])
    shape = [-1 if axis == int(given["axis"]) else 1 for axis in range(levels.ndim)]
    return levels.to(scale.dtype) * scale.reshape(shape)


_COMPUTE: dict[str, Callable[[Given], Any]] = {
    "const": lambda given: given["val"],
    "cast": _cast,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": _linear,
    "matmul": _matmul,
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(torch.div),
    "relu": _unary(torch.relu),
    "relu6": _unary(F.relu6),
    "sigmoid": _unary(torch.sigmoid),
    "identity": lambda given: given["x"],
    "sigmoid_hard": _hard_sigmoid,
    "clip": _clip,
    "reduce_mean": _mean,
    "reshape": lambda given: given["x"].reshape(_numbers(given["shape"])),
    "transpose": lambda given: given["x"].permute(_numbers(given["perm"])),
    "concat": _concat,
    "split": _split,
    "depth_to_space": _depth_to_space,
    "pixel_shuffle": lambda given: F.pixel_shuffle(given["x"], int(given["upscale_factor"])),
    "upsample_bilinear": _bilinear,
    "upsample_nearest_neighbor": _nearest,
    "quantize": _quantize,
    "dequantize": _dequantize,
    "constexpr_affine_dequantize": _stored_levels,
}
