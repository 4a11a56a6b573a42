"""Faces that cannot carry a run are refused before its first stage."""

from pathlib import Path

import pytest
from rich.console import Console

from landmint.pipeline.driver import bring_up_to_date, check_run
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.readers import SyntheticConfig
from landmint.train.faces.synthetic import write_synthetic

DRAWN = """\
[faces]
kind = "synthetic"
synthetic = { train = 20, val = 4, test = 4, size_px = 64 }

[student.model]
name = "pfld"
input_size = 64

[student.fit]
batch_size = 4

[quantize]
size = 8
"""


def _refused(folder: Path, text: str, until: str | None = None) -> LandmintError:
    """What a run of the recipe says; nothing may be made before."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    run = Run(load_recipe(path), folder / "run")
    with pytest.raises(LandmintError) as caught:
        bring_up_to_date(run, Screen(Console(quiet=True)), until)
    assert not run.folder.exists()
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size = 8", "size = 64", "64 calibration faces are asked for, there are 20 training"),
        ("train = 20", "train = 7", "8 calibration faces are asked for, there are 7 training"),
        ("val = 4", "val = 0", "there are no val faces"),
        ("test = 4", "test = 0", "there are no test faces"),
        ("batch_size = 4", "batch_size = 32", "20 training faces do not fill one batch of the st"),
        ("[student.model]", "limits = { train = 5 }\n\n[student.model]", "there are 5 training"),
    ],
)
def test_too_few_faces_are_refused_before_any_work(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    assert said in _refused(tmp_path, DRAWN.replace(old, new, 1)).fact


def test_a_decode_that_cannot_be_fused_is_refused_before_any_work(tmp_path: Path) -> None:
    error = _refused(tmp_path, DRAWN + "\n[export]\nfuse_decode = true\n")
    assert "export.fuse_decode" in error.fact


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ('val = "train"\ntest = "train"', "train and test faces are the same"),
        ("", "64 calibration faces are asked for, there are 20 training"),
    ],
)
def test_faces_of_a_folder_are_looked_at_before_any_work(
    splits: str, said: str, tmp_path: Path
) -> None:
    counts = SyntheticConfig(train=20, val=4, test=4).counts
    write_synthetic(tmp_path / "mine", counts, get_markup("68"), 64, 0)
    text = DRAWN.replace('"synthetic"', f'"300w"\nroot = "mine"\n{splits}', 1)
    assert said in _refused(tmp_path, text.replace("size = 8", "size = 64")).fact


def test_calibration_faces_are_counted_only_where_a_stage_calibrates(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(DRAWN.replace("size = 8", "size = 64"), encoding="utf-8")
    run = Run(load_recipe(path), tmp_path / "run")
    check_run(run, ("faces", "student"))
    for stage in ("qat", "bundle"):
        with pytest.raises(LandmintError, match="64 calibration faces are asked for"):
            check_run(run, ("faces", "student", stage))


UNLABELLED = """
[self_training]
rounds = ["std"]

[self_training.faces]
kind = "300w"
root = "more"
person_pattern = '^(p\\d+)'
"""


@pytest.fixture
def with_unlabelled(tmp_path: Path) -> str:
    """A recipe of labelled faces, and of unlabelled ones of other persons."""
    counts = SyntheticConfig(train=20, val=4, test=4).counts
    write_synthetic(tmp_path / "mine", counts, get_markup("68"), 64, 0)
    write_synthetic(tmp_path / "more", {"train": 4}, get_markup("68"), 64, seed=1)
    for path in sorted((tmp_path / "more/train").iterdir()):
        path.rename(path.with_name(path.name.replace("p00", "p99")))
    pattern = "person_pattern = '^(p\\d+)'"
    student = 'name = "pipnet"\nbackbone = "mobilenetv3_small_050"\nstride = 16'
    text = DRAWN.replace('name = "pfld"', student) + UNLABELLED
    return text.replace('"synthetic"', f'"300w"\nroot = "mine"\n{pattern}', 1)


@pytest.mark.parametrize("split", ["val", "test"])
def test_unlabelled_images_that_judge_are_refused_before_any_work(
    split: str, with_unlabelled: str, tmp_path: Path
) -> None:
    judged = next((tmp_path / "mine" / split).glob("*.png"))
    some = next((tmp_path / "more/train").glob("*.png"))
    some.write_bytes(judged.read_bytes())
    error = _refused(tmp_path, with_unlabelled, "self-training")
    assert "1 unlabelled images share an image with" in error.fact


def test_unlabelled_persons_that_judge_are_refused_before_any_work(
    with_unlabelled: str, tmp_path: Path
) -> None:
    person = next((tmp_path / "mine/test").glob("*.png")).stem.split("_")[0]
    for path in sorted((tmp_path / "more/train").glob("p990000_0.*")):
        path.rename(path.with_name(path.name.replace("p990000", person)))
    error = _refused(tmp_path, with_unlabelled, "self-training")
    assert "1 unlabelled images share a person with" in error.fact


def test_unlabelled_faces_of_others_are_let_in(with_unlabelled: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(with_unlabelled, encoding="utf-8")
    check_run(Run(load_recipe(path), tmp_path / "run"), ("faces", "student", "self-training"))
