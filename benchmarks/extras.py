"""What the command says where one extra of landmint alone is installed.

Builds the wheel, installs it with one extra into an empty environment, in the locked versions, and
runs the command there. Each verb must work or say in one line what to install. The exit code is 1
where one does neither. Downloads what pip has not in its cache: gigabytes for train and export.

    python benchmarks/extras.py                # each extra but dev
    python benchmarks/extras.py none pipeline  # these; none is landmint without an extra
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("none", *(name for name in PROJECT["optional-dependencies"] if name != "dev"))
COMMANDS = (
    ("--help",),
    ("recipes",),
    ("models",),
    ("doctor",),
    ("run", "demo", "--until", "faces"),
    ("export", "pfld", "--out", "bundle"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Install, run and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("extras", nargs="*", choices=EXTRAS, help="all by default")
    chosen = parser.parse_args(arguments).extras or EXTRAS
    with tempfile.TemporaryDirectory(prefix="landmint-extras-") as work:
        wheel = _build(Path(work))
        return max([_try(extra, wheel, Path(work) / extra) for extra in chosen])


def _build(folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", folder], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _try(extra: str, wheel: Path, environment: Path) -> int:
    """Install one extra and run every command there; 1 where one neither works nor says why."""
    venv.create(environment, with_pip=True)
    wanted = f"landmint[{extra}] @ {wheel.as_uri()}" if extra != "none" else str(wheel)
    install = [str(environment / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--constraint", str(ROOT / "constraints.txt"), wanted], check=True)
    print(f"\n{extra}: {_mebibytes(environment)} MiB", flush=True)
    code = 0
    for words in COMMANDS:
        sound, answer = _run(environment, words)
        print(f"  landmint {' '.join(words)}: {answer}", flush=True)
        code = code if sound else 1
    return code


def _run(environment: Path, words: Sequence[str]) -> tuple[bool, str]:
    """Whether a command works or says in its last line what to install, and that line."""
    command = [str(environment / "bin/landmint"), *words]
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=environment, env=outside, capture_output=True, text=True)
    if done.returncode == 0:
        return True, "works"
    last = (done.stderr.splitlines() or [""])[-1]
    sound = done.returncode in (2, 3) and "pip install 'landmint[" in last
    return sound, f"exit code {done.returncode}, {last}"


def _mebibytes(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) >> 20


if __name__ == "__main__":
    sys.exit(main())
