"""The synthetic data set: pure, resumable, split by person."""

from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import read_image
from landmint.train.faces.readers import SPLITS, FacesConfig, Split, load_faces
from landmint.train.faces.synthetic import generate, write_synthetic

M68, M98 = get_markup("68"), get_markup("98")


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


class Stop:
    """Interrupts after the fifth face of eight."""

    def at(self, done: int, total: int, note: str = "") -> None:
        assert total == 8
        if done == 5:
            raise KeyboardInterrupt

    def step(self, note: str) -> None:
        pass


def test_an_interrupted_call_goes_on(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write(whole, {"train": 8})

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(broken, {"train": 8}, M68, 48, 0, Stop())
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
