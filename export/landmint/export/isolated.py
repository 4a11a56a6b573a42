"""Runs converters in processes of their own.

TensorFlow and its kin print hundreds of lines, write into the working directory and change
settings of the whole process. Here they get a temporary working directory, and their output is
shown only when they fail.
"""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from landmint.runtime.errors import LandmintError
from landmint.runtime.scratch import scratch_folder

TIMEOUT_S = 3600.0
"""Longest run of a converter. They take seconds to minutes; an hour leaves room for a slow board
and a large network, and ends one that hangs."""
_EXTRAS = {"ncnn": "ncnn", "pnnx": "ncnn", "coremltools": "coreml", "onnx2coreml": "coreml"}
"""Import packages that another extra than `export` brings."""
_LAST_LINES = 6
_NOISE = re.compile(r"^\s*$|^[IWE]\d{4} |^WARNING|^INFO|^\d{4}-\d\d-\d\d |[Ww]arning[:(]|^\s*warn")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def missing_packages(*names: str) -> str:
    """A sentence that names the packages that are not installed; "" when all are."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    verb = "is" if len(absent) == 1 else "are"
    extras = ",".join(sorted({_EXTRAS.get(name, "export") for name in absent}))
    return f"{' and '.join(absent)} {verb} not installed here: pip install 'landmint[{extras}]'"


def why_not(error: Exception) -> str:
    """Why a converter made no variant, on one line, for the manifest: fact, reason, remedy."""
    if not isinstance(error, LandmintError):
        return " ".join(f"the converter failed: {type(error).__name__}: {error}".split())
    parts = error.fact, error.reason, error.remedy
    return " ".join("; ".join(filter(None, parts)).split())


def run_isolated(module: str, request: Mapping[str, Any], fact: str) -> None:
    """Run `python -m module` in a temporary working directory, its output captured.

    Args:
        module: a module whose main reads one JSON object from its standard input. Paths in it
            must be absolute.
        request: that object, of any length.
        fact: what has failed if it fails, as the first line of the error.

    Raises:
        LandmintError: the process failed, and its last lines that are no log noise are the reason;
            or it had not ended after `TIMEOUT_S`, and was stopped with all processes it started.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())}
    with scratch_folder() as work:
        command = [sys.executable, "-m", module]
        reason = run_converter(command, json.dumps(request), cwd=str(work), env=environment)
    if reason:
        raise LandmintError(
            fact,
            reason=reason,
            remedy="leave the format out of the recipe to do without it",
        )


def run_converter(
    command: Sequence[str],
    request: str = "",
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program with a request on its standard input; returns why it failed, or "".

    It is stopped, with every process it started, after `TIMEOUT_S`, and when this process is
    interrupted: it has a session of its own, which Ctrl-C does not reach.
    """
    # Files, not pipes: nothing waits for a reader, nor for a process that keeps a pipe open.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as job,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
    ):
        job.write(request)
        job.seek(0)
        process = subprocess.Popen(
            command,
            stdin=job,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        try:
            code = process.wait(TIMEOUT_S)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return f"the converter had not ended after {TIMEOUT_S / 60:g} minutes and was stopped"
        output.seek(0)
        return "" if code == 0 else last_lines(output.read()) or f"it ended with code {code}"


def last_lines(output: str) -> str:
    """The last lines of a tool's output that are no log noise, as one indented text."""
    lines = [_COLOUR.sub("", line).rstrip() for line in output.splitlines()]
    telling = [line for line in lines if not _NOISE.search(line)]
    return "\n    ".join(telling[-_LAST_LINES:])


def _import_path() -> list[str]:
    """This process's import path, absolute: the child has another working directory."""
    return [str(Path(entry).absolute()) for entry in sys.path]
