"""Files as people bring them, in ../shared/data/cases: each is read right, or refused in words."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.pipeline.predict_video import frame_times
from landmint.runtime.errors import LandmintError
from landmint.train.faces.check import check_data
from landmint.train.faces.face import read_face, read_image
from landmint.train.faces.readers import FacesConfig, load_faces
from tests.strangers.readings import READINGS, ending

RealFaces = Callable[[str | Path], Path]
READ_AS: Mapping[str, str] = {
    "boxes": "coco",
    "coco": "coco",
    "gate-recipe": "recipe",
    "imglab": "imglab",
    "manifest": "manifest",
    "measurement": "measurement",
    "networks": "networks of a recipe",
    "pts": "pts",
    "ranges": "ranges",
    "recipe": "recipe",
    "wflw": "wflw",
}
"""What the middle of a fuzz file's name means."""
REFUSED: Mapping[str, tuple[str, str]] = {
    "03/digits.toml": ("recipe", "not valid TOML"),
    "03/recipe.toml": ("recipe", "faces.markup: [] should be a valid string"),
    "04/id.json": ("coco", "has no boxes for the images"),
    "04/kp.json": ("coco", "annotations[0]: malformed face"),
    "05/a.pts": ("pts", "a.pts:71: malformed landmarks"),
    "06/deep.json": ("manifest", "is not valid JSON"),
    "06/manifest.json": ("manifest", "manifest of schema None"),
}
"""What each of the malformed files is, and what is said of it."""


