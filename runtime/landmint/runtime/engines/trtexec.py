"""NVIDIA's program trtexec: where it is, its version, its options, and what it writes.

It comes with TensorRT and JetPack. Options and formats were read in its sources, releases 10.3 to
11.1 (samples/trtexec and samples/common of NVIDIA/TensorRT).
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from landmint.runtime.engines.engine import Tensor
from landmint.runtime.errors import LandmintError, NotMeasuredError

JETPACK_TRTEXEC = "/usr/src/tensorrt/bin/trtexec"
"""Where JetPack puts it, which is on no PATH."""
_BANNER = re.compile(r"\[TensorRT v(\d{4,6})\]")
_BINDING = re.compile(r"Input binding for (\S+) with dimensions (\S+) is created")
_ERROR = re.compile(r"^(?:\[[^\]\n]*\] ?)*\[E\] ?(.*)$", re.MULTILINE)
_NO_NUMBER = re.compile(r"(?<=[\s,\[])(-?)(nan|inf)(?=[\s,\]])")
_DETAILED = "--profilingVerbosity=detailed"  # a plan then tells the types of its layers
_MOST_ERRORS = 3
_LONGEST_ERROR = 400
_HELP_S = 60


@dataclass(frozen=True)
class OptionSet:
    """What one major version has to be told, so that all do the same."""

    build: tuple[str, ...]
    """To take every type from the graph."""
    run: tuple[str, ...]
    """To copy input and outputs, as an application does, and to launch every layer anew."""


OPTIONS: Mapping[int, OptionSet] = MappingProxyType(
    {
        10: OptionSet(build=("--stronglyTyped",), run=()),
        11: OptionSet(build=(), run=("--includeDataTransfers", "--noCudaGraph", "--noSpinWait")),
    }
)
"""By the major version of TensorRT. Version 11 takes types from the graph alone; it leaves copies
out, replays a CUDA graph and waits in a loop unless it is told not to."""


@dataclass(frozen=True)
class Run:
    """One inference, as `--exportTimes` tells it; in milliseconds."""

    latency_ms: float
    """Of the copy of the input, the computation and the copy of the outputs, by the GPU's clock."""
    enqueue_ms: float
    """That the process took to enqueue it."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one call of trtexec printed and wrote."""

    printed: str
    """Its standard output and error."""
    written: Mapping[str, str]
    """Content of each file that it was to write, by the option that named the file."""

    @property
    def input(self) -> tuple[str, tuple[int, ...]]:
        """Name and shape of the input.

        Raises:
            LandmintError: it names another number of inputs than one.
        """
        bindings = dict(_BINDING.findall(self.printed))
        if len(bindings) != 1:
            raise LandmintError(f"trtexec names {len(bindings)} inputs", reason="one is wanted")
        ((name, shape),) = bindings.items()
        return name, _shape(shape)

    @property
    def outputs(self) -> dict[str, Tensor]:
        """Each output by its own name, from `--exportOutput`; it has six digits."""
        tensors = self._read("--exportOutput", lambda tensor: (tensor["name"], _tensor(tensor)))
        return dict(tensors)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run after the warm-up, from `--exportTimes`."""
        return tuple(
            self._read(
                "--exportTimes",
                lambda run: Run(
                    float(run["latencyMs"]), float(run["endEnqMs"]) - float(run["startEnqMs"])
                ),
            )
        )

    @property
    def layer_times_ms(self) -> dict[str, float]:
        """Median time of each layer by TensorRT's name for it, from `--exportProfile`."""
        layers = self._read("--exportProfile", lambda entry: entry)
        return {x["name"]: float(x["medianMs"]) for x in layers if {"name", "medianMs"} <= x.keys()}

    def _read(self, option: str, entry: Callable[[Any], Any]) -> list[Any]:
        """The entries of a list of JSON; C++ writes a NaN as Python's parser does not take it."""
        text = _NO_NUMBER.sub(_as_json, self.written[option])
        try:
            return [entry(item) for item in json.loads(text)]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise LandmintError(f"{option} of trtexec is not as expected", reason=reason) from None


