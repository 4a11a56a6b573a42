"""One real student in every INT8 form: each loads, runs in integers and keeps its contract."""

import itertools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from onnx import numpy_helper

from landmint.export.embed import write_contract
from landmint.export.forms import openvino as openvino_form
from landmint.export.forms import tflite as tflite_form
from landmint.export.forms.onnx import to_onnx
from landmint.export.fused_decode import fuse_decode
from landmint.export.graphs import Wiring, output_axis
from landmint.export.lint.rule import Subject
from landmint.export.lint.tflite import partitions
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import RANGES, decide, layers_of
from landmint.quantize.decide.ranges import run_all, weight_levels
from landmint.quantize.displacement import landmarks
from landmint.quantize.forms import openvino as openvino_int8
from landmint.quantize.forms import tflite as tflite_int8
from landmint.quantize.forms.tensorrt import check_pairs
from landmint.quantize.forms.tflite_layers import channels_last
from landmint.quantize.job import Job
from landmint.quantize.prepare import prepared
from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract
from landmint.runtime.crop import normalise
from landmint.runtime.decode import decode
from landmint.runtime.embedded import read_contract
from landmint.runtime.engines import load_engine
from landmint.runtime.files import read_json
from landmint.train.faces.face import FaceSet
from landmint.train.models import ModelConfig, create_model
from landmint.train.models.base import LandmarkModel

pytestmark = pytest.mark.slow
SIZE = 64
MakeOnce = Callable[[str, Callable[[Path], object]], Path]


def student(name: str, **settings: object) -> LandmarkModel:
    """A seeded network whose batch norms have seen some input, so that activations are sane."""
    torch.manual_seed(0)
    config = ModelConfig.model_validate({"name": name, "input_size": SIZE, **settings})
    model = create_model(config, np.random.default_rng(0).uniform(0.2, 0.8, (68, 2)))
    with torch.no_grad():
        model.train()(torch.randn(16, 3, SIZE, SIZE))
        for name, weight in model.named_parameters():
            if name.startswith(("convs.", "bins.")):  # fresh heads return next to nothing
                weight.mul_(50)
            if name == "coordinates.weight":  # or nothing but the mean face
                weight.mul_(1000)
    return model.eval()


def float_bundle(model: LandmarkModel, folder: Path) -> Bundle:
    """Its float32 forms for three engines; a decode is asked for where there is one."""

    def build(folder: Path) -> Manifest:
        (folder / "onnx").mkdir()
        to_onnx(model, folder / "onnx/float32.onnx")
        for export, file in (
            (openvino_form.export, folder / "openvino/float32.xml"),
            (tflite_form.export, folder / "tflite/float32.tflite"),
        ):
            file.parent.mkdir()
            export(folder / "onnx/float32.onnx", {"float32": file})
        ir = ("openvino/float32.xml", "openvino/float32.bin")
        variants = [
            Variant("onnx/float32", "onnxruntime", ("onnx/float32.onnx",)),
            Variant("openvino/float32", "openvino", ir),
            Variant("tflite/float32", "litert", ("tflite/float32.tflite",), "NHWC"),
        ]
        if model.contract.head.kind != "coordinates":
            asked = Variant("onnx-decoded/float32", "onnxruntime", reason="none here", decoded=True)
            variants.append(asked)
        return Manifest(model.config.name, model.contract, tuple(variants))

    return write_bundle(folder / "float", build)


@pytest.fixture(scope="module")
def bundle(make_once: MakeOnce) -> Bundle:
    """Float forms of a PIPNet; not to be changed."""

    def fill(folder: Path) -> None:
        float_bundle(student("pipnet", backbone="mobilenetv3_small_050"), folder)

    return Bundle.open(make_once("pipnet-float", fill) / "float")


@pytest.fixture(scope="module")
def made(bundle: Bundle, module_faces: Callable[..., FaceSet], make_once: MakeOnce) -> Bundle:
    """The same with all INT8 forms; not to be changed."""

    def fill(folder: Path) -> None:
        faces, test = module_faces("train", 12), module_faces("test", 2)
        quantize_bundle(bundle, faces, test, QuantizeConfig(size=12), folder / "int8")

    return Bundle.open(make_once("pipnet-int8", fill) / "int8")


