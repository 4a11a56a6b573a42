"""300W folders: what is read, and what each malformed file is told."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.train.faces.pts300w import read_pts, write_pts
from landmint.train.faces.readers import FacesConfig, Split, load_faces
from landmint.train.faces.synthetic import PERSON_PATTERN

RealFaces = Callable[[str | Path], Path]


def pts(lines: list[str], count: int = 3) -> str:
    return "\n".join(["version: 1", f"n_points: {count}", "{", *lines, "}"]) + "\n"


def test_coordinates_are_one_based(tmp_path: Path) -> None:
    path = tmp_path / "a.pts"
    path.write_text(pts(["1 1", "2.5 3", "10 20"]))
    assert read_pts(path, 3).tolist() == [[0, 0], [1.5, 2], [9, 19]]


def test_untidy_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pts"
    path.write_text("version: 1\r\nn_points:  3\r\n{ \r\n1 1 \r\n\r\n 2.5\t3\r\n10 20\r\n} \r\n")
    assert read_pts(path, 3).tolist() == [[0, 0], [1.5, 2], [9, 19]]


def test_written_points_come_back(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-5, 200, (68, 2))
    write_pts(tmp_path / "a.pts", points)
    np.testing.assert_allclose(read_pts(tmp_path / "a.pts", 68), points, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (pts(["1 1", "2 2"]), 6, "2 points where the markup has 3"),
        (pts(["1 1", "2 2", "3 3", "4 4"]), 7, "more than the markup's 3 points"),
        (pts(["1 1", "nan 2", "3 3"]), 5, "'nan 2' is not finite"),
        (pts(["1 1", "2 2", "3 inf"]), 6, "'3 inf' is not finite"),
        (pts(["1 1", "2 x", "3 3"]), 5, "'2 x' is not two numbers"),
        (pts(["1 1", "2", "3 3 3"]), 5, "'2' is not two numbers"),
        ("version: 1\nn_points: 3\n{\n1 1\n2 2\n", 5, "the file is truncated"),
        ("hello", 1, "no line with an opening brace"),
        ("", 1, "no line with an opening brace"),
    ],
)
def test_malformed(tmp_path: Path, text: str, line: int, reason: str) -> None:
    path = tmp_path / "bad.pts"
    path.write_text(text)
    with pytest.raises(LandmintError) as caught:
        read_pts(path, 3)
    assert caught.value.fact.startswith(f"{path}:{line}:")
    assert reason in caught.value.reason
    assert caught.value.remedy


def test_binary_file(tmp_path: Path) -> None:
    (tmp_path / "bad.pts").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LandmintError, match=r"cannot read .*bad\.pts"):
        read_pts(tmp_path / "bad.pts", 3)


@pytest.fixture
def copy(synthetic_root: Path, tmp_path: Path) -> Path:
    """A copy of the synthetic validation faces that a test may spoil."""
    shutil.copytree(synthetic_root / "val", tmp_path / "train")
    return tmp_path


def load(root: Path, **settings: object) -> list[str]:
    config = FacesConfig.model_validate({"kind": "300w", "root": root, **settings})
    return [face.person for face in load_faces(config, "train", Path()).faces]


def test_person_by_pattern(copy: Path) -> None:
    assert len(set(load(copy))) == 8
    assert len(set(load(copy, person_pattern=PERSON_PATTERN))) == 2
    assert load(copy, person_pattern=r"^p\d+")[0] == "p800000"


def test_equal_names_in_two_folders_are_two_persons(copy: Path) -> None:
    shutil.copytree(copy / "train", copy / "test")
    config = FacesConfig(kind="300w", root=copy)
    splits = [load_faces(config, split, Path()).faces for split in ("train", "test")]
    assert len({face.person for faces in splits for face in faces}) == 16


def test_pattern_that_does_not_occur(copy: Path) -> None:
    with pytest.raises(LandmintError, match="no person in the name 'p800000_0'"):
        load(copy, person_pattern="^q")


def test_folders_are_searched_below(copy: Path) -> None:
    shutil.copytree(copy / "train", copy / "more" / "deep")
    assert len(load(copy, train=["train", "more"])) == 16


def test_missing_image(copy: Path) -> None:
    (copy / "train" / "p800001_2.png").unlink()
    with pytest.raises(LandmintError, match=r"p800001_2\.pts has no image beside it"):
        load(copy)


def test_zero_size_box(copy: Path) -> None:
    write_pts(copy / "train" / "p800000_1.pts", np.full((68, 2), 7.0))
    with pytest.raises(
        LandmintError, match=r"p800000_1\.pts: malformed face[\s\S]*the box has 0 x 0 px"
    ):
        load(copy)


def test_wrong_markup(copy: Path) -> None:
    with pytest.raises(LandmintError, match=r"p800000_0\.pts:72: malformed landmarks"):
        load(copy, markup="98")


def test_missing_and_empty_split(copy: Path) -> None:
    with pytest.raises(LandmintError, match="trian does not exist"):
        load(copy, train="trian")
    (copy / "empty").mkdir()
    with pytest.raises(LandmintError, match=r"empty holds no \.pts file"):
        load(copy, train="empty")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("name,pose", "nome,pose", r"csv:1: unexpected columns"), (",0\n", ",2\n", r"csv:\d: a flag")],
)
def test_bad_attributes(copy: Path, old: str, new: str, message: str) -> None:
    path = copy / "train" / "attributes.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(LandmintError, match=message):
        load(copy)


@pytest.mark.parametrize(("split", "count"), [("train", 3002), ("val", 373), ("test", 426)])
def test_real_faces(split: Split, count: int, real_faces: RealFaces) -> None:
    root = real_faces("ytf68")
    config = FacesConfig(kind="300w", root=root, person_pattern=r"^(.+?)_\d+(?:_b)?$")
    faces = load_faces(config, split, Path()).faces
    assert len(faces) == count
    assert len({face.person for face in faces}) < count / 8
    sizes = [max(face.box.w, face.box.h) for face in faces]
    assert 60 < float(np.median(sizes)) < 130


def test_real_samples(real_faces: RealFaces) -> None:
    config = FacesConfig(kind="300w", root=real_faces("samples"), test=("300w",))
    faces = load_faces(config, "test", Path()).faces
    assert [face.name for face in faces] == ["300w/indoor_020", "300w/indoor_029"]
    np.testing.assert_allclose(faces[1].points[0], [268.0, 398.882])
