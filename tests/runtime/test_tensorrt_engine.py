"""The TensorRT engine against a stand-in for the library and the driver.

The stand-in keeps the documented Python API and doubles its input. What a GPU does with a real
engine is not measured here; the contract suite of the engines has no such machine.
"""

import ctypes
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.engines import built, cuda_driver, load_engine
from landmint.runtime.errors import LandmintError, NotMeasuredError

CONTRACT = Contract(
    markup="68",
    input_size=4,
    crop=CropRule((1.2, 1.2), True),
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
)
IMAGE = np.random.default_rng(0).uniform(0, 1, (1, 3, 4, 4)).astype(np.float32)


class Driver:
    """The CUDA driver's library, whose device memory is the host's. It counts what is alive."""

    def __init__(self) -> None:
        self.contexts = 0
        self.streams: list[int] = []
        self.memory: dict[int, Any] = {}
        self.failing = ""

    @property
    def alive(self) -> tuple[int, int, int]:
        """Context references, streams, allocations."""
        return self.contexts, len(self.streams), len(self.memory)

    def _status(self, name: str) -> int:
        return 2 if name == self.failing else 0  # CUDA_ERROR_OUT_OF_MEMORY

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:  # noqa: N802
        context._obj.value = 5
        self.contexts += 1
        return 0

    def cuDevicePrimaryCtxRelease_v2(self, device: Any) -> int:  # noqa: N802
        self.contexts -= 1
        assert len(self.streams) <= self.contexts  # they go before their context
        return 0

    def cuCtxSetCurrent(self, context: Any) -> int:  # noqa: N802
        assert context.value == 5 and self.contexts
        return 0

    def cuStreamCreate(self, stream: Any, flags: int) -> int:  # noqa: N802
        if not self._status("cuStreamCreate"):
            stream._obj.value = 7
            self.streams.append(7)
        return self._status("cuStreamCreate")

    def cuStreamDestroy_v2(self, stream: Any) -> int:  # noqa: N802
        self.streams.remove(stream.value)
        return 0

    def cuMemAlloc_v2(self, address: Any, size: Any) -> int:  # noqa: N802
        if not self._status("cuMemAlloc_v2"):
            buffer = ctypes.create_string_buffer(size.value)
            address._obj.value = ctypes.addressof(buffer)
            self.memory[ctypes.addressof(buffer)] = buffer
        return self._status("cuMemAlloc_v2")

    def cuMemFree_v2(self, address: Any) -> int:  # noqa: N802
        del self.memory[address.value]
        return 0

    def cuMemcpyHtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> int:  # noqa: N802
        ctypes.memmove(target.value, source.value, size.value)
        return 0

    def cuMemcpyDtoHAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> int:  # noqa: N802
        ctypes.memmove(target.value, source.value, size.value)
        return 0

    def cuStreamSynchronize(self, stream: Any) -> int:  # noqa: N802
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    fake = Driver()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: fake)
    return fake


class Context:
    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == 7
        image = (ctypes.c_float * 48).from_address(self.addresses["image"])
        result = (np.resize(np.array(image), 136) * 2).astype(np.float16)
        ctypes.memmove(self.addresses["coordinates"], result.ctypes.data, result.nbytes)
        return True


class Inspector:
    def get_engine_information(self, form: str) -> str:
        int8 = {"Name": "x", "Format/Datatype": "Row major Int8 format"}
        half = {"Name": "y", "Format/Datatype": "Row major linear FP16 format"}
        layers = [
            {"Name": "a", "LayerType": "CaskConvolution", "Inputs": [int8]},
            {"Name": "b", "LayerType": "CaskConvolution", "Inputs": [int8]},
            {"Name": "c", "LayerType": "CaskGemmMatrixMultiply", "Inputs": [half]},
            {"Name": "d", "LayerType": "Reformat", "Inputs": [half]},
        ]
        return json.dumps({"Layers": layers})


class CudaEngine:
    num_io_tensors = 2
    tensors = (("coordinates", (1, 136), "half"), ("image", (1, 3, 4, 4), "float"))

    def get_tensor_name(self, index: int) -> str:
        return self.tensors[index][0]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return next(shape for n, shape, _ in self.tensors if n == name)

    def get_tensor_dtype(self, name: str) -> str:
        return next(kind for n, _, kind in self.tensors if n == name)

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name == "image" else "output"

    def create_execution_context(self) -> Context:
        return Context()

    def create_engine_inspector(self) -> Inspector:
        return Inspector()


class Runtime:
    def __init__(self, logger: object) -> None:
        pass

    def deserialize_cuda_engine(self, plan: bytes) -> CudaEngine | None:
        return CudaEngine() if plan == b"plan" else None


class Logger:
    ERROR = 1

    def __init__(self, level: int) -> None:
        pass


class ILogger:
    Severity = SimpleNamespace(ERROR="error", INTERNAL_ERROR="internal", WARNING="warning")