@pytest.fixture(scope="module")
def joined(module_faces: Callable[..., FaceSet], make_once: MakeOnce) -> Bundle:
    """Of a PFLD, whose float head reads three tensors in one; not to be changed."""

    def fill(folder: Path) -> None:
        plain = float_bundle(student("pfld", width=0.25), folder)
        faces, test = module_faces("joined", 12), module_faces("looked-at", 2)
        quantize_bundle(plain, faces, test, QuantizeConfig(size=12), folder / "int8")

    return Bundle.open(make_once("pfld-int8", fill) / "int8")


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("onnx/int8", "u8"),
        ("openvino/int8", "i8"),
        ("tflite/int8", "i8 (XNNPACK, 1 partition)"),
    ],
)
def test_runs_in_integers_close_to_float(
    bundle: Bundle, made: Bundle, name: str, precision: str
) -> None:
    variant = made.variant(name)
    contract = made.contract_of(variant)
    assert read_contract(made.entry(variant)) == contract
    session = load_engine(variant.engine).load(made.entry(variant), contract, threads=1)
    assert session.executed_precision == precision
    source = bundle.variant(f"{variant.format}/float32")
    twin = load_engine(source.engine).load(bundle.entry(source), contract, threads=1)
    rng = np.random.default_rng(0)
    tensors = normalise(rng.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8), contract)
    assert landmarks(session, contract, tensors).shape == (3, 68, 2)
    for output in contract.outputs:
        found, expected = (np.asarray(one.run(tensors[:1])[output.name]) for one in (session, twin))
        assert found.shape == expected.shape
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9


def test_a_lite_trunk_runs_in_integers_in_every_engine(
    tmp_path: Path, module_faces: Callable[..., FaceSet]
) -> None:
    """With the head that `made` has not."""
    model = student("simcc", backbone="efficientnet_lite0", stride=16)
    plain = float_bundle(model, tmp_path)
    faces, test = module_faces("lite", 12), module_faces("lite-test", 2)
    quantised = quantize_bundle(plain, faces, test, QuantizeConfig(size=12), tmp_path / "int8")
    precisions = {}
    for form in ("onnx", "openvino", "tflite"):
        variant, twin = (quantised.variant(f"{form}{kind}/int8") for kind in ("", "-decoded"))
        contract = quantised.contract_of(variant)
        session = load_engine(variant.engine).load(quantised.entry(variant), contract, threads=1)
        precisions[variant.name] = session.executed_precision
        assert twin.notes["decode"].startswith("within")
    assert precisions == {
        "onnx/int8": "u8",
        "openvino/int8": "i8",
        "tflite/int8": "i8 (XNNPACK, 1 partition)",
    }


def test_the_linter_foretells_the_partitions(bundle: Bundle, made: Bundle) -> None:
    graph = Subject(onnx.load(bundle.entry(bundle.variant("onnx/float32"))))
    for owner, precision in ((bundle, "float32"), (made, "int8")):
        entry = owner.entry(owner.variant(f"tflite/{precision}"))
        told = partitions(graph, "int8" if precision == "int8" else "float32")
        assert parts_of(entry, owner.manifest.contract.with_layout("NHWC")) == told == 1


