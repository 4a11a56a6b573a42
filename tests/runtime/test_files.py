"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, digest, read_json, sha256_file, write_json


def test_atomic_path_moves_a_file_into_place(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "deep" / "a.txt") as fresh:
        fresh.write_text("whole")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert (tmp_path / "deep" / "a.txt").read_text() == "whole"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.txt"]


def test_atomic_path_keeps_the_old_file_when_the_body_fails(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    final.write_text("old")
    with pytest.raises(OSError, match="disk"), atomic_path(final) as fresh:
        fresh.write_text("half")
        raise OSError("disk full")
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


def test_atomic_path_replaces_a_folder(tmp_path: Path) -> None:
    final = tmp_path / "folder"
    for text in ("one", "two"):
        with atomic_path(final) as fresh:
            fresh.mkdir()
            (fresh / f"{text}.txt").write_text(text)
    assert [p.name for p in final.iterdir()] == ["two.txt"]
    assert list(tmp_path.iterdir()) == [final]


def test_json_round_trip_and_truncation(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": [1, 2.5, None]})
    assert read_json(path) == {"a": [1, 2.5, None]}
    path.write_text(path.read_text()[:-4])
    with pytest.raises(LandmintError, match=r"a\.json is not valid JSON"):
        read_json(path)
    with pytest.raises(LandmintError, match="does not exist"):
        read_json(tmp_path / "b.json")


def test_nan_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_digests_depend_on_content_only(tmp_path: Path) -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x").startswith("ba7816bf")
