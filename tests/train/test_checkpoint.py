"""Checkpoints: whole or not at all, and only for the run that wrote them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from landmint.runtime.errors import LandmintError
from landmint.train import checkpoint
from landmint.train.checkpoint import load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


def test_a_state_comes_back_whole(tmp_path: Path) -> None:
    path, identity = tmp_path / "run" / "last.pt", {"seed": 1, "shapes": {"a": [2, 3]}}
    state = {"step": 3, "weights": {"a": torch.arange(6.0)}, "history": [{"loss": 0.5}]}
    assert load_checkpoint(path, identity, CPU) is None
    save_checkpoint(path, identity, state)
    found = load_checkpoint(path, identity, CPU)
    assert found is not None and found["step"] == 3 and found["history"] == [{"loss": 0.5}]
    assert torch.equal(found["weights"]["a"], torch.arange(6.0))
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]


def test_the_message_names_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {f"k{i}": i for i in range(8)} | {"gone": 1}, {})
    with pytest.raises(LandmintError) as error:
        load_checkpoint(path, {f"k{i}": -i for i in range(8)}, CPU)
    assert "gone was 1, is None" in str(error.value) and "k1 was 1, is -1" in str(error.value)
    assert "and 3 more" in str(error.value)


def test_another_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SCHEMA", 99)
    save_checkpoint(tmp_path / "last.pt", {}, {})
    monkeypatch.undo()
    with pytest.raises(LandmintError, match="schema 99"):
        load_checkpoint(tmp_path / "last.pt", {}, CPU)


def test_a_flipped_bit_is_found_before_torch_reads_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"seed": 1}, {"weights": {"a": torch.arange(1000.0)}})
    whole = path.read_bytes()
    loads: list[object] = []
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: loads.append(arguments))
    for position in np.linspace(0, len(whole) - 1, 60).astype(int).tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(LandmintError, match="no checkpoint that can be resumed") as error:
            load_checkpoint(path, {"seed": 1}, CPU)
        assert "damaged" in error.value.reason and "starts anew" in error.value.remedy
    assert not loads


@pytest.mark.parametrize("kept", [0, 10, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {}, {"step": 1})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(LandmintError, match="no checkpoint that can be resumed"):
        load_checkpoint(path, {}, CPU)


def test_a_failed_write_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {}, {"step": 1})

    def full(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: No space left")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(LandmintError, match="cannot write the checkpoint") as error:
        save_checkpoint(path, {}, {"step": 2})
    assert "No space left" in str(error.value)
    monkeypatch.undo()
    assert load_checkpoint(path, {}, CPU) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]
