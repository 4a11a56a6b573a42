"""Two builds on a scripted target, from their names to the verdict; and every bad input."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from landmint import api
from landmint.pipeline import gating
from landmint.pipeline.builds import Build, open_baseline, open_candidate, pair_variants
from landmint.pipeline.gating import Places, gate_pairs
from landmint.pipeline.history.importing import add_folders
from landmint.pipeline.judge.evidence import DRIFT
from landmint.pipeline.judge.gate import Verdict, exit_code
from landmint.pipeline.judge.judgement import Judgement
from landmint.pipeline.judge.paired import PairedRules
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.reference import draw_faces
from landmint.pipeline.self_test import run_self_tests, self_test_table, write_self_tests
from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.progress import SILENT
from landmint.targets.host import HostTarget
from landmint.targets.paired import PAIRS
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import SyntheticConfig
from tests.conftest import MakeOnce
from tests.pipeline.test_revision import git
from tests.targets.scripted import ScriptedTarget

CONTRACT = Contract(
    markup="68",
    input_size=16,
    crop=CropRule((1.2, 1.2), True),
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
)
CONFIG, RULES = MeasureConfig(), PairedRules()
Make = Callable[..., Bundle]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a bundle with variants of these names; a name with "!" was not built."""

    def write(place: str, *names: str, contract: Contract = CONTRACT) -> Bundle:
        def fill(folder: Path) -> Manifest:
            (folder / "weights").write_bytes(b"none")
            variants = [
                Variant(name.strip("!"), "null", () if "!" in name else ("weights",), reason="why")
                for name in names
            ]
            return Manifest(name="tiny", contract=contract, variants=tuple(variants))

        return write_bundle(tmp_path / place, fill)

    return write


@pytest.fixture
def faces(make_once: MakeOnce) -> FaceSet:
    drawn = SyntheticConfig(train=0, val=0, test=12, size_px=64)
    place = make_once("gate-faces-12", lambda folder: draw_faces(folder, "68", drawn))
    from landmint.train.faces.readers import FacesConfig, load_faces

    return load_faces(FacesConfig(root=place, markup="68", synthetic=drawn), "test", Path())


def near(ms: float, seed: int = 0) -> Callable[[], list[float]]:
    """Blocks of runs near a time, with noise of a launch's size."""
    rng = np.random.default_rng(seed)
    return lambda: (ms * np.exp(np.abs(rng.normal(0, 0.01, 6)))).tolist()


def places(times: dict[str, float], slow: dict[str, float]) -> Places:
    return Places(
        ScriptedTarget({name: near(ms, 1) for name, ms in times.items()}),
        ScriptedTarget({name: near(ms, 2) for name, ms in slow.items()}, version="scripted 2"),
    )


def gate(
    builds: tuple[Build, Build], where: Places, faces: FaceSet, patterns: Sequence[str] = ()
) -> tuple[gating.Gated, ...]:
    pairs = pair_variants(*builds, patterns)
    return gate_pairs(builds, pairs, where, faces, CONFIG, RULES, SILENT)


def test_a_slower_variant_is_a_regression_and_the_others_pass(make: Make, faces: FaceSet) -> None:
    names = ("onnx/float32", "onnx/int8", "tflite/int8")
    builds = Build("old", make("old", *names)), Build("new", make("new", *names))
    where = places(dict.fromkeys(names, 2.0), dict.fromkeys(names, 2.0) | {"onnx/int8": 2.2})
    found = gate(builds, where, faces)
    statuses = {each.verdict.variant: each.verdict.status for each in found}
    assert statuses == {"onnx/float32": "pass", "onnx/int8": "regression", "tflite/int8": "pass"}
    assert exit_code([each.verdict for each in found]) == 1
    slow = found[1]
    assert slow.verdict.checks[0].value == pytest.approx(1.1, abs=0.01)
    assert slow.verdict.reason == "another engine version: scripted 2 against scripted 1"
    assert slow.baseline is not None and slow.candidate is not None
    assert len(slow.baseline.launches) == len(slow.candidate.launches) == 24
    for target in (where.baseline, where.candidate):
        assert isinstance(target, ScriptedTarget) and target.open == 0


def test_faster_but_with_another_engine_is_said(make: Make, faces: FaceSet) -> None:
    build = Build("b", make("b", "onnx/int8"))
    [found] = gate((build, build), places({"onnx/int8": 2.0}, {"onnx/int8": 1.0}), faces)
    assert found.verdict.status == "pass"
    assert found.verdict.reason.startswith("faster, but another engine version: scripted 2")


