"""Every stage of the registry: its name, its file, what it needs, and when a recipe asks for it."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from landmint.pipeline import steps
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.record import Record, write_record
from landmint.pipeline.run import Run
from landmint.pipeline.steps import STAGES, stages_of
from landmint.pipeline.steps.weights import (
    check_student_weights,
    gone_weights,
    student_settings,
    teacher_weights,
)
from landmint.runtime.errors import LandmintError

PLAIN = """\
[faces]
kind = "synthetic"
[student.model]
name = "pipnet"
"""
TEACHER = '[teacher.model]\nname = "hrnet"\n'
SELF_TRAINING = '[self_training.faces]\nroot = "more"\n'
QAT = "[qat]\nepochs = 1\n"
EVERYTHING = PLAIN + TEACHER + SELF_TRAINING + QAT


def _run(folder: Path, text: str) -> Run:
    path = folder / "r.toml"
    path.write_text(text, encoding="utf-8")
    return Run(load_recipe(path), folder / "run")


def _needs(run: Run) -> dict[str, tuple[str, ...]]:
    return {stage.name: stage.needs(run) for stage in stages_of(run)}


def test_each_stage_has_a_file_and_a_name_of_its_own(tmp_path: Path) -> None:
    run = _run(tmp_path, EVERYTHING)
    files = [path.partition(":")[0].rpartition(".")[2] for path in STAGES]
    assert [stage.name for stage in stages_of(run)] == [name.replace("_", "-") for name in files]
    assert len(set(files)) == len(STAGES)
    sources = Path(steps.__file__).parent.glob("*.py")
    stages = {file.stem for file in sources if re.search(r"^\w+ = Stage\(", file.read_text(), re.M)}
    assert stages == set(files), "a stage without a line in the registry never runs"


def test_each_stage_comes_after_what_it_needs(tmp_path: Path) -> None:
    needs = _needs(_run(tmp_path, EVERYTHING))
    for i, name in enumerate(needs):
        assert set(needs[name]) <= set(list(needs)[:i]), name


def test_each_stage_has_a_place_of_its_own(tmp_path: Path) -> None:
    run = _run(tmp_path, EVERYTHING)
    places = [stage.place_in(run, "0123456789abcdef") for stage in stages_of(run)]
    assert len(set(places)) == len(places)


def test_settings_are_json_and_do_not_change_by_themselves(tmp_path: Path) -> None:
    run = _run(tmp_path, EVERYTHING)
    for stage in stages_of(run):
        settings = json.dumps(stage.settings(run), sort_keys=True)
        assert json.dumps(stage.settings(run), sort_keys=True) == settings, stage.name


def test_teachers_that_a_recipe_names_decide_the_student_by_their_content(tmp_path: Path) -> None:
    run = _run(tmp_path, 'teachers = ["a.safetensors"]\n' + PLAIN)
    weights = tmp_path / "a.safetensors"
    digests = []
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        settings = student_settings(run)["distill"]
        digests += settings["teachers"]
        assert digests[-1] == hashlib.sha256(content).hexdigest()
    assert str(tmp_path) not in json.dumps(settings)
    assert teacher_weights(run) == (weights,)
    assert student_settings(_run(tmp_path, PLAIN))["distill"] is None
    assert "teachers" not in student_settings(_run(tmp_path, PLAIN + TEACHER))["distill"]


def test_what_a_trained_student_learned_from_may_be_gone(tmp_path: Path) -> None:
    run = _run(tmp_path, 'teachers = ["a.safetensors", "b.safetensors"]\n' + PLAIN)
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    settings = student_settings(run)
    record = Record("digest", "outcome", {"settings": settings})
    second.unlink()
    with pytest.raises(LandmintError, match="b.safetensors is no file"):
        student_settings(run)
    write_record("student", run.place("student"), replace(record, outcome=""))
    assert gone_weights(run) == (), "an unfinished training needs them"
    write_record("student", run.place("student"), record)
    assert student_settings(run) == settings
    assert gone_weights(run) == (str(second),)
    with pytest.raises(LandmintError, match="b.safetensors is no file"):
        check_student_weights(run)
    first.write_bytes(b"another")
    assert student_settings(run) != settings, "what is there counts by what it holds"
    second.write_bytes(b"two")
    first.write_bytes(b"one")
    assert student_settings(run) == settings and not gone_weights(run)
    check_student_weights(run)


def test_no_stage_loads_what_only_its_work_needs(tmp_path: Path) -> None:
    path = _run(tmp_path, EVERYTHING).recipe.file
    script = (
        "import sys\nfrom pathlib import Path\nfrom landmint.pipeline.recipe import load_recipe\n"
        "from landmint.pipeline.run import Run\nfrom landmint.pipeline.steps import stages_of\n"
        f"run = Run(load_recipe(Path({str(path)!r})), Path('run'))\n"
        "for stage in stages_of(run): stage.needs(run), stage.settings(run)\n"
        "heavy = 'torch onnx openvino tensorflow matplotlib'.split()\n"
        "assert not [name for name in heavy if name in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)


@pytest.mark.parametrize(
    ("tables", "stage"), [(TEACHER, "teacher"), (SELF_TRAINING, "self-training"), (QAT, "qat")]
)
def test_a_recipe_has_the_stages_that_it_asks_for(tables: str, stage: str, tmp_path: Path) -> None:
    assert stage not in _needs(_run(tmp_path, PLAIN))
    assert stage in _needs(_run(tmp_path, PLAIN + tables))


@pytest.mark.parametrize(
    ("tables", "stage", "needs"),
    [
        ("", "student", ("faces",)),
        (TEACHER, "student", ("faces", "teacher")),
        (QAT, "qat", ("faces", "student")),
        (TEACHER + SELF_TRAINING + QAT, "qat", ("faces", "teacher", "self-training")),
        ("", "float-bundle", ("faces", "student")),
        (TEACHER + SELF_TRAINING, "float-bundle", ("faces", "teacher", "student", "self-training")),
        ("", "bundle", ("faces", "float-bundle")),
        (QAT, "bundle", ("faces", "float-bundle", "qat")),
    ],
)
def test_a_stage_needs_what_its_outcome_depends_on(
    tables: str, stage: str, needs: tuple[str, ...], tmp_path: Path
) -> None:
    assert _needs(_run(tmp_path, PLAIN + tables))[stage] == needs


def test_a_teacher_stands_beside_the_runs_and_the_run_links_to_it(tmp_path: Path) -> None:
    run = _run(tmp_path, PLAIN + TEACHER)
    (teacher,) = [stage for stage in stages_of(run) if stage.name == "teacher"]
    place = teacher.place_in(run, "0123456789abcdef")
    assert place == tmp_path / "teachers" / "0123456789ab"
    assert (run.folder / "teacher").resolve() == place.resolve()


def test_a_lean_of_the_labels_counts_where_one_is_set(tmp_path: Path) -> None:
    """And nowhere else, so that what was made before it could be set stays up to date."""
    settings = []
    for lean in ("", "label_offset = { pixels = [1, 0] }\n"):
        text = EVERYTHING.replace('kind = "synthetic"\n', f'kind = "synthetic"\n{lean}')
        run = _run(tmp_path, text.replace('root = "more"\n', f'root = "more"\n{lean}'))
        by_stage = {stage.name: stage.settings(run) for stage in stages_of(run)}
        settings.append((by_stage["faces"], by_stage["self-training"]["self_training"]["faces"]))
    for plain, leaning in zip(*settings, strict=True):
        assert "label_offset" not in plain
        assert leaning == {**plain, "label_offset": leaning["label_offset"]}
        assert leaning["label_offset"]["pixels"] == pytest.approx([1, 0])


def test_a_search_for_layers_to_keep_in_float_depends_on_how_candidates_are_measured(
    tmp_path: Path,
) -> None:
    settings = []
    for quantize in ("", "fallback_budget = 0.1\n"):
        run = _run(tmp_path, f"{PLAIN}[quantize]\n{quantize}")
        settings.append({stage.name: stage.settings(run) for stage in stages_of(run)}["bundle"])
    plain, searched = settings
    assert set(plain) == {"quantize", "tools"}
    assert "fallback_budget" not in plain["quantize"], "it came later, and is not set"
    assert set(searched) == {"quantize", "tools", "measure", "machine"}
    assert searched["quantize"]["fallback_budget"] == pytest.approx(0.1)


def _measured_by(folder: Path, target: str) -> dict[str, object]:
    """The settings of the measurements on a target."""
    run = _run(folder, f'{PLAIN}[measure]\ntarget = "{target}"\n')
    settings = {stage.name: stage.settings(run) for stage in stages_of(run)}["measurements"]
    json.dumps(settings, allow_nan=False)
    return dict(settings)


@pytest.mark.parametrize(
    "change",
    [
        "threads = 2",
        'address = "elsewhere"',
        "limits.start_below_c = 70",
        'hygiene.governor = "powersave"',
        'settings.wheels.litert = ["tflite-runtime"]',
        "settings.since = 2026-01-01",
    ],
)
def test_what_a_profile_says_decides_the_measurements(change: str, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text('base = "rpi5"\n')
    before = _measured_by(tmp_path, "mine.toml")
    profile.write_text('about = "said in other words"\nbase = "rpi5"\n')
    assert _measured_by(tmp_path, "mine.toml") == before, "which device it is has not changed"
    profile.write_text(f'base = "rpi5"\n{change}\n')
    after = _measured_by(tmp_path, "mine.toml")
    assert after.pop("profile") != before.pop("profile")
    assert after == before


def test_a_plain_profile_adds_nothing_to_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what was measured before there were profiles stays up to date."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for plain in ("host", "null"):
        assert set(_measured_by(tmp_path, plain)) == {"measure", "machine"}
    own = tmp_path / "landmint/targets/host.toml"
    own.parent.mkdir(parents=True)
    own.write_text('base = "host"\nabout = "The PC in the kitchen"\n')
    assert "profile" not in _measured_by(tmp_path, "host")
    own.write_text('base = "host"\ncores = "0"\n')
    assert "profile" in _measured_by(tmp_path, "host")


def test_a_wrong_profile_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "rpi5"\nthreds = 2\n')
    with pytest.raises(LandmintError, match="mine.toml is no profile"):
        _measured_by(tmp_path, "mine.toml")
