"""Candidates are built, measured together and chosen for each format; latencies are planted."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from landmint.pipeline.cures import as_toml, search_cures, search_table
from landmint.pipeline.judge.trial import Search
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.cures import Cure, fallbacks
from landmint.quantize.explain.explanation import Cost, Explanation, Layer
from landmint.runtime.accuracy import Truth
from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.latency import Block, Launch, WarmUp
from landmint.runtime.measurement import Measurement
from tests.labels import labelled

ENGINES = {"torch": "torch", "onnx": "onnxruntime", "tflite": "litert", "tensorrt": "tensorrt"}
# Times as fast as float32 by format and number of float layers: LiteRT pays for each border.
SPEEDUP = {"onnx": (2.0, 1.8, 1.5), "tflite": (2.5, 0.9, 0.8)}
RISE = (0.004, 0.001, 0.0005)
EQUALISED = "equalise = true"
EQUALISED_RISE = 0.0036


def bundle_of(folder: Path, layers: Sequence[str]) -> Bundle:
    """Files that say which layers they were made with."""

    def build(place: Path) -> Manifest:
        variants = []
        (place / "lint.json").write_text("{}")
        names = ("torch/float32", "onnx/float32", "tflite/float32", "onnx/int8", "tflite/int8")
        for name in (*names, "tensorrt/int8"):
            (place / name).parent.mkdir(exist_ok=True)
            (place / f"{name}.bin").write_text(f"{name} {' '.join(layers)}")
            engine = ENGINES[name.split("/")[0]]
            variants.append(Variant(name, engine, (f"{name}.bin",)))
        outputs, unit = (Output("coordinates", (136,)),), (1.0, 1.0, 1.0)
        head, rule = Head("coordinates"), CropRule((1.2, 1.2), True)
        contract = Contract("68", 32, rule, unit, unit, head, outputs)
        return Manifest("tiny", contract, tuple(variants))

    return write_bundle(folder, build)


FACES, PERSONS = 24, 8
TRUTH = labelled(tuple(f"p{i % PERSONS}" for i in range(FACES)))
Measured = tuple[list[Measurement], Truth]


def measured(name: str, engine: str, rise: np.ndarray, ms: float) -> Measurement:
    """Every landmark of a face is off by its rise (FACES,), a share; three equal launches."""
    launch = Launch(1.0, WarmUp(1.0, 40, True), (Block((ms,) * 5, 5 * ms),))
    points = TRUTH.points + 100 * rise[:, None, None] * [1.0, 0.0]
    return Measurement(
        *("tiny", name, engine, "measured"),
        session="now",
        launches=(launch,) * 3,
        faces=TRUTH.names,
        points=points,
    )


def planted(bundle: Bundle, names: Sequence[str], noise: float = 0.0) -> Measured:
    """What each variant did; the number of float layers is read from its file.

    Args:
        bundle: of all of them.
        names: to measure; the float student is measured besides.
        noise: share by which one face's rise differs from another's, where layers are in float.
    """
    found = [measured("torch/float32", "torch", np.zeros(FACES), 9.0)]
    for name in names:
        variant = bundle.variant(name)
        _, *layers_named = bundle.entry(variant).read_text().split(maxsplit=1)
        equalised = layers_named == [EQUALISED]
        layers = 0 if equalised else len(" ".join(layers_named).split())
        faster = 1.0 if "float32" in name else SPEEDUP[variant.format][layers]
        loss = EQUALISED_RISE if equalised else RISE[layers]
        rise = np.full(FACES, 0.0 if "float32" in name else loss)
        if layers:
            rise += np.abs(np.random.default_rng(layers).normal(0, noise, FACES))
        found.append(measured(name, variant.engine, rise, 1 / faster))
    return found, TRUTH


@pytest.fixture
def explanation() -> Explanation:
    """Two layers are worth a try, "bad" more than "poor"."""
    cost = Cost(0.0, 1.0)
    layers = tuple(
        Layer(name, name, "Conv", (1,), 10, True, 20.0, 1.0, cost, Cost(0.0, all_but))
        for name, all_but in (("poor", 0.8), ("good", 1.0), ("bad", 0.2))
    )
    return Explanation("tiny", 4, "val", 0.05, cost, cost, layers)


def search(
    folder: Path,
    explanation: Explanation,
    budget: float,
    measure: Callable[[Bundle, Sequence[str]], Measured] = planted,
) -> dict[str, Search]:
    bundle_of(folder, ())

    def build(cure: Cure, place: Path) -> Bundle:
        return bundle_of(place, cure.float_layers or cure.as_toml())

    searches = search_cures(
        folder, [Cure({"equalise": True})], lambda: fallbacks(explanation), budget, build, measure
    )
    return {search.format: search for search in searches}


def test_each_format_chooses_for_itself(tmp_path: Path, explanation: Explanation) -> None:
    found = search(tmp_path / "int8", explanation, budget=0.002)
    assert list(found) == ["onnx", "tflite", "tensorrt"]
    tried = [str(trial.cure) for trial in found["onnx"].trials]
    assert tried == ["plain INT8", EQUALISED, "layers in float: 1", "layers in float: 2"]
    chosen = found["onnx"].chosen
    assert chosen is not None and chosen.cure.float_layers == ("bad",)
    assert found["tflite"].chosen is None
    assert found["tensorrt"].reason == "there is no tensorrt/float32 to compare with"
    made = Bundle.open(tmp_path / "int8")
    texts = {v.name: made.entry(v).read_text() for v in made.manifest.variants}
    assert texts["onnx/int8"] == "onnx/int8 bad"
    assert texts["tflite/int8"] == "tflite/int8 "
    assert (made.path / "lint.json").is_file()
    assert texts["onnx/float32"] == "onnx/float32 "


def test_refusals_say_why(tmp_path: Path, explanation: Explanation) -> None:
    found = search(tmp_path / "int8", explanation, budget=0.002)
    said = [row.cells[-1].text for row in search_table(found["tflite"]).rows]
    assert said[0] == "accuracy drift: its NME rises by more than the budget"
    assert said[1] == "accuracy drift: its NME rises by more than the budget"
    assert said[2] == "regression: slower than float32 (0.90 times as fast)"
    said = [row.cells[-1].text for row in search_table(found["onnx"]).rows]
    assert said[2:] == ["chosen", "pass"]
    assert [one.status for one in found.values()] == ["pass", "regression", "not measured"]


def test_faces_that_disagree_keep_no_layer_in_float(
    tmp_path: Path, explanation: Explanation
) -> None:
    """By its mean alone, a layer in float would keep the budget and beat plain INT8."""
    found = search(tmp_path / "int8", explanation, 0.0034, partial(planted, noise=0.004))["onnx"]
    plain, _, spared, _ = found.trials
    assert spared.nme_rise.estimate < 0.0034 < spared.nme_rise.high
    assert spared.over_plain.estimate < 0
    assert found.chosen is None
    assert found.status == "inconclusive"
    assert [row.cells[-1].text for row in search_table(found).rows][2] == (
        "inconclusive: the interval of its NME rise lies across the budget"
    )
    assert as_toml([found], QuantizeConfig()).splitlines()[1:] == [
        "# onnx: nothing that was tried surely keeps the budget: inconclusive",
        "# what is left is training with rounding: [qat], or `landmint qat`",
    ]


def test_the_choice_can_be_pasted_into_a_recipe(tmp_path: Path, explanation: Explanation) -> None:
    found = list(search(tmp_path / "int8", explanation, budget=0.002).values())
    lines = as_toml(found, QuantizeConfig(float_layers=("first",))).splitlines()
    assert lines[:2] == ["[quantize]", 'float_layers = ["first", "bad"]']
    assert lines[2] == "# tflite: nothing that was tried surely keeps the budget: regression"
    found = list(search(tmp_path / "int8", explanation, budget=0.0045).values())
    assert as_toml(found[:2], QuantizeConfig()).splitlines() == ["[quantize]", "# as it is"]


def test_what_costs_no_speed_comes_first(tmp_path: Path, explanation: Explanation) -> None:
    """Where equalising keeps the budget no layer is tried in float, where INT8 does nothing is."""
    searches = search(tmp_path / "int8", explanation, budget=0.0038)
    for format_ in ("onnx", "tflite"):
        assert [str(trial.cure) for trial in searches[format_].trials] == ["plain INT8", EQUALISED]
        chosen = searches[format_].chosen
        assert chosen is not None and str(chosen.cure) == EQUALISED
    made = Bundle.open(tmp_path / "int8")
    assert made.entry(made.variant("onnx/int8")).read_text() == f"onnx/int8 {EQUALISED}"
    lines = as_toml(list(searches.values())[:2], QuantizeConfig()).splitlines()
    assert lines == ["[quantize]", EQUALISED]
    searches = search(tmp_path / "enough", explanation, budget=0.0045)
    assert [str(trial.cure) for trial in searches["onnx"].trials] == ["plain INT8"]
