"""What was built and not run is shown as that, beside what was decided, on page and terminal."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from landmint.pipeline import tables
from landmint.pipeline.judge.gate import Limits
from landmint.pipeline.judge.verdicts import judge_measurements
from landmint.pipeline.report import write_report
from landmint.pipeline.report.gather import gather
from landmint.pipeline.report.plans import against_decision, cautions, in_words
from landmint.pipeline.report.words import banner
from landmint.runtime.engines.built import Built
from landmint.runtime.measurement import Measurement, not_measured, write_measurement

BUILT = Built(
    builder="invented 1.0",
    layers={"CONVOLUTION half": 3, "DEQUANTIZE half": 4, "QUANTIZE int8": 2, "CONSTANT int8": 1000},
    weighted=3,
    float_layers=("stem",),
    plan_bytes=3 * 2**20,
    caution="it is no other builder <b>",
)
DECIDED = {"pairs": "2 QuantizeLinear, 4 DequantizeLinear", "float layers": "1 of 3: stem"}


def int8(notes: dict[str, str]) -> Measurement:
    raw = not_measured("pfld-own-112", "tensorrt/int8", "tensorrt", "no driver\n  reason: none")
    return dataclasses.replace(raw, status="built, not run", built=BUILT, notes=notes)


def test_what_was_read_stands_beside_what_was_decided() -> None:
    assert against_decision(int8(DECIDED)) == "as decided"
    assert against_decision(int8({"engine": "not built"})) == ""
    other = int8({**DECIDED, "float layers": "none of 3"})
    assert against_decision(other) == "float layers are 1 of 3: stem, decided was none of 3"
    assert in_words(int8(DECIDED)) == (
        "invented 1.0 parsed 1\N{NARROW NO-BREAK SPACE}009 layers (2 QuantizeLinear, "
        "4 DequantizeLinear; 1 of 3 weighted layers in float), as decided; its plan has 3.00 MiB"
    )
    assert cautions([int8(DECIDED), other]) == ("it is no other builder <b>.",)
    plain = not_measured("tiny", "tensorrt/int8", "tensorrt", "no GPU")
    assert (against_decision(plain), in_words(plain), cautions([plain])) == ("", "", ())


@pytest.fixture
def run(fake_run: Path, tmp_path: Path) -> Path:
    """A run whose INT8 variant of TensorRT was built."""
    shutil.copytree(fake_run, tmp_path / "run")
    write_measurement(tmp_path / "run/measurements", int8(DECIDED))
    return tmp_path / "run"


def test_page_and_terminal_say_so(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    html = write_report(run, run / "report.html").read_text()
    for words in ("built, not run: no driver: none", "it is no other builder &lt;b&gt;"):
        assert words in html
    assert html.count("as decided") == 1
    monkeypatch.setenv("COLUMNS", "300")
    tables.print_measurements(run / "measurements")
    printed = capsys.readouterr().out
    assert "tensorrt/int8: built, not run: no driver\n" in printed
    assert "as decided; its plan has 3.00 MiB\nit is no other builder <b>.\n" in printed


def test_the_gate_takes_it_for_not_measured_and_says_that_it_was_built(run: Path) -> None:
    verdicts = judge_measurements(run / "measurements", Limits(size_mib={"*": 99}), "x").verdicts
    (verdict,) = (verdict for verdict in verdicts if verdict.variant == "tensorrt/int8")
    assert verdict.status == "not measured"
    assert verdict.reason.startswith("it was built, not run: no driver")
    record = dataclasses.replace(gather(run), verdicts=verdicts)
    assert any("tensorrt/int8" in line for line in banner(record).lines)
    assert [summary.name for summary in record.missing] == ["tensorrt/int8"]
