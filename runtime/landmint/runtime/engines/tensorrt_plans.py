"""Keeps TensorRT's plans, which take minutes to build, in the cache of the user who built them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from landmint.runtime.files import atomic_path, digest, sha256_file, user_cache

_FOLDER = "tensorrt"


def kept_plan(graph: Path, built_by: Sequence[str], build: Callable[[Path], None]) -> Path:
    """The plan of a graph on this machine's GPU; it is built when none is kept.

    Args:
        graph: a strongly typed ONNX file.
        built_by: the builder, its version and its options: another makes another plan.
        build: writes the plan to the path that it is given.
    """
    content = [sha256_file(graph), gpu_name(), *built_by]
    plan = user_cache(_FOLDER) / f"{digest(content)[:32]}.engine"
    if not plan.is_file():
        with atomic_path(plan) as fresh:
            build(fresh)
    return plan


def timing_cache(built_by: Sequence[str]) -> Path:
    """The file in which a builder notes how long its tactics took on this machine's GPU."""
    return user_cache(_FOLDER) / f"{digest([gpu_name(), *built_by])[:32]}.timing"


def gpu_name(root: Path = Path("/")) -> str:
    """Models of the NVIDIA GPUs, by their driver; on a Jetson, which has one, the board's."""
    files = sorted(root.glob("proc/driver/nvidia/gpus/*/information"))
    lines = [line for file in files for line in _text(file).splitlines()]
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return ", ".join(models) or _text(root / "proc/device-tree/model").strip("\0\n ")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
