"""What this machine can do: engines, converters, trainers, GPUs; and what to install for the rest.

Every library is imported for real, in a process of its own, since one that is installed may still
be broken. Nothing is installed or changed here.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from landmint.runtime.engines import ENGINES, ON_GPU, load_engine
from landmint.runtime.engines.cuda_driver import CudaStream
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import FORMATS
from landmint.runtime.machine import Machine, identify

_SECONDS = 120
_TOGETHER = 2


@dataclass(frozen=True)
class Need:
    """One thing that some part of landmint works with."""

    part: str
    """Who needs it: engine, converter or training."""
    name: str
    """What people call it."""
    modules: tuple[str, ...]
    """Import names; all of them must load. Empty for a program."""
    distribution: str
    """Whose version is shown; for a program, the program itself."""
    remedy: str
    """What to install."""
    use: str = ""
    """What it is for."""


@dataclass(frozen=True)
class PartState:
    """Whether a part can be used on this machine."""

    part: str
    """Who needs it, as in `Need`."""
    name: str
    """What people call it."""
    works: bool
    """Whether it can be used here."""
    version: str
    """Its version; empty when there is none."""
    problem: str
    """Why it does not work; empty when it does."""
    remedy: str
    """What to do about that; empty when it works."""
    use: str
    """What it is for."""


_EXPORT = "pip install 'landmint[export]'"
_TRAIN = "pip install 'landmint[train]'"
_NVIDIA = "on a machine with an NVIDIA GPU: pip install tensorrt"

NEEDS: tuple[Need, ...] = (
    Need("training", "PyTorch", ("torch", "torchvision"), "torch", _TRAIN, "networks"),
    Need("training", "timm", ("timm",), "timm", _TRAIN, "backbones"),
    Need("training", "Lightning Fabric", ("lightning.fabric",), "lightning", _TRAIN, "the loop"),
    Need("training", "OpenCV", ("cv2",), "opencv-python-headless", _TRAIN, "pictures, detector"),
    Need("converter", "ONNX", ("onnx", "onnxscript", "onnxsim"), "onnx", _EXPORT, "to ONNX"),
    Need("converter", "OpenVINO", ("openvino",), "openvino", _EXPORT, "to OpenVINO"),
    Need("converter", "onnx2tf", ("onnx2tf", "tf_keras"), "onnx2tf", _EXPORT, "to TFLite"),
    Need("converter", "TensorFlow", ("tensorflow",), "tensorflow", _EXPORT, "to TFLite"),
    Need(
        part="converter",
        name="AI Edge Quantizer",
        modules=("ai_edge_quantizer",),
        distribution="ai-edge-quantizer",
        remedy=_EXPORT,
        use="INT8 of TFLite",
    ),
    Need("converter", "FlatBuffers", ("flatbuffers",), "flatbuffers", _EXPORT, "INT8 of TFLite"),
    Need("converter", "pnnx", ("pnnx",), "pnnx", "pip install 'landmint[ncnn]'", "to ncnn"),
    Need(
        part="converter",
        name="coremltools",
        modules=("landmint.export.forms.coreml_worker",),
        distribution="coremltools",
        remedy="pip install 'landmint[coreml]'",
        use="to Core ML",
    ),
    Need("converter", "TensorRT", ("tensorrt",), "tensorrt", _NVIDIA, "builds TensorRT engines"),
    Need(
        part="converter",
        name="TensorRT-RTX",
        modules=("tensorrt_rtx_libs", "tensorrt_rtx_bindings"),
        distribution="tensorrt-rtx-cu13-bindings",
        remedy="on Linux, x86-64: pip install 'landmint[tensorrt-rtx]'",
        use="builds them without a GPU",
    ),
    Need("converter", "trtexec", (), "trtexec", "it comes with TensorRT", "builds them too"),
)

_ENGINE_USE = {
    **{record.engine: f"runs {name}/*" for name, record in FORMATS.items()},
    "null": "runs nothing, for rehearsals",
}

# In a child: imports its arguments, then prints the version of the first argument's distribution.
_PROBE = """
import importlib, importlib.metadata, json, sys
distribution, *modules = sys.argv[1:]
try:
    for module in modules:
        importlib.import_module(module)
    said = {"version": importlib.metadata.version(distribution)}
    if modules[0] == "torch":
        said["version"] += f", sees {sys.modules['torch'].cuda.device_count()} GPUs"
