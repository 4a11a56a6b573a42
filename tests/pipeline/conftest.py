"""A run folder as the stages leave it, with invented landmarks and times: seconds, no engine."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landmint.export.config import LINT_FILE
from landmint.export.finding import Finding, write_findings
from landmint.pipeline.judge.gate import Limits
from landmint.pipeline.judge.truth import TRUTH_FILE, write_truth
from landmint.pipeline.judge.verdicts import judge_measurements
from landmint.pipeline.places import RECORDS
from landmint.pipeline.report import write_report
from landmint.quantize.explain.explanation import (
    EXPLANATION,
    Cost,
    Divergence,
    Explanation,
    Layer,
    write_explanation,
)
from landmint.runtime.accuracy import Truth
from landmint.runtime.bundle import Manifest, Variant, write_bundle
from landmint.runtime.files import write_json, write_text
from landmint.runtime.latency import Block, Launch, WarmUp
from landmint.runtime.machine import Machine
from landmint.runtime.markup import get_markup
from landmint.runtime.measurement import Measurement, not_measured, write_measurement
from landmint.train.evaluate import truth_of
from landmint.train.faces.readers import FacesConfig, load_faces
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.models import ModelConfig, create_model, save_model

# Variant: engine, warm ms, displacement in px, size in MiB.
INVENTED = {
    "torch/float32": ("torch", None, 0.0, 4.0),
    "onnx/float32": ("onnxruntime", 2.1, 1e-6, 4.0),
    "onnx/int8": ("onnxruntime", 1.2, 0.4, 1.1),
    "openvino/float32": ("openvino", 1.6, 2e-6, 4.0),
    "openvino/float16": ("openvino", 1.62, 0.02, 2.0),
    "openvino/int8": ("openvino", 0.9, 0.25, 1.2),
    "tflite/float32": ("litert", 2.9, 3e-6, 4.0),
    "tflite/int8": ("litert", 3.4, 0.9, 1.05),
}
HOSTILE = "<script>alert('x')</script> & \"quotes\""
FINDING = Finding(
    rule="tflite-outside-int8",
    target="tflite",
    severity="warning",
    fact="Softmax stays outside",
    nodes=("head",),
    reason="each border costs a copy",
    remedy="decode on the device",
)
FACES = 24


@pytest.fixture(scope="session")
def fake_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fake_run(tmp_path_factory.mktemp("runs") / "fake")


@pytest.fixture(scope="session")
def page(fake_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(fake_run, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="session")
def make_run() -> Callable[[Path], Path]:
    return make_fake_run


def make_fake_run(run: Path) -> Path:
    truth = _faces(run)
    _networks(run)
    _bundle(run)
    write_explanation(run / "bundle" / EXPLANATION, invented_losses())
    _measurements(run, truth)
    limits = Limits(drift_percent={"*/int8": 0.5}, latency_ratio={"*/int8": 1.0}, size_mib={"*": 8})
    limits = dataclasses.replace(limits, optional=("tensorrt/*",))
    judge_measurements(run / "measurements", limits, "fake").write(run / "verdict")
    asked = {"name": "fake", "about": f"Invented figures, to test the page. {HOSTILE}"}
    recipe = {"recipe": 'about = "the recipe itself"', "command": "landmint run fake.toml"}
    write_json(run / "run.json", {"schema": 1, **asked, **recipe})
    for name, seconds in (("student", 61.0), ("bundle", 12.5)):
        inputs = {"revision": 1, "upstream": {}, "settings": {"epochs": 3}}
        record = {"schema": 1, "stage": name, "digest": "0" * 64, "outcome": "1" * 64}
        write_json(run / RECORDS / f"{name}.json", record | {"inputs": inputs, "seconds": seconds})
    return run


def invented_losses() -> Explanation:
    """Twenty layers, of which the fifth is bad and the last stays in float."""
    layers = [
        Layer(
            name=f"node_{i}",
            weight=f"model.trunk.blocks.{i}.conv.weight",
            kind="Conv",
            shape=(8, 8, 3, 3),
            macs=1000,
            quantised=i < 19,
            snr_db=30.0 - i / 2,
            cosine=0.999,
            alone=Cost(0.0001 * i, 1.0 if i == 4 else 0.01 * i) if i < 19 else None,
            all_but=Cost(0.0005, 0.2 if i == 4 else 1.1) if i < 19 else None,
        )
        for i in range(20)
    ]
    agree = Divergence("onnx/float32 in onnxruntime", "openvino/float32", 1e-3, 90, 5, 1e-6)
    part = Divergence(
        *("onnx/int8 in onnxruntime", "tflite/int8 in litert", 0.3, 80, 9, 0.6),
        *("node_4 (HardSwish)", "hardswish_4", (1.0, 2.0), (1.2, 2.4)),
    )
    absent = dataclasses.replace(agree, right="tflite/float32", reason="it was not built")
    cost = Cost(0.001, 1.1)
    return Explanation(
        *("fake", 64, HOSTILE, 0.05, cost, cost, tuple(layers), (agree, part, absent))
    )


def _faces(run: Path) -> Truth:
    root = run / "faces"
    write_synthetic(root, {"train": 0, "val": 0, "test": FACES}, get_markup("68"), 144, 7)
    faces = load_faces(FacesConfig(root=root), "test", Path())
    images = {face.name: str(face.image.relative_to(root)) for face in faces.faces}
    splits = {"test": {"faces": FACES, "persons": 6, "fingerprint": faces.fingerprint}}
    told = {"kind": "synthetic", "root": str(root), "splits": splits, "test_images": images}
    write_json(root / "faces.json", told)
    return truth_of(faces)


def _networks(run: Path) -> None:
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    shape = 0.5 + 0.3 * np.column_stack([np.cos(angle), np.sin(angle)])
    for role in ("teacher", "student"):
        save_model(
            create_model(ModelConfig(name="pfld", width=0.25, input_size=112), shape),
            run / role / "model.safetensors",
        )
        lines = ["epoch,step,learning_rate,loss,faces_per_s,val_nme,best_nme,seconds"]
        lines += [
            f"{e},{e * 9},0.001,{2.0**-e + 0.01},300,{0.3 / e + 0.04},{0.3 / e + 0.04},{e * 20}"
            for e in range(1, 9)
        ]
        write_text(run / role / "metrics.csv", "\n".join(lines) + "\n")


def _bundle(run: Path) -> None:
    config = ModelConfig(name="pfld", width=0.25, input_size=112)
    from landmint.train.models import load_model

    contract = load_model(run / "student" / "model.safetensors").contract

    def build(folder: Path) -> Manifest:
        write_findings(folder / LINT_FILE, [FINDING])
        variants = []
        for name, (engine, _, _, _) in INVENTED.items():
            file = folder / f"{name}.bin"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(name.encode())
            notes = {"parity": "mean 0.0001 px, max 0.001 px"}
            variants.append(Variant(name, engine, (f"{name}.bin",), notes=notes))
        variants.append(Variant("tensorrt/int8", "tensorrt", reason=HOSTILE))
        return Manifest(
            name="pfld-own-112",
            contract=contract,
            variants=tuple(variants),
            provenance={
                "recipe": "fake",
                "student": {
                    "settings": {"model": config.model_dump(mode="json")},
                    "sha256": "a" * 64,
                },
                "faces": {"kind": "synthetic"},
            },
            tools={"onnx": "1.19", "torch": "2.9"},
            calibration={
                "strategy": "pose",
                "size": 64,
                "seed": 0,
                "source": "synthetic:faces/train",
                "images": [{"name": f"train/p{i:06d}_0", "sha256": f"{i:064x}"} for i in range(64)],
            },
        )

    write_bundle(run / "bundle", build)


def _measurements(run: Path, truth: Truth) -> None:
    rng = np.random.default_rng(0)
    student = truth.points + rng.normal(0, 1.2, truth.points.shape)
    folder = run / "measurements"
    folder.mkdir()
    write_truth(folder / TRUTH_FILE, truth)
    for variant, (engine, warm_ms, displacement_px, size_mib) in INVENTED.items():
        bias = rng.normal(0, 0.5 * displacement_px, (1, 68, 2))
        moved = student + bias + rng.normal(0, displacement_px + 1e-12, student.shape)
        write_measurement(
            folder,
            Measurement(
                bundle="pfld-own-112",
                variant=variant,
                engine=engine,
                status="measured",
                engine_version=f"{engine} 1.0",
                executed_precision="i8 x53, f32 x2" if variant.endswith("int8") else "f32 x55",
                target="host",
                session="2026-01-01T00:00:00+00:00",
                machine=None if warm_ms is None else _machine(),
                size_bytes=int(size_mib * 2**20),
                peak_memory_mib=None if warm_ms is None else 60 + 9 * size_mib,
                baseline_memory_mib=None if warm_ms is None else 55.0,
                launches=() if warm_ms is None else _launches(warm_ms, rng),
                faces=truth.names,
                points=student if variant.startswith("torch") else moved,
            ),
        )
    write_measurement(folder, not_measured("pfld-own-112", "tensorrt/int8", "tensorrt", HOSTILE))


def _launches(warm_ms: float, rng: np.random.Generator) -> tuple[Launch, ...]:
    def block() -> Block:
        samples = warm_ms * np.exp(np.abs(rng.normal(0, 0.05, 12)))
        return Block(tuple(samples.tolist()), float(samples.sum()) * 0.97)

    return tuple(
        Launch(warm_ms * 40, WarmUp(warm_ms * 9, 60, True), tuple(block() for _ in range(20)))
        for _ in range(3)
    )


def _machine() -> Machine:
    return Machine(
        cpu="Imaginary CPU",
        architecture="x86_64",
        cores=2,
        flags=("avx2", "avx512_vnni"),
        memory_mib=7900,
        system="Debian GNU/Linux 12",
        kernel="6.1",
        python="3.11.7",
        packages={"onnxruntime": "1.22"},
    )
