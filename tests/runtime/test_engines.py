"""The contract suite of the engines: each runs a tiny network and must give numpy's answer.

A `Network` is what numpy computes; a `Case` writes it in the format of one engine. A network has
one output of any head.

An engine whose library or converter this machine lacks is reported as not measured.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from landmint.export.isolated import missing_packages
from landmint.runtime.contract import OFFSETS, Contract, CropRule, Head, Layout, Output
from landmint.runtime.crop import normalise
from landmint.runtime.decode import decode
from landmint.runtime.engines import ENGINES, load_engine
from landmint.runtime.engines.engine import (
    EngineSession,
    describe_precision,
    entrance_of,
    match_outputs,
)
from landmint.runtime.engines.litert_engine import _outside
from landmint.runtime.engines.null_engine import encode, plain_face
from landmint.runtime.engines.onnxruntime_engine import _read_trace, node_name
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.markup import get_markup
from landmint.runtime.mlpackage import GRAPH
from landmint.runtime.predict import input_of

SIZE, CELLS, POINTS = 32, 4, 68
Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """One tiny network."""

    contract: Contract
    answer: Callable[[Floats32], Floats32]
    """Its output, channels first, of an input (1, 3, S, S)."""


CONTRACT = Contract(
    markup="68",
    input_size=SIZE,
    crop=CropRule((1.2, 1.2), True),
    mean=(127.5, 127.5, 127.5),
    std=(127.5, 127.5, 127.5),
    head=Head("heatmap", "argmax", 1.0),
    outputs=(Output("heatmaps", (POINTS, CELLS, CELLS)),),
)
WEIGHTS = (np.random.default_rng(0).standard_normal((POINTS, 3, 8, 8)) * 0.05).astype(np.float32)
MATRIX = np.random.default_rng(0).normal(0, 0.01, (3 * SIZE**2, 2 * POINTS)).astype(np.float32)


def face(seed: int = 1) -> Floats32:
    """A normalised input (1, 3, S, S)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (1, 3, SIZE, SIZE)).astype(np.float32)


def heatmaps_of(tensor: Floats32) -> Floats32:
    """Heatmaps (1, L, 4, 4): ReLU of a convolution of 8 x 8 with stride 8."""
    patches = tensor.reshape(3, CELLS, 8, CELLS, 8).transpose(1, 3, 0, 2, 4)
    values = np.einsum("ijcyx,lcyx->lij", patches, WEIGHTS)
    heatmaps: Floats32 = np.maximum(values, 0)[None].astype(np.float32)
    return heatmaps


def coordinates_of(tensor: Floats32) -> Floats32:
    """Coordinates (1, 2 L): a matrix product of all pixels."""
    coordinates: Floats32 = tensor.reshape(1, -1) @ MATRIX
    return coordinates


HEATMAPS = Network(CONTRACT, heatmaps_of)
COORDINATES = Network(
    replace(CONTRACT, head=Head("coordinates"), outputs=(Output("coordinates", (2 * POINTS,)),)),
    coordinates_of,
)


def write_onnx(folder: Path) -> Path:
    from onnx import helper

    nodes = [
        helper.make_node("Conv", ["image", "weights"], ["c"], strides=[8, 8]),
        helper.make_node("Relu", ["c"], ["heatmaps"]),
    ]
    return _write_onnx(folder / "tiny.onnx", nodes, HEATMAPS, WEIGHTS)


def write_coordinates_onnx(folder: Path) -> Path:
    from onnx import helper

    nodes = [
        helper.make_node("Flatten", ["image"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "weights"], ["coordinates"]),
    ]
    return _write_onnx(folder / "coordinates.onnx", nodes, COORDINATES, MATRIX)


