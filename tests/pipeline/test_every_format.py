"""Every format of the registry goes all the way: exported, quantised, reported, linted."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from landmint.export.bundle_export import export_bundle
from landmint.export.config import ExportConfig
from landmint.export.lint import lint, rules_for
from landmint.pipeline.judge.summary import reading_order
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.reference import draw_faces
from landmint.pipeline.report.palette import css_class, format_styles, look_of
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.runtime.bundle import Bundle, Variant
from landmint.runtime.formats import FORMATS, SOURCE, SOURCE_VARIANT, TORCH
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import Split, SyntheticConfig
from landmint.train.models import ModelConfig, create_model

DRAWN = SyntheticConfig(train=12, val=0, test=4, size_px=64, seed=1)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> dict[Split, FaceSet]:
    return draw_faces(tmp_path_factory.mktemp("faces"), "68", DRAWN)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_network_becomes_float_and_every_precision(
    name: str, faces: dict[Split, FaceSet], tmp_path: Path
) -> None:
    shape = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    model = create_model(ModelConfig(name="pfld", input_size=64), shape)
    config = ExportConfig(formats=(name,), parity_faces=2)
    plain = export_bundle(model, faces["test"], config, tmp_path / "float", {})
    kinds = FORMATS[name].precisions
    own = [f"{name}/{kind}" for kind in kinds if name != SOURCE]
    assert [one.name for one in plain.manifest.variants] == [TORCH, SOURCE_VARIANT, *own]
    quantised = FORMATS[name].quantized
    settings = QuantizeConfig(formats=(name,), precisions=tuple(quantised), size=8)
    quantize_bundle(plain, faces["train"], faces["test"], settings, tmp_path / "int8")
    bundle = Bundle.open(tmp_path / "int8", plans=True)
    for variant in bundle.manifest.variants:
        if variant.format == name:
            check(bundle, variant)
    for precision in quantised:
        assert "displacement" in bundle.variant(f"{name}/{precision}").notes


def check(bundle: Bundle, variant: Variant) -> None:
    """A variant was built, and is what the format's record says."""
    record = FORMATS[variant.format]
    assert not variant.reason
    assert (variant.engine, variant.layout) == (record.engine, record.layout)
    assert variant.files == record.files(bundle.path, variant.name)
    assert any(file.endswith(record.graph_suffix) for file in variant.files)
    bundle.check_artefact(variant)


@pytest.mark.parametrize("name", FORMATS)
def test_a_recipe_may_ask_for_it(name: str, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'[faces]\n[student.model]\nname = "pfld"\n[export]\nformats = ["{name}"]')
    assert load_recipe(recipe).quantize.formats == (name,)


@pytest.mark.parametrize("name", FORMATS)
def test_tables_and_figures_show_it(name: str) -> None:
    record, variant = FORMATS[name], f"{name}/int8"
    assert css_class(variant) == f"c-{name}"
    assert look_of(variant).color != look_of("unknown/int8").color
    styles = format_styles()
    assert styles.count(f"--c-{name}: {record.color.light};") == 1
    assert styles.count(f"--c-{name}: {record.color.dark};") == 1
    assert reading_order(variant) < reading_order("unknown/int8")


@pytest.mark.parametrize("name", FORMATS)
def test_the_linter_judges_for_it(name: str) -> None:
    general = rules_for(())
    own = {id_: rule for id_, rule in rules_for((name,)).items() if id_ not in general}
    assert {rule.target for rule in own.values()} <= {name}
    assert all(id_.startswith(f"{name}-") for id_ in own)
    assert bool(own) == bool(FORMATS[name].lint_rules)
    graph = "g (float[1,8] x) => (float[1,8] y) {y = Relu (x)}"
    model: onnx.ModelProto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {graph}')
    assert lint(model, targets=(name,)) == []
