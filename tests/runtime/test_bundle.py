"""A bundle opens whole or says what is wrong."""

from pathlib import Path

import pytest

from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.errors import LandmintError, NotMeasuredError

CONTRACT = Contract(
    markup="68",
    input_size=64,
    crop=CropRule((1.2, 1.2), True),
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
)


def fill(folder: Path) -> Manifest:
    (folder / "tflite").mkdir()
    (folder / "tflite/int8.tflite").write_bytes(b"weights")
    return Manifest(
        name="tiny",
        contract=CONTRACT,
        variants=(
            Variant("tflite/int8", "litert", ("tflite/int8.tflite",), layout="NHWC"),
            Variant("tensorrt/int8", "tensorrt", reason="tensorrt is not installed here"),
        ),
        provenance={"recipe": "tiny.toml"},
        calibration={"strategy": "random"},
    )


def test_round_trip(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "bundle", fill)
    bundle = Bundle.open(tmp_path / "bundle")
    assert bundle == written
    variant = bundle.variant("tflite/int8")
    assert (variant.format, variant.precision) == ("tflite", "int8")
    assert bundle.entry(variant).read_bytes() == b"weights"
    assert bundle.contract_of(variant).input_shape == (1, 64, 64, 3)
    assert bundle.size_bytes(variant) == 7


def test_a_variant_that_was_not_built_gives_its_reason(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", fill)
    with pytest.raises(NotMeasuredError, match="tensorrt is not installed here"):
        bundle.entry(bundle.variant("tensorrt/int8"))
    with pytest.raises(LandmintError, match="choices: tflite/int8, tensorrt/int8"):
        bundle.variant("onnx/int8")


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", fill)
    (bundle.path / "tflite/int8.tflite").write_bytes(b"weighty")
    with pytest.raises(LandmintError, match=r"int8\.tflite differs from its hash"):
        Bundle.open(bundle.path)
    (bundle.path / "tflite/int8.tflite").unlink()
    with pytest.raises(LandmintError, match=r"int8\.tflite is missing"):
        Bundle.open(bundle.path)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="is no bundle"):
        Bundle.open(tmp_path)


def test_a_failed_build_leaves_the_old_bundle(tmp_path: Path) -> None:
    before = write_bundle(tmp_path / "bundle", fill)

    def fail(folder: Path) -> Manifest:
        (folder / "half").write_bytes(b"half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        write_bundle(tmp_path / "bundle", fail)
    assert Bundle.open(tmp_path / "bundle") == before
    assert list(tmp_path.iterdir()) == [tmp_path / "bundle"]
