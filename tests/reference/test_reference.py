"""Every shipped model is as accurate as when it was published, in every form that runs here.

Drawn faces are the same everywhere. The recipe's own test faces are measured where they are, and by
INT8 alone: they decide its ranges, while the float forms are the same files on both.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.reference import (
    DRAWN,
    Measured,
    add_int8,
    draw_faces,
    make_float_forms,
    measure_forms,
    read_reference,
)
from landmint.pipeline.run import Run
from landmint.pipeline.text import number
from landmint.runtime.bundle import Bundle
from landmint.runtime.crop import Floats
from landmint.runtime.embedded import read_contract
from landmint.runtime.engines import load_engine
from landmint.runtime.files import sha256_file
from landmint.runtime.machine import identify
from landmint.train.evaluate import evaluate
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import FacesConfig, Split, load_faces
from landmint.train.models import load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.zoo import SUFFIX, Shipped, folder, shipped

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
MOST_BYTES = 25_000_000
RealFaces = Callable[[str | Path], Path]
MakeOnce = Callable[[str, Callable[[Path], object]], Path]
TORCH = "torch/float32"

each_model = pytest.mark.parametrize(
    "model", shipped(), ids=lambda model: model.name, scope="module"
)


@pytest.fixture(scope="module")
def faces(make_once: MakeOnce) -> Mapping[Split, FaceSet]:
    """The drawn faces of the reference, all in 68 points; not to be changed."""
    root = make_once("drawn", lambda folder: draw_faces(folder, "68", DRAWN))
    config = FacesConfig(root=root, markup="68", synthetic=DRAWN)
    return {split: load_faces(config, split, Path()) for split in DRAWN.counts}


@pytest.fixture(scope="module")
def network(model: Shipped) -> LandmarkModel:
    return load_model(model.weights)


@pytest.fixture(scope="module")
def float_forms(
    model: Shipped,
    network: LandmarkModel,
    faces: Mapping[Split, FaceSet],
    make_once: MakeOnce,
) -> Bundle:
    """Its float forms, which INT8 is made of for both sets of faces; not to be changed."""

    def fill(folder: Path) -> None:
        make_float_forms(network, _recipe(model), faces["val"], folder / "float")

    return Bundle.open(make_once(model.name, fill) / "float")


@each_model
def test_a_card_and_a_reference_go_with_it(model: Shipped) -> None:
    told = read_reference(HERE / f"{model.name}.toml")
    assert told.weights_sha256 == sha256_file(model.weights), "publish it again"
    assert told.drawn.faces == DRAWN.test
    assert model.about.faces == told.test.what
    assert abs(100 * model.about.nme - told.test.figures[TORCH].nme_percent) < 1e-3
    rows = [line.split(" | ") for line in _card(model).splitlines() if line.startswith("| ")]
    shown = {row[0].removeprefix("| "): row[1:] for row in rows if "/" in row[0]}
    assert set(shown) == set(told.test.figures) == set(told.drawn.figures)
    for variant, figure in told.test.figures.items():
        assert shown[variant][0] == number(figure.nme_percent)
        assert shown[variant][2] == number(told.drawn.figures[variant].nme_percent)


def test_nothing_lies_about_that_belongs_to_no_model() -> None:
    names = {model.name for model in shipped()}
    assert {path.stem for path in folder().glob("*.md")} == names
    assert {path.stem for path in HERE.glob("*.toml")} == names


def test_all_together_are_small_enough_for_a_repository() -> None:
    assert sum(path.stat().st_size for path in folder().glob(f"*{SUFFIX}")) <= MOST_BYTES


@each_model
def test_the_network_is_as_accurate_as_published(
    model: Shipped, network: LandmarkModel, faces: Mapping[Split, FaceSet]
) -> None:
    told = read_reference(HERE / f"{model.name}.toml").drawn
    _compare({TORCH: evaluate(network, faces["test"]).per_face}, told)


@pytest.mark.slow
@each_model
def test_every_form_is_as_accurate_as_published(
    model: Shipped,
    network: LandmarkModel,
    float_forms: Bundle,
    faces: Mapping[Split, FaceSet],
    tmp_path: Path,
) -> None:
    told = read_reference(HERE / f"{model.name}.toml").drawn
    bundle = add_int8(float_forms, _recipe(model), faces, tmp_path / "bundle")
    found = measure_forms(network, bundle, faces["test"])
    assert set(found) == set(told.figures)
    _compare(found, told)


@pytest.mark.slow
@each_model
def test_int8_is_as_accurate_on_its_own_faces(
    model: Shipped,
    real_faces: RealFaces,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    recipe, told = _recipe(model), read_reference(HERE / f"{model.name}.toml").test
    real_faces(recipe.file.parent / recipe.faces.root)
    network = request.getfixturevalue("network")
    float_forms = request.getfixturevalue("float_forms")
    run = Run(recipe, tmp_path)
    own: dict[Split, FaceSet] = {split: run.faces(split) for split in ("train", "test")}
    assert own["test"].fingerprint == told.fingerprint, "other faces than were published with"
    bundle = add_int8(float_forms, recipe, own, tmp_path / "bundle")
    variants = tuple(v for v in bundle.manifest.variants if v.name.endswith("/int8"))
    int8 = replace(bundle, manifest=replace(bundle.manifest, variants=variants))
    found = measure_forms(network, int8, own["test"])
    assert set(found) == {TORCH, "onnx/int8", "openvino/int8", "tflite/int8"}
    _compare(found, told)


def _compare(found: Mapping[str, Floats], told: Measured) -> None:
    """Every form that was measured, against what it had when it was published."""
    apart, figures = {}, told.figures_on(identify())
    for variant, per_face in found.items():
        nme, figure = 100 * float(per_face.mean()), figures[variant]
        if not abs(nme - figure.nme_percent) <= figure.tolerance_points:
            apart[variant] = f"{nme:.4f} %, not {figure.nme_percent} % ± {figure.tolerance_points}"
    assert not apart


def _recipe(model: Shipped) -> Recipe:
    told = read_reference(HERE / f"{model.name}.toml")
    return load_recipe(ROOT / "recipes" / f"{told.recipe}.toml")


def _card(model: Shipped) -> str:
    return model.card.read_text(encoding="utf-8")


@each_model
@pytest.mark.parametrize(("suffix", "engine"), [(".onnx", "onnxruntime"), (".tflite", "litert")])
def test_the_files_that_ship_run_in_integers(model: Shipped, suffix: str, engine: str) -> None:
    """All but a reshape at the end of PFLD; in LiteRT, XNNPACK takes all in one piece."""
    path = folder() / f"{model.name}{suffix}"
    session = load_engine(engine).load(path, read_contract(path), threads=1)
    precision = r"[iu]8( \d+, f32 1)?( \(XNNPACK, 1 partition\))?"
    assert re.fullmatch(precision, session.executed_precision)
