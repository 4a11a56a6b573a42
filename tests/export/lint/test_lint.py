"""Every rule for float graphs: one graph that breaks it, one that keeps it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from landmint.export.lint import Finding, lint, refuse, rules_for
from landmint.export.lint.rule import Subject
from landmint.export.lint.tflite import Precision, partitions
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.errors import LandmintError

ZEROS = np.zeros(16, np.float32)
AROUND = np.array([0, 0, 1, 1, 0, 0, 1, 1])
TWICE = np.array([1, 1, 2, 2], np.float32)
MAP = np.array([2, 3])
Constants = Mapping[str, Any]


def weight(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def graph(body: str, constants: Constants | None = None, opset: int = 18) -> onnx.ModelProto:
    """Image (1, 16, 8, 8) in, one output `y` of any shape out; nodes are called after it."""
    text = f"""<ir_version: 9, opset_import: ["" : {opset}]>
    net (float[1, 16, 8, 8] image) => (float y) {{ {body} }}"""
    model = parser.parse_model(text)
    for node in model.graph.node:
        node.name = node.output[0]
    weights = {"w": weight(16, 16, 3, 3), "d": weight(16, 1, 3, 3), "p": weight(16, 16, 1, 1)}
    for name, values in {**weights, **(constants or {})}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same with its output called as a coordinate head's is."""
    for node in model.graph.node:
        node.output[:] = ["coordinates" if name == "y" else name for name in node.output]
    model.graph.output[0].name = "coordinates"
    return model


SOUND = "a = Conv <pads = [1, 1, 1, 1]> (image, w) b = Relu (a) y = Conv (b, p)"
GATE = """a = GlobalAveragePool (image) b = Conv (a, p) c = Relu (b) d = Conv (c, p)
e = HardSigmoid (d) y = Mul (image, e)"""
JOINED = "a = Conv (image, p) b = Conv (image, p) y = Concat <axis = 1> (a, b)"


def dead() -> Constants:
    values = weight(16, 16, 3, 3)
    values[[2, 5]] = 0
    return {"w": values}


def nan() -> Constants:
    values = weight(16, 16, 3, 3)
    values[0, 0, 0, 0] = np.nan
    return {"w": values}


def after(operator: str) -> str:
    """A body with an operator between two convolutions; it reads a and makes b."""
    return f"a = Conv <pads = [1, 1, 1, 1]> (image, w) {operator} y = Conv (b, p)"


BREACHES: list[tuple[str, onnx.ModelProto, str]] = [
    ("non-finite-constant", graph(SOUND, nan()), "w: 1 of 2304 numbers"),
    ("dynamic-shape", graph("a = NonZero (image) y = Cast <to = 1> (a)"), "a, y"),
    ("unfolded-operator", graph(after("b = Identity (a)")), "b: Identity"),
    ("dead-channel", graph(SOUND, dead()), "a: 2 of 16 output channels"),
    ("mixed-output", graph(JOINED), "y: joins 2"),
    ("onnx-float-operator", graph(after("b = Tanh (a)")), "b: Tanh"),
    (
        "onnx-float-operator",
        graph(after('b = Resize <mode = "linear"> (a, , s)'), {"s": TWICE}),
        "linear Resize",
    ),
    ("onnx-float-operator", graph("y = ConvTranspose (image, w)"), "y: ConvTranspose"),
    ("openvino-float-operator", graph(after("b = Softmax <axis = 1> (a)")), "b: Softmax"),
    ("openvino-float-operator", graph("y = ConvTranspose (image, w)"), "y: ConvTranspose"),
    ("openvino-float-operator", graph(GATE), "e: HardSigmoid"),
    ("openvino-opset", graph(SOUND, opset=11), "opset 11"),
    ("tflite-no-operator", graph(after("b = Erf (a)")), "b: Erf"),
    ("tflite-no-operator", graph("a = Det (image) y = Relu (a)"), "a: Det"),
    (
        "tflite-no-operator",
        graph(after('b = Resize <mode = "cubic"> (a, , s)'), {"s": TWICE}),
        "cubic Resize",
    ),
    (
        "tflite-outside-float",
        graph(after('b = Resize <mode = "nearest"> (a, , s)'), {"s": TWICE}),
        "2 partitions",
    ),
    ("tflite-outside-int8", graph(after("b = Softmax <axis = 1> (a)")), "b: Softmax"),
    (
        "tflite-outside-int8",
        graph(after("b = Clip (a, low, high)"), {"low": np.float32(0), "high": np.float32(1)}),
        "b: Clip",
    ),
    (
        "tflite-outside-int8",
        graph(after("b = AveragePool <kernel_shape = [2, 2]> (a)")),
        "2 partitions",
    ),
    ("tflite-converted", graph(after("b = Elu (a)")), "b: Elu"),
    (
        "tflite-converted",
        graph("a = DepthToSpace <blocksize = 2> (image) y = Relu (a)"),
        "a: DepthToSpace",
    ),
    (
        "tflite-padding",
        graph(after("b = Pad (a, around, one)"), {"around": AROUND, "one": np.float32(1)}),
        "pads with 1",
    ),
    (
        "tflite-padding",
        graph(after('b = Pad <mode = "edge"> (a, around)'), {"around": AROUND}),
        "pads by edge",
    ),
    (
        "tflite-padding",
        graph("a = Pad (image, around) y = Relu (a)", {"around": AROUND}),
        "no convolution",
    ),
    (
        "tflite-channels",
        graph("y = Conv (image, n)", {"n": weight(10, 16, 1, 1)}),
        "16 channels in, 10 out",
    ),
    ("tensorrt-no-int8", graph(after("b = Softmax <axis = 1> (a)")), "b: Softmax"),
    (
        "tensorrt-small-layer",
        graph("y = Conv (image, n)", {"n": weight(10, 16, 1, 1)}),
        "y: too small",
    ),
    ("tensorrt-gate", graph(GATE), "b, d"),
    ("ncnn-no-layer", graph(after("b = Softsign (a)")), "b: ncnn has no layer for Softsign"),
    (
        "ncnn-no-layer",
        graph("a = Pad (image, around) y = Relu (a)", {"around": AROUND}),
        "Pad with a constant",
    ),
    (
        "ncnn-converted-wrongly",
        graph(after('b = Resize <mode = "nearest"> (a, , s)'), {"s": TWICE}),
        "nearest Resize takes half_pixel",
    ),
    (
        "ncnn-converted-wrongly",
        graph(after("b = ReduceMean <keepdims = 1> (a, m)"), {"m": np.array([1])}),
        "b: ReduceMean",
    ),
    ("coreml-no-form", graph(after("b = Softsign (a)")), "onnx2coreml has no form for Softsign"),
    (
        "coreml-grouped-activation",
        graph("a = Conv <group = 4> (image, w) y = Relu (a)", {"w": weight(16, 4, 1, 1)}),
        "a: a convolution of groups",
    ),
]

