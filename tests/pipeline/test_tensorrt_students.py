"""What shipped recipes train goes through NVIDIA's own parser and builder, part by part."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from landmint.export.forms.onnx import to_onnx
from landmint.export.forms.tensorrt import to_tensorrt
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.shipped_recipes import ZOO, shipped_recipes
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import decide
from landmint.quantize.forms.tensorrt import quantize
from landmint.quantize.job import Job
from landmint.runtime.engines.built import Built
from landmint.runtime.markup import get_markup
from landmint.train.models import ModelConfig, create_model, model_class
from landmint.train.starting import stand_in_shape

SIZE = 64
HEAVY = ("fan", "hrnet")  # recipes train these to teach: an export takes minutes
Build = Callable[[Sequence[Path]], list[Built | str]]


def students() -> dict[str, ModelConfig]:
    """Few of what recipes train, small: each head, kind of trunk and decoder is in one.

    Of the published systems one for each head that no other recipe has: there are too many to
    build them all.
    """
    networks = {name: load_recipe(path).student.model for name, path in shipped_recipes().items()}
    parts = {
        name: {head_of(network), *(() if name.startswith(ZOO) else rest_of(network))}
        for name, network in networks.items()
        if not name.startswith(HEAVY)
    }
    chosen = list[str]()
    while missing := set[tuple[str, object]]().union(*parts.values()):
        chosen.append(max(parts, key=lambda name: len(parts[name])))
        parts = {name: own & missing - parts[chosen[-1]] for name, own in parts.items()}
    small = {"input_size": SIZE, "markup": "68", "pretrained": False}
    return {name: networks[name].model_copy(update=small) for name in chosen}


def head_of(network: ModelConfig) -> tuple[str, object]:
    """What the network returns, and how that is decoded."""
    kind, points = model_class(network.name), get_markup(network.markup).points
    head = kind.contract_for(network, stand_in_shape(points)).head
    return ("head", (head.kind, head.decode))


def rest_of(network: ModelConfig) -> set[tuple[str, object]]:
    """What else may be converted in another way."""
    parts = {(part, getattr(network, part)) for part in ("name", "decoder", "squeeze_excite")}
    return {*parts, ("trunk", network.backbone.partition("_")[0])}


@pytest.mark.slow
@pytest.mark.parametrize("name", students())
def test_what_was_decided_is_read_and_built(name: str, build: Build, tmp_path: Path) -> None:
    config = students()[name]
    rng = np.random.default_rng(0)
    shape = rng.uniform(0.2, 0.8, (get_markup(config.markup).points, 2))
    network = create_model(config, shape).eval()
    source, half, int8 = (tmp_path / f"{kind}.onnx" for kind in ("float32", "float16", "int8"))
    to_onnx(network, source)
    to_tensorrt(source, half)
    graph, settings = onnx.load(source), QuantizeConfig()
    crops = rng.normal(size=(2, 3, SIZE, SIZE)).astype(np.float32)
    decision = decide(graph, crops, settings)
    notes = quantize(Job(source, int8, graph, decision, crops, network.contract, settings))
    plain, paired = build((half, int8))
    assert isinstance(plain, Built) and isinstance(paired, Built), (plain, paired)
    assert len(plain.float_layers) == plain.weighted == paired.weighted
    assert paired.notes == {note: notes[note] for note in paired.notes}
    assert 0 < len(paired.float_layers) < paired.weighted


def test_a_product_of_two_activations_has_no_weight(build: Build, tmp_path: Path) -> None:
    """As in SPIGA's attention; beside it a layer with a weight."""
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 19]>
        net (float16[1, 4, 4] image) => (float16[1, 4, 4] y)
        <float16[4, 4] w = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}> {
            a = Relu (image) turned = Transpose <perm = [0, 2, 1]> (a)
            seen = MatMul (a, turned) y = MatMul (seen, w) }"""
    )
    onnx.save(model, tmp_path / "net.onnx")
    (built,) = build([tmp_path / "net.onnx"])
    assert isinstance(built, Built), built
    assert built.count("MATRIX_MULTIPLY") == 2
    assert built.weighted == len(built.float_layers) == 1
