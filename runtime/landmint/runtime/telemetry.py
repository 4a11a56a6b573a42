"""OpenVINO and NNCF without their reports to their makers."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_REPORTER = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Import openvino or nncf in the body: they will not report that they are used.

    They report from a process that their import forks beside a running thread. In a measurement
    that is noise; and a fork beside threads may hang for ever, and whoever waits for it. Where the
    module that reports cannot be imported, both do without. Afterwards others can import it again.
    """
    modules: dict[str, Any] = sys.modules
    before = {name: modules.pop(name) for name in (_REPORTER,) if name in modules}
    modules[_REPORTER] = None
    try:
        yield
    finally:
        del modules[_REPORTER]
        modules.update(before)