def _write_onnx(path: Path, nodes: Sequence[Any], network: Network, weights: Floats32) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def tensor(name: str, shape: tuple[int, ...]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "tiny",
        [tensor("image", network.contract.input_shape)],
        [tensor(output.name, (1, *output.shape)) for output in network.contract.outputs],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def write_int8_onnx(folder: Path) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Faces(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter([{"image": face(seed)} for seed in range(8)])

        def get_next(self) -> Any:
            return next(self.left, None)

    target = folder / "int8.onnx"
    source = write_onnx(folder)
    # Weights of 7 bits: with 8, processors without VNNI overflow.
    quantize_static(
        source,
        target,
        Faces(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
    )
    return target


def write_openvino(folder: Path) -> Path:
    import openvino

    openvino.save_model(openvino.Core().read_model(write_onnx(folder)), folder / "tiny.xml")
    return folder / "tiny.xml"


def write_tflite(folder: Path) -> Path:
    return _write_tflite(folder / "tiny.tflite", int8=False)


def write_ncnn(folder: Path) -> Path:
    return _write_ncnn(write_onnx(folder), HEATMAPS)


def write_coordinates_ncnn(folder: Path) -> Path:
    return _write_ncnn(write_coordinates_onnx(folder), COORDINATES)


def _write_ncnn(source: Path, network: Network) -> Path:
    from landmint.export.forms.ncnn import convert

    if absent := missing_packages("pnnx"):
        raise ImportError(absent)
    convert(source, source.with_suffix(".param"), network.contract)
    return source.with_suffix(".param")


def write_int8_ncnn(folder: Path) -> Path:
    import onnx

    from landmint.quantize.config import QuantizeConfig
    from landmint.quantize.decide.decision import decide
    from landmint.quantize.forms.ncnn import quantize
    from landmint.quantize.job import Job

    if absent := missing_packages("pnnx"):
        raise ImportError(absent)
    source, target = write_onnx(folder), folder / "int8.param"
    faces = np.concatenate([face(seed) for seed in range(8)])
    graph, config = onnx.load(source), QuantizeConfig(size=8, calibrator="min_max")
    graph.graph.node[0].name = "c"
    quantize(Job(source, target, graph, decide(graph, faces, config), faces, CONTRACT, config))
    return target


def write_coreml(folder: Path) -> Path:
    return _write_coreml(write_onnx(folder), HEATMAPS)


def write_coordinates_coreml(folder: Path) -> Path:
    return _write_coreml(write_coordinates_onnx(folder), COORDINATES)


def _write_coreml(source: Path, network: Network) -> Path:
    from landmint.export.forms.coreml import convert

    target = source.with_name(f"tiny{GRAPH}")
    convert(source, target, network.contract, half=False)
    return target


def write_int8_tflite(folder: Path) -> Path:
    return _write_tflite(folder / "int8.tflite", int8=True)


def _write_tflite(path: Path, int8: bool) -> Path:
    import tensorflow as tf

    shape = [1, SIZE, SIZE, 3]

    class Net(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])  # type: ignore[untyped-decorator]
        def __call__(self, image: Any) -> Any:
            kernel = WEIGHTS.transpose(2, 3, 1, 0)
            return {"heatmaps": tf.nn.relu(tf.nn.conv2d(image, kernel, 8, "VALID"))}

    net = Net()
    function = net.__call__.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], net)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [face(seed).transpose(0, 2, 3, 1)] for seed in range(8)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())
    return path


@dataclass(frozen=True)
class Case:
    """One format of one engine."""

    engine: str
    """Its name in the registry."""
    write: Callable[[Path], Path]
    """Writes `network` into a folder and returns the file."""
    precision: str
    """What the session must say that it ran in."""
    layout: Layout = "NCHW"
    """Of the file's input, and of outputs of rank 4."""
    tolerance: float = 1e-5
    """How far the output may be from numpy's."""
    network: Network = HEATMAPS
    """What the file computes."""
    times_operators: bool = True
    """Whether the library tells how long each operator takes."""


