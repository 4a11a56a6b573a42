"""The verbs that take a shipped model by its name, and the one that lists them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from landmint.export.config import ExportConfig
from landmint.pipeline import cli
from landmint.pipeline.draw import write_image
from landmint.runtime.bundle import Bundle
from landmint.runtime.formats import BY_DEFAULT

Ship = Callable[..., Path]


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    write_image(tmp_path / "me.png", image)
    return tmp_path / "me.png"


def _landmint(*words: object) -> Result:
    return CliRunner().invoke(cli.app, list(map(str, words)))


def test_a_photograph_needs_no_bundle(ship: Ship, photograph: Path, tmp_path: Path) -> None:
    ship("better", 0.05)
    ship("worse", 0.06)
    out = tmp_path / "out"
    result = _landmint("predict", photograph, "--box", "20,10,40,40", "--out", out)
    assert result.exit_code == 0, result.output
    assert "(better, torch/float32)" in result.stdout
    told = json.loads((out / "me.json").read_text(encoding="utf-8"))
    assert (told["model"], told["variant"], told["engine"]) == ("better", "torch/float32", "torch")
    points = np.array(told["faces"][0]["points"])
    assert points.shape == (68, 2)
    assert np.isfinite(points).all()


WITHOUT_TORCH = """
import sys
from pathlib import Path

for name in ("torch", "torchvision", "timm", "lightning", "tensorflow", "onnx"):
    sys.modules[name] = None  # an import of it fails
from landmint.train import zoo

folder = Path(sys.argv.pop(1))
zoo.folder = lambda: folder
from landmint.pipeline.__main__ import main

sys.exit(main())
"""


MODULES = """
import sys
from landmint.pipeline.cli import app

app(standalone_mode=False)
print(*sys.modules, sep="\\n")
"""
HEAVY = ("torch", "torchvision", "timm", "tensorflow", "onnx", "openvino", "scipy", "pandas")
ROOMS = ("train.models", "train.fit", "export", "quantize", "targets", "pipeline.judge")


def test_a_first_prediction_imports_what_it_needs(photograph: Path, tmp_path: Path) -> None:
    """How soon the first landmarks come is mostly how much is imported before them."""
    words = ["predict", str(photograph), "--box", "20,10,40,40", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", MODULES, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if "torch/float32" in done.stdout:
        pytest.skip("not measured: no engine for a shipped form is installed")
    imported = done.stdout.split()
    assert not {name.split(".")[0] for name in imported} & {*HEAVY, "matplotlib", "jinja2"}
    own = [name.removeprefix("landmint.") for name in imported if name.startswith("landmint.")]
    assert not [name for name in own if name.startswith(ROOMS)]
    assert "runtime.predict" in own
    assert "runtime.latency" not in own, "what measures is not what predicts"


@pytest.mark.slow
def test_a_shipped_form_needs_no_torch(ship: Ship, photograph: Path, tmp_path: Path) -> None:
    from landmint import api

    weights = ship("better", 0.05)
    bundle = api.export(weights, tmp_path / "bundle", config=ExportConfig(formats=("onnx",)))
    shutil.copy(bundle.entry(bundle.variant("onnx/float32")), weights.with_suffix(".onnx"))
    words = ["predict", str(photograph), "--model", "better", "--box", "20,10,40,40", "--out"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, weights.parent, *words, tmp_path / "form"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    done_by_torch = _landmint(*words, tmp_path / "torch", "--variant", "torch/float32")
    assert done_by_torch.exit_code == 0, done_by_torch.output
    form, torch = (
        json.loads((tmp_path / name / "me.json").read_text(encoding="utf-8"))
        for name in ("form", "torch")
    )
    assert (form["variant"], form["engine"]) == ("onnx/int8", "onnxruntime")
    assert (torch["variant"], torch["engine"]) == ("torch/float32", "torch")
    points = (np.array(told["faces"][0]["points"]) for told in (form, torch))
    assert next(points) == pytest.approx(next(points), abs=0.02)


def test_another_model_is_named_or_lies_somewhere(
    ship: Ship, photograph: Path, tmp_path: Path
) -> None:
    ship("better", 0.05)
    path = ship("worse", 0.06)
    found = []
    for model in ("worse", path):
        out = tmp_path / Path(model).stem / "out"
        words = ("--model", model, "--box", "20,10,40,40", "--out", out)
        assert _landmint("predict", photograph, *words).exit_code == 0
        found.append((out / "me.json").read_text(encoding="utf-8"))
    assert found[0] == found[1]
    assert '"model": "worse"' in found[0]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--model", "beter"], 2, "did you mean better?"),
        (["--model", "better", "--variant", "onnx/int8"], 2, "better.safetensors has no variant"),
        (["--model", "better", "--box", "90,90,5,5"], 2, "lies outside"),
    ],
)
def test_what_cannot_be_done_is_said(
    ship: Ship, photograph: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    ship("better", 0.05)
    result = _landmint("predict", photograph, "--out", tmp_path / "out", *words)
    assert result.exit_code == code
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["predict", "me.png"], ["models"]])
def test_without_models_there_is_one_message(ship: Ship, words: list[str]) -> None:
    result = _landmint(*words)
    assert result.exit_code == 3
    assert "no model is shipped with this landmint" in result.stderr
    assert "landmint run demo" in result.stderr
    assert not result.stdout


def test_models_are_listed_with_their_figures(ship: Ship) -> None:
    ship("worse", 0.0612)
    ship("better", 0.0512)
    shown = _landmint("models").stdout
    places = [shown.index(words) for words in ("better", "5.12", "worse", "6.12")]
    assert places == sorted(places), "the best comes first, each with its error"
    assert "pfld" in shown


@pytest.mark.slow
def test_a_shipped_model_is_exported_without_a_data_set(
    ship: Ship, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship("tiny", 0.05)
    monkeypatch.chdir(tmp_path)
    assert ExportConfig().formats == BY_DEFAULT
    onnx_alone = partial(ExportConfig, formats=("onnx",))  # test_every_format.py tries them all
    monkeypatch.setattr("landmint.export.config.ExportConfig", onnx_alone)
    result = _landmint("export", "tiny", "--out", "bundle")
    assert result.exit_code == 0, result.output
    bundle = Bundle.open(tmp_path / "bundle")
    built = {variant.name for variant in bundle.manifest.variants if variant.files}
    assert built == {"torch/float32", "onnx/float32"}
    assert "over 16 crops" in bundle.variant("onnx/float32").notes["parity"]
    assert _landmint("export", "tiny", "--lint").exit_code == 0


def test_export_knows_the_shipped_names(ship: Ship, tmp_path: Path) -> None:
    ship("tiny", 0.05)
    result = _landmint("export", "tny", "--out", tmp_path / "bundle")
    assert result.exit_code == 2
    assert "did you mean tiny?" in result.stderr
    assert not (tmp_path / "bundle").exists()