KEPT: dict[str, onnx.ModelProto] = {
    "sound": graph(SOUND),
    "relu6": graph(after("b = Clip (a, z, six)"), {"z": np.float32(0), "six": np.float32(6)}),
    "depthwise": graph("a = Conv <group = 16, pads = [1, 1, 1, 1]> (image, d) y = Relu (a)"),
    "pool": graph("a = ReduceMean <keepdims = 1> (image, m) y = Conv (a, p)", {"m": MAP}),
}


def told(model: onnx.ModelProto, contract: Contract | None = None) -> dict[str, str]:
    """What is said, by rule."""
    found: dict[str, str] = {}
    for finding in lint(model, contract):
        found[finding.rule] = f"{found.get(finding.rule, '')} {finding}"
    return found


@pytest.mark.parametrize(("rule", "model", "words"), BREACHES)
def test_a_breach_is_named(rule: str, model: onnx.ModelProto, words: str) -> None:
    assert words in told(model).get(rule, "")


@pytest.mark.parametrize("name", KEPT)
def test_a_sound_graph_is_left_in_peace(name: str) -> None:
    assert told(KEPT[name]) == {}


def test_a_pixel_shuffle_stays_integer_but_in_openvino() -> None:
    shuffle = graph('a = DepthToSpace <blocksize = 2, mode = "CRD"> (image) y = Relu (a)')
    assert list(told(shuffle)) == ["openvino-float-operator"]


def test_zeros_fold_into_a_convolution() -> None:
    padded = graph("a = Pad (image, around) y = Conv (a, w)", {"around": AROUND})
    assert lint(padded, targets=("tflite",)) == []


def test_every_rule_for_float_graphs_has_a_breach() -> None:
    elsewhere = {"output-grid"}  # it needs a contract
    assert {rule for rule, _, _ in BREACHES} | elsewhere == {
        name for name, rule in rules_for().items() if rule.stage != "paired"
    }


@pytest.fixture
def contract() -> Contract:
    crop, head = CropRule((1.2, 1.2), True), Head("coordinates")
    outputs = (Output("coordinates", (136,)),)
    return Contract("68", 128, crop, (0, 0, 0), (1, 1, 1), head, outputs)


def test_coordinates_in_8_bits_lie_on_a_grid(contract: Contract) -> None:
    model = renamed(graph("a = Flatten (image) y = Gemm (a, fc)", {"fc": weight(1024, 136)}))
    found = told(model, contract)["output-grid"]
    assert "grid of 0.50 px on a crop of 128 px: off by up to 0.25 px" in found
    assert "output-grid" not in told(model)
    heatmaps = dataclasses.replace(
        contract, head=Head("heatmap", "argmax"), outputs=(Output("heatmaps", (68, 8, 8)),)
    )
    assert "output-grid" not in told(model, heatmaps)