CASES = {
    "onnxruntime": Case("onnxruntime", write_onnx, "f32"),
    "onnxruntime-int8": Case("onnxruntime", write_int8_onnx, "u8", tolerance=0.05),
    "onnxruntime-coordinates": Case(
        "onnxruntime", write_coordinates_onnx, "f32", network=COORDINATES
    ),
    "openvino": Case("openvino", write_openvino, "f32", tolerance=2e-3),
    "litert": Case(
        "litert", write_tflite, "f32 (XNNPACK, 1 partition)", "NHWC", times_operators=False
    ),
    "litert-int8": Case(
        "litert",
        write_int8_tflite,
        "i8 (XNNPACK, 1 partition)",
        "NHWC",
        tolerance=0.05,
        times_operators=False,
    ),
    "ncnn": Case("ncnn", write_ncnn, "f32", times_operators=False),
    "ncnn-coordinates": Case(
        "ncnn", write_coordinates_ncnn, "f32", network=COORDINATES, times_operators=False
    ),
    "coreml": Case("coreml", write_coreml, "f32", times_operators=False),
    "coreml-coordinates": Case(
        "coreml", write_coordinates_coreml, "f32", network=COORDINATES, times_operators=False
    ),
    "ncnn-int8": Case("ncnn", write_int8_ncnn, "i8", tolerance=0.05, times_operators=False),
}


SLOW = ("litert", "ncnn", "coreml")
"""Engines whose files are made by a converter."""


@dataclass(frozen=True)
class Loaded:
    case: Case
    entry: Path
    contract: Contract
    session: EngineSession

    def run(self, tensor: Floats32) -> Floats32:
        """The output, channels first, of a channels-first input."""
        if self.case.layout == "NHWC":
            tensor = np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))
        (values,) = self.session.run(tensor).values()
        output = np.asarray(values)
        if self.case.layout == "NHWC" and output.ndim == 4:
            return output.transpose(0, 3, 1, 2)
        return output


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow if case.engine in SLOW else ())
        for name, case in CASES.items()
    ],
)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    case = CASES[request.param]
    try:
        engine = load_engine(case.engine)
        entry = case.write(tmp_path_factory.mktemp(request.param))
    except (NotMeasuredError, ImportError) as error:
        pytest.skip(f"not measured: {error}")
    contract = case.network.contract.with_layout(case.layout)
    return Loaded(case, entry, contract, engine.load(entry, contract, threads=1))


def test_gives_the_answer(loaded: Loaded) -> None:
    for seed in range(3):
        tensor = face(seed)
        output = loaded.run(tensor)
        assert output.dtype == np.float32
        answer = loaded.case.network.answer(tensor)
        np.testing.assert_allclose(output, answer, atol=loaded.case.tolerance)


def test_takes_crops_in_the_integers_that_it_names(loaded: Loaded) -> None:
    """A crop looked up byte by byte gives what a normalised crop gives."""
    crop = np.random.default_rng(4).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    tensor = input_of(loaded.session, loaded.contract, crop)
    entrance = entrance_of(loaded.session)
    assert tensor.dtype == (entrance.kind if entrance else np.float32)
    direct = loaded.session.run(tensor)
    rounded = loaded.session.run(normalise(crop[None], loaded.contract))
    for name, values in direct.items():
        np.testing.assert_array_equal(np.asarray(values), np.asarray(rounded[name]))


def test_calls_the_output_by_its_canonical_name(loaded: Loaded) -> None:
    tensor = np.zeros(loaded.contract.input_shape, dtype=np.float32)
    names = [output.name for output in loaded.contract.outputs]
    assert list(loaded.session.run(tensor)) == names


def test_outputs_are_its_own(loaded: Loaded) -> None:
    first = loaded.run(face(1))
    before = first.copy()
    loaded.run(face(2))
    np.testing.assert_array_equal(first, before)
    np.testing.assert_array_equal(loaded.run(face(1)), before)


def test_tells_the_precision_that_ran(loaded: Loaded) -> None:
    assert loaded.session.executed_precision == loaded.case.precision


def test_tells_what_an_inference_consists_of(loaded: Loaded) -> None:
    operators = loaded.session.operators
    weighted = "conv", "matmul", "gemm", "innerproduct"
    layers = [one for one in operators if any(word in one.kind.lower() for word in weighted)]
    assert layers
    assert {one.precision for one in layers} == {loaded.case.precision.split()[0]}
    timed = loaded.case.times_operators
    assert all((one.ms is not None and one.ms >= 0) == timed for one in operators)
    assert not any(one.place for one in operators)
    assert all(one.kernel for one in layers)


