"""Stand-ins for the tools of a Jetson, and a small model that they run."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract
from landmint.runtime.embedded import ONNX_KEY
from tests.targets import trtexec_stand_in

NVPMODEL = "NV Power Mode: 15W\n0"
CLOCKS = """SOC family:tegra234  Machine:NVIDIA Jetson Orin Nano Developer Kit
Online CPUs: 0-5
cpu0:  Online=1 Governor=schedutil MinFreq=729600 MaxFreq=1510400 CurrentFreq=729600
GPU MinFreq=306000000 MaxFreq=624750000 CurrentFreq=306000000
EMC MinFreq=204000000 MaxFreq=2133000000 CurrentFreq=2133000000 FreqOverride=0
NV Power Mode: 15W"""
STATS = (
    "11-29-2026 20:00:00 RAM 2269/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) "
    "CPU [0%@729,0%@729,1%@729,0%@729,0%@729,0%@729] GR3D_FREQ 0% cpu@48.5C gpu@47.2C tj@48.5C "
    "VDD_IN 4560mW/4560mW"
)
_TOOLS = {
    "nvpmodel": f'[ "$*" = "-q" ] && echo {shlex.quote(NVPMODEL)}',
    "jetson_clocks": f'[ "$*" = "--show" ] && echo {shlex.quote(CLOCKS)}',
    # The real one never ends by itself.
    "tegrastats": f'[ "$1" = "--interval" ] && while echo {shlex.quote(STATS)}; do sleep 0.1; done',
}


def pretend_jetson(tools: Path, version: int, journal: Path | None = None) -> None:
    """Write the tools into a folder of the PATH.

    Args:
        tools: the folder.
        version: of TensorRT, as trtexec's banner has it, such as 100300.
        journal: where trtexec notes its options.
    """
    noted = [f"TRTEXEC_JOURNAL={journal}"] if journal else []
    words = ["exec", "env", *noted, sys.executable, str(trtexec_stand_in.__file__), str(version)]
    for name, script in {**_TOOLS, "trtexec": f'{shlex.join(words)} "$@"'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)


def write_graph(path: Path, quantised: bool, contract: Contract) -> None:
    """Write a convolution (1, 3, 32, 32) -> (1, 68, 4, 4), named "conv"; with Q/DQ pairs or not."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).integers(-9, 9, (68, 3, 8, 8))
    constants: dict[str, NDArray[Any]] = {
        "scale": np.array(0.02, np.float32),
        "zero": np.array(0, np.int8),
    }
    if quantised:
        constants["levels"] = weights.astype(np.int8)
        pairs = [
            helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"], name="q"),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["x"], name="dq"),
            helper.make_node("DequantizeLinear", ["levels", "scale", "zero"], ["w"], name="wdq"),
        ]
    else:
        constants["w"] = (weights * 0.02).astype(np.float32)
        pairs = []
    image = "x" if quantised else "image"
    graph = helper.make_graph(
        [*pairs, helper.make_node("Conv", [image, "w"], ["heatmaps"], name="conv", strides=[8, 8])],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, 68, 4, 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    helper.set_model_props(model, {ONNX_KEY: json.dumps(contract.to_json())})
    onnx.save(model, path)
