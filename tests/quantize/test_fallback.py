"""The layer that 8 bits spoil is kept in float, it alone, and only where that pays."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from landmint.quantize.explanation import Cost, Explanation, Layer
from landmint.quantize.fallback import Trial, candidates, choose_trial
from landmint.quantize.int8_onnx import quantize
from landmint.quantize.job import Job
from landmint.quantize.sensitivity import Examination, layer_sensitivities
from landmint.quantize.simulation import Simulation
from landmint.runtime.contract import Contract
from landmint.runtime.crop import apply_affine
from landmint.runtime.stats import Interval
from landmint.train.evaluate import crop_faces
from landmint.train.faces.face import FaceSet

Twins = tuple[onnx.ModelProto, onnx.ModelProto]


def surely(value: float) -> Interval:
    return Interval(value, value, value, 0.0)


def trial(layers: str, nme_rise: float, latency_ms: float, float_ms: float = 2.0) -> Trial:
    speedup = surely(float_ms / latency_ms)
    over_plain = surely(-0.001 if layers else 0.0)
    return Trial(tuple(layers.split()), surely(nme_rise), over_plain, latency_ms, speedup)


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
        trials.append(trial(" ".join(layers), cost.nme_rise, latency_ms=1.0 + len(layers) / 10))
    plain, spared = trials[0].nme_rise.estimate, trials[1].nme_rise.estimate
    assert spared < plain / 3
    chosen = choose_trial(trials, budget=plain / 2)
    assert chosen is not None
    assert chosen.float_layers == ("thin",)


def test_plain_int8_is_chosen_where_it_keeps_the_budget() -> None:
    chosen = choose_trial([trial("", 0.004, 1.0), trial("a", 0.001, 1.1)], budget=0.005)
    assert chosen is not None
    assert chosen.float_layers == ()


def test_noise_keeps_no_layer_in_float() -> None:
    plain = replace(trial("", 0.001, 1.01), speedup=Interval(1.98, 1.9, 2.1, 0.1))
    assert choose_trial([plain, trial("a", 0.001, 1.0)], budget=0.005) == plain


def test_a_fallback_that_slows_the_target_is_refused() -> None:
    slow = trial("a", 0.0, latency_ms=2.5)
    assert slow.judge(0.001) == ("regression", "slower than float32 (0.80 times as fast)")
    assert choose_trial([trial("", 0.01, 1.0), slow], budget=0.001) is None


def test_what_intervals_do_not_tell_is_not_chosen() -> None:
    """Each of them would be chosen by its point estimates."""
    good = trial("a", 0.004, 1.0)
    across = Interval(0.004, 0.002, 0.006, 0.003)
    few_persons = Interval(0.004, -math.inf, math.inf, math.inf)
    unsure = {
        "the interval of its NME rise lies across the budget": replace(good, nme_rise=across),
        "not enough persons": replace(good, nme_rise=few_persons),
        "not surely faster than float32": replace(good, speedup=Interval(1.05, 0.95, 1.16, 0.2)),
        "its NME is not surely lower than that of plain INT8": replace(
            good, over_plain=Interval(-0.001, -0.003, 0.001, 0.004)
        ),
    }
    assert good.judge(0.005) == ("pass", "")
    for reason, one in unsure.items():
        assert one.judge(0.005) == ("inconclusive", reason)
        assert choose_trial([one], budget=0.005) is None


def test_what_surely_exceeds_the_budget_is_drift() -> None:
    reason = "its NME rises by more than the budget"
    assert trial("a", 0.006, 1.0).judge(0.005) == ("accuracy drift", reason)


def test_a_layer_in_float_may_mend_landmarks_that_are_not_finite() -> None:
    infinite = surely(math.inf)
    plain = replace(trial("", 0.0, 1.0), nme_rise=infinite, over_plain=infinite)
    mended = replace(trial("a", 0.001, 1.1), over_plain=infinite)
    assert choose_trial([plain, mended], budget=0.005) == mended


def test_layers_that_take_nothing_back_are_never_tried() -> None:
    layers = tuple(
        Layer(name, name, "Conv", (1,), macs, True, 20.0, 1.0, Cost(0, 1.0), Cost(0, all_but))
        for name, macs, all_but in (("useless", 1, 1.0), ("cheap", 10, 0.5), ("dear", 1000, 0.4))
    )
    cost = Cost(0.0, 1.0)
    explanation = Explanation("tiny", 1, "val", 0.1, cost, cost, layers)
    assert candidates(explanation) == [(), ("cheap",), ("cheap", "dear")]
