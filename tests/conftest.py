"""A folder of shipped models to fill, in place of the real one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landmint.train import zoo
from landmint.train.models import ModelConfig, create_model, save_model

Ship = Callable[..., Path]


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Puts a tiny untrained network, with an invented error, into a zoo that was empty."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setattr(zoo, "folder", lambda: folder)
    angle = np.arange(68) * 2 * np.pi / 68
    circle = 0.5 + 0.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def put(name: str, nme: float, drawn: bool = False) -> Path:
        config = ModelConfig(name="pfld", width=0.25, input_size=64)
        network = create_model(config, circle)
        about = zoo.Published("pfld on own", 64, "68", 12345, "invented faces", drawn, nme)
        path = folder / f"{name}.safetensors"
        save_model(network, path, half=True, notes=about.to_note())
        return path

    return put
