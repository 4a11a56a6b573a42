"""What reports uses cannot be imported in the body, and can again afterwards."""

import importlib
import sys
from pathlib import Path

import pytest

from landmint.runtime.telemetry import without_telemetry


def test_the_import_fails_in_the_body_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino_telemetry.py").write_text("FOUND = True")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    with without_telemetry(), pytest.raises(ImportError):
        importlib.import_module("openvino_telemetry")
    module = importlib.import_module("openvino_telemetry")
    assert module.FOUND
    with pytest.raises(KeyError), without_telemetry():
        raise KeyError
    assert sys.modules["openvino_telemetry"] is module
    monkeypatch.delitem(sys.modules, "openvino_telemetry")
