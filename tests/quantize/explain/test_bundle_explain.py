"""A bundle is explained as a whole: layers, engines, and its JSON."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from landmint.export.embed import write_contract
from landmint.quantize.decide.decision import RANGES, write_decision
from landmint.quantize.explain.bundle_explain import explain
from landmint.quantize.explain.explanation import Explanation, read_explanation, write_explanation
from landmint.quantize.forms.onnx import quantize
from landmint.quantize.job import Job
from landmint.runtime.bundle import Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import FaceSet


class Steps(list[str]):
    """Notes the steps that are reported."""

    def at(self, done: int, total: int, note: str = "") -> None:
        self.append(f"{done}/{total} {note}")

    def step(self, note: str) -> None:
        self.append(note)


@pytest.fixture(scope="module")
def explained(
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    tensors: NDArray[np.float32],
    module_faces: Callable[..., FaceSet],
    tmp_path_factory: pytest.TempPathFactory,
    job_of: Callable[..., Job],
) -> tuple[Explanation, list[str]]:
    """A bundle of ONNX alone, whose INT8 graph has other weights than the float one."""
    contract, steps = contract_of("coordinates"), Steps()

    def build(folder: Path) -> Manifest:
        (folder / "onnx").mkdir()
        source, target = folder / "onnx/float32.onnx", folder / "onnx/int8.onnx"
        onnx.save(graph_of("coordinates"), source)
        job = job_of(source, target, tensors, contract, equalise=True, reduce_range=True)
        quantize(job)
        write_decision(folder / RANGES, job.decision)
        for path in (source, target):
            write_contract(path, contract)
        names = ("onnx/float32", "onnx/int8")
        variants = tuple(Variant(name, "onnxruntime", (f"{name}.onnx",)) for name in names)
        return Manifest("tiny", contract, variants)

    bundle = write_bundle(tmp_path_factory.mktemp("explain") / "bundle", build)
    faces = module_faces("val", 12)
    found = explain(bundle, faces, steps)
    return found, steps


def test_built_and_simulated_agree(explained: tuple[Explanation, list[str]]) -> None:
    found, _ = explained
    assert (found.model, found.faces, found.split) == ("tiny", 12, "val")
    assert found.built.displacement_px > 0
    assert found.simulated.displacement_px == pytest.approx(found.built.displacement_px, rel=0.3)


@pytest.mark.parametrize("name", ["onnx/float32", "onnx/int8", "tflite/float32"])
def test_an_artefact_of_another_contract_is_refused_before_any_work(
    name: str,
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    make_faces: Callable[..., FaceSet],
    tmp_path: Path,
) -> None:
    contract = contract_of("coordinates")
    other = dataclasses.replace(contract, mean=(1.0, 2.0, 3.0))

    def build(folder: Path) -> Manifest:
        variants = []
        for label in ("onnx/float32", "onnx/int8", "tflite/float32"):
            path = folder / f"{label.replace('/', '-')}.onnx"
            onnx.save(graph_of("coordinates"), path)
            write_contract(path, other if label == name else contract)
            variants.append(Variant(label, "onnxruntime", (path.name,)))
        return Manifest("tiny", contract, tuple(variants))

    steps = Steps()
    bundle = write_bundle(tmp_path / "bundle", build)
    with pytest.raises(LandmintError, match=f"{name.replace('/', '-')}.* another contract"):
        explain(bundle, make_faces("val", 2), steps)
    assert not steps


def test_steps_are_told(explained: tuple[Explanation, list[str]]) -> None:
    _, steps = explained
    assert steps[0] == "0/7 stem"
    assert steps[-1] == "7/7 compare engines"


def test_engines_that_are_not_there_are_named_with_the_reason(
    explained: tuple[Explanation, list[str]],
) -> None:
    pairs = explained[0].divergences
    assert [pair.right.split(" ")[0] for pair in pairs] == [
        *("onnx/float32", "openvino/float32", "tflite/float32"),
        *("onnx/int8", "openvino/int8", "tflite/int8"),
    ]
    for pair in pairs:
        compared = pair.right.startswith("onnx")
        assert bool(pair.reason) != compared
        assert not pair.operator
        assert (pair.computed > 0) == compared


def test_worst_come_first_and_float_layers_last(explained: tuple[Explanation, list[str]]) -> None:
    found, _ = explained
    ordered = found.worst_first()
    costs = [layer.alone.displacement_px for layer in ordered if layer.alone]
    assert costs == sorted(costs, reverse=True)
    assert [layer.name for layer in ordered if not layer.quantised] == ["coordinates"]
    assert ordered[-1].name == "coordinates"


def test_it_survives_json(explained: tuple[Explanation, list[str]], tmp_path: Path) -> None:
    found, _ = explained
    path = tmp_path / "explain.json"
    write_explanation(path, found)
    assert read_explanation(path) == found
    content = json.loads(path.read_text())
    for broken in ({**content, "schema": 9}, {**content, "layers": [{}]}, {"schema": 1}):
        path.write_text(json.dumps(broken))
        with pytest.raises(LandmintError, match="is incomplete"):
            read_explanation(path)
