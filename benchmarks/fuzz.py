"""Counts how many broken files and commands end in something else than landmint's own words.

Files of every kind are read by the code that reads them, and whole commands run with a file or a
word that is broken.

    python -m benchmarks.fuzz --inputs 10000
    python -m benchmarks.fuzz --hours 3 --seed 7 --keep findings
    python -m benchmarks.fuzz --inputs 500 --only predict "data check"

What is found belongs into tests/strangers, as a case.
"""

import argparse
import contextlib
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.strangers.commands import COMMANDS, Broken, broken, command_ending, sound_files
from tests.strangers.mutations import mutated
from tests.strangers.readings import READINGS, ending

_MOST_MEMORY_BYTES = 12 * 2**30
_ROUND, _ROUND_OF_COMMANDS = 100, 20


def main() -> int:
    """Break files, read them, and tell of each kind how many ended how; 1 where one ended badly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="at least so many in all")
    parser.add_argument("--hours", type=float, default=0.0, help="go on for so long instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[*READINGS, *COMMANDS], metavar="KIND")
    parser.add_argument("--keep", type=Path, help="write the first file of each finding here")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    warnings.simplefilter("error")
    counts, findings = Counter[str](), Counter[tuple[str, str]]()
    keep = asked.keep and asked.keep.absolute()
    end, turn = time.monotonic() + 3600 * asked.hours, 0
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as here:
        folder = sound_files(Path(made) / "sound")
        while counts.total() < asked.inputs if not asked.hours else time.monotonic() < end:
            for name in asked.only:
                if name in READINGS:
                    _round(name, asked.seed + turn, counts, findings, keep)
                else:
                    with contextlib.chdir(here):
                        _commands(name, asked.seed + turn, folder, counts, findings, keep)
            turn += 1
    for name in asked.only:
        bad = sum(count for (of, _), count in findings.items() if of == name)
        print(f"{name:24} {counts[name]:7} inputs {bad:6} badly ended")
    for (name, place), count in findings.most_common():
        print(f"  {name}: {count} x {place}")
    print(f"{counts.total()} inputs, {findings.total()} badly ended, {len(findings)} places")
    return int(bool(findings))


def _round(
    name: str,
    number: int,
    counts: Counter[str],
    findings: Counter[tuple[str, str]],
    keep: Path | None,
) -> None:
    """A hundred files of one kind."""
    reading = READINGS[name]
    with tempfile.TemporaryDirectory() as sound:
        content = reading.content(Path(sound))

    @seed(number)
    @settings(
        max_examples=_ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(content, reading.kind))
    def count(broken: bytes) -> None:
        counts[name] += 1
        with tempfile.TemporaryDirectory() as folder:
            how = ending(reading, broken, Path(folder))
            if how:
                _note(name, how.replace(folder, "."), broken, findings, keep)

    count()


def _commands(
    name: str,
    number: int,
    folder: Path,
    counts: Counter[str],
    findings: Counter[tuple[str, str]],
    keep: Path | None,
) -> None:
    """A command a few times, another thing of it broken each time."""

    @seed(number)
    @settings(
        max_examples=_ROUND_OF_COMMANDS,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(broken(COMMANDS[name], folder))
    def count(case: Broken) -> None:
        counts[name] += 1
        how = command_ending(case, folder)
        if how:
            words = " ".join(word[:40] for word in case.words)
            content = f"{words}\n{case.file}\n".encode() + (case.content or b"")
            _note(name, how.replace(str(folder), "."), content, findings, keep)

    count()


def _note(
    name: str, how: str, broken: bytes, findings: Counter[tuple[str, str]], keep: Path | None
) -> None:
    place, _, said = how.partition(": ")
    if not findings[name, place]:
        print(f"  {name}: {place}: {said}")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name} {place}".replace("/", "-").replace(":", "-")).write_bytes(broken)
    findings[name, place] += 1


if __name__ == "__main__":
    sys.exit(main())