class Trtexec:
    """The program of one installation."""

    def __init__(self, program: str) -> None:
        """Ask it for its version.

        Raises:
            NotMeasuredError: it does not start, or is of a TensorRT whose options are not known.
        """
        self._program = program
        self.version = _version(program, _printed([program, "--help"], _HELP_S)[1])
        major = int(self.version.partition(".")[0])
        if major not in OPTIONS:
            known = " and ".join(map(str, OPTIONS))
            raise NotMeasuredError(
                f"{program} is of TensorRT {self.version}",
                reason=f"its Q/DQ rules or options are others than those of TensorRT {known}",
                remedy="JetPack 6.1 and newer bring TensorRT 10",
            )
        self.options = OPTIONS[major]

    def build(self, graph: Path, plan: Path, timing_cache: Path) -> None:
        """Build a plan of a strongly typed ONNX graph.

        Args:
            graph: precision is what it says.
            plan: to write.
            timing_cache: read where it is there, and written: what tactics took on this GPU.

        Raises:
            LandmintError: it was refused, with trtexec's words.
        """
        options = [f"--onnx={graph}", f"--saveEngine={plan}", f"--timingCacheFile={timing_cache}"]
        self._call(*options, *self.options.build, "--skipInference")

    def run(
        self, plan: Path, *options: str, exports: Sequence[str] = (), image: str = ""
    ) -> Outcome:
        """Open a plan and run it.

        Args:
            plan: that this version built on this GPU.
            options: how often and how long.
            exports: options that name a file to write, each with what stands in it.
            image: "name:file" of the input; random numbers when empty.

        Raises:
            LandmintError: trtexec failed, with its words.
        """
        load = [f"--loadEngine={plan}", *([f"--loadInputs={image}"] if image else [])]
        return self._call(*load, *self.options.run, *options, exports=exports)

    def _call(self, *options: str, exports: Sequence[str] = ()) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="landmint-trtexec-") as folder:
            files = {option: Path(folder) / option.strip("-") for option in exports}
            words = [*options, *(f"{option}={file}" for option, file in files.items())]
            code, printed = _printed([self._program, *words, _DETAILED], None)
            if code:
                raise LandmintError("trtexec failed", reason=_complaint(code, printed))
            return Outcome(printed, {option: _text(file) for option, file in files.items()})


def find_trtexec() -> str:
    """Where trtexec is: on the PATH, or where JetPack puts it; empty where there is none."""
    return shutil.which("trtexec") or shutil.which(JETPACK_TRTEXEC) or ""


def _printed(command: Sequence[str], timeout_s: float | None) -> tuple[int, str]:
    """Exit code of a command, and what it prints.

    Raises:
        NotMeasuredError: it does not start, or not end in time.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMeasuredError(f"{command[0]} does not run", reason=str(error)) from None
    return done.returncode, done.stdout.decode("utf-8", "replace")


def _version(program: str, printed: str) -> str:
    """From `[TensorRT v100300]`, or `v8601` before TensorRT 10."""
    banner = _BANNER.search(printed)
    if banner is None:
        raise NotMeasuredError(f"{program} tells no version", reason=printed.strip()[-200:])
    number = int(banner[1])
    major, rest = divmod(number, 10_000 if number >= 100_000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def _complaint(code: int, printed: str) -> str:
    errors = [" ".join(error.split()) for error in _ERROR.findall(printed) if error.strip()]
    words = "; ".join(dict.fromkeys(errors[:_MOST_ERRORS])) or printed.strip()[-_LONGEST_ERROR:]
    return (words or f"it ended with {code} and does not say why")[:_LONGEST_ERROR]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LandmintError(f"trtexec wrote no {file.name}", reason=str(error)) from None


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    values = np.array(entry["values"], dtype=np.float32)
    return values.reshape(_shape(entry["dimensions"]))


def _shape(written: str) -> tuple[int, ...]:
    """From `1x68x64x64`."""
    return tuple(int(axis) for axis in written.split("x"))


def _as_json(match: "re.Match[str]") -> str:
    return f"{match[1]}Infinity" if match[2] == "inf" else "NaN"
