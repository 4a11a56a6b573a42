"""The layer that 8 bits spoil is kept in float, it alone, and only where that pays."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from landmint.pipeline.judge.trial import Trial, choose_trial
from landmint.quantize.explain.explanation import Cost, Explanation, Layer
from landmint.quantize.explain.sensitivity import Examination, layer_sensitivities
from landmint.quantize.explain.simulation import Simulation
from landmint.quantize.fallback import candidates
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


def trial(layers: tuple[str, ...], nme_rise: float, latency_ms: float) -> Trial:
    """A candidate on an engine where float32 takes 2 ms, surely better than plain INT8."""
    return Trial(layers, surely(nme_rise), surely(-0.001), latency_ms, surely(2.0 / latency_ms))


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
    sets = candidates(explanation)
    assert sets[:2] == [(), ("thin",)]
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
    for layers in candidates(explanation, sizes=(1, 2)):
        contract = contract_of("coordinates")
        quantize(job_of(source, target, tensors, contract, float_layers=layers))
        cost = exam.cost(exam.points(onnx.load(target)), reference)
        trials.append(trial(layers, cost.nme_rise, latency_ms=1.0 + len(layers) / 10))
    plain, spared = trials[0].nme_rise.estimate, trials[1].nme_rise.estimate
    assert spared < plain / 3
    chosen = choose_trial(trials, budget=plain / 2)
    assert chosen is not None
    assert chosen.float_layers == ("thin",)


def test_layers_that_take_nothing_back_are_never_tried() -> None:
    layers = tuple(
        Layer(name, name, "Conv", (1,), macs, True, 20.0, 1.0, Cost(0, 1.0), Cost(0, all_but))
        for name, macs, all_but in (("useless", 1, 1.0), ("cheap", 10, 0.5), ("dear", 1000, 0.4))
    )
    cost = Cost(0.0, 1.0)
    explanation = Explanation("tiny", 1, "val", 0.1, cost, cost, layers)
    assert candidates(explanation) == [(), ("cheap",), ("cheap", "dear")]
