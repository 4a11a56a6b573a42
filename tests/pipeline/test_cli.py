"""The command: quick to answer, verbs in the order of the work, one message for each mistake."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.pipeline.cli.command import print_bundle
from landmint.runtime.bundle import Bundle, Manifest, Variant
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.errors import LandmintError
from landmint.train.zoo import find_model

VERBS = (
    *(
        "run",
        "train",
        "distill",
        "label",
        "export",
        "import",
        "quantize",
        "measure",
        "gate",
        "report",
    ),
    *("predict", "models", "new-recipe", "doctor"),
)


def _ask(*words: str) -> Result:
    return CliRunner().invoke(cli.app, list(words))


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _new_process(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from landmint.pipeline.cli import main; main()", *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_help_shows_the_verbs_in_the_order_of_the_work() -> None:
    shown = _plain(_ask("--help").output)
    places = [re.search(rf"\b{verb} {{2,}}\w", shown) for verb in VERBS]
    starts = [place.start() for place in places if place]
    assert len(starts) == len(VERBS)
    assert starts == sorted(starts)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_examples(verb: str) -> None:
    result = _ask(verb, "--help")
    assert result.exit_code == 0
    shown = _plain(result.output)
    assert "Examples" in shown
    assert f"landmint {verb}" in shown


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom landmint.pipeline.cli import app\n"
        "heavy = 'torch numpy pydantic cv2 matplotlib jinja2 onnx openvino'.split()\n"
        "assert not [name for name in heavy if name in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert _new_process("--help").returncode == 0


def test_without_a_verb_help_is_shown() -> None:
    assert "predict" in _plain(_ask().output)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nowhere.toml"], "cannot read the recipe nowhere.toml"),
        (["train", "nowhere.toml", "--out", "x"], "cannot read the recipe nowhere.toml"),
        (["train", "demo", "--budget", "banana", "--out", "x"], "'banana' is no length of time"),
        (["train", "demo", "--budget", "0", "--out", "x"], "write it as 9m, 1h30m or 90s"),
        (["distill", "demo", "--teacher", "t", "--budget", "9", "--out", "x"], "no length of time"),
        (["export", "no.safetensors", "--out", "x"], "no.safetensors"),
        (["export", "pfld", "--format", "nccn", "--out", "x"], "unknown format 'nccn'"),
        (["quantize", "nowhere", "--out", "x"], "nowhere is no bundle"),
        (["quantize", "b", "--precision", "int4", "--out", "x"], "unknown precision 'int4'"),
        (["measure", "nowhere", "--out", "x"], "nowhere is no bundle"),
        (["measure", "nowhere", "--out", "x", "--target", "moon"], "unknown target 'moon'"),
        (["gate", "nowhere", "--recipe", "nowhere.toml"], "cannot read the recipe"),
        (["report", "nowhere"], "nowhere/bundle is no bundle"),
        (["predict", "no.png", "--bundle", "nowhere"], "nowhere is no file, no folder"),
        (["predict", "no.png", "--bundle", "x", "--box", "1,2,3"], "--box 1,2,3 is no face box"),
        (["predict", "no.png", "--bundle", "x", "--box", "1,2,0,4"], "is no face box"),
        (["predict", "no.png", "--bundle", "x", "--box", "1,2,nan,4"], "is no face box"),
    ],
)
def test_a_mistake_is_one_message_with_exit_code_2(
    words: Sequence[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = _ask(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("landmint: ")
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir()), "a mistake leaves nothing behind"


def test_an_unknown_option_is_a_usage_error() -> None:
    assert _ask("run", "--fast").exit_code == 2
    assert _ask("fly").exit_code == 2


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = _new_process("--debug", "run", str(tmp_path / "no.toml"))
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "cannot read the recipe" in done.stderr.splitlines()[-3]


def test_one_process_makes_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = _ask("run", str(tmp_path / "a.toml"))
    assert result.exit_code == 2
    assert "the work of one process" in result.stderr


def test_a_form_that_could_not_be_made_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    head, outputs = Head("coordinates"), (Output("coordinates", (136,)),)
    contract = Contract("68", 32, CropRule((1.2, 1.2), True), (0, 0, 0), (1, 1, 1), head, outputs)
    variants = [
        Variant("torch/float32", "torch", ("model",)),
        Variant("openvino/int8", "openvino", reason="there is no openvino/float32"),
        Variant("tflite/float32", "litert", reason="onnx2tf does not convert GridSample"),
    ]
    for count, code in ((1, 0), (2, 0), (3, 3)):  # OpenVINO's float form was not asked for
        bundle = Bundle(Path("b"), Manifest("net", contract, tuple(variants[:count])))
        assert print_bundle(bundle) == code
    left_out = "openvino/int8: not made: there is no openvino/float32\n"
    failed = "tflite/float32: not made: onnx2tf does not convert GridSample\n"
    assert capsys.readouterr() == ("b\nb\nb\n", left_out + left_out + failed)


def test_distill_takes_several_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, object]] = []

    def noted(
        recipe: object, teacher: object, out: object, *, lessons: object, **_: object
    ) -> None:
        calls.append((teacher, lessons))
        raise LandmintError("enough")

    monkeypatch.setattr("landmint.api.distill", noted)
    _ask(*"distill demo --teacher a --teacher b --out o --lessons l".split())
    assert calls == [(["a", "b"], Path("l"))]


@pytest.mark.parametrize("budget", [["--budget", "1m"], []])
def test_a_training_with_a_budget_says_what_to_take_along(
    budget: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pair(teacher: object, student: object, out: Path, *_: object) -> Path:
        for role in ("teacher", "student"):
            (out / role).mkdir(parents=True)
            shutil.copy(find_model("pfld"), out / role / "model.safetensors")
        return out / "student" / "model.safetensors"

    monkeypatch.setattr("landmint.train.sharing.train_pair", pair)
    monkeypatch.setattr(
        "landmint.pipeline.given.learning_faces", lambda *_: {"train": None, "val": None}
    )
    monkeypatch.chdir(tmp_path)
    result = _ask("train", "demo", "--role", "both", "--out", "quick", *budget)
    assert result.exit_code == 0, result.output
    written = {str(file) for file in Path("quick").rglob("home/**/*") if file.is_file()}
    if budget:
        assert written == {
            f"quick/home/{role}/model.safetensors" for role in ("teacher", "student")
        }
        assert re.search(r"to take along: quick/home, 2 files, \d\.\d\d MiB", result.stderr)
    else:
        assert not written and "to take along" not in result.stderr


def test_a_reader_that_goes_away_is_no_failure() -> None:
    """As `landmint targets | head -1` does; tables, which Rich writes, end by 1."""
    command = [sys.executable, "-m", "landmint.pipeline", "targets"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() in (1, 141)
