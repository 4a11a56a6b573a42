"""The synthetic data set: pure, resumable, split by person."""

from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import read_image
from landmint.train.faces.readers import SPLITS, FacesConfig, Split, load_faces
from landmint.train.faces.synthetic import generate, moving_face, write_synthetic

M68, M98 = get_markup("68"), get_markup("98")


def test_generate_is_pure() -> None:
    first, again, other = (generate(3, index, M68, 64) for index in (9, 9, 10))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.points, again.points)
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(generate(4, 9, M68, 64).image, first.image)


def test_both_markups_are_of_one_picture() -> None:
    small, large = generate(0, 5, M68, 96), generate(0, 5, M98, 96)
    assert np.array_equal(small.image, large.image)
    assert small.attributes == large.attributes
    shared_68 = [*range(17), *range(17, 27), 27, 30, 31, 33, 35, 36, 39, 42, 45, *range(48, 68)]
    shared_98 = [*range(0, 33, 2), *range(33, 38), *range(42, 47), 51, 54, 55, 57, 59, 60, 64, 68,
                 72, *range(76, 96)]  # fmt: skip
    np.testing.assert_allclose(small.points[shared_68], large.points[shared_98], atol=1e-9)


@pytest.mark.parametrize("size_px", [64, 160, 224])
def test_faces_fill_half_the_picture(size_px: int) -> None:
    for index in range(0, 40, 4):
        image, points, attributes = generate(11, index, M98, size_px)
        assert image.shape == (size_px, size_px, 3) and image.dtype == np.uint8
        extent = np.ptp(points, axis=0).max() / size_px
        assert 0.35 < extent < 0.85
        assert (points > -0.05 * size_px).all() and (points < 1.05 * size_px).all()
        assert set(attributes.values()) <= {0, 1}
        assert image.std() > 5


def test_size_scales_the_same_face() -> None:
    small, large = generate(2, 8, M68, 80), generate(2, 8, M68, 160)
    np.testing.assert_allclose((small.points + 0.5) * 2 - 0.5, large.points, atol=1.0)


def test_a_moving_face_keeps_its_landmarks_on_it() -> None:
    first, *others = moving_face(0, 3, M68, 96, 4)
    still = generate(0, 3, M68, 96)
    np.testing.assert_allclose(first.points - still.points, [[4.8, 0]] * 68)
    shape = first.points - first.points.mean(axis=0)
    for frame in others:
        assert np.abs(frame.image.astype(int) - first.image).max() > 0
        moved = frame.points - frame.points.mean(axis=0)
        grown = np.linalg.norm(moved) / np.linalg.norm(shape)
        np.testing.assert_allclose(moved, grown * shape, atol=1e-9)


def test_what_is_written_is_what_is_drawn(synthetic_root: Path) -> None:
    faces = load_faces(FacesConfig(root=synthetic_root), "train", Path()).faces
    for index in (0, 7, 19):
        drawn = generate(1, index, M68, 96)
        np.testing.assert_allclose(faces[index].points, drawn.points, atol=1e-4)
        assert np.array_equal(read_image(faces[index].image), drawn.image)
        assert dict(faces[index].attributes) == drawn.attributes


def test_no_person_is_in_two_splits(synthetic_root: Path) -> None:
    config = FacesConfig(root=synthetic_root)
    people = {s: {f.person for f in load_faces(config, s, Path()).faces} for s in SPLITS}
    assert [len(people[split]) for split in SPLITS] == [5, 2, 2]
    assert len(set.union(*people.values())) == 9


def write(root: Path, counts: dict[Split, int], seed: int = 0, size_px: int = 48) -> None:
    write_synthetic(root, counts, M68, size_px, seed)


def fingerprint(root: Path) -> str:
    return load_faces(FacesConfig(root=root), "train", Path()).fingerprint


def test_an_interrupted_call_goes_on(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write(whole, {"train": 8})

    def stop(done: int, total: int) -> None:
        assert total == 8
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(broken, {"train": 8}, M68, 48, 0, progress=stop)
    assert len(list(broken.glob("train/*.pts"))) == 5
    (broken / "train" / "p000000_2.pts").unlink()  # an image whose landmarks did not follow
    before = (broken / "train" / "p000000_1.png").stat().st_mtime_ns
    write(broken, {"train": 8})
    assert (broken / "train" / "p000000_1.png").stat().st_mtime_ns == before
    assert fingerprint(broken) == fingerprint(whole)
    assert not list(broken.glob("train/.*"))


def test_counts_grow_and_shrink(tmp_path: Path) -> None:
    write(tmp_path, {"train": 6, "val": 2})
    first = fingerprint(tmp_path)
    write(tmp_path, {"train": 10})
    assert len(list(tmp_path.glob("train/*.png"))) == 10
    assert not list(tmp_path.glob("val/p*"))
    write(tmp_path, {"train": 6})
    assert fingerprint(tmp_path) == first


def test_another_seed_replaces_and_spares_strangers(tmp_path: Path) -> None:
    write(tmp_path / "a", {"train": 4})
    (tmp_path / "a" / "train" / "notes.txt").write_text("mine")
    write(tmp_path / "a", {"train": 4}, seed=1)
    assert (tmp_path / "a" / "train" / "notes.txt").read_text() == "mine"
    write(tmp_path / "b", {"train": 4}, seed=1)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")


def test_too_many_faces(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="cannot draw 400001 synthetic val faces"):
        write(tmp_path, {"val": 400_001})