def test_the_linter_foretells_what_a_softmax_cuts(
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    tensors: NDArray[np.float32],
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> None:
    model, contract = graph_of("coordinates"), contract_of("coordinates")
    swish = next(node for node in model.graph.node if node.name == "wide_act")
    swish.op_type = "Softmax"
    swish.attribute.append(onnx.helper.make_attribute("axis", 1))
    source, target = tmp_path / "float32.onnx", tmp_path / "int8.tflite"
    onnx.save(model, source)
    write_contract(source, contract)
    plain = tmp_path / "float32.tflite"
    tflite_form.export(source, {"float32": plain})
    nhwc = contract.with_layout("NHWC")
    crops = np.ascontiguousarray(tensors.transpose(0, 2, 3, 1))
    job = job_of(source, target, tensors, contract)
    tflite_int8.quantize(replace(job, source=plain, tensors=crops, contract=nhwc))
    graph = Subject(model)
    assert parts_of(plain, nhwc) == partitions(graph, "float32") == 1
    assert parts_of(target, nhwc) == partitions(graph, "int8") == 2


def parts_of(entry: Path, contract: Contract) -> int:
    """What LiteRT says that XNNPACK runs."""
    session = load_engine("litert").load(entry, contract, threads=1)
    found = re.search(r"XNNPACK, (\d+) partition", session.executed_precision)
    return int(found[1]) if found else 0


def test_a_chosen_layer_stays_in_float_in_every_format(
    bundle: Bundle, make_faces: Callable[..., FaceSet], tmp_path: Path
) -> None:
    graph = onnx.load(bundle.entry(bundle.variant("onnx/float32"))).graph
    layers = [node for node in graph.node if node.op_type == "Conv"]
    chosen = layers[len(layers) // 2].name
    config = QuantizeConfig(size=4, float_layers=(chosen,))
    variants = tuple(variant for variant in bundle.manifest.variants if not variant.decoded)
    plain = replace(bundle, manifest=replace(bundle.manifest, variants=variants))
    made = quantize_bundle(
        plain, make_faces("few", 4), make_faces("none", 1), config, tmp_path / "int8"
    )
    for name, precision in (("onnx", "f32 1"), ("openvino", "f32 1"), ("tflite", "f32 1")):
        variant = made.variant(f"{name}/int8")
        session = load_engine(variant.engine).load(
            made.entry(variant), made.contract_of(variant), threads=1
        )
        assert precision in session.executed_precision, name
    assert chosen in made.variant("tensorrt/int8").notes["float layers"]


def test_litert_corrects_the_biases_of_what_it_rounds_on_its_own_levels(
    bundle: Bundle, tmp_path: Path
) -> None:
    graph = onnx.load(bundle.entry(bundle.variant("onnx/float32")))
    first, *others = layers_of(graph.graph)
    config = QuantizeConfig(float_layers=(first.name,), bias_correction=True)
    variant, target = bundle.variant("tflite/float32"), tmp_path / "int8.tflite"
    contract = bundle.contract_of(variant)
    crops = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    tensors = normalise(crops, contract)
    decision = decide(graph, tensors.transpose(0, 3, 1, 2), config)
    job = Job(bundle.entry(variant), target, graph, decision, tensors, contract, config)
    tflite_int8.quantize(job)
    before, after = Wiring(graph.graph), Wiring(prepared(job, {first.name}).graph)
    litert = Interpreter(
        str(target), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    litert.allocate_tensors()
    integers = [d["index"] for d in litert.get_tensor_details() if d["dtype"] is np.int8]
    held = [litert.get_tensor(index).astype(np.int64) for index in integers]
    for node in others:
        weight = before.array(node.input[1])
        assert weight is not None
        levels, _ = weight_levels(weight, output_axis(node))
        expected = channels_last(node, levels.astype(np.float32))
        apart = [np.abs(one - expected) for one in held if one.shape == expected.shape]
        # A sixth of a weight may fall to the other side of a half.
        assert any(one.max() <= 1 and one.mean() < 1e-3 for one in apart), node.name
    for node in (node for node in (first, *others) if len(node.input) > 2):
        old, new = before.array(node.input[2]), after.array(node.input[2])
        assert np.array_equal(old, new) == (node.name == first.name)  # type: ignore[arg-type]


def test_every_format_has_the_scales_of_the_decision(made: Bundle) -> None:
    decided = read_json(made.path / RANGES)
    activations = decided["activations"].values()
    wanted = {(round(a["scale"], 9), a["zero_point"]) for a in activations}
    wanted |= {(6 / 255, 0), (1 / 255, 0)}  # of a plain hard-swish
    steps = np.array([scale for scale, _ in wanted])
    graph = onnx.load(made.entry(made.variant("onnx/int8"))).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    found = [
        (constants[node.input[1]], int(constants[node.input[2]]))
        for node in graph.node
        if node.op_type == "QuantizeLinear"
    ]
    litert = Interpreter(str(made.entry(made.variant("tflite/int8"))))
    details = [d for d in litert.get_tensor_details() if d["dtype"] is np.int8]
    pairs = [d["quantization"] for d in details if d["shape"].size == 4]
    computed = [(scale, zero + 128) for scale, zero in pairs if zero != 0]
    assert len(found) > 50 and len(computed) > 50
    for scale, zero in (*found, *computed):
        # Where a hard-swish's sixth went into the weights behind, TFLite's step is sixfold.
        near = min(np.abs(np.log(float(scale) / np.concatenate([steps, 6 * steps]))))
        assert near < 1e-4, (scale, zero)


@pytest.mark.parametrize("which", ["made", "joined"])
def test_all_engines_round_alike(which: str, request: pytest.FixtureRequest) -> None:
    """The same levels at the same places: what is left are sums that fall between two levels.

    On the face that has fewest of those. Compared by their outputs: the score maps of an untrained
    network have no peak, and where two cells contest it a landmark jumps by a cell.
    """
    made: Bundle = request.getfixturevalue(which)
    crops = np.random.default_rng(0).integers(0, 256, (9, SIZE, SIZE, 3), dtype=np.uint8)
    names = ("onnx/float32", "onnx/int8", "openvino/int8", "tflite/int8")
    plain, *engines = (outputs_of(made, name, crops) for name in names)
    for output in made.manifest.contract.outputs:
        exact, *levels = (found[output.name] for found in (plain, *engines))
        rounding = min(apart(one, exact) for one in levels)
        for one, other in itertools.combinations(levels, 2):
            assert apart(one, other) < 0.03 * rounding


def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean squared difference of outputs (N, ...) on the face where it is least."""
    squares = np.square(one - other).reshape(len(one), -1)
    return float(squares.mean(axis=1).min())


def outputs_of(
    bundle: Bundle, name: str, crops: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    """Outputs of a variant over crops, channels first.

    ONNX Runtime and OpenVINO compute the levels in float here: their integer sums of 8-bit weights
    saturate on processors without VNNI.
    """
    variant = bundle.variant(name)
    contract = bundle.contract_of(variant)
    faces = normalise(crops, contract)
    if variant.format == "onnx":
        return run_all(onnx.load(bundle.entry(variant)), faces, "none")
    if variant.format == "openvino":
        in_float = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": False}
        model = openvino.Core().compile_model(bundle.entry(variant), "CPU", in_float)
        runs = [model(face[None]) for face in faces]
        return {o.name: np.concatenate([run[o.name] for run in runs]) for o in contract.outputs}
    session = load_engine(variant.engine).load(bundle.entry(variant), contract, threads=1)
    found = [session.run(face[None]) for face in faces]
    axis = -1 if contract.layout == "NHWC" else 1
    return {
        output.name: np.concatenate(
            [np.moveaxis(np.asarray(one[output.name]), axis, 1) for one in found]
        )
        for output in contract.outputs
    }


def test_openvino_adds_what_it_has_rounded(made: Bundle) -> None:
    """Fused into the sum's quantiser, a layer's own would be left out by the plugin."""
    variant = made.variant("openvino/int8")
    model = openvino.Core().read_model(made.entry(variant))
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    fused = [
        layer.get_rt_info()["originalLayersNames"].astype(str)
        for layer in compiled.get_runtime_model().get_ordered_ops()
        if layer.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    assert len(fused) > 30
    assert not any("node_add" in names for names in fused)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("onnx", r"u8 \d+, f32 5"),
        ("openvino", r"i8 \d+, f32 5"),
        ("tflite", r"i8 \d+, f32 5 \(XNNPACK, 4 partitions\)"),
    ],
)
def test_int8_with_its_decode_in_the_graph(made: Bundle, name: str, precision: str) -> None:
    """The five products of the decode are float, all layers of the network are not."""
    twin, variant = made.variant(f"{name}-decoded/int8"), made.variant(f"{name}/int8")
    plain, fused = made.contract_of(variant), made.contract_of(twin)
    assert fused == plain.decoded() == read_contract(made.entry(twin))
    assert twin.notes["decode"].startswith("within")
    rng = np.random.default_rng(3)
    tensors = normalise(rng.integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8), plain)
    engine = load_engine(variant.engine)
    session = engine.load(made.entry(twin), fused, threads=1)
    assert re.fullmatch(precision, session.executed_precision)
    layers = engine.load(made.entry(variant), plain, threads=1)
    for tensor in tensors[:, None]:
        found, outputs = session.run(tensor), layers.run(tensor)
        assert all(np.asarray(values).dtype == np.float32 for values in found.values())
        points, confidence = decode(plain, outputs)
        np.testing.assert_allclose(decode(fused, found)[0], points, atol=1e-4)
        np.testing.assert_allclose(found["confidence"], confidence, rtol=1e-5, atol=1e-6)


def test_the_linter_foretells_what_a_decode_cuts(made: Bundle, tmp_path: Path) -> None:
    fuse_decode(made.entry(made.variant("onnx/float32")), tmp_path / "float32.onnx")
    graph = Subject(onnx.load(tmp_path / "float32.onnx"))
    twin = made.variant("tflite-decoded/int8")
    assert parts_of(made.entry(twin), made.contract_of(twin)) == partitions(graph, "int8") == 4


def test_the_openvino_graph_holds_no_arithmetic_on_shapes_and_ranges(made: Bundle) -> None:
    model = openvino.Core().read_model(made.entry(made.variant("openvino/int8")))
    kinds = Counter(node.get_type_name() for node in model.get_ordered_ops())
    assert not kinds["ShapeOf"] + kinds["Broadcast"] + kinds["Divide"] + kinds["Subtract"]
    quantisers = [n for n in model.get_ordered_ops() if n.get_type_name() == "FakeQuantize"]
    assert len(quantisers) > 50
    sources = [[node.input_value(place).get_node() for place in range(1, 5)] for node in quantisers]
    names = [[node.get_friendly_name() for node in ends] for ends in sources]
    shared = [ends[:2] == ends[2:] for ends in names]
    assert sum(shared) > 0.7 * len(shared), "the gates alone return a sixth of what they round"


def test_int8_is_smaller_and_says_what_it_cost(bundle: Bundle, made: Bundle) -> None:
    for format_ in ("onnx", "openvino", "tflite"):
        variant = made.variant(f"{format_}/int8")
        before = bundle.size_bytes(bundle.variant(f"{format_}/float32"))
        assert made.size_bytes(variant) < 0.6 * before
        assert re.match(r"mean \d+\.\d+ px, p95 \d+\.\d+ px", variant.notes["displacement"])


def test_what_only_a_float_head_reads_is_joined_in_float(joined: Bundle) -> None:
    graph = onnx.load(joined.entry(joined.variant("onnx/int8"))).graph
    wiring = Wiring(graph)
    (concat,) = (node for node in graph.node if node.op_type == "Concat")
    makers = [wiring.maker[name].op_type for name in concat.input]
    assert makers == ["DequantizeLinear"] * 3
    assert not any(n.op_type == "QuantizeLinear" for n in wiring.readers(concat.output[0]))
    litert = Interpreter(str(joined.entry(joined.variant("tflite/int8"))))
    types = {detail["index"]: detail["dtype"] for detail in litert.get_tensor_details()}
    (concat,) = (o for o in litert._get_ops_details() if o["op_name"] == "CONCATENATION")
    assert {types[tensor] for tensor in (*concat["inputs"], *concat["outputs"])} == {np.float32}


def test_openvino_stores_a_float_head_as_float16(joined: Bundle) -> None:
    model = openvino.Core().read_model(joined.entry(joined.variant("openvino/int8")))
    (head,) = (n for n in model.get_ordered_ops() if n.get_type_name() == "MatMul")
    widened = head.input_value(1).get_node()
    assert widened.get_type_name() == "Convert"
    assert widened.input_value(0).get_element_type() == openvino.Type.f16


def test_nncf_draws_ranges_of_its_own_and_corrects_biases(
    bundle: Bundle, make_faces: Callable[..., FaceSet], tmp_path: Path
) -> None:
    """An IR read from ONNX hides its biases from NNCF, which then corrects none in silence."""
    graph = onnx.load(bundle.entry(bundle.variant("onnx/float32"))).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    before = [constants[name] for node in graph.node for name in node.input[2:]]
    chosen = next(node.name for node in graph.node if node.op_type == "Conv")
    config = QuantizeConfig(size=4, formats=("openvino",), nncf=True, float_layers=(chosen,))
    made = quantize_bundle(
        bundle, make_faces("nncf", 4), make_faces("nobody", 1), config, tmp_path / "int8"
    )
    variant = made.variant("openvino/int8")
    assert variant.notes["ranges"] == "NNCF's own" and variant.notes["float layers"] == chosen
    session = load_engine("openvino").load(
        made.entry(variant), made.contract_of(variant), threads=1
    )
    assert re.fullmatch(r"[iu]8 \d+, f32 1", session.executed_precision)
    model = openvino.Core().read_model(made.entry(variant))
    adds = [node for node in model.get_ordered_ops() if node.get_type_name() == "Add"]
    behind = [node.input_value(1).get_node() for node in adds]
    after = [c.get_data().ravel() for c in behind if c.get_type_name() == "Constant"]
    changed = [not any(np.array_equal(new, old) for old in before) for new in after]
    assert sum(changed) > len(before) / 2


def test_openvino_leaves_a_coordinates_head_in_float(
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    tensors: NDArray[np.float32],
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> None:
    contract = contract_of("coordinates")
    onnx.save(graph_of("coordinates"), tmp_path / "float32.onnx")
    target = tmp_path / "int8.xml"
    openvino_int8.quantize(job_of(tmp_path / "float32.onnx", target, tensors, contract))
    session = load_engine("openvino").load(target, contract, threads=1)
    assert session.executed_precision.endswith("f32 1")


def test_the_tensorrt_graph_keeps_the_rules(made: Bundle) -> None:
    variant = made.variant("tensorrt/int8")
    check_pairs(onnx.load(made.path / variant.files[-1]))
    assert read_contract(made.path / variant.files[-1]) == made.manifest.contract
    assert variant.notes["displacement"].startswith(("mean", "not measured"))