def test_faster_but_wrong_is_a_drift(make: Make, faces: FaceSet) -> None:
    build = Build("b", make("b", "onnx/int8"))
    where = places({"onnx/int8": 2.0}, {"onnx/int8": 1.0})
    assert isinstance(where.candidate, ScriptedTarget)
    where.candidate.shift_px = 40.0
    [found] = gate((build, build), where, faces)
    statuses = {check.name: check.status for check in found.verdict.checks}
    assert statuses["latency_baseline"] == "pass" and statuses[DRIFT] == "accuracy drift"
    assert exit_code([found.verdict]) == 5
    drift = found.verdict.evidence["drift"]
    assert drift["rise"]["low"] > RULES.drift and len(drift["by_landmark"]) == 68
    read = Verdict.from_json(json.loads(json.dumps(found.verdict.to_json())))
    assert read.evidence == found.verdict.evidence


def test_a_regression_names_its_operator(make: Make, faces: FaceSet) -> None:
    build = Build("b", make("b", "onnx/int8"))
    where = places({"onnx/int8": 2.0}, {"onnx/int8": 2.5})
    for target, ms in ((where.baseline, 1.0), (where.candidate, 1.5)):
        assert isinstance(target, ScriptedTarget)
        kinds = {"a": ms, "b": 1.0}
        target.operators = {
            "onnx/int8": [
                {"kind": "Conv", "precision": "i8", "name": name, "ms": duration}
                for name, duration in kinds.items()
            ]
        }
    [found] = gate((build, build), where, faces)
    guilty = found.verdict.evidence["operators"]
    assert guilty[0]["name"] == "a" and guilty[0]["added_ms"] == pytest.approx(0.5)
    text = Judgement("gate", (found.verdict,)).text
    assert "operator a takes 0.500 ms longer (Conv i8)" in text
    assert f"baseline: 0 of {24 * PAIRS} blocks spoiled, governor performance" in text


def test_nobody_asks_for_operators_without_a_regression(make: Make, faces: FaceSet) -> None:
    build = Build("b", make("b", "onnx/int8"))
    where = places({"onnx/int8": 2.0}, {"onnx/int8": 2.0})
    [found] = gate((build, build), where, faces)
    assert found.verdict.evidence["operators"] is None
    assert found.verdict.checks[-1].reason == "12 faces of 3 persons, the budget needs 12 of 3"


def test_what_stands_in_one_build_alone(make: Make, faces: FaceSet) -> None:
    builds = (
        Build("old", make("old", "onnx/int8", "tflite/int8", "openvino/int8", "ncnn/int8!")),
        Build("new", make("new", "onnx/int8", "onnx/float32", "openvino/int8!", "ncnn/int8!")),
    )
    found = gate(builds, places({"onnx/int8": 2.0}, {"onnx/int8": 2.0}), faces)
    said = {each.verdict.variant: (each.verdict.status, each.verdict.reason) for each in found}
    assert said["onnx/float32"] == ("not judged", "new: the baseline has no such variant")
    assert said["tflite/int8"] == ("not measured", "the baseline has it, the candidate has not")
    assert said["openvino/int8"] == ("not measured", "the candidate was not built: why")
    assert said["ncnn/int8"] == ("not judged", "the baseline was not built: why")
    assert exit_code([each.verdict for each in found]) == 3
    with pytest.raises(NotMeasuredError, match="there is nothing to compare\n.*onnx/float32: new"):
        gate(builds, places({}, {}), faces, ("onnx/float32",))


def test_a_variant_that_dies_is_not_measured(make: Make, faces: FaceSet) -> None:
    build = Build("b", make("b", "onnx/int8"))
    [found] = gate((build, build), places({"onnx/int8": 2.0}, {}), faces)
    assert found.verdict.status == "not measured"
    assert found.verdict.reason == "the candidate: onnx/int8 died"


def test_an_empty_evaluation_set(make: Make, faces: FaceSet) -> None:
    build = Build("b", make("b", "onnx/int8"))
    none = dataclasses.replace(faces, faces=())
    with pytest.raises(LandmintError, match="the evaluation set is empty"):
        gate((build, build), places({}, {}), none)


def test_which_variants_make_pairs(make: Make, tmp_path: Path) -> None:
    make("b", "onnx/float32", "onnx/int8", "tflite/int8")
    whole = open_candidate(f"{tmp_path}/b")
    names = [pair.name for pair in pair_variants(whole, whole, ("*/int8",))]
    assert names == ["onnx/int8", "tflite/int8"]
    one = open_candidate(f"{tmp_path}/b:onnx/int8")
    assert [pair.name for pair in pair_variants(whole, one)] == ["onnx/int8"]
    other = open_baseline(f"{tmp_path}/b:onnx/float32", one, tmp_path)
    assert [pair.name for pair in pair_variants(other, one)] == ["onnx/int8 over onnx/float32"]
    with pytest.raises(LandmintError, match="no variant of the two builds matches 'coreml/\\*'"):
        pair_variants(whole, whole, ("coreml/*",))
    with pytest.raises(LandmintError, match="has no variant 'onnx/int4'"):
        open_candidate(f"{tmp_path}/b:onnx/int4")


