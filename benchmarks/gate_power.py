"""The gate's own figures: three engines, under no load, one and two busy processes.

    python benchmarks/gate_power.py --minutes 60

A gate compares a model with itself, as it is or with real work added, beside so many processes that
keep a core busy (docs/gate.md). Each gate that ends is a line of the file of gates; the cell of the
table with the fewest gates comes next. Called again, the script goes on, so that a table grows over
days. Run it where nothing else runs: the load is what is compared. Where something useful keeps the
cores busy, such as two trainings, name it, and no processes are started:

    python benchmarks/gate_power.py --loads 2 --beside trainings
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.results import replace_table  # noqa: E402
from landmint import api  # noqa: E402
from landmint.pipeline.text import markdown_table  # noqa: E402
from landmint.runtime.scratch import scratch_folder  # noqa: E402
from landmint.runtime.stats import proportion_bounds  # noqa: E402

VARIANTS = ("onnx/float32", "openvino/float32", "tflite/float32")
LOADS = (0, 1, 2)
SLOWDOWNS = (0.0, 0.05)
GATES = ROOT / "benchmarks" / "gate_power.jsonl"
PAGE = ROOT / "docs" / "gate.md"
LOOPS = "loops"
"""What keeps cores busy unless something else is named."""
_BUSY = "while True: pass"


@dataclass(frozen=True)
class Cell:
    """One condition."""

    variant: str
    """What is gated against itself."""
    load: int
    """Processes beside it that keep a core busy."""
    slowdown: float
    """Work added to the candidate, as a share of a run."""


@dataclass(frozen=True)
class Ended:
    """One gate."""

    variant: str
    """Of its cell."""
    load: int
    """Of its cell."""
    slowdown: float
    """Of its cell."""
    status: str
    """How it ended."""
    seconds: float
    """How long it took."""
    launches: int
    """How many it needed, confirmation included."""
    ratio: float
    """Median ratio that the launches saw."""
    machine: str
    """Its processor and number of cores."""
    beside: str = LOOPS
    """What kept cores busy."""

    @property
    def cell(self) -> Cell:
        """Which condition it is of."""
        return Cell(self.variant, self.load, self.slowdown)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many processors busy while the body runs."""
    running = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def run_gate(bundle: Path, cell: Cell, seed: int, beside: str) -> Ended:
    """One gate of a cell."""
    config = api.MeasureConfig(seed=seed)
    with busy_processes(cell.load if beside == LOOPS else 0):
        [test] = api.self_test(
            f"{bundle}:{cell.variant}", 1, slowdowns=(cell.slowdown,), config=config
        )
    [trials] = test.trials
    [gate] = trials.gates
    machine = f"{test.machine.cpu}, {test.machine.cores} cores"
    seconds, ratio = round(gate.seconds, 1), round(trials.ratio, 4)
    fields = (gate.status, seconds, len(gate.log_ratios), ratio, machine, beside)
    return Ended(cell.variant, cell.load, cell.slowdown, *fields)


def read(path: Path) -> list[Ended]:
    """The gates that have ended so far."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Ended(**json.loads(line)) for line in lines]


def fill(
    path: Path,
    bundle: Path,
    cells: Sequence[Cell],
    repeats: int,
    minutes: float,
    beside: str = LOOPS,
) -> None:
    """Run gates until every cell has so many, or the time is over."""
    begin = time.monotonic()
    counts = Counter(ended.cell for ended in read(path))
    while time.monotonic() - begin < minutes * 60:
        cell = min(cells, key=lambda cell: counts[cell])
        if counts[cell] >= repeats:
            return
        ended = run_gate(bundle, cell, counts[cell], beside)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(ended)) + "\n")
        counts[cell] += 1
        print(ended, file=sys.stderr)


def table(gates: Sequence[Ended], cells: Sequence[Cell]) -> str:
    """The cells as Markdown, and the machines."""
    heads = (
        *("variant", "busy processes", "work added", "gates", "regression (95 % interval)"),
        *("inconclusive", "pass", "median time, s", "within 60 s"),
    )
    rows = []
    for cell in cells:
        ended = [gate for gate in gates if gate.cell == cell]
        head = (cell.variant, str(cell.load), f"{cell.slowdown:.0%}", str(len(ended)))
        rows.append((*head, *(_figures(ended) if ended else ("not measured", *["–"] * 4))))
    machines = "; ".join(sorted({gate.machine for gate in gates}))
    kinds = Counter(gate.beside for gate in gates if gate.load)
    busy = ", ".join(f"{beside} in {count} gates" for beside, count in kinds.most_common())
    notes = f"On {machines or 'no machine yet'}. Busy processes: {busy or 'none yet'}."
    return f"{markdown_table(heads, rows)}\n\n{notes}"


def _figures(gates: Sequence[Ended]) -> tuple[str, ...]:
    counts = Counter(gate.status for gate in gates)
    low, high = proportion_bounds(counts["regression"], len(gates))
    seconds = [gate.seconds for gate in gates]
    return (
        f"{counts['regression']} [{low:.1%}, {high:.1%}]",
        str(counts["inconclusive"]),
        str(counts["pass"]),
        f"{median(seconds):.0f}",
        str(sum(s <= 60 for s in seconds)),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Export a shipped model, run gates, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to go on")
    parser.add_argument("--repeats", type=int, default=200, help="gates of each cell, at most")
    parser.add_argument("--gates", type=Path, default=GATES, help="file of gates; it grows")
    parser.add_argument("--page", type=Path, default=PAGE, help="page that shows the table")
    parser.add_argument("--model", default="pfld", help="a shipped model")
    parser.add_argument("--slowdowns", type=float, nargs="+", default=list(SLOWDOWNS))
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--loads", type=int, nargs="+", default=LOADS, help="busy processes")
    parser.add_argument("--beside", default=LOOPS, help="what keeps so many cores busy already")
    options = parser.parse_args(arguments)
    if options.beside != LOOPS and len(options.loads) != 1:
        parser.error("--beside needs the number of those processes: --loads 2")
    conditions = product(options.variants, options.loads, options.slowdowns)
    cells = [Cell(*condition) for condition in conditions]
    if options.minutes:
        with scratch_folder() as scratch:
            bundle = scratch / "bundle"
            formats = tuple(variant.split("/")[0] for variant in options.variants)
            api.export(options.model, bundle, config=api.ExportConfig(formats=formats))
            limits = options.repeats, options.minutes
            fill(options.gates, bundle, cells, *limits, options.beside)
    everything = [Cell(*condition) for condition in product(VARIANTS, LOADS, SLOWDOWNS)]
    text = table(read(options.gates), everything)
    replace_table(options.page, text)
    print(text)


if __name__ == "__main__":
    main()
