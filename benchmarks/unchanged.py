"""Whether this checkout makes what another one made: the same bundles, the same verdicts.

After a redesign: an earlier checkout stands beside this one, in the same environment. Both draw the
same faces, train the same small student, export and quantise it and each shipped model. Every
file must be equal, byte for byte; of weights the tensors, since a new setting of the network stands
in their metadata, and so in the manifest. Then this checkout judges what the earlier one measured,
and looks at the earlier one's finished run: every stage must be up to date. The exit code is 1
where something differs.

    git worktree add ../before REVISION
    python benchmarks/unchanged.py ../before
    python benchmarks/unchanged.py ../before pfld  # of the shipped models, this one
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from landmint.runtime.files import digest, sha256_file
from landmint.train.zoo import shipped

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("train", "export", "quantize", "runtime", "targets", "pipeline")
MADE = ("student/model.safetensors", "float-bundle", "bundle")
"""Of a run, what must be equal; the rest holds times."""
RECIPE = """\
[faces]
kind = "synthetic"
synthetic = { train = 32, val = 8, test = 12, size_px = 96 }

[student.model]
name = "pfld"
input_size = 64

[student.fit]
epochs = 2
batch_size = 8
workers = 0
threads = 1

[quantize]
size = 16

[measure]
launches = 2
samples = 20
seconds = 0.2

[gate.nme_percent]
"*/float32" = 1000.0
"*/int8" = 0.1

[gate.drift_percent]
"*/int8" = 0.5

[gate.size_mib]
"*" = 12.0
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make everything twice, compare, print; returns the exit code."""
    names = [model.name for model in shipped()]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("before", type=Path, help="the earlier checkout")
    parser.add_argument("models", nargs="*", default=names, help=f"of {', '.join(names)}; all")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="landmint-unchanged-") as work:
        before, after = Path(work) / "before", Path(work) / "after"
        for checkout, folder in ((options.before.resolve(), before), (ROOT, after)):
            _make(checkout, folder, options.models)
        different = [*_differences(before, after), *_judged_otherwise(before), *_stale(before)]
    print("\n".join(different) or "unchanged")
    return int(bool(different))


def _make(checkout: Path, folder: Path, models: Sequence[str]) -> None:
    """The run of a small recipe, and the bundles of shipped models calibrated on its faces."""
    folder.mkdir()
    (folder / "small.toml").write_text(RECIPE, encoding="utf-8")
    _landmint(checkout, folder, "run", "small.toml", "--out", "run")
    for model in models:
        _landmint(checkout, folder, "export", model, "--out", f"{model}/float-bundle")
        quantize = ("quantize", f"{model}/float-bundle", "--out", f"{model}/bundle")
        _landmint(checkout, folder, *quantize, "--recipe", "small.toml")


def _landmint(checkout: Path, folder: Path, *words: str) -> str:
    """Run a verb of a checkout; what it printed. The code of `run` and `gate` is a verdict."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(checkout / room) for room in ROOMS),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "landmint.pipeline", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    print(f"{folder.name}: landmint {' '.join(words)}: exit code {done.returncode}", flush=True)
    failed = done.returncode if words[0] in ("export", "quantize") else done.returncode == 2
    if failed or done.returncode < 0:
        raise SystemExit(done.stderr)
    return done.stdout + done.stderr


def _differences(before: Path, after: Path) -> Iterator[str]:
    """Files that only one of two folders has, and files that differ."""
    old, new = _digests(before), _digests(after)
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield f"{name}: {'differs' if name in old and name in new else 'only one has it'}"


def _digests(folder: Path) -> dict[str, str]:
    places = [folder / "run" / name for name in MADE]
    places += [
        path for path in folder.iterdir() if path.is_dir() and path.name not in ("run", "runs")
    ]
    files = (file for place in places for file in (place, *place.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): _digest(file) for file in files}


def _digest(file: Path) -> str:
    if file.suffix != ".safetensors":
        return sha256_file(file)
    tensors = load_file(file)
    return digest(
        {name: [list(array.shape), array.tobytes().hex()] for name, array in tensors.items()}
    )


def _judged_otherwise(before: Path) -> Iterator[str]:
    """Variants whose verdict by this checkout is another one; the measurements are the same."""
    gate = ("gate", "run/measurements", "--recipe", "small.toml", "--out", "verdict")
    _landmint(ROOT, before, *gate)
    old, new = (_verdicts(before / folder) for folder in ("run/verdict", "verdict"))
    if old != new:
        yield f"verdicts differ: {old} before, {new} now"


def _verdicts(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    statuses = {verdict["variant"]: verdict["status"] for verdict in content["verdicts"]}
    return {"exit code": content["exit_code"], **statuses}


def _stale(before: Path) -> Iterator[str]:
    """Stages of the earlier checkout's run that this one would make again."""
    for line in _landmint(ROOT, before, "run", "small.toml", "--out", "run").splitlines():
        if line[:1].isdigit() and "/" in line[:3] and "up to date" not in line:
            yield f"not up to date: {line}"


if __name__ == "__main__":
    sys.exit(main())
