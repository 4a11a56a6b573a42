"""int16x8 and dynamic INT8 beside what TensorFlow's own converter makes of the same network."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from landmint.export.flatbuffer import Flatbuffer
from landmint.quantize.decide.decision import decide
from landmint.quantize.forms.tflite import quantize_int16x8, quantize_weights
from landmint.quantize.job import Job
from landmint.runtime.contract import Contract
from landmint.runtime.engines import load_engine

Tensors = NDArray[np.float32]
Build = Callable[..., Any]
pytestmark = pytest.mark.slow

LAYERS = {"stem": (32, 3, 3, 3), "deep": (32, 1, 3, 3), "thin": (64, 32, 1, 1), "fc": (136, 64)}


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensors]:
    """Of a stem, a depthwise layer, a pointwise one and a head, in ONNX's axis order."""
    rng = np.random.default_rng(5)
    made: dict[str, Tensors] = {}
    for name, shape in LAYERS.items():
        fan = int(np.prod(shape[1:]))
        made[name] = rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)
        made[f"{name}_bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
    return made


@pytest.fixture(scope="module")
def graph(weights: dict[str, Tensors]) -> onnx.ModelProto:
    """The network in ONNX."""
    nodes, source = [], "image"
    for name in ("stem", "deep", "thin"):
        kernel, group = LAYERS[name][2], 32 if name == "deep" else 1
        inputs, pads = [source, name, f"{name}_bias"], [kernel // 2] * 4
        nodes.append(helper.make_node("Conv", inputs, [f"{name}_y"], name, pads=pads, group=group))
        source = f"{name}_act"
        nodes.append(helper.make_node("Relu", [f"{name}_y"], [source], source))
    nodes += [
        helper.make_node("GlobalAveragePool", [source], ["pool"], "pool"),
        helper.make_node("Flatten", ["pool"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "fc", "fc_bias"], ["coordinates"], "fc", transB=1),
    ]
    image, coordinates = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("image", [1, 3, 32, 32]), ("coordinates", [1, 136]))
    )
    constants = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    made = helper.make_graph(nodes, "small", [image], [coordinates], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


@pytest.fixture(scope="module")
def converted(weights: dict[str, Tensors], tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Makes TFLite files of the same network by TensorFlow's converter, with its own settings."""
    import tensorflow as tf

    in_tf = {name: tf.constant(values) for name, values in weights.items() if "bias" in name}
    for name, order in (("stem", (2, 3, 1, 0)), ("deep", (2, 3, 0, 1)), ("thin", (2, 3, 1, 0))):
        in_tf[name] = tf.constant(weights[name].transpose(order))
    in_tf["fc"] = tf.constant(weights["fc"].T)

    class Network(tf.Module):  # type: ignore[misc]
        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[tf.TensorSpec([1, 32, 32, 3], name="image")]
        )
        def serve(self, image: Any) -> dict[str, Any]:
            x = tf.nn.conv2d(image, in_tf["stem"], 1, "SAME")
            x = tf.nn.relu(x + in_tf["stem_bias"])
            x = tf.nn.depthwise_conv2d(x, in_tf["deep"], [1, 1, 1, 1], "SAME")
            x = tf.nn.relu(x + in_tf["deep_bias"])
            x = tf.nn.relu(tf.nn.conv2d(x, in_tf["thin"], 1, "SAME") + in_tf["thin_bias"])
            flat = tf.reduce_mean(x, [1, 2])
            return {"coordinates": tf.matmul(flat, in_tf["fc"]) + in_tf["fc_bias"]}

    network, folder = Network(), str(tmp_path_factory.mktemp("small") / "saved")
    tf.saved_model.save(network, folder, signatures=network.serve)

    def convert(faces: Tensors | None = None, quantised: bool = True) -> bytes:
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT] if quantised else []
        if faces is not None:
            converter.representative_dataset = lambda: ([face[None]] for face in faces)
            kinds = tf.lite.OpsSet
            converter.target_spec.supported_ops = [
                kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
            converter.inference_input_type = converter.inference_output_type = tf.int16
        content: bytes = converter.convert()
        return content

    return convert


@pytest.fixture
def job(
    graph: onnx.ModelProto,
    converted: Build,
    tensors: Tensors,
    contract_of: Callable[[str], Contract],
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> Job:
    """Of the float file that TensorFlow made."""
    source = tmp_path / "float32.tflite"
    source.write_bytes(converted(quantised=False))
    onnx.save(graph, tmp_path / "float32.onnx")
    contract = contract_of("coordinates").with_layout("NHWC")
    plain = job_of(tmp_path / "float32.onnx", source, tensors, contract, calibrator="min_max")
    return Job(
        source,
        tmp_path / "made.tflite",
        plain.graph,
        decide(plain.graph, tensors, plain.config),
        np.ascontiguousarray(tensors.transpose(0, 2, 3, 1)),
        contract,
        plain.config,
    )


def layers_of(content: bytes) -> list[dict[str, Any]]:
    """Kind, levels and scales of the weights, type of the bias, scale of the output, by layer."""
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    layers = []
    for operator in interpreter._get_ops_details():
        if operator["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            weight, bias = (details[int(i)] for i in operator["inputs"][1:3])
            layers.append(
                {
                    "kind": operator["op_name"],
                    "levels": interpreter.get_tensor(weight["index"]),
                    "steps": weight["quantization_parameters"]["scales"],
                    "bias": bias["dtype"],
                    "output": details[int(operator["outputs"][0])]["quantization"],
                }
            )
    return layers


def test_int16x8_has_the_scales_of_tensorflows_converter(
    job: Job, converted: Build, tensors: Tensors
) -> None:
    notes = quantize_int16x8(job)
    assert notes == {"float layers": "none", "operators in float": "none"}
    theirs = converted(job.tensors)
    mine, other = layers_of(job.target.read_bytes()), layers_of(theirs)
    assert [layer["kind"] for layer in mine] == [layer["kind"] for layer in other]
    for ours, official in zip(mine, other, strict=True):
        assert ours["bias"] is official["bias"] is np.int64
        assert ours["output"][1] == official["output"][1] == 0
        assert ours["output"][0] == pytest.approx(official["output"][0], rel=1e-3)
        steps = np.broadcast_to(official["steps"], ours["steps"].shape)
        if ours["kind"] != "FULLY_CONNECTED":  # theirs may have one scale for the whole matrix
            np.testing.assert_allclose(ours["steps"], steps, rtol=1e-5)
            assert np.abs(ours["levels"].astype(int) - official["levels"]).max() <= 1
    low, high = job.decision.activations["coordinates"]
    assert mine[-1]["output"][0] == pytest.approx(max(-low, high) / 32767, rel=1e-4)
    engine, faces = load_engine("litert"), job.tensors[:4]
    (job.target.parent / "theirs.tflite").write_bytes(theirs)
    found = [
        np.concatenate([np.asarray(session.run(face[None])["coordinates"]) for face in faces])
        for session in (
            engine.load(job.target.parent / name, job.contract, threads=1)
            for name in ("made.tflite", "theirs.tflite", "float32.tflite")
        )
    ]
    spread = float(np.std(found[2]))
    assert np.abs(found[0] - found[1]).max() < 0.02 * spread
    assert np.abs(found[0] - found[2]).max() < 0.1 * spread


def test_int16x8_runs_on_int16_from_end_to_end(job: Job) -> None:
    quantize_int16x8(job)
    session = load_engine("litert").load(job.target, job.contract, threads=1)
    assert session.executed_precision == "i16 (without XNNPACK)"
    assert {operator.precision for operator in session.operators} == {"i16"}


def test_dynamic_int8_has_the_weights_of_tensorflows_converter(job: Job, converted: Build) -> None:
    notes = quantize_weights(job)
    assert notes == {"float layers": "deep"}
    mine, other = layers_of(job.target.read_bytes()), layers_of(converted())
    alike = 0
    for ours, official in zip(mine, other, strict=True):
        assert ours["kind"] == official["kind"]
        assert ours["output"] == (0.0, 0)
        # Theirs leaves weights of fewer than 1024 numbers in float, ours depthwise layers.
        if ours["levels"].dtype == official["levels"].dtype == np.int8:
            if len(official["steps"]) == len(ours["steps"]):
                np.testing.assert_allclose(ours["steps"], official["steps"], rtol=1e-5)
                assert np.abs(ours["levels"].astype(int) - official["levels"]).max() <= 1
                alike += 1
    assert alike
    assert [layer["levels"].dtype for layer in mine] == [np.int8, np.float32, np.int8, np.int8]


def test_dynamic_int8_is_one_partition_and_returns_floats(job: Job) -> None:
    quantize_weights(job)
    session = load_engine("litert").load(job.target, job.contract, threads=1)
    assert re.fullmatch(r"f32 \(XNNPACK, 1 partition\)", session.executed_precision)
    assert isinstance(session.run(job.tensors[:1])["coordinates"], np.ndarray)
    float_size = len(Flatbuffer(job.source.read_bytes()).pack())
    assert job.target.stat().st_size < 0.5 * float_size


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_a_bias_that_needs_more_than_32_bits_keeps_its_value(job: Job) -> None:
    """A channel of which only the bias counts, as networks that were trained on have them."""
    found = {}
    for tensor in job.graph.graph.initializer:
        if tensor.name in ("stem", "stem_bias"):
            values = numpy_helper.to_array(tensor).copy()
            values[3] = 1e-9 if tensor.name == "stem" else 2.0
            found[tensor.name] = values
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    plain = Flatbuffer(job.source.read_bytes())
    stem = next(o for o in plain.operators if plain.kind(o) == "CONV_2D")
    plain.set_constant(int(stem.inputs[1]), found["stem"].transpose(0, 2, 3, 1))
    plain.set_constant(int(stem.inputs[2]), found["stem_bias"])
    job.source.write_bytes(plain.pack())
    quantize_int16x8(replace(job, decision=decide(job.graph, job.images, job.config)))
    made = Flatbuffer(job.target.read_bytes())
    stem = next(o for o in made.operators if made.kind(o) == "CONV_2D")
    levels, scales = made.levels(int(stem.inputs[2]))
    np.testing.assert_allclose(levels * scales, found["stem_bias"], atol=1e-3)
    assert np.abs(levels).max() < 2**31
    weights, steps = made.levels(int(stem.inputs[1]))
    assert not weights[3].any() and np.abs(weights[4]).max() == 127
    np.testing.assert_allclose(
        (weights * steps)[4], found["stem"].transpose(0, 2, 3, 1)[4], atol=0.51 * steps.ravel()[4]
    )
    engine, faces = load_engine("litert"), job.tensors[:4]
    ours, exact = (
        np.concatenate([np.asarray(session.run(face[None])["coordinates"]) for face in faces])
        for session in (engine.load(path, job.contract, 1) for path in (job.target, job.source))
    )
    assert np.abs(ours - exact).max() < 0.1 * float(np.std(exact))
