"""ONNX to ncnn by pnnx, a program of its own; weights stored in float32 or float16.

Tensors have no names in pnnx's files. They get those of the contract, and the input its shape.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from landmint.export.embed import write_contract
from landmint.export.isolated import run_converter
from landmint.runtime.contract import Contract
from landmint.runtime.embedded import read_contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.ncnn_param import Layer, parse, render
from landmint.runtime.scratch import scratch_folder

_DCR = "1"
"""PixelShuffle's mode in which a group of channels is one place of all blocks."""


def export(onnx_path: Path, files: Mapping[str, Path]) -> Mapping[str, str]:
    """Write `.param` and `.bin` for each precision, as `Export` says.

    Args:
        onnx_path: of `to_onnx`.
        files: of the graphs, by precision; the weights stand beside each under the suffix .bin.
            float16 is how the weights are stored.

    Raises:
        LandmintError: pnnx failed, or ncnn lacks a layer; or the ONNX file carries no contract.
    """
    contract = read_contract(onnx_path)
    for precision, path in files.items():
        convert(onnx_path, path, contract, half=precision == "float16")
        write_contract(path, contract)
    return {}


def convert(onnx_path: Path, path: Path, contract: Contract, *, half: bool = False) -> None:
    """Convert an ONNX file, without writing the contract into the result.

    Args:
        onnx_path: of a float32 graph.
        path: to write the layers to; the weights stand beside it under the suffix .bin.
        contract: names input and outputs, in the order of the ONNX graph.
        half: store weights as float16.

    Raises:
        LandmintError: pnnx failed, or ncnn lacks a layer.
    """
    with scratch_folder() as work:
        # It writes seven files beside the one that it reads.
        shutil.copyfile(onnx_path, work / "model.onnx")
        command = [str(_program()), "model.onnx", f"fp16={int(half)}"]
        reason = run_converter(command, cwd=str(work))
        made, traced = work / "model.ncnn.param", work / "model.pnnx.param"
        if reason or not made.is_file():
            raise LandmintError(
                f"pnnx could not convert {onnx_path.name} to ncnn",
                reason=reason or "it wrote no file",
                remedy="see the reason; leave ncnn out of the formats to go on without it",
            )
        sizes = _block_sizes(traced.read_text(encoding="utf-8"))
        layers = [_shuffled(layer, sizes) for layer in parse(made.read_text(encoding="utf-8"))[0]]
        _refuse_unknown(layers)
        path.write_text(render(list(_named(layers, contract))), "utf-8")
        shutil.copyfile(work / "model.ncnn.bin", path.with_suffix(".bin"))


def _program() -> Path:
    """The program pnnx. Its Python package would import torch only to start it."""
    spec = importlib.util.find_spec("pnnx")
    assert spec is not None and spec.origin is not None, "the format's record names pnnx"
    return Path(spec.origin).with_name("pnnx.exe" if os.name == "nt" else "pnnx")


def _block_sizes(traced: str) -> dict[str, str]:
    """The block size of each DepthToSpace, which pnnx passes on to ncnn without its settings.

    Args:
        traced: pnnx's own text of the network, which has them.
    """
    shuffles = (line for line in traced.splitlines() if line.startswith("DepthToSpace "))
    return {line.split()[1]: line.partition("blocksize=")[2].split()[0] for line in shuffles}


def _shuffled(layer: Layer, sizes: Mapping[str, str]) -> Layer:
    """A DepthToSpace as the layer that ncnn has for it; of the mode DCR, as pnnx knows CRD."""
    if layer.kind != "DepthToSpace":
        return layer
    return replace(layer, kind="PixelShuffle", settings={"0": sizes[layer.name], "1": _DCR})


def _refuse_unknown(layers: Iterable[Layer]) -> None:
    import ncnn

    absent = {layer.kind: layer.name for layer in layers if ncnn.layer_to_index(layer.kind) < 0}
    if absent:
        named = ", ".join(f"{kind} ({name})" for kind, name in absent.items())
        raise LandmintError(
            f"ncnn {ncnn.__version__} has no layer {named}",
            reason="pnnx passes on what it does not know",
            remedy="build the network from other operators, or leave ncnn out of the formats",
        )


def _named(layers: Iterable[Layer], contract: Contract) -> Iterator[Layer]:
    """The layers with the contract's names for in0, out0, out1..., and the shape of the input."""
    names = {f"out{i}": output.name for i, output in enumerate(contract.outputs)}
    names["in0"] = contract.input_name
    _, channels, rows, columns = contract.input_shape
    for layer in layers:
        shape = {"0": columns, "1": rows, "2": channels} if layer.kind == "Input" else {}
        yield replace(
            layer,
            inputs=tuple(names.get(name, name) for name in layer.inputs),
            outputs=tuple(names.get(name, name) for name in layer.outputs),
            settings={**layer.settings, **{key: str(axis) for key, axis in shape.items()}},
        )