def _said(kind: str, content: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            READINGS[kind].read(Path(folder), content)
        except LandmintError as error:
            return str(error)
    return ""


def test_what_mutations_found_is_read_or_refused(real_faces: RealFaces) -> None:
    endings = {}
    for path in sorted(real_faces("cases/fuzz").iterdir()):
        reading = READINGS[READ_AS["-".join(path.name.split("-")[2:-1])]]
        with tempfile.TemporaryDirectory() as folder:
            endings[path.name] = ending(reading, path.read_bytes(), Path(folder))
    assert len(endings) > 30
    assert {name: how for name, how in endings.items() if how} == {}


def test_what_is_malformed_is_refused_by_its_reason(real_faces: RealFaces) -> None:
    folder = real_faces("cases/malformed")
    for name, (kind, words) in REFUSED.items():
        assert words in _said(kind, (folder / name).read_bytes()), name


def _laid_out(folder: Path, real_faces: RealFaces) -> Path:
    """The label files beside copies of their pictures, as the tools that wrote them want it."""
    cases = real_faces("cases")
    shutil.copytree(cases / "label-files", folder)
    for name in ("train", "dbl", "scut", "lapa"):
        shutil.copytree(cases / "coco/images", folder / name, dirs_exist_ok=True)
    return folder


LABELS: Mapping[str, tuple[str, str, str, int]] = {
    "wflw-bom/list.txt": ("wflw", "98", ".", 4),
    "wflw-tabs/list.txt": ("wflw", "98", ".", 4),
    "wflw-win/list.txt": ("wflw", "98", ".", 4),
    "dbl": ("300w", "68", "", 6),
    "lapa": ("lapa", "106", "", 6),
    "hrnet/face_landmarks_300w_train.csv": ("hrnet", "68", "", 6),
}
"""Reader, markup, images, and number of faces of each label file."""


@pytest.mark.parametrize("name", LABELS)
def test_label_files_are_read(name: str, real_faces: RealFaces, tmp_path: Path) -> None:
    kind, markup, images, count = LABELS[name]
    root = _laid_out(tmp_path / "labels", real_faces)
    config = FacesConfig(kind=kind, markup=markup, root=root, images=images, train=(name,))
    assert len(load_faces(config, "train", Path()).faces) == count


def test_binary_points_of_another_markup_are_refused(real_faces: RealFaces, tmp_path: Path) -> None:
    root = _laid_out(tmp_path / "labels", real_faces)
    with pytest.raises(LandmintError) as caught:
        load_faces(FacesConfig(kind="300w", root=root, train=("scut",)), "train", Path())
    assert caught.value.reason == "86 points where the markup has 68"


@pytest.mark.parametrize(
    ("name", "count"),
    [("plain", 6), ("bom", 6), ("strids", 6), ("wholebody", 5), ("backslash1", 6), ("winabs", 6)],
)
def test_coco_is_read_as_other_tools_write_it(name: str, count: int, real_faces: RealFaces) -> None:
    """One person of wholebody has no valid face."""
    root = real_faces("cases/coco")
    faces = [
        load_faces(
            FacesConfig(kind="coco", root=root, images="images", train=(f"{part}/train.json",)),
            "train",
            Path(),
        ).faces
        for part in (name, "plain")
    ]
    plain = {face.image: face.points for face in faces[1]}
    assert len(faces[0]) == count
    assert all(face.points == pytest.approx(plain[face.image], abs=0.01) for face in faces[0])


def test_imglab_from_one_is_read(real_faces: RealFaces) -> None:
    root = real_faces("cases/imglab-one-based")
    config = FacesConfig(kind="imglab", root=root, train=("train.xml",))
    assert len(load_faces(config, "train", Path()).faces) == 6


def test_pictures_are_read_or_refused(real_faces: RealFaces) -> None:
    refused = {"bomb.png": "it claims 60000 x 60000 px", "fake.heic": "HEIC"}
    for path in sorted(real_faces("cases/images").glob("*.*")):
        if path.name not in refused:
            assert read_image(path).size
            continue
        with pytest.raises(LandmintError, match="cannot read") as caught:
            read_image(path)
        assert refused[path.name] in caught.value.reason


def test_formats_show_the_same_picture(real_faces: RealFaces) -> None:
    """Colours too, which CMYK and palettes keep but roughly."""
    folder = real_faces("cases/images")
    wanted = read_image(folder / "x.webp").astype(float)
    for name, off in (("x.avif", 4), ("cmyk.jpg", 25), ("pal.gif", 18)):
        image = read_image(folder / name)
        assert image.shape == wanted.shape, name
        assert np.abs(image - wanted).mean() < off, name


def test_a_check_goes_on_over_broken_pictures(real_faces: RealFaces) -> None:
    config = FacesConfig(kind="300w", root=real_faces("cases/images/broken-set"))
    findings = check_data(config, ["train"], Path()).findings
    unreadable = [r.where[-9:-4] for r in findings if r.title == "unreadable images"]
    assert unreadable == ["face0", "face1", "face2", "face3", "face4", "face6"]
    assert all(r.detail for r in findings if r.title == "unreadable images")
    titles = {Path(r.where).stem: r.title for r in findings if r.where.endswith(".jpg")}
    assert titles["face5"] == "blank pictures" and titles["face7"] == "nearly black pictures"


@pytest.mark.parametrize("name", ["images/line.png", "images/one.png", "malformed/07/t_1x9000.png"])
def test_a_picture_too_thin_for_a_face_is_a_row(
    name: str, real_faces: RealFaces, ask_in_vain: Callable[..., Result]
) -> None:
    path = real_faces("cases") / name
    ask_in_vain("predict", path, said="no face was found", code=3, leaves="predictions")


def test_twelve_bits_are_no_darkness(real_faces: RealFaces) -> None:
    assert read_image(real_faces("cases/images") / "twelve_in_16.png").mean() > 50


def test_a_phones_picture_stands_upright(real_faces: RealFaces) -> None:
    folder = real_faces("cases/exif-phone")
    turned, wanted = (
        read_image(folder / name, upright=True) for name in ("phone6.jpg", "upright.jpg")
    )
    assert turned.shape == wanted.shape
    assert np.abs(turned.astype(int) - wanted).mean() < 6


def test_a_phones_picture_is_labelled_as_the_upright_one(
    real_faces: RealFaces, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    shutil.copytree(real_faces("cases/exif-phone"), images)
    out = tmp_path / "labels.json"
    words = ["label", str(images), "--model", "pfld", "--out", str(out), "--processes", "1"]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    config = FacesConfig(kind="coco", root=tmp_path, train=("labels.json",), images="images")
    phone, upright = load_faces(config, "train", Path()).faces
    assert (phone.image.name, phone.upright) == ("phone6.jpg", True)
    assert read_face(phone).shape == read_face(upright).shape
    assert np.abs(phone.points - upright.points).max() < 0.05 * upright.box.w
    assert check_data(config, ["train"], Path()).sound


COVERED = (
    *("coco/*/*", "exif-phone/*", "fuzz/*", "images/*.*", "images/broken-set/train/*"),
    *("imglab-one-based/*", "label-files/*", "label-files/*/*", "malformed/0[3-7]/*"),
    *("missing-points/*/*", "missing-points/coco/images/*", "videos/*"),
    "own-models/*",  # in tests/export
    "README.md",
)
"""The files that a test of this module reads, but for those named otherwise."""


def test_every_file_of_the_cases_is_read_by_a_test(real_faces: RealFaces) -> None:
    root = real_faces("cases")
    covered = {path for pattern in COVERED for path in root.glob(pattern)}
    files = {path for path in root.rglob("*") if path.is_file()}
    assert sorted(files - covered) == []


@pytest.mark.parametrize("name", ["vfr.mp4", "rec.webm"])
def test_videos_have_the_times_of_their_stamps(name: str, real_faces: RealFaces) -> None:
    """Fifteen frames a thirtieth of a second apart, then fifteen a tenth apart."""
    steps = np.diff(frame_times(real_faces("cases/videos") / name))
    assert len(steps) == 29
    assert steps[:14] == pytest.approx(np.full(14, 1 / 30), abs=1.5e-3)
    assert steps[-14:] == pytest.approx(np.full(14, 0.1), abs=1.5e-3)


@pytest.mark.parametrize(
    ("folder", "kind", "train", "whole", "without"),
    [
        ("pts", "300w", ".", 5, 1),
        ("imglab", "imglab", "train.xml", 4, 2),
        ("coco", "coco", "train.json", 4, 2),
    ],
)
def test_faces_without_some_points_are_left_out(
    folder: str, kind: str, train: str, whole: int, without: int, real_faces: RealFaces
) -> None:
    root = real_faces(f"cases/missing-points/{folder}")
    images = "images" if kind == "coco" else ""
    config = FacesConfig(kind=kind, root=root, train=(train,), images=images)
    with pytest.raises(LandmintError, match="are missing"):
        load_faces(config, "train", Path())
    faces = load_faces(config.model_copy(update={"missing": "leave_out"}), "train", Path())
    assert (len(faces.faces), faces.left_out) == (whole, without)
    masked = load_faces(config.model_copy(update={"missing": "mask"}), "train", Path())
    lacking = [face for face in masked.faces if not face.placed.all()]
    assert (len(masked.faces), len(lacking), masked.left_out) == (whole + without, without, 0)
