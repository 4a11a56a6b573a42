"""What it spares to give an INT8 model a picture's integers instead of real numbers.

From a crop's bytes to the outputs, in turns, by processor time. OpenVINO: landmint's engine beside
the file as it lies there. ONNX Runtime: landmint's engine, which gives it real numbers, beside a
copy of the file whose input is what its first node made of them; no device has the package that
makes such a copy, so landmint does not.

    python benchmarks/entrance.py BUNDLE    # with openvino/int8, onnx/int8 or both
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import onnxruntime
import openvino
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.engines_in_turn import in_turn  # noqa: E402
from landmint.pipeline.text import markdown_table  # noqa: E402
from landmint.runtime.bundle import Bundle  # noqa: E402
from landmint.runtime.contract import Contract  # noqa: E402
from landmint.runtime.crop import Image, normalise, normalise_to  # noqa: E402
from landmint.runtime.engines import load_engine  # noqa: E402
from landmint.runtime.errors import LandmintError  # noqa: E402
from landmint.runtime.predict import input_of  # noqa: E402
from landmint.runtime.quantised import Quantisation  # noqa: E402

Outputs = Mapping[str, NDArray[np.float32]]
Run = Callable[[], Outputs]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each variant; returns the exit code, 1 where outputs differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=300)
    given = parser.parse_args(arguments)
    rows, alike = [], True
    try:
        bundle = Bundle.open(given.bundle)
        for name, pair in _PAIRS.items():
            if name not in [variant.name for variant in bundle.manifest.variants]:
                continue
            variant = bundle.variant(name)
            contract = bundle.contract_of(variant)
            size = contract.input_size
            crop = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
            floats, integers = pair(bundle.entry(variant), contract, crop)
            difference = _difference(floats(), integers())
            alike &= difference == 0.0
            times = in_turn({"floats": floats, "integers": integers}, given.rounds)
            rows.append([name, *_summary(times), f"{difference:.1g}"])
    except LandmintError as error:
        print(f"entrance: {error}", file=sys.stderr)
        return error.exit_code
    columns = ("variant", "floats, µs", "integers, µs", "ratio of rounds", "outputs differ by")
    print(markdown_table(columns, rows))
    print(f"\nLoad of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors.")
    return int(not alike)


def _summary(times: Mapping[str, list[float]]) -> list[str]:
    """Quickest round of each, and the median of the rounds' ratios."""
    ratios = [own / base for base, own in zip(times["floats"], times["integers"], strict=True)]
    quickest = [f"{1000 * min(ms):.0f}" for ms in times.values()]
    return [*quickest, f"{median(ratios):.3f}"]


def _difference(floats: Outputs, integers: Outputs) -> float:
    return max(float(np.abs(floats[name] - integers[name]).max()) for name in floats)


def _openvino(entry: Path, contract: Contract, crop: Image) -> tuple[Run, Run]:
    session = load_engine("openvino").load(entry, contract, threads=1)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(str(entry), "CPU", settings)
    request = compiled.create_infer_request()
    names = [output.name for output in contract.outputs]

    def floats() -> Outputs:
        request.infer({0: normalise(crop[None], contract)}, share_inputs=True)
        return {name: np.array(request.get_tensor(name).data) for name in names}

    return floats, lambda: _reals(session.run(input_of(session, contract, crop)))


def _onnx(entry: Path, contract: Contract, crop: Image) -> tuple[Run, Run]:
    session = load_engine("onnxruntime").load(entry, contract, threads=1)
    model = onnx.load(entry)
    name, entrance = _cut(model.graph)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    cut = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in cut.get_outputs()]

    def integers() -> Outputs:
        outputs = cut.run(None, {name: normalise_to(entrance, crop[None], contract)})
        return dict(zip(names, outputs, strict=True))

    return lambda: _reals(session.run(input_of(session, contract, crop))), integers


def _cut(graph: onnx.GraphProto) -> tuple[str, Quantisation]:
    """Make the output of the first QuantizeLinear the graph's input; its name and scale."""
    (place,) = graph.input
    (first,) = (node for node in graph.node if place.name in node.input)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scale, zero = constants[first.input[1]], constants[first.input[2]]
    graph.node.remove(first)
    place.name = first.output[0]
    place.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(zero.dtype)
    return place.name, Quantisation(float(scale), int(zero), zero.dtype)


def _reals(outputs: Mapping[str, object]) -> Outputs:
    return {name: np.asarray(values, np.float32) for name, values in outputs.items()}


_PAIRS: Mapping[str, Callable[[Path, Contract, Image], tuple[Run, Run]]] = {
    "openvino/int8": _openvino,
    "onnx/int8": _onnx,
}


if __name__ == "__main__":
    sys.exit(main())