class Layer:
    """A parsed layer: its kind, the types of its inputs by their names, and of its output."""

    def __init__(self, kind: str, name: str, inputs: str, output: str = "HALF") -> None:
        self.type, self.name = SimpleNamespace(name=kind), name
        self._inputs = [SimpleNamespace(name=tensor) for tensor in inputs.split()]
        self._output = SimpleNamespace(name=name, dtype=SimpleNamespace(name=output))
        self.num_inputs, self.num_outputs = len(self._inputs), 1

    def get_input(self, index: int) -> SimpleNamespace:
        return self._inputs[index]

    def get_output(self, index: int) -> SimpleNamespace:
        return self._output


# A layer in float, whose weight is no input; one in INT8; one with an activation in float; and a
# matrix product whose weight is turned.
PARSED = (
    Layer("CONVOLUTION", "stem", "image"),
    Layer("QUANTIZE", "q", "stem scale", "INT8"),
    Layer("DEQUANTIZE", "a", "q scale"),
    Layer("DEQUANTIZE", "w", "levels scale"),
    Layer("CONVOLUTION", "int8", "a w"),
    Layer("CONVOLUTION", "half", "stem w"),
    Layer("SHUFFLE", "turned", "w"),
    Layer("MATRIX_MULTIPLY", "product", "a turned"),
)


class Builder:
    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def create_network(self, flags: int) -> SimpleNamespace:
        assert flags == 2
        return SimpleNamespace(num_layers=len(PARSED), get_layer=PARSED.__getitem__)

    def create_builder_config(self) -> SimpleNamespace:
        return SimpleNamespace()

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        for severity in ("warning", "warning", "verbose"):
            self.logger.log(severity, "scales\n became float32")
        assert config.profiling_verbosity == "detailed"
        return None if network.graph == b"too hard" else b"plan"


class OnnxParser:
    num_errors = 0

    def __init__(self, network: Any, logger: Any) -> None:
        self.network = network

    def parse(self, content: bytes) -> bool:
        self.network.graph = content
        return content != b"garbage"


def fake(version: str) -> SimpleNamespace:
    """A library of NVIDIA's API."""
    return SimpleNamespace(
        __version__=version,
        Runtime=Runtime,
        Logger=Logger,
        ILogger=ILogger,
        Builder=Builder,
        OnnxParser=OnnxParser,
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        ProfilingVerbosity=SimpleNamespace(DETAILED="detailed"),
        TensorIOMode=SimpleNamespace(INPUT="input"),
        LayerInformationFormat=SimpleNamespace(JSON="json"),
        nptype=lambda kind: np.float16 if kind == "half" else np.float32,
    )


@pytest.fixture
def library(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake("10.9"))


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT-RTX alone; whether there is a GPU is the driver's to say."""
    modules = {"tensorrt": None, "tensorrt_rtx_libs": SimpleNamespace()}
    for name, module in {**modules, "tensorrt_rtx_bindings": fake("1.7")}.items():
        monkeypatch.setitem(sys.modules, name, module)


def test_rtx_builds_a_graph_where_it_runs_it(rtx: None, driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "int8.onnx").write_bytes(b"graph")
    engine = load_engine("tensorrt")
    assert engine.version == "tensorrt_rtx 1.7"
    session = engine.load(tmp_path / "int8.onnx", CONTRACT, threads=1)
    output = session.run(IMAGE)["coordinates"]
    np.testing.assert_allclose(output, np.resize(IMAGE.ravel(), 136)[None] * 2, rtol=1e-3)
    assert session.executed_precision == "i8 2, f16 1"
    assert list(tmp_path.iterdir()) == [tmp_path / "int8.onnx"]
    for content in (b"garbage", b"too hard"):
        (tmp_path / "int8.onnx").write_bytes(content)
        with pytest.raises(LandmintError, match="tensorrt_rtx 1.7 refused the graph"):
            engine.load(tmp_path / "int8.onnx", CONTRACT, threads=1)


def test_rtx_without_gpu_builds_and_does_not_run(
    rtx: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_driver, "_LIBRARY", "libcuda-that-is-not-there.so.1")
    (tmp_path / "int8.onnx").write_bytes(b"graph")
    engine = load_engine("tensorrt")
    with pytest.raises(NotMeasuredError, match="no NVIDIA driver on this machine"):
        engine.load(tmp_path / "int8.onnx", CONTRACT, threads=1)
    assert isinstance(engine, built.Builder)
    read = engine.build(tmp_path / "int8.onnx")
    assert read is not None and read.caution
    assert (read.builder, read.weighted, read.plan_bytes) == ("tensorrt_rtx 1.7", 4, 4)
    assert read.float_layers == ("stem", "half")
    assert read.notes["pairs"] == "1 QuantizeLinear, 2 DequantizeLinear"
    assert read.layers["CONVOLUTION half"] == 3 and read.layers["QUANTIZE int8"] == 1
    assert read.warnings == ("scales became float32",)
    assert engine.build(tmp_path / "int8.engine") is None  # a plan is code, and not opened here


