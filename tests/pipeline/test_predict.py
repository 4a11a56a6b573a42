"""`landmint predict`: landmarks in photographs, as pictures and as JSON."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.pipeline.draw import write_image
from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.crop import Box, Image
from landmint.train.faces.face import read_image

CONTRACT = Contract(
    markup="68",
    input_size=32,
    crop=CropRule((1.2, 1.2), square=True),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """One variant that was not built, one for an engine that runs anywhere."""

    def build(folder: Path) -> Manifest:
        (folder / "model").write_bytes(b"nothing")
        variants = (
            Variant("torch/float32", "torch", ("model",)),
            Variant("tensorrt/int8", "tensorrt", reason="no NVIDIA GPU here"),
            Variant("null/float32", "null", ("model",)),
        )
        return Manifest("fake", CONTRACT, variants)

    return write_bundle(tmp_path / "bundle", build).path


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    write_image(tmp_path / "me.png", image)
    return tmp_path / "me.png"


def _predict(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["predict", *map(str, words)])


def test_landmarks_are_drawn_and_written(bundle: Path, photograph: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = _predict(photograph, "--bundle", bundle, "--box", "20,10,40,40", "--out", out)
    assert result.exit_code == 0, result.output
    told = json.loads((out / "me.json").read_text(encoding="utf-8"))
    assert (told["image"], told["variant"], told["engine"]) == ("me.png", "null/float32", "null")
    (face,) = told["faces"]
    assert face["box"] == [20, 10, 40, 40]
    assert face["box_from"] == "given"
    points = np.array(face["points"])
    assert points.shape == (68, 2)
    assert len(face["confidence"]) == 68
    # The crop is 48 px wide around (40, 30): nothing can be far outside it.
    assert np.abs(points - [40, 30]).max() <= 25
    assert read_image(out / "me.png").shape == (240, 320, 3), "a small face is shown larger"


def test_several_faces_are_found(
    bundle: Path, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two(image: Image) -> list[Box]:
        return [Box(5, 5, 30, 30), Box(40, 10, 20, 20)]

    monkeypatch.setattr("landmint.pipeline.detect.find_faces", two)
    assert _predict(photograph, "--bundle", bundle, "--out", tmp_path / "out").exit_code == 0
    told = json.loads((tmp_path / "out" / "me.json").read_text(encoding="utf-8"))
    assert [face["box"][0] for face in told["faces"]] == [5, 40]
    assert {face["box_from"] for face in told["faces"]} == {"found"}


def test_no_face_is_told_and_is_no_success(bundle: Path, photograph: Path, tmp_path: Path) -> None:
    result = _predict(photograph, "--bundle", bundle, "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "no face was found; give it with --box" in result.stderr
    assert json.loads((tmp_path / "out" / "me.json").read_text(encoding="utf-8"))["faces"] == []


def test_pictures_of_one_name_do_not_overwrite_each_other(
    bundle: Path, photograph: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "me.png"
    write_image(other, read_image(photograph)[:50])
    out = tmp_path / "out"
    _predict(photograph, other, "--bundle", bundle, "--box", "1,1,30,30", "--out", out)
    assert sorted(path.name for path in out.iterdir()) == [
        "me-1.json",
        "me-1.png",
        "me-2.json",
        "me-2.png",
    ]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--variant", "tensorrt/int8"], 3, "tensorrt/int8 was not built"),
        (["--variant", "torch/float32"], 2, "torch/float32 is not run by `predict`"),
        (["--variant", "tflite/int4"], 2, "has no variant 'tflite/int4'"),
        (["--box", "90,10,20,20"], 2, "lies outside"),
        (["--box", "1,1,0,5"], 2, "is no face box"),
    ],
)
def test_what_cannot_be_done_is_said(
    bundle: Path, photograph: Path, tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    out = tmp_path / "out"
    result = _predict(photograph, "--bundle", bundle, "--out", out, *options)
    assert result.exit_code == code
    assert said in result.stderr
    assert not out.exists()


def test_a_path_to_no_file_stops_before_any_work(
    bundle: Path, photograph: Path, tmp_path: Path
) -> None:
    """It is a slip of the hand; a file that is broken is left out, see `strangers`."""
    none, out = tmp_path / "none.jpg", tmp_path / "out"
    result = _predict(photograph, none, "--bundle", bundle, "--box", "1,1,9,9", "--out", out)
    assert result.exit_code == 2
    assert "cannot read the image" in result.stderr
    assert not out.exists()


def test_a_bundle_whose_file_was_changed_is_refused(
    bundle: Path, photograph: Path, tmp_path: Path
) -> None:
    (bundle / "model").write_bytes(b"something")
    result = _predict(photograph, "--bundle", bundle, "--box", "1,1,9,9")
    assert result.exit_code == 2
    assert "differs from its hash" in result.stderr


def test_a_bundle_that_nothing_here_can_run(photograph: Path, tmp_path: Path) -> None:
    def build(folder: Path) -> Manifest:
        missing = Variant("tensorrt/int8", "tensorrt", reason="no NVIDIA GPU here")
        return Manifest("fake", CONTRACT, (missing, replace(missing, name="tensorrt/float16")))

    bundle = write_bundle(tmp_path / "bundle", build).path
    assert len(Bundle.open(bundle).manifest.variants) == 2
    result = _predict(photograph, "--bundle", bundle, "--box", "1,1,9,9")
    assert result.exit_code == 3
    assert "no NVIDIA GPU here" in result.stderr
    assert "landmint doctor" in result.stderr
