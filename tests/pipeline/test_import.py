"""A network of somebody else's goes the whole way of one that was trained here."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from landmint import api
from landmint.pipeline import cli
from landmint.pipeline.judge.gate import Limits, judge
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.report.gather import gather
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.readers import Split
from landmint.train.faces.synthetic import write_synthetic
from tests.export.importing.conftest import foreign_onnx, write_contract
from tests.export.importing.networks import contract_of, write_package

NAMES = "onnx/float32", "onnx/int8"
QUICK = {"launches": 1, "samples": 4, "seconds": 0.2}


def _ask(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a run's, of a foreign network: faces, bundle, measurements."""
    folder = tmp_path_factory.mktemp("run")
    counts: dict[Split, int] = {"train": 16, "val": 2, "test": 6}
    write_synthetic(folder / "faces", counts, get_markup("68"), 64, seed=1)
    foreign_onnx(folder / "net.onnx", layout="NHWC")
    contract = write_contract(folder / "contract.toml", "NHWC")
    words = "--contract", contract, "--format", "onnx", "--faces", folder / "faces"
    result = _ask("import", folder / "net.onnx", *words, "--out", folder / "float")
    assert result.exit_code == 0, result.output
    config = api.QuantizeConfig(formats=("onnx",), size=8, explain=True)
    api.quantize(folder / "float", folder / "bundle", config=config, faces=folder / "faces")
    api.measure(
        folder / "bundle",
        folder / "measurements",
        config=api.MeasureConfig(**QUICK),
        faces=folder / "faces",
    )
    return folder


def test_the_file_is_the_reference_and_stays_as_it_came(run: Path) -> None:
    bundle = Bundle.open(run / "bundle")
    assert bundle.manifest.reference.name == "original/float32"
    kept = bundle.entry(bundle.manifest.reference)
    assert kept.read_bytes() == (run / "net.onnx").read_bytes()
    names = [variant.name for variant in bundle.manifest.variants]
    assert names == ["original/float32", "onnx/float32", "onnx/int8"]


def test_it_is_linted(run: Path) -> None:
    result = _ask("export", "--lint", run / "bundle")
    assert result.exit_code == 0, result.output
    assert "onnx/float32.onnx" in result.output


def test_drift_is_over_the_file(run: Path) -> None:
    record = gather(run)
    assert record.reference is not None and record.reference.name == "original/float32"
    by_name = {summary.name: summary for summary in record.summaries}
    apart = {name: summary.difference for name, summary in by_name.items()}
    plain, int8 = apart["onnx/float32"], apart["onnx/int8"]
    assert plain and int8
    assert plain.displacement.estimate < 1e-4 < int8.displacement.estimate
    assert by_name["original/float32"].latency is None

    truth = read_truth(run / "measurements" / TRUTH_FILE)
    limits = Limits(displacement_percent={"*": 1e-3}, size_mib={"*": 1e-9})
    raw = [summary.measurement for summary in record.summaries]
    checks = {v.variant: {c.name: c.status for c in v.checks} for v in judge(raw, truth, limits)}
    assert checks["original/float32"] == {}
    assert checks["onnx/float32"] == {"displacement_percent": "pass", "size_mib": "regression"}
    assert checks["onnx/int8"]["displacement_percent"] != "pass"


def test_it_predicts_and_is_reported(run: Path) -> None:
    picture = next((run / "faces/test").glob("*.png"))
    words = "--bundle", run / "bundle", "--box", "5,5,50,50", "--out", run / "predictions"
    result = _ask("predict", picture, *words)
    assert result.exit_code == 0, result.output
    assert "onnx/float32" in result.output
    page = api.report(run).read_text(encoding="utf-8")
    assert "original/float32" in page and "float student" not in page


def test_a_pytorch_network_goes_the_same_way(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_package(tmp_path))
    model, faces = "package_of_nets.nets:build", run / "faces"
    config = api.ExportConfig(formats=("onnx",), parity_faces=2)
    contract = contract_of(tmp_path, "points", "more.0")
    api.import_(model, contract, tmp_path / "float", config=config, faces=faces)
    int8 = api.QuantizeConfig(formats=("onnx",), size=8)
    api.quantize(tmp_path / "float", tmp_path / "bundle", config=int8, faces=faces)
    quick = api.MeasureConfig(**QUICK)
    api.measure(tmp_path / "bundle", tmp_path / "measurements", config=quick, faces=faces)
    summaries = gather(tmp_path).summaries
    assert [summary.name for summary in summaries] == ["original/float32", *NAMES]
    plain, quantised = (summary.difference for summary in summaries[1:])
    assert plain and quantised
    assert plain.displacement.estimate < 1e-4 < quantised.displacement.estimate


def test_a_reference_of_another_contract_is_not_measured(run: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(run / "float")
    binding = run / "float/original/binding.json"
    text = binding.read_text(encoding="utf-8")
    try:
        binding.write_text(text.replace("BGR", "RGB"), encoding="utf-8")
        with pytest.raises(LandmintError, match="differs from its hash"):
            Bundle.open(bundle.path)
        from landmint.pipeline.opening import load_reference

        with pytest.raises(LandmintError, match="another contract"):
            load_reference(bundle)
    finally:
        binding.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "wording"),
    [
        (["--format", "onyx"], "unknown format 'onyx'"),
        (["--contract", "none.toml"], "none.toml does not exist"),
    ],
)
def test_a_wrong_call_is_one_message(words: list[str], wording: str, tmp_path: Path) -> None:
    foreign_onnx(tmp_path / "net.onnx")
    contract = write_contract(tmp_path / "contract.toml")
    given = "--contract", contract, "--out", tmp_path / "b"
    result = _ask("import", tmp_path / "net.onnx", *given, *words)
    assert result.exit_code == 2 and wording in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "b").exists()
