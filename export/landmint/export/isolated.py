"""Converters that talk too much, in a process of their own.

TensorFlow and its kin print hundreds of lines, write into the working directory and change
settings of the whole process. Here they get a working directory that vanishes, and their words
are shown only when they fail. Not a job queue: one call, one process, one answer.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmint.runtime.errors import LandmintError

_LAST_LINES = 6
_NOISE = re.compile(r"^\s*$|^[IWE]\d{4} |^WARNING|^INFO|^\d{4}-\d\d-\d\d |[Ww]arning[:(]|^\s*warn")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def missing_packages(*names: str) -> str:
    """Which import packages are not installed, as a reason; empty when all are there."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    verb = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {verb} not installed here: pip install 'landmint[export]'"


def run_isolated(module: str, request: Mapping[str, Any], fact: str) -> None:
    """Run `python -m module REQUEST` in a temporary working directory, its output captured.

    Args:
        module: a module whose main reads one JSON object from its first argument. Paths in it
            must be absolute.
        request: that object.
        fact: what has failed if it fails, as the first line of the error.

    Raises:
        LandmintError: the process failed; its last lines that are no log noise are the reason.
    """
    with tempfile.TemporaryDirectory(prefix="landmint-") as work:
        done = subprocess.run(
            [sys.executable, "-m", module, json.dumps(request)],
            cwd=work,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    if done.returncode != 0:
        raise LandmintError(
            fact,
            reason=last_lines(done.stdout) or f"the converter ended with code {done.returncode}",
            remedy="see the reason; leave the format out of the recipe to go on without it",
        )


def last_lines(output: str) -> str:
    """The last lines of a tool's output that are no log noise, as one indented text."""
    lines = [_COLOUR.sub("", line).rstrip() for line in output.splitlines()]
    telling = [line for line in lines if not _NOISE.search(line)]
    return "\n    ".join(telling[-_LAST_LINES:])


def _import_path() -> list[str]:
    """Where this process imports from: the child's working directory is another."""
    return [str(Path(entry).absolute()) for entry in sys.path]
