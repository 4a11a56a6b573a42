"""The gate's own figures: three engines, under no load, one and two busy processes.

    python benchmarks/gate_power.py --repeats 20 --out gate-power

Each cell of the table is a self-test of the gate (docs/gate.md). A cell is written when it is done;
called again, the script goes on where it was. On two idle cores, count a minute for each gate. Run
it where nothing else runs: the load is what is compared.
"""

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from landmint import api
from landmint.pipeline.self_test import SLOWDOWNS
from landmint.runtime.files import write_json, write_text
from landmint.runtime.stats import proportion_bounds

VARIANTS = ("onnx/float32", "openvino/float32", "tflite/float32")
LOADS = (0, 1, 2)
_BUSY = "while True: pass"


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


def fill(
    out: Path,
    bundle: Path,
    repeats: int,
    slowdowns: Sequence[float],
    variants: Sequence[str] = VARIANTS,
    loads: Sequence[int] = LOADS,
) -> None:
    """Make every cell that is not there yet."""
    for variant, load, slowdown in itertools.product(variants, loads, slowdowns):
        cell = out / f"{variant.replace('/', '-')}-load{load}-{slowdown:g}.json"
        if cell.exists():
            continue
        print(f"{variant}, {load} busy, +{slowdown:.0%}: {repeats} gates", file=sys.stderr)
        with busy_processes(load):
            [test] = api.self_test(f"{bundle}:{variant}", repeats, slowdowns=(slowdown,))
        write_json(cell, {"load": load, **test.to_json()})


def table(out: Path, slowdowns: Sequence[float]) -> str:
    """The cells that there are, as Markdown."""
    titles = ["false alarms" if not s else f"+{s:.0%} found" for s in slowdowns]
    lines = [f"| variant | busy processes | {' | '.join(titles)} |"]
    lines.append("|---|---:|" + "---|" * len(titles))
    for variant in VARIANTS:
        for load in LOADS:
            cells = [_cell(out, variant, load, slowdown) for slowdown in slowdowns]
            lines.append(f"| {variant} | {load} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(out: Path, variant: str, load: int, slowdown: float) -> str:
    path = out / f"{variant.replace('/', '-')}-load{load}-{slowdown:g}.json"
    if not path.exists():
        return "not measured"
    gates: list[dict[str, Any]] = json.loads(path.read_text())["trials"][0]["gates"]
    statuses = [gate["status"] for gate in gates]
    red = statuses.count("regression")
    low, high = proportion_bounds(red, len(gates))
    seconds = sorted(gate["seconds"] for gate in gates)
    others = ", ".join(
        f"{statuses.count(status)} {status}"
        for status in ("pass", "inconclusive", "not measured")
        if slowdown and status in statuses
    )
    within = sum(s <= 60 for s in seconds)
    text = f"{red}/{len(gates)} [{low:.1%}, {high:.1%}]"
    return f"{text}{'; ' + others if others else ''}; {within} within 60 s"


def main() -> None:
    """Export a shipped model, fill the cells, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="gates of each cell")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cells")
    parser.add_argument("--model", default="pfld", help="a shipped model")
    parser.add_argument("--slowdowns", type=float, nargs="+", default=list(SLOWDOWNS))
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--loads", type=int, nargs="+", default=LOADS, help="busy processes")
    options = parser.parse_args()
    bundle = options.out / "bundle"
    if not bundle.exists():
        formats = tuple(variant.split("/")[0] for variant in VARIANTS)
        api.export(options.model, bundle, config=api.ExportConfig(formats=formats))
    fill(
        *(options.out, bundle, options.repeats, options.slowdowns),
        *(options.variants, options.loads),
    )
    text = table(options.out, options.slowdowns)
    write_text(options.out / "table.md", text)
    print(text, end="")


if __name__ == "__main__":
    main()
