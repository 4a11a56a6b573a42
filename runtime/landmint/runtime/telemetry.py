"""Imports OpenVINO and NNCF without their telemetry."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_REPORTER = "openvino_telemetry"
_LOCK = threading.RLock()


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Import openvino or nncf in the body: they will not report that they are used.

    Their import forks a process that reports, while a thread runs. That disturbs measurements, and
    a fork beside threads may hang for ever. So the module that reports is kept from being imported,
    and both libraries do without it. Afterwards it can be imported again. One thread at a time has
    the body; others wait.
    """
    with _LOCK:
        modules: dict[str, Any] = sys.modules
        before = {name: modules.pop(name) for name in (_REPORTER,) if name in modules}
        modules[_REPORTER] = None
        try:
            yield
        finally:
            del modules[_REPORTER]
            modules.update(before)
