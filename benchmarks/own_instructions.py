"""Gate landmint's own share of a prediction: instructions of crop, input and decode, by callgrind.

    python benchmarks/own_instructions.py [REVISION]

Counts do not depend on other work, so they are compared exactly: the code at hand with the last
landed state, on one face and with the heads of the shipped models. More than 2 % more is a
regression, unless a commit since then says why, in a line that begins with `More instructions:`.
The exit code is 0, 1, or 3 where nothing could be counted. It takes half a minute on two cores.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.gate_landed import last_landed, wait_for  # noqa: E402
from landmint import api  # noqa: E402
from landmint.pipeline.revision import folder_of_revision  # noqa: E402
from landmint.pipeline.text import markdown_table  # noqa: E402
from landmint.runtime.embedded import read_contract  # noqa: E402
from landmint.runtime.scratch import scratch_folder  # noqa: E402

SHIPPED = ROOT / "train" / "landmint" / "train" / "zoo"
TOLERANCE = 0.02
EXPECTED = "More instructions:"
REPEATS = 5  # the quickest counts: dictionaries and caches of Python differ a little
STAGES = ("crop", "input", "decode")
MARK = "getppid"  # a call that costs nothing, and at which callgrind writes what it has counted
COUNTED = f"""
import gc, json, os, sys
import numpy as np
from landmint.runtime.contract import Contract
from landmint.runtime.crop import Box, crop_matrix, normalise, warp
from landmint.runtime.decode import decode

random = np.random.default_rng(0)
image = random.integers(0, 256, (400, 400, 3), np.uint8)
contracts = [Contract.from_json(content) for content in json.load(open(sys.argv[1]))]
gc.disable()
for contract in contracts:
    size = contract.input_size
    outputs = {{o.name: random.random((1, *o.shape), np.float32) for o in contract.outputs}}
    for _ in range({REPEATS}):
        os.{MARK}()
        crop = warp(image, crop_matrix(Box(100.3, 100.3, 150, 150), contract.crop, size), size)
        os.{MARK}()
        normalise(crop[None], contract)
        os.{MARK}()
        decode(contract, outputs)
os.{MARK}()
"""

Counts = Mapping[str, Mapping[str, int]]
"""Instructions by model and stage."""


@dataclass(frozen=True)
class Change:
    """One stage of one model."""

    model: str
    """A shipped one."""
    stage: str
    """One of `STAGES`."""
    before: int
    """Instructions of one face, as landed."""
    now: int
    """By the code at hand."""

    @property
    def is_regression(self) -> bool:
        """Whether it needs more than 2 % more."""
        return self.now > (1 + TOLERANCE) * self.before


def changes_of(before: Counts, now: Counts) -> list[Change]:
    """Every stage of every model, the worst first."""
    changes = [
        Change(model, stage, before[model][stage], count)
        for model, stages in now.items()
        for stage, count in stages.items()
    ]
    return sorted(changes, key=lambda change: change.before / change.now)


def counts_of(totals: list[int], models: list[str]) -> Counts:
    """What each stage took at its best.

    Args:
        totals: of each stretch between two marks, in order: for each model `REPEATS` rounds of the
            stages.
        models: their names, in order.

    Raises:
        NotMeasuredError: there are not as many stretches.
    """
    if len(totals) != len(models) * REPEATS * len(STAGES):
        raise api.NotMeasuredError(
            f"callgrind counted {len(totals)} stretches, not one for each stage"
        )
    values = iter(totals)
    rounds = [[[next(values) for _ in STAGES] for _ in range(REPEATS)] for _ in models]
    return {
        model: dict(zip(STAGES, map(min, *own), strict=True))
        for model, own in zip(models, rounds, strict=True)
    }


def start(code: Path, contracts: Path, out: Path) -> "subprocess.Popen[bytes]":
    """Count the stages as the code of that folder does them."""
    out.mkdir()
    command = ["valgrind", "--tool=callgrind", f"--dump-before={MARK}"]
    command += [f"--callgrind-out-file={out / 'counted'}", sys.executable, "-P", "-c", COUNTED]
    paths = {"PYTHONPATH": str(code / "runtime"), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, str(contracts)], env={**os.environ, **paths}, stderr=subprocess.DEVNULL
    )


def read_totals(out: Path) -> list[int]:
    """Instructions between the marks, in order; before the first one lies the start of Python."""
    dumps = sorted(out.glob("counted.*"), key=lambda path: int(path.suffix[1:]))
    lines = [line for path in dumps for line in path.read_text().splitlines()]
    return [int(line.split()[1]) for line in lines if line.startswith("totals:")][1:]


def count_both(before: Path, scratch: Path) -> tuple[Counts, Counts]:
    """Count the landed code and the code at hand, side by side."""
    files = sorted(SHIPPED.glob("*.onnx"))
    models = [file.stem for file in files]
    contracts = scratch / "contracts.json"
    contracts.write_text(json.dumps([read_contract(file).to_json() for file in files]))
    outs = {before: scratch / "before", ROOT: scratch / "now"}
    running = [start(code, contracts, out) for code, out in outs.items()]
    codes = wait_for(running)
    if any(codes):
        raise api.NotMeasuredError(
            "the stages cannot be counted",
            reason=f"Python under valgrind ended with {' and '.join(map(str, codes))}; code of "
            "another interface cannot be compared",
        )
    landed, now = (counts_of(read_totals(out), models) for out in outs.values())
    return landed, now


def expectations(revision: str) -> list[str]:
    """What commits since that revision say of more instructions."""
    command = ["git", "-C", str(ROOT), "log", "--format=%B", f"{revision}..HEAD"]
    log = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.strip() for line in log.splitlines() if line.strip().startswith(EXPECTED)]


def main() -> int:
    """Count, compare, print; returns the exit code."""
    if not shutil.which("valgrind"):
        raise api.NotMeasuredError("there is no valgrind", remedy="install the package valgrind")
    revision = sys.argv[1] if len(sys.argv) > 1 else last_landed()
    with scratch_folder() as scratch:
        before = folder_of_revision(ROOT, revision, scratch / "landed")
        changes = changes_of(*count_both(before, scratch))
    heads = ("model", "stage", f"instructions at {revision[:10]}", "now", "change")
    rows = [
        (c.model, c.stage, f"{c.before:,}", f"{c.now:,}", f"{c.now / c.before - 1:+.1%}")
        for c in changes
    ]
    print(markdown_table(heads, rows))
    slower = [change for change in changes if change.is_regression]
    reasons = expectations(revision) if slower else []
    print("\n".join(reasons) or f"{len(slower)} of {len(changes)} stages need over 2 % more")
    return 1 if slower and not reasons else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except api.LandmintError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
