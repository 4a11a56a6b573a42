"""Wheels of an engine for another machine: fetched here by pip, and kept.

So it is known before anything is copied whether there are any, and a board needs neither pip, nor a
network, nor the right time for certificates. Nothing is installed here.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from landmint.runtime.errors import NotMeasuredError
from landmint.runtime.files import atomic_path, digest, user_cache

WHEELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "onnxruntime": ("onnxruntime",),
        "openvino": ("openvino",),
        "litert": ("ai-edge-litert",),
        "ncnn": ("ncnn",),
        "coreml": ("coremltools",),
        "tensorrt": (),
        "null": (),
    }
)
"""What pip installs for each engine, beside numpy; a profile may say otherwise. TensorRT comes with
NVIDIA's system."""
_NUMPY = "numpy>=2.0"
_OLDEST_GLIBC = 17  # 2.17, of manylinux2014
_TIMEOUT_S = 900


@dataclass(frozen=True)
class Platform:
    """What decides which wheels fit a machine."""

    architecture: str
    """Such as "aarch64"."""
    glibc: tuple[int, int]
    """Version of the C library, such as (2, 36)."""
    python: tuple[int, int]
    """Such as (3, 11)."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The platform tags of wheels that run there, the newest first."""
        minors = range(self.glibc[1], _OLDEST_GLIBC - 1, -1)
        tags = [f"manylinux_2_{minor}_{self.architecture}" for minor in minors]
        return (*tags, f"manylinux2014_{self.architecture}", f"linux_{self.architecture}")


def requirements_of(engine: str, own: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What pip has to install for an engine.

    Args:
        engine: its registry name.
        own: of the profile, by engine; what stands there counts alone.
    """
    return own.get(engine) or (_NUMPY, *WHEELS.get(engine, (engine,)))


def fetch_wheels(requirements: Sequence[str], platform: Platform, name: str) -> tuple[Path, ...]:
    """Wheels that fit a machine, those of what they need and of pip among them.

    What was fetched once is kept in the user's cache and taken from there.

    Raises:
        NotMeasuredError: there is no wheel that fits, or pip is not there or fails.
    """
    major, minor = platform.python
    options = ["--only-binary", ":all:", "--python-version", f"{major}.{minor}"]
    options += [word for tag in platform.tags for word in ("--platform", tag)]
    wanted = ["pip", *requirements]
    folder = user_cache("wheels") / digest([options, wanted])[:32]
    if not folder.is_dir():
        with atomic_path(folder) as fresh:
            fresh.mkdir()
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
            command += ["--disable-pip-version-check", "--progress-bar", "off"]
            _pip([*command, *options, "--dest", str(fresh), *wanted], requirements, platform, name)
    return tuple(sorted(folder.glob("*.whl")))


def _pip(command: list[str], wanted: Sequence[str], platform: Platform, name: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotMeasuredError(f"pip took longer than {_TIMEOUT_S} s", remedy="try again") from None
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise NotMeasuredError(
            f"the wheels for {name} cannot be fetched",
            reason=f"{sys.executable} has no pip",
            remedy=f"{sys.executable} -m ensurepip",
        )
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    version = ".".join(map(str, platform.python))
    raise NotMeasuredError(
        f"there are no wheels of {' and '.join(wanted)} for {name}",
        reason=f"{platform.architecture}, Python {version}: {' '.join(errors)[-400:]}",
        remedy="name others in `settings.wheels` of the profile, or `settings.python` with "
        "`install = false`: see docs/targets.md",
    )