def test_a_baseline_that_is_missing(make: Make, tmp_path: Path) -> None:
    make("b", "onnx/int8")
    candidate = open_candidate(f"{tmp_path}/b")
    with pytest.raises(LandmintError, match="there is no baseline ./nowhere\n.*it is no folder\n"):
        open_baseline("./nowhere", candidate, tmp_path)
    with pytest.raises(LandmintError, match="there is no baseline main\n.*in no git repository"):
        open_baseline("main", candidate, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LandmintError, match="is no bundle"):
        open_baseline(f"{tmp_path}/empty", candidate, tmp_path)


def test_a_baseline_of_a_revision(make: Make, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    for names in (("onnx/int8",), ("onnx/int8", "tflite/int8")):
        make("b", *names)
        git(tmp_path, "add", "b")
        git(tmp_path, "commit", "-q", "-m", "b")
    candidate = open_candidate(f"{tmp_path}/b")
    before = open_baseline("HEAD~1", candidate, tmp_path / "s1")
    assert [v.name for v in before.bundle.manifest.variants] == ["onnx/int8"]
    named = open_baseline("HEAD:tflite/int8", candidate, tmp_path / "s2")
    assert named.variant == "tflite/int8"
    with pytest.raises(LandmintError, match="has no revision 'v1'"):
        open_baseline("v1", candidate, tmp_path / "s3")


def test_builds_of_other_tasks(make: Make, tmp_path: Path) -> None:
    candidate = Build("b", make("b", "onnx/int8"))
    outputs = (Output("coordinates", (196,)),)
    make("m", "onnx/int8", contract=dataclasses.replace(CONTRACT, markup="98", outputs=outputs))
    with pytest.raises(LandmintError, match="the candidate has markup 68, the baseline 98"):
        open_baseline(f"{tmp_path}/m", candidate, tmp_path)
    make("s", "onnx/int8", contract=dataclasses.replace(CONTRACT, input_size=32))
    with pytest.raises(LandmintError, match="other contracts: they differ in input_size"):
        open_baseline(f"{tmp_path}/s", candidate, tmp_path)


def test_another_python() -> None:
    assert isinstance(Places.of("host", "/bin/sh").baseline, HostTarget)
    with pytest.raises(LandmintError, match="there is no Python /no/such/python"):
        Places.of("host", "/no/such/python")
    with pytest.raises(LandmintError, match="the target null takes no other Python"):
        Places.of("null", candidate_python="/bin/sh")


def test_the_library_writes_the_verdict_and_the_samples(
    make: Make, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("b", "onnx/int8")
    target = ScriptedTarget({"onnx/int8": near(2.0)})
    monkeypatch.setattr(Places, "of", lambda *_: Places(target, target))
    root = str(faces.faces[0].image.parents[1])
    judgement = api.gate(f"{tmp_path}/b", f"{tmp_path}/b", faces=root, out=tmp_path / "out")
    assert judgement.exit_code == 0 and "latency over baseline" in judgement.text
    assert "12 launches, which find" in judgement.text
    for side in ("baseline", "candidate"):
        assert (tmp_path / "out" / side / "onnx-int8.json").is_file()
    assert (tmp_path / "out" / "verdict.json").is_file()
    history, sides = (
        tmp_path / "h.sqlite",
        [tmp_path / "out" / s for s in ("baseline", "candidate")],
    )
    assert [add_folders(history, sides), add_folders(history, sides)] == [2, 0]


def test_the_gate_tests_itself(
    make: Make, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Build("b", make("b", "onnx/int8"))

    target = ScriptedTarget({"onnx/int8": near(2.0)})
    monkeypatch.setattr(Places, "of", lambda *_: Places(target, target))
    tests = run_self_tests(build, pair_variants(build, build), 2, faces, CONFIG, RULES, SILENT)
    [tested] = tests
    assert [trials.slowdown for trials in tested.trials] == pytest.approx([0, 0.03, 0.05, 0.1])
    assert [trials.regressions for trials in tested.trials] == [0, 2, 2, 2]
    assert tested.trials[3].ratio == pytest.approx(1.1, abs=0.01)
    assert tested.trials[0].rate[2] == pytest.approx(1 - 0.025**0.5)
    assert "| onnx/int8 | 0% | " in self_test_table(tests)
    write_self_tests(tests, tmp_path)
    assert (tmp_path / "self-test.json").is_file() and (tmp_path / "self-test.md").is_file()
    with pytest.raises(LandmintError, match="a self-test of 0 gates"):
        run_self_tests(build, (), 0, faces, CONFIG, RULES, SILENT)
