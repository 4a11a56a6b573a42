"""Small graphs with all that makes INT8 hard, one per head, and faces to calibrate on."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import decide
from landmint.quantize.forms.onnx import quantize
from landmint.quantize.job import Job
from landmint.runtime.contract import SIMCC_OUTPUTS, Contract, CropRule, Head, Output
from landmint.runtime.crop import box_of
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import Face, FaceSet, face_set
from landmint.train.faces.pose import POSE_MODEL
from landmint.train.models import ModelConfig
from landmint.train.models.base import LandmarkModel, conv_bn_relu

SIZE, GRID, POINTS = 32, 8, 68
NEIGHBOURS = tuple(tuple((i + step) % POINTS for step in (1, 2)) for i in range(POINTS))
PIP = {"cls": POINTS, "x": POINTS, "y": POINTS, "nb_x": 2 * POINTS, "nb_y": 2 * POINTS}
HEADS: dict[str, tuple[Head, dict[str, tuple[int, ...]]]] = {
    "coordinates": (Head("coordinates"), {"coordinates": (2 * POINTS,)}),
    "heatmap": (
        Head("heatmap", "local_soft_argmax", 1.0),
        {"heatmaps": (POINTS, 2 * GRID, 2 * GRID)},
    ),
    "pip": (
        Head("pip", neighbours=NEIGHBOURS),
        {name: (channels, GRID, GRID) for name, channels in PIP.items()},
    ),
    "simcc": (
        Head("simcc", sigma=2.0, radius=3),
        {name: (POINTS, 2 * SIZE) for name in SIMCC_OUTPUTS},
    ),
}


def _contract(kind: str) -> Contract:
    head, outputs = HEADS[kind]
    return Contract(
        markup="68",
        input_size=SIZE,
        crop=CropRule((1.2, 1.2), True),
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        head=head,
        outputs=tuple(Output(name, shape) for name, shape in outputs.items()),
    )


class _GraphMaker:
    """Writes a graph node by node; every node is called after its output."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def weight(self, name: str, shape: tuple[int, ...], fan: int) -> str:
        return self.constant(name, self.rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32))

    def conv(self, source: str, output: str, shape: tuple[int, int, int], stride: int = 1,
             group: int = 1) -> str:  # fmt: skip
        outputs, inputs, kernel = shape
        weight = self.weight(f"{output}_w", (*shape, kernel), inputs * kernel**2)
        bias = self.constant(f"{output}_b", self.rng.normal(0, 0.1, outputs).astype(np.float32))
        pads = [kernel // 2] * 4
        return self.node(
            "Conv", [source, weight, bias], output, strides=[stride] * 2, pads=pads, group=group
        )

    def pool(self, source: str, output: str) -> str:
        axes = self.constant(f"{output}_axes", np.array([2, 3], dtype=np.int64))
        return self.node("ReduceMean", [source, axes], output, keepdims=1)


def _tiny_graph(kind: str) -> onnx.ModelProto:
    """Hard-swish, a depthwise layer, a gate, a residual and a head, with seeded weights."""
    make = _GraphMaker()
    stem = make.node("HardSwish", [make.conv("image", "stem", (16, 3, 3), stride=2)], "stem_act")
    deep = make.node("Relu", [make.conv(stem, "deep", (16, 1, 3), group=16)], "deep_act")
    squeezed = make.node("Relu", [make.conv(make.pool(deep, "se_pool"), "se1", (8, 16, 1))], "se_r")
    gate = make.node(
        "HardSigmoid", [make.conv(squeezed, "se2", (16, 8, 1))], "gate", alpha=1 / 6, beta=0.5
    )
    thin = make.conv(make.node("Mul", [deep, gate], "gated"), "thin", (16, 16, 1))
    joined = make.node("Add", [stem, thin], "joined")
    last = make.node("HardSwish", [make.conv(joined, "wide", (32, 16, 3), stride=2)], "wide_act")
    _head(make, kind, last)
    shapes = {name: [1, *shape] for name, shape in HEADS[kind][1].items()}
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
    graph = helper.make_graph(make.nodes, kind, [image], ends, make.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def _head(make: _GraphMaker, kind: str, last: str) -> None:
    if kind == "pip":
        for name, channels in PIP.items():
            make.conv(last, name, (channels, 32, 1))
    elif kind == "simcc":
        rows = make.constant("rows_shape", np.array([POINTS, GRID**2], dtype=np.int64))
        shape = make.constant("vectors_shape", np.array([1, POINTS, 2 * SIZE], dtype=np.int64))
        flat = make.node("Reshape", [make.conv(last, "maps", (POINTS, 32, 1)), rows], "rows")
        for name in SIMCC_OUTPUTS:
            weight = make.weight(f"{name}_w", (2 * SIZE, GRID**2), GRID**2)
            bias = make.constant(f"{name}_b", make.rng.normal(0, 0.1, 2 * SIZE).astype(np.float32))
            make.node("Gemm", [flat, weight, bias], f"{name}_rows", transB=1)
            make.node("Reshape", [f"{name}_rows", shape], name)
    elif kind == "heatmap":
        weight = make.weight("up_w", (32, 16, 4, 4), 32 * 4)
        up = make.node("ConvTranspose", [last, weight], "up", strides=[2, 2], pads=[1] * 4)
        make.conv(make.node("Relu", [up], "up_act"), "heatmaps", (POINTS, 16, 1))
    else:
        shape = make.constant("flat_shape", np.array([1, 32], dtype=np.int64))
        flat = make.node("Reshape", [make.pool(last, "pool"), shape], "flat")
        weight = make.weight("fc_w", (2 * POINTS, 32), 32)
        make.node("Gemm", [flat, weight], "coordinates", transB=1)


@pytest.fixture(scope="session")
def contract_of() -> Callable[[str], Contract]:
    """The contract of a head."""
    return _contract


@pytest.fixture(scope="session")
def graph_of() -> Callable[[str], onnx.ModelProto]:
    """A fresh small graph with a head."""
    return _tiny_graph


@pytest.fixture(scope="session", params=sorted(HEADS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each head in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def tensors() -> NDArray[np.float32]:
    """Twelve smooth normalised crops."""
    rng = np.random.default_rng(1)
    coarse = rng.normal(size=(12, 5, 5, 3)).astype(np.float32)
    crops = [cv2.resize(one, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for one in coarse]
    return np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2))


@pytest.fixture(scope="session")
def job_of() -> Callable[..., Job]:
    """A job from one ONNX file, by the decision that `quantize_bundle` would make."""

    def make(
        source: Path,
        target: Path,
        tensors: NDArray[np.float32],
        contract: Contract,
        **settings: object,
    ) -> Job:
        config, graph = QuantizeConfig.model_validate(settings), onnx.load(source)
        decision = decide(graph, tensors, config)
        return Job(source, target, graph, decision, tensors, contract, config)

    return make


def _spoilt(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights of the layer "thin" that 8 bits cannot hold, and that float does not notice.

    One input channel is dead, and all the large weights are on it.
    """
    for tensor in model.graph.initializer:
        if tensor.name in ("deep_b", "thin_w"):
            values = numpy_helper.to_array(tensor).copy()
            if tensor.name == "deep_b":
                values[0] = -1000.0
            else:
                values[:, 0] = 1000.0
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


@pytest.fixture(scope="session")
def twins(
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    tensors: NDArray[np.float32],
    job_of: Callable[..., Job],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """A float graph with one layer that 8 bits spoil, and its INT8 twin.

    Its weights have 7 bits: with 8, ONNX Runtime's sums saturate on processors without VNNI.
    """
    folder = tmp_path_factory.mktemp("twins")
    source, target = folder / "float32.onnx", folder / "int8.onnx"
    onnx.save(_spoilt(graph_of("coordinates")), source)
    quantize(job_of(source, target, tensors, contract_of("coordinates"), reduce_range=True))
    return onnx.load(source), onnx.load(target)


class TinyNetwork(LandmarkModel):
    """The same difficulties in torch: batch norms, a gate, a residual; coordinates."""

    def __init__(self) -> None:
        """Seeded weights, and statistics that are no defaults."""
        config = ModelConfig(name="pfld", input_size=SIZE)
        super().__init__(config, _contract("coordinates"))
        torch.manual_seed(3)
        self.stem = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.deep = conv_bn_relu(16, 16, 3, padding=1, groups=16)
        self.squeeze, self.expand = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)
        self.thin = nn.Conv2d(16, 16, 1)
        self.wide = conv_bn_relu(16, 32, 3, stride=2, padding=1)
        self.coordinates = nn.Linear(32, 2 * POINTS)
        nn.init.constant_(self.coordinates.bias, 0.5)
        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None:
                nn.init.uniform_(norm.weight, -1.5, 1.5)
                nn.init.normal_(norm.bias, 0.3, 0.3)
                nn.init.uniform_(norm.running_var, 0.1, 0.5)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The stem's map and the last one."""
        stem = nn.functional.hardswish(self.stem_norm(self.stem(images)))
        deep = self.deep(stem)
        squeezed = self.squeeze(deep.mean((2, 3), keepdim=True)).relu_()
        gated = deep * nn.functional.hardsigmoid(self.expand(squeezed))
        return stem, self.wide(stem + self.thin(gated))

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Coordinates (B, 2L)."""
        return {"coordinates": self.coordinates(features[-1].mean((2, 3)))}


@pytest.fixture(scope="session")
def make_tiny() -> Callable[[], LandmarkModel]:
    """Makes the same small network each time, in eval mode."""
    return lambda: TinyNetwork().eval()


@pytest.fixture
def tiny_network(make_tiny: Callable[[], LandmarkModel]) -> LandmarkModel:
    """A small network, in eval mode."""
    return make_tiny()


@pytest.fixture
def make_faces(tmp_path: Path) -> Callable[..., FaceSet]:
    """Makes sets of smooth random pictures, each with a head turned by `yaw_deg`."""
    return partial(_make_faces, tmp_path)


@pytest.fixture(scope="module")
def module_faces(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., FaceSet]:
    """The same for the fixtures of a module."""
    return partial(_make_faces, tmp_path_factory.mktemp("faces"))


def _make_faces(
    root: Path, name: str, count: int, yaw_deg: Callable[[int], float] = lambda i: 0.0
) -> FaceSet:
    folder = root / name
    folder.mkdir()
    rng = np.random.default_rng(sum(name.encode()))
    found = []
    for i in range(count):
        picture = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        image = cv2.resize(picture, (90, 80), interpolation=cv2.INTER_CUBIC)
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), image)
        points = _turned_head(yaw_deg(i))
        seen = np.ones(POINTS, dtype=bool)
        found.append(Face(f"{name}/{i}", path, points, box_of(points), f"{name}{i}", seen, {}))
    return face_set("68", found, name)


def _turned_head(yaw_deg: float) -> NDArray[np.float64]:
    """Landmarks (68, 2) in a picture of 90 x 80; only those that tell the pose are meaningful."""
    yaw = np.deg2rad(yaw_deg)
    x, y, z = POSE_MODEL.T
    seen = np.stack([x * np.cos(yaw) + z * np.sin(yaw), y], axis=1) * 0.3 + [45, 25]
    points = np.tile(seen.mean(axis=0), (POINTS, 1))
    points[list(get_markup("68").pose_points)] = seen
    return points
