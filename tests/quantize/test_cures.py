"""The layer that 8 bits spoil is kept in float, it alone, and only where that pays."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from landmint.pipeline.judge.trial import Trial, choose_trial
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.cures import Cure, decisions, fallbacks
from landmint.quantize.explain.explanation import Cost, Explanation, Layer
from landmint.quantize.explain.sensitivity import Examination, layer_sensitivities
from landmint.quantize.explain.simulation import Simulation
from landmint.quantize.forms.onnx import quantize
from landmint.quantize.job import Job
from landmint.runtime.contract import Contract
from landmint.runtime.crop import apply_affine
from landmint.runtime.stats import Interval
from landmint.train.evaluate import crop_faces
from landmint.train.faces.face import FaceSet

Twins = tuple[onnx.ModelProto, onnx.ModelProto]


def surely(value: float) -> Interval:
    return Interval(value, value, value, 0.0)


def in_float(layers: tuple[str, ...]) -> Cure:
    return Cure({"float_layers": layers} if layers else {})


def trial(layers: tuple[str, ...], nme_rise: float, latency_ms: float) -> Trial:
    """A candidate on an engine where float32 takes 2 ms, surely better than plain INT8."""
    return Trial(
        in_float(layers), surely(nme_rise), surely(-0.001), latency_ms, surely(2.0 / latency_ms)
    )


@pytest.fixture(scope="module")
def exam(
    twins: Twins, module_faces: Callable[..., FaceSet], contract_of: Callable[[str], Contract]
) -> Examination:
    """Faces whose truth is what the float graph finds: NME rises with every step away from it."""
    faces, contract = module_faces("val", 4), contract_of("coordinates")
    found = Examination(faces, contract).points(twins[0])
    truths = apply_affine(crop_faces(faces.faces, contract).matrices, found)
    taught = (
        replace(face, points=points) for face, points in zip(faces.faces, truths, strict=True)
    )
    return Examination(replace(faces, faces=tuple(taught)), contract)


@pytest.fixture(scope="module")
def explanation(twins: Twins, exam: Examination) -> Explanation:
    simulation, reference = Simulation(*twins), exam.points(twins[0])
    built = exam.cost(exam.points(twins[1]), reference)
    simulated = exam.simulated_cost(simulation.whole(), reference)
    layers = layer_sensitivities(simulation, twins[1], exam)
    return Explanation("tiny", 4, "val", exam.nme(reference), built, simulated, layers)


def test_the_spoilt_layer_is_the_first_candidate(explanation: Explanation) -> None:
    sets = [cure.float_layers for cure in fallbacks(explanation)]
    assert sets[0] == ("thin",)
    assert all(set(small) < set(large) for small, large in zip(sets, sets[1:], strict=False))


def test_the_search_keeps_exactly_the_spoilt_layer_in_float(
    explanation: Explanation,
    twins: Twins,
    exam: Examination,
    tensors: NDArray[np.float32],
    job_of: Callable[..., Job],
    contract_of: Callable[[str], Contract],
    tmp_path: Path,
) -> None:
    source, target = tmp_path / "float32.onnx", tmp_path / "int8.onnx"
    onnx.save(twins[0], source)
    reference = exam.points(twins[0])
    trials = []
    for cure in [Cure(), *fallbacks(explanation, sizes=(1, 2))]:
        layers = cure.float_layers
        contract = contract_of("coordinates")
        quantize(job_of(source, target, tensors, contract, float_layers=layers))
        cost = exam.cost(exam.points(onnx.load(target)), reference)
        trials.append(trial(layers, cost.nme_rise, latency_ms=1.0 + len(layers) / 10))
    plain, spared = trials[0].nme_rise.estimate, trials[1].nme_rise.estimate
    assert spared < plain / 3
    chosen = choose_trial(trials, budget=plain / 2)
    assert chosen is not None
    assert chosen.cure.float_layers == ("thin",)


def test_layers_that_take_nothing_back_are_never_tried() -> None:
    layers = tuple(
        Layer(name, name, "Conv", (1,), macs, True, 20.0, 1.0, Cost(0, 1.0), Cost(0, all_but))
        for name, macs, all_but in (("useless", 1, 1.0), ("cheap", 10, 0.5), ("dear", 1000, 0.4))
    )
    cost = Cost(0.0, 1.0)
    explanation = Explanation("tiny", 1, "val", 0.1, cost, cost, layers)
    sets = [cure.float_layers for cure in fallbacks(explanation)]
    assert sets == [("cheap",), ("cheap", "dear")]
    useless = replace(explanation, layers=layers[:1])
    assert fallbacks(useless) == []


def test_what_the_recipe_does_already_is_no_cure() -> None:
    named = [str(cure) for cure in decisions(QuantizeConfig())]
    calibrators = [f'calibrator = "{name}"' for name in ("min_max", "entropy", "mse")]
    free = ["equalise = true", "bias_correction = true", "reduce_range = true"]
    assert named == [*calibrators, *free]
    config = QuantizeConfig(calibrator="mse", equalise=True, formats=("tflite",))
    assert {str(cure) for cure in decisions(config)} == {
        'calibrator = "min_max"',
        'calibrator = "percentile"',
        'calibrator = "entropy"',
        "bias_correction = true",
    }
    given = QuantizeConfig(ranges=Path("ranges.json"), formats=("tflite",))
    assert [str(cure) for cure in decisions(given)] == ["bias_correction = true"]


def test_a_cure_says_what_it_changes() -> None:
    config = QuantizeConfig(float_layers=("first",))
    layers = Cure({"float_layers": ("bad", "poor")})
    assert layers.applied(config).float_layers == ("first", "bad", "poor")
    assert layers.as_toml() == ['float_layers = ["bad", "poor"]']
    assert str(layers) == "layers in float: 2"
    assert Cure({"equalise": True}).applied(config).equalise
    assert str(Cure()) == "plain INT8"
    assert Cure().applied(config) == config