def test_a_trace_that_is_cut_short_is_named(tmp_path: Path) -> None:
    (tmp_path / "trace.json").write_text('[{"cat": "Node", "na')
    with pytest.raises(LandmintError, match="trace is cut short") as caught:
        _read_trace(tmp_path / "trace.json")
    assert "TMPDIR" in caught.value.remedy


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("relu_1_nchwc_kernel_time", "relu_1_nchwc"),
        ("ReorderOutput_token_85_kernel_time", "ReorderOutput"),
        ("ReorderOutput_kernel_time", "ReorderOutput"),
    ],
)
def test_a_node_is_called_alike_in_every_launch(event: str, name: str) -> None:
    assert node_name(event) == name


def test_operators_between_two_partitions_are_outside() -> None:
    def op(inputs: list[int], outputs: list[int]) -> dict[str, object]:
        return {"inputs": inputs, "outputs": outputs}

    # 0 and 1 in one part, 2 and 3 outside in a row, 4 in another part, 5 outside at the end.
    chain = [op([place], [place + 1]) for place in range(6)]
    parts = [op([0], [2]), op([4], [5])]
    assert _outside(chain, parts) == {2, 3, 5}


def test_two_threads_give_the_same_answer(loaded: Loaded) -> None:
    session = load_engine(loaded.case.engine).load(loaded.entry, loaded.contract, threads=2)
    two = replace(loaded, session=session)
    np.testing.assert_allclose(two.run(face()), loaded.run(face()), atol=1e-5)


def test_refuses_another_input_size(loaded: Loaded) -> None:
    other = replace(loaded.contract, input_size=64)
    with pytest.raises(LandmintError, match="takes an input of shape"):
        load_engine(loaded.case.engine).load(loaded.entry, other, threads=1)


def test_refuses_a_file_without_the_output(loaded: Loaded) -> None:
    other = loaded.contract.decoded()
    with pytest.raises(LandmintError, match="has no output 'co(ordinates|nfidence)'"):
        load_engine(loaded.case.engine).load(loaded.entry, other, threads=1)


