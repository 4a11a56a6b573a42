"""NVIDIA's own parser and builder: TensorRT-RTX has both, and they need no GPU."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from landmint.runtime.engines.built import Built

Build = Callable[[Sequence[Path]], list[Built | str]]
# In a process of its own, which the library may end: what was built of each graph, or its refusal.
BUILD = """
import dataclasses, json, sys
from pathlib import Path
from landmint.runtime.engines.tensorrt_build import LIBRARIES, build_plan, load_tensorrt
from landmint.runtime.errors import LandmintError

loaded = load_tensorrt([library for library in LIBRARIES if library.without_gpu])
for path in sys.argv[1:]:
    try:
        answer = dataclasses.asdict(build_plan(loaded, Path(path))[1])
    except LandmintError as error:
        answer = str(error)
    print(json.dumps(answer))
"""


@pytest.fixture(scope="session")
def build() -> Build:
    """Builds graphs, in one process for all of them."""
    if importlib.util.find_spec("tensorrt_rtx_bindings") is None:
        pytest.skip("TensorRT-RTX is not installed here")

    def run(graphs: Sequence[Path]) -> list[Built | str]:
        command = [sys.executable, "-c", BUILD, *map(str, graphs)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
        answers: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
        return [answer if isinstance(answer, str) else Built(**answer) for answer in answers]

    return run
