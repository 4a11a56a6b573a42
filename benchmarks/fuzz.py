"""Counts how many broken files end in something else than landmint's own words.

    python -m benchmarks.fuzz --inputs 10000
    python -m benchmarks.fuzz --hours 3 --seed 7 --keep findings

What is found belongs into tests/strangers, as a case.
"""

import argparse
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.strangers.mutations import mutated
from tests.strangers.readings import READINGS, ending

_MOST_MEMORY_BYTES = 12 * 2**30
_ROUND = 100


def main() -> int:
    """Break files, read them, and tell of each kind how many ended how; 1 where one ended badly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="at least so many in all")
    parser.add_argument("--hours", type=float, default=0.0, help="go on for so long instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(READINGS), metavar="KIND")
    parser.add_argument("--keep", type=Path, help="write the first file of each finding here")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    warnings.simplefilter("error")
    counts, findings = Counter[str](), Counter[tuple[str, str]]()
    end, turn = time.monotonic() + 3600 * asked.hours, 0
    while counts.total() < asked.inputs if not asked.hours else time.monotonic() < end:
        for name in asked.only:
            _round(name, asked.seed + turn, counts, findings, asked.keep)
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
