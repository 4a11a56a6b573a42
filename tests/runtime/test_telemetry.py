"""What reports uses cannot be imported in the body, and can again afterwards."""

import importlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
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


def test_a_thread_waits_until_another_has_left_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    second_entered, first_left = threading.Event(), threading.Event()

    def second() -> None:
        with without_telemetry():
            second_entered.set()
            assert first_left.wait(60)

    with ThreadPoolExecutor(1) as pool:
        with without_telemetry():
            done = pool.submit(second)
            assert not second_entered.wait(0.2)
        first_left.set()
        done.result()
    assert "openvino_telemetry" not in sys.modules
