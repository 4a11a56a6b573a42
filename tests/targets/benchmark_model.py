"""Stands in for TFLite's benchmark_model: really runs the model, by LiteRT's Python package.

It takes the flags and prints the lines that landmint uses of the real one; profiles of single
operators it does not know, so it shares out the time of a run evenly.
"""

import os
import resource
import sys
import time
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

HEADER = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
REFUSED = os.environ.get("WITHOUT_XNNPACK") == "yes"


def main() -> None:
    flags = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
    begin = time.perf_counter()
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if REFUSED else OpResolverType.AUTO
    interpreter = Interpreter(
        flags["graph"],
        num_threads=int(flags["num_threads"]),
        experimental_op_resolver_type=resolver,
    )
    interpreter.allocate_tensors()
    init_us = (time.perf_counter() - begin) * 1e6
    say_delegate(interpreter)
    feed(interpreter, flags)
    warm = run(interpreter, int(flags["warmup_runs"]), float(flags["warmup_min_secs"]))
    times = run(interpreter, int(flags["num_runs"]), float(flags["min_secs"]))
    first = f"{warm[0]:.0f}" if warm else "0"
    print(f"INFO: Inference timings in us: Init: {init_us:.0f}, First inference: {first}, ", end="")
    print(f"Warmup (avg): {mean(warm or [0]):g}, Inference (avg): {mean(times):g}")
    if flags.get("report_peak_memory_footprint") == "true":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"INFO: Overall peak memory footprint (MB) via periodic monitoring: {peak:g}")
    if "output_filepath" in flags:
        outputs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
        Path(flags["output_filepath"]).write_bytes(b"".join(each.tobytes() for each in outputs))
    if flags.get("enable_op_profiling") == "true":
        profile = profile_of(interpreter, mean(times) / 1000)
        Path(flags["op_profiling_output_file"]).write_text(profile)


def say_delegate(interpreter: Any) -> None:
    parts = sum(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())
    print(DELEGATED[min(parts, 2)].format(parts=parts))


DELEGATED = (
    "INFO: Though XNNPACK delegate is explicitly applied, the model graph will not be executed by "
    "the delegate.",
    "INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by "
    "the delegate.",
    "INFO: Explicitly applied XNNPACK delegate, and the model graph will be partially executed by "
    "the delegate w/ {parts} delegate kernels.",
)


def feed(interpreter: Any, flags: dict[str, str]) -> None:
    (tensor,) = interpreter.get_input_details()
    if "input_layer_value_files" not in flags:
        interpreter.set_tensor(tensor["index"], np.ones(tensor["shape"], tensor["dtype"]))
        return
    name, _, file = flags["input_layer_value_files"].partition(":")
    shape = [int(side) for side in flags["input_layer_shape"].split(",")]
    if name != flags["input_layer"] or shape != list(tensor["shape"]):
        sys.exit(f"ERROR: {name} of shape {shape} is no input of shape {tensor['shape']}")
    content = Path(file).read_bytes()
    size = int(np.prod(shape)) * np.dtype(tensor["dtype"]).itemsize
    if len(content) != size:
        sys.exit(f"ERROR: The size of {file} is {len(content)} bytes, not {size}")
    interpreter.set_tensor(
        tensor["index"], np.frombuffer(content, tensor["dtype"]).reshape(tensor["shape"])
    )


def run(interpreter: Any, runs: int, seconds: float) -> list[float]:
    """Times in microseconds, printed as the real one does."""
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < runs or time.perf_counter() - begin < seconds:
        before = time.perf_counter()
        interpreter.invoke()
        times.append(round((time.perf_counter() - before) * 1e6))
    if not times:
        print("INFO: count=0")
    elif min(times) == max(times):
        print(f"INFO: count={len(times)} curr={times[-1]}" + "(all same)" * (len(times) > 1))
    else:
        print(
            f"INFO: count={len(times)} first={times[0]} curr={times[-1]} min={min(times)} "
            f"max={max(times)} avg={mean(times):g} std={pstdev(times):.0f}"
        )
    return times


def profile_of(interpreter: Any, run_ms: float) -> str:
    operators = [op for op in interpreter._get_ops_details() if op["op_name"] != "DELEGATE"]
    parts = len(interpreter._get_ops_details()) - len(operators)
    share = run_ms / len(operators)
    lines = ["Operator-wise Profiling Info for Regular Benchmark Runs:"]
    lines += [f"{'=' * 30} Run Order {'=' * 30}", HEADER]
    if parts:
        lines.append(f"TfLiteXNNPackDelegate, {run_ms:g}, {run_ms:g}, 100%, 100%, 0, 1, [out]:99")
    else:
        for i, op in enumerate(operators):
            lines.append(f"{op['op_name']}, {share:g}, {share:g}, 1%, 1%, 0, 1, [t]:{i}")
    return "\n".join([*lines, "", f"{'=' * 30} Top by Computation Time {'=' * 30}", HEADER, ""])


if __name__ == "__main__":
    main()