SIGNAL_AFTER_SESSIONS = """
import faulthandler, json, os, signal, sys
from pathlib import Path
from landmint.runtime.contract import Contract
from landmint.runtime.engines import load_engine

faulthandler.enable()  # gives this thread a signal stack, as pytest and many programs do
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
name, entry = sys.argv[1:3]
contract = Contract.from_json(json.loads(sys.argv[3]))
sessions = [load_engine(name).load(Path(entry), contract, 1) for _ in "12"]
while sessions:
    del sessions[0]
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_signals_reach_python_after_sessions_ended(loaded: Loaded) -> None:
    arguments = loaded.case.engine, str(loaded.entry), json.dumps(loaded.contract.to_json())
    done = subprocess.run(
        [sys.executable, "-c", SIGNAL_AFTER_SESSIONS, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_names_a_broken_or_missing_file(loaded: Loaded, tmp_path: Path) -> None:
    engine = load_engine(loaded.case.engine)
    broken = tmp_path / f"broken{loaded.entry.suffix}"
    with pytest.raises(LandmintError, match="broken.* does not exist"):
        engine.load(broken, loaded.contract, threads=1)
    broken.write_bytes(b"neither a graph nor weights")
    with pytest.raises(LandmintError, match=f"{engine.name} cannot open .*broken"):
        engine.load(broken, loaded.contract, threads=1)


def test_every_engine_is_in_the_registry_under_its_own_name() -> None:
    for name in ENGINES:
        try:
            engine = load_engine(name)
        except NotMeasuredError as error:
            assert error.remedy  # what to install is part of the message
            continue
        assert engine.name == name
        assert any(character.isdigit() for character in engine.version)


def test_unknown_engine() -> None:
    with pytest.raises(LandmintError, match="choices: onnxruntime, openvino"):
        load_engine("caffe")


def test_outputs_are_matched_by_name_never_by_place() -> None:
    contract = CONTRACT.decoded()
    found = {"serving/confidence:0": 0, "coordinates:0": 1}
    places = match_outputs(found, contract, Path("m"))
    assert places == {"coordinates": 1, "confidence": 0}
    with pytest.raises(LandmintError, match="no output 'coordinates'"):
        match_outputs({"a": 0, "b": 1}, contract, Path("m"))
    assert match_outputs({"Identity": 0}, CONTRACT, Path("m")) == {"heatmaps": 0}


def test_precision_in_words() -> None:
    assert describe_precision({}) == "unknown"
    assert describe_precision({"f32": 9}) == "f32"
    assert describe_precision({"f32": 4, "i8": 52}) == "i8 52, f32 4"


def contract_of(kind: str, layout: Layout) -> Contract:
    maps = (68, 8, 8)
    near = tuple(tuple((i + 1 + k) % 68 for k in range(3)) for i in range(68))
    heads = {
        "coordinates": (Head("coordinates"), (Output("coordinates", (136,)),)),
        "heatmap": (Head("heatmap", "dark", 1.0), (Output("heatmaps", (68, 32, 32)),)),
        "pip": (
            Head("pip", neighbours=near),
            (
                Output("cls", maps),
                Output("x", maps),
                Output("y", maps),
                Output("nb_x", (204, 8, 8)),
                Output("nb_y", (204, 8, 8)),
            ),
        ),
        "simcc": (
            Head("simcc", sigma=2.8, radius=5),
            (Output("simcc_x", (68, 128)), Output("simcc_y", (68, 128))),
        ),
        "offset": (
            Head("offset", sigma=1.5),
            tuple(Output(name, (68, 16, 16)) for name in ("scores", *OFFSETS)),
        ),
        "nested": (
            Head("nested", sigma=1.5),
            (Output("heatmaps", (68, 16, 16)), Output("inner", (68, 8, 8))),
        ),
    }
    head, outputs = heads[kind]
    return Contract(
        "68", 64, CropRule((1.2, 1.2), True), (0.0,) * 3, (255.0,) * 3, head, outputs, layout=layout
    )


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", ["coordinates", "heatmap", "pip", "simcc", "offset", "nested"])
def test_null_engine_keeps_any_contract(kind: str, layout: Layout) -> None:
    contract = contract_of(kind, layout)
    session = load_engine("null").load(Path("nothing"), contract, threads=1)
    outputs = session.run(np.zeros(contract.input_shape, dtype=np.float32))
    points, _ = decode(contract, outputs)
    expected = plain_face(get_markup("68")) * 64 - 0.5
    np.testing.assert_allclose(
        points[0], expected, atol={"heatmap": 0.2, "simcc": 0.01, "nested": 0.26}.get(kind, 1e-4)
    )


def test_null_engine_checks_its_input() -> None:
    contract = contract_of("pip", "NCHW")
    session = load_engine("null").load(Path("nothing"), contract, threads=1)
    with pytest.raises(LandmintError, match="its contract says"):
        session.run(np.zeros((1, 3, 32, 32), dtype=np.float32))


def test_encode_is_the_inverse_of_decode_for_pip() -> None:
    contract = contract_of("pip", "NCHW")
    points = np.random.default_rng(3).uniform(0.05, 0.95, (68, 2))
    decoded, _ = decode(contract, encode(contract, points))
    np.testing.assert_allclose(decoded[0], points * 64 - 0.5, atol=1e-4)


_LOUD = """
import os, sys
def fork():
    raise SystemExit("a process was forked")
os.fork = fork
from landmint.runtime.engines.openvino_engine import shared_core
shared_core()
assert "openvino_telemetry" not in sys.modules, "others may still import it"
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__.endswith("telemetry_stub"), telemetry_utils.tm
"""


def test_openvino_forks_no_process_that_reports_its_use() -> None:
    done = subprocess.run([sys.executable, "-c", _LOUD], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "forked" not in done.stderr
