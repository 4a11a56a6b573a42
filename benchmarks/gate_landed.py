"""Gate this project by itself: its shipped models, against the last landed state of the code.

    python benchmarks/gate_landed.py [REVISION]

Each side is exported by its own code and run by its own device layer, in this Python. So a change
of the exporter, of an engine's wrapper or of the agent that slows a model down is found. The exit
code is that of `landmint gate`. It takes about two minutes on two cores that are free.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from landmint import api
from landmint.pipeline.builds import Build, pair_variants
from landmint.pipeline.gating import Places, gate_pairs
from landmint.pipeline.given import given_or_drawn_faces
from landmint.pipeline.judge.judgement import Judgement
from landmint.pipeline.judge.paired import PairedRules
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.progress import Screen
from landmint.pipeline.revision import folder_of_revision
from landmint.runtime.scratch import scratch_folder
from landmint.targets.host import HostTarget
from landmint.train.zoo import SUFFIX

ROOT = Path(__file__).parents[1]
ROOMS = ("train", "export", "quantize", "runtime", "targets", "pipeline")
EXPORT = """
import sys
from landmint import api
for name in sys.argv[2:]:
    api.export(name, f"{sys.argv[1]}/{name}", config=api.ExportConfig(formats=("onnx",)))
"""
FACES = 24  # of six persons: an interval of drift needs three at least


def last_landed() -> str:
    """The state to compare with.

    It is where this branch left main; on main itself, the state before the last commit that changed
    what the shipped models are made of or run by.

    Raises:
        NotMeasuredError: there is none, as in a clone of one commit.
    """
    head, dirty = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    for name in ("origin/main", "main"):
        try:
            base = _git("merge-base", name, "HEAD")
        except subprocess.CalledProcessError:
            continue
        if base != head or dirty:
            return base
    changed = _git("rev-list", "-1", "HEAD", "--", *ROOMS)
    try:
        return _git("rev-parse", "--verify", "--quiet", f"{changed}~1")
    except subprocess.CalledProcessError:
        raise api.NotMeasuredError(
            "there is no earlier state of the code to gate against",
            reason="the repository here does not reach back to one",
            remedy="clone it with its history, or name a revision",
        ) from None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def export_both(places: Mapping[Path, Path], names: list[str]) -> None:
    """Let the code under each key export the models into its value, side by side."""
    running = []
    for code, out in places.items():
        paths = os.pathsep.join(str(code / room) for room in ROOMS)
        command = [sys.executable, "-P", "-c", EXPORT, str(out), *names]
        running.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}))
    codes = wait_for(running)
    if any(codes):
        raise api.NotMeasuredError("a shipped model cannot be exported", reason=f"exit {codes}")


def wait_for(running: Sequence["subprocess.Popen[bytes]"]) -> list[int]:
    """The exit codes of processes that run side by side; an interrupt ends them all."""
    try:
        return [process.wait() for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()


def main() -> int:
    """Export, gate, print; returns the exit code."""
    revision = sys.argv[1] if len(sys.argv) > 1 else last_landed()
    with scratch_folder() as scratch, Screen().bar("gate") as bar:
        before = folder_of_revision(ROOT, revision, scratch / "landed")
        zoo = before / "train" / "landmint" / "train" / "zoo"
        # A model that was not shipped then has no baseline.
        names = [m.name for m in api.models() if (zoo / f"{m.name}{SUFFIX}").is_file()]
        outs = {before: scratch / "before", ROOT: scratch / "now"}
        bar.step(f"export {', '.join(names)} as {revision[:10]} and as now")
        export_both(outs, names)
        places = Places(HostTarget(runtime=before / "runtime"), HostTarget())
        verdicts = []
        for name in names:
            sides = [Build(name, api.Bundle.open(out / name)) for out in outs.values()]
            builds, markup = (sides[0], sides[1]), sides[1].bundle.manifest.contract.markup
            with given_or_drawn_faces(None, None, markup, "test", FACES, bar) as faces:
                gated = gate_pairs(
                    *(builds, pair_variants(*builds), places, faces),
                    *(MeasureConfig(), PairedRules(), bar),
                )
            verdicts += [
                replace(each.verdict, variant=f"{name} {each.verdict.variant}") for each in gated
            ]
    judgement = Judgement(f"shipped models against {revision[:10]}", tuple(verdicts), ())
    print(judgement.text, end="")
    return judgement.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except api.LandmintError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