def test_tensorrt_itself_builds_no_graph_that_it_cannot_run(library: None, tmp_path: Path) -> None:
    (tmp_path / "int8.onnx").write_bytes(b"graph")
    engine = load_engine("tensorrt")
    assert isinstance(engine, built.Builder)
    assert engine.build(tmp_path / "int8.onnx") is None


def test_it_runs_and_tells_what_ran(library: None, tmp_path: Path) -> None:
    (tmp_path / "int8.engine").write_bytes(b"plan")
    engine = load_engine("tensorrt")
    assert engine.version == "tensorrt 10.9"
    session = engine.load(tmp_path / "int8.engine", CONTRACT, threads=1)
    for scale in (1, 3):
        output = session.run(IMAGE * np.float32(scale))["coordinates"]
        assert isinstance(output, np.ndarray) and output.dtype == np.float32
        expected = np.resize(IMAGE.ravel() * scale, 136) * 2
        np.testing.assert_allclose(output, expected[None], rtol=1e-3)
    assert session.executed_precision == "i8 2, f16 1"


def test_a_plan_that_is_not_there_is_built_once(
    library: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    engine = load_engine("tensorrt")
    for content in (b"graph", b"garbage"):
        (tmp_path / f"{content.decode()}.onnx").write_bytes(content)
    session = engine.load(tmp_path / "graph.onnx", CONTRACT, threads=1)
    assert session.executed_precision == "i8 2, f16 1"
    assert [layer.precision for layer in session.operators] == ["i8", "i8", "f16", "f16"]
    with pytest.raises(LandmintError, match="refused the graph"):
        engine.load(tmp_path / "garbage.onnx", CONTRACT, threads=1)
    with pytest.raises(LandmintError, match="nothing.onnx does not exist"):
        engine.load(tmp_path / "nothing.onnx", CONTRACT, threads=1)
    (kept,) = (tmp_path / "cache" / "landmint" / "tensorrt").iterdir()
    assert kept.read_bytes() == b"plan"
    kept.write_bytes(b"plan of an older driver")
    with pytest.raises(NotMeasuredError, match="cannot be opened by tensorrt 10.9"):
        engine.load(tmp_path / "graph.onnx", CONTRACT, threads=1)


def test_a_session_that_is_dropped_frees_the_gpu(
    library: None, driver: Driver, tmp_path: Path
) -> None:
    (tmp_path / "int8.engine").write_bytes(b"plan")
    session = load_engine("tensorrt").load(tmp_path / "int8.engine", CONTRACT, threads=1)
    session.run(IMAGE)
    assert driver.alive == (1, 1, 2)
    del session
    assert driver.alive == (0, 0, 0)


@pytest.mark.parametrize("failing", ["cuStreamCreate", "cuMemAlloc_v2"])
def test_an_engine_that_does_not_fit_leaves_nothing_on_the_gpu(
    library: None, driver: Driver, tmp_path: Path, failing: str
) -> None:
    (tmp_path / "int8.engine").write_bytes(b"plan")
    driver.failing = failing
    with pytest.raises(LandmintError, match=f"{failing} failed with error 2"):
        load_engine("tensorrt").load(tmp_path / "int8.engine", CONTRACT, threads=1)
    assert driver.alive == (0, 0, 0)


def test_a_stream_is_closed_once(driver: Driver) -> None:
    first, second = cuda_driver.CudaStream(), cuda_driver.CudaStream()
    for stream in (first, first, second):
        stream.allocate(16)
    assert driver.alive == (2, 2, 3)
    for alive in ((1, 1, 1), (1, 1, 1)):
        first.close()
        assert driver.alive == alive
    second.close()
    assert driver.alive == (0, 0, 0)


def test_an_engine_of_another_machine_is_not_measured(
    library: None, driver: Driver, tmp_path: Path
) -> None:
    (tmp_path / "int8.engine").write_bytes(b"plan of an older TensorRT")
    with pytest.raises(NotMeasuredError, match="cannot be opened by tensorrt 10.9"):
        load_engine("tensorrt").load(tmp_path / "int8.engine", CONTRACT, threads=1)
    assert driver.alive == (0, 0, 0)


def test_an_engine_that_breaks_its_contract(library: None, tmp_path: Path) -> None:
    (tmp_path / "int8.engine").write_bytes(b"plan")
    other = Contract.from_json({**CONTRACT.to_json(), "input_size": 8})
    with pytest.raises(LandmintError, match="takes an input of shape"):
        load_engine("tensorrt").load(tmp_path / "int8.engine", other, threads=1)


def test_a_machine_without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "_LIBRARY", "libcuda-that-is-not-there.so.1")
    with pytest.raises(NotMeasuredError, match="no NVIDIA driver on this machine"):
        cuda_driver.CudaStream()