def test_the_grid_of_a_quantised_output_is_its_scale(contract: Contract) -> None:
    body = "a = QuantizeLinear (image, scale, zero) y = DequantizeLinear (a, scale, zero)"
    constants: Constants = {"scale": np.float32(0.01), "zero": np.int8(0)}
    assert "grid of 1.28 px" in told(renamed(graph(body, constants)), contract)["output-grid"]
    in_float = renamed(graph(f"{body.replace('y =', 'b =')} y = Relu (b)", constants))
    assert "output-grid" not in told(in_float, contract)


@pytest.mark.parametrize("operator", ["b = Gelu (a)", "b = GridSample (a, g)"])
def test_what_tflite_writes_with_other_operators_is_slow_and_no_error(operator: str) -> None:
    model = graph(after(operator), {"g": np.zeros((1, 8, 8, 2), np.float32)}, opset=20)
    findings = lint(model, targets=("tflite",))
    assert {finding.severity for finding in findings} == {"warning"}
    kind = operator.split()[2]
    outside = [one.fact for one in findings if one.rule == "tflite-outside-float"]
    assert f"{kind} stays outside XNNPACK in float32" in outside


def test_an_activation_with_a_scale_per_channel_does_not_load() -> None:
    body = """a = QuantizeLinear <axis = 1> (image, s, z) b = DequantizeLinear <axis = 1> (a, s, z)
    y = Conv <group = 16> (b, d)"""
    constants: Constants = {"s": np.full(16, 0.1, np.float32), "z": np.zeros(16, np.int8)}
    (finding,) = lint(graph(body, constants), targets=("onnx",))
    assert finding.rule == "onnx-activation-per-channel"
    assert finding.severity == "error"
    one: Constants = {"s": np.float32(0.1), "z": np.int8(0)}
    body = body.replace(" <axis = 1>", "")
    assert lint(graph(body, one), targets=("onnx",)) == []


def test_only_the_targets_asked_for_are_judged_and_errors_come_first() -> None:
    model = graph(after("b = Erf (a)"), dead())
    assert {one.target for one in lint(model, targets=())} == {"every target"}
    by_target = [(one.target, one.severity) for one in lint(model)]
    assert by_target == sorted(
        by_target, key=lambda key: (["every", "onnx", "openv", "tflit"].index(key[0][:5]), key[1])
    )
    assert [one.severity for one in lint(model, targets=("tflite",))][1] == "error"


@pytest.mark.parametrize(
    ("body", "precision", "count"),
    [
        (SOUND, "int8", 1),
        (after("c = Softmax <axis = 1> (a) b = Add (a, c)"), "float32", 1),
        (after("c = Softmax <axis = 1> (a) b = Add (a, c)"), "int8", 2),
        # Two outside side by side are one border, one behind the other two.
        (after("c = Sqrt (a) e = Sqrt (a) b = Add (c, e)"), "int8", 2),
        (after("c = Sqrt (a) e = Relu (c) f = Sqrt (e) b = Add (f, e)"), "int8", 3),
        ("y = Softmax <axis = 1> (image)", "int8", 0),
    ],
)
def test_partitions_are_counted_as_tflite_cuts(body: str, precision: Precision, count: int) -> None:
    assert partitions(Subject(graph(body)), precision) == count


def test_refuse_names_the_first_few_and_why() -> None:
    refuse("the graph", [])
    finding = Finding("rule", "onnx", "error", "is odd", ("a", "b", "c", "d"), "because", "mend it")
    with pytest.raises(LandmintError) as caught:
        refuse("the graph", [finding])
    assert caught.value.fact == "the graph breaks 1 rule"
    assert caught.value.reason == "rule: a, b, c and 1 more: is odd (because)"
    assert caught.value.remedy == "mend it"


def test_a_fused_decode_is_not_judged_as_int8(contract: Contract) -> None:
    """It stays in float: no conversions, no grid, no common scale; it still cuts partitions."""
    body = """a = Conv <pads = [1, 1, 1, 1]> (image, w) b = Elu (a) c = Softmax <axis = 1> (b)
    y = Concat <axis = 1> (b, c)"""
    model = renamed(graph(body))
    assert {"tflite-converted", "mixed-output", "output-grid"} <= told(model, contract).keys()
    for node in model.graph.node[1:]:
        node.name = f"decode/{node.name}"
    assert lint(model, contract, targets=("onnx", "openvino", "tflite")) == []
    assert partitions(Subject(model), "int8") == 1
    model.graph.node[2].op_type = "Sqrt"
    model.graph.node[2].ClearField("attribute")
    assert partitions(Subject(model), "int8") == 1, "XNNPACK takes it in float"
