"""A stand-in for NVIDIA's trtexec, of TensorRT 10 or 11, which computes the ONNX by ONNX Runtime.

It takes the options of that version alone, prints and writes what the real one does, and opens no
plan of another version. Its times are made up. Started as
`python trtexec_stand_in.py 100300 OPTIONS...`; every call's options go to the file in
TRTEXEC_JOURNAL, where that is set.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

COMMON = {
    *("--onnx", "--saveEngine", "--loadEngine", "--timingCacheFile", "--skipInference", "--help"),
    *("--profilingVerbosity", "--loadInputs", "--iterations", "--duration", "--warmUp"),
    *("--exportTimes", "--exportOutput", "--exportProfile", "--exportLayerInfo", "--stronglyTyped"),
    *("--noDataTransfers", "--useCudaGraph", "--useSpinWait", "--infStreams", "--avgRuns"),
}
OF_VERSION = {
    8: {"--int8", "--fp16", "--best"},
    10: {"--int8", "--fp16", "--best", "--bf16", "--fp8"},
    11: {"--includeDataTransfers", "--noCudaGraph", "--noSpinWait"},
}
LEVELS = {"Int8": "Row major Int8 format", "Half": "Row major linear FP16 format"}


class Refused(Exception):
    """What the real program says after [E]."""


def main(number: int, words: list[str]) -> int:
    """Do as told; returns the exit code."""
    call = f"TensorRT.trtexec [TensorRT v{number}] [b1] # trtexec {' '.join(words)}"
    print(f"&&&& RUNNING {call}")
    try:
        options = parse(number, words)
        if "--help" not in options:
            work(number, options)
    except Refused as refused:
        say("E", str(refused))
        print(f"&&&& FAILED {call}")
        return 1
    print(f"&&&& PASSED {call}")
    return 0


def parse(number: int, words: list[str]) -> dict[str, str]:
    """Options by their names."""
    options = dict(word.partition("=")[::2] for word in words)
    unknown = options.keys() - COMMON - OF_VERSION[major(number)]
    if unknown:
        raise Refused(f"Unknown option: {sorted(unknown)[0]} ")
    return options


def major(number: int) -> int:
    """Of a version such as 100300 or 8601."""
    return number // (10000 if number >= 100000 else 1000)


def work(number: int, options: dict[str, str]) -> None:
    """Build or load, then run and write."""
    mark = f"plan of {number}\n".encode()
    if "--onnx" in options:
        graph = Path(options["--onnx"]).read_bytes()
        if major(number) < 11 and "--stronglyTyped" not in options:
            raise Refused("the stand-in builds strongly typed networks alone")
        import onnx

        try:
            onnx.load_from_string(graph)
        except Exception:
            raise Refused("Failed to parse onnx file") from None
        Path(options["--saveEngine"]).write_bytes(mark + graph)
        Path(options["--timingCacheFile"]).write_bytes(b"tactics")
        say("I", "Engine built in 0.1 sec.")
        return
    plan = Path(options["--loadEngine"]).read_bytes()
    if not plan.startswith(mark):
        say("E", "[runtime.cpp::parsePlan::314] Error Code 1: Serialization (Version tag mismatch)")
        raise Refused("Engine could not be created")
    say("I", "Engine deserialized in 0.001 sec.")
    infer(number, plan.removeprefix(mark), options)


def infer(number: int, graph: bytes, options: dict[str, str]) -> None:
    """Run the graph as often as was asked for."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (entrance,) = session.get_inputs()
    tensor = np.zeros(entrance.shape, np.float32)
    if "--loadInputs" in options:
        name, _, file = options["--loadInputs"].partition(":")
        if name != entrance.name:
            raise Refused(f'Cannot find input tensor with name "{name}" in the engine bindings!')
        tensor = np.fromfile(file, np.float32).reshape(entrance.shape)
        say("I", f"Using values loaded from {file} for input {name}")
    shape = "x".join(map(str, entrance.shape))
    say("I", f"Input binding for {entrance.name} with dimensions {shape} is created.")
    outputs, times = session.run(None, {entrance.name: tensor}), timed(options)
    copies = major(number) < 11 or "--includeDataTransfers" in options
    layers = describe(graph)
    names = [output.name for output in session.get_outputs()]
    exports = {
        "--exportTimes": "[\n" + ", ".join(as_run(ms, copies) for ms in times) + "]\n",
        "--exportOutput": "[\n" + ", ".join(map(as_output, names, outputs)) + "]\n",
        "--exportLayerInfo": json.dumps({"Layers": layers, "Bindings": [entrance.name, *names]}),
        "--exportProfile": json.dumps([{"count": len(times)}, *map(as_profile, layers)]),
    }
    for option, text in exports.items():
        if option in options:
            Path(options[option]).write_text(text)
    middle = sorted(times)[len(times) // 2]
    say("I", f"Latency: min = {min(times)} ms, max = {max(times)} ms, median = {middle} ms")


def timed(options: dict[str, str]) -> list[float]:
    """Milliseconds of every run after the warm-up, by a clock that runs alike on all machines."""
    warm_ms = float(options.get("--warmUp", 200))
    least_ms = float(options.get("--duration", 3)) * 1000
    clock_ms, times = 0.0, list[float]()
    while len(times) < int(options.get("--iterations", 10)) or clock_ms < warm_ms + least_ms:
        run_ms = 1 + len(times) % 5 / 1000
        if clock_ms >= warm_ms:
            times.append(run_ms)
        clock_ms += run_ms
    return times


def as_run(ms: float, copies: bool) -> str:
    """An entry of --exportTimes."""
    copied = 0.25 if copies else 0.0
    content = {"startEnqMs": 1.0, "endEnqMs": 1.125, "h2dMs": copied, "computeMs": ms}
    return json.dumps({**content, "d2hMs": copied, "latencyMs": ms + 2 * copied})


def as_output(name: str, values: Any) -> str:
    """An entry of --exportOutput: six digits, and NaN as C++ writes it."""
    shape = "x".join(map(str, values.shape))
    numbers = ", ".join(f"{value:g}" for value in values.ravel())
    return f'{{ "name" : "{name}"\n  , "dimensions" : "{shape}"\n  , "values" : [ {numbers} ]\n }}'


def describe(graph: bytes) -> list[dict[str, Any]]:
    """The layers as the engine inspector tells them: nodes with weights, and one that reformats."""
    import onnx

    nodes = onnx.load_from_string(graph).graph.node
    integer = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    layers: list[dict[str, Any]] = [{"Name": "Reformat", "LayerType": "Reformat", "Inputs": []}]
    for node in nodes:
        if node.op_type == "Conv":
            kind = "Int8" if node.input[0] in integer else "Half"
            layers.append(
                {
                    "Name": f"{node.name} + relu",
                    "LayerType": "CaskConvolution",
                    "Inputs": [{"Name": node.input[0], "Format/Datatype": LEVELS[kind]}],
                    "ParameterType": "Convolution",
                    "Weights": {"Type": kind, "Count": 1},
                    "TacticName": "sm80_xmma_fprop",
                    "Metadata": f"[ONNX Layer: {node.name}]\x1e[ONNX Layer: relu]",
                }
            )
    return layers


def as_profile(layer: dict[str, Any]) -> dict[str, Any]:
    """An entry of --exportProfile."""
    return {"name": layer["Name"], "timeMs": 5.0, "averageMs": 0.1, "medianMs": 0.125}


def say(level: str, text: str) -> None:
    """A line of the log."""
    print(f"[11/29/2026-20:00:00] [{level}] {text}")


if __name__ == "__main__":
    if journal := os.environ.get("TRTEXEC_JOURNAL"):
        with Path(journal).open("a") as file:
            file.write(" ".join(sys.argv[2:]) + "\n")
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