except BaseException as error:
    said = {"problem": f"{type(error).__name__}: {error}"}
print("\\n" + json.dumps(said))
"""


def examine() -> dict[str, Any]:
    """Everything that `landmint doctor` knows, as JSON."""
    with ThreadPoolExecutor(_TOGETHER) as pool:
        engines = pool.map(_examine_engine, ENGINES)
        rest = pool.map(_examine, NEEDS)
        findings = [*engines, *rest]
    return {
        "machine": identify().to_json(),
        "gpus": gpus(),
        "findings": [asdict(finding) for finding in findings],
    }


def _examine_engine(name: str) -> PartState:
    """Load an engine as measuring does."""
    use = _ENGINE_USE.get(name, "")
    try:
        version = load_engine(name).version + (_no_gpu() if name in ON_GPU else "")
        return PartState("engine", name, True, version, "", "", use)
    except LandmintError as error:
        return PartState("engine", name, False, "", error.reason or error.fact, error.remedy, use)
    except Exception as error:  # a broken library may raise anything; that is the finding
        problem = f"{type(error).__name__}: {error}"
        return PartState("engine", name, False, "", problem, "install its library again", use)


def _no_gpu() -> str:
    """Why an engine that is installed cannot run on a GPU; empty where there is one."""
    try:
        CudaStream().close()
    except LandmintError as error:
        return f", runs nothing: {error.fact}"
    return ""


def _examine(need: Need) -> PartState:
    version, problem = _program(need) if not need.modules else _import(need)
    remedy = need.remedy if problem else ""
    return PartState(need.part, need.name, not problem, version, problem, remedy, need.use)


def _program(need: Need) -> tuple[str, str]:
    path = shutil.which(need.distribution)
    return (path or "", "" if path else "not on the PATH")


def _import(need: Need) -> tuple[str, str]:
    """Version and problem of a library, from a process that imports it."""
    command = [sys.executable, "-c", _PROBE, need.distribution, *need.modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        answer = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return "", f"importing it took more than {_SECONDS} s"
    except (json.JSONDecodeError, IndexError):
        return "", f"importing it ended the process with code {done.returncode}"
    problem = answer.get("problem", "")
    absent = problem.startswith("ModuleNotFoundError")
    if absent and any(name in problem for name in (need.modules[0], need.distribution)):
        problem = "not installed"
    return answer.get("version", ""), problem.splitlines()[0] if problem else ""


def gpus() -> list[dict[str, str]]:
    """Name, driver and memory of each NVIDIA GPU, as nvidia-smi tells them; [] without one."""
    fields = ("name", "driver_version", "memory.total", "compute_cap")
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in done.stdout.splitlines() if line.strip()]
    return [dict(zip(fields, row, strict=False)) for row in rows]


def as_lines(report: dict[str, Any]) -> Sequence[str]:
    """The report for people, one finding a line."""
    machine = report["machine"]
    flags = ", ".join(machine["flags"]) or "no instructions for INT8 that it tells of"
    lines = [
        f"{machine['system']}, kernel {machine['kernel']}, Python {machine['python']}",
        f"CPU: {machine['cpu']}, {machine['cores']} cores, {machine['memory_mib']} MiB",
        f"     {flags}",
    ]
    if Machine.from_json(machine).int8_saturates:
        lines += [
            "     no VNNI: INT8 may saturate here, so its accuracy differs from that on processors",
            "     with VNNI; quantize.reduce_range = true avoids that, and LiteRT is free of it",
        ]
    lines += [
        f"GPU: {gpu['name']}, driver {gpu['driver_version']}, {gpu['memory.total']}"
        for gpu in report["gpus"]
    ] or ["GPU: none that nvidia-smi knows; training and engines use the CPU"]
    part = ""
    for finding in report["findings"]:
        if finding["part"] != part:
            part = finding["part"]
            lines += ["", f"{part}s" if part != "training" else part]
        mark = "ok " if finding["works"] else "-- "
        state = finding["version"] if finding["works"] else finding["problem"]
        lines.append(f"  {mark}{finding['name']:<18}{finding['use']:<30}{state}")
        if not finding["works"]:
            lines.append(f"     {'':<18}{'':<30}-> {finding['remedy']}")
    return lines
