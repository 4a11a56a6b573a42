"""TFLite's benchmark_model on a phone: how it is called, and what it prints beside its times.

Its flags and its output: `tensorflow/lite/tools/benchmark` and `core/util/stats_calculator.cc` of
TensorFlow. `landmint.targets.tools` reads the times.
"""

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landmint.runtime.engines.engine import Operator

INPUT = "input"
"""What the input tensor is called: benchmark_model goes by its place, and only warns of its name,
whose own signs could be read as something else."""
_INPUT_FLAGS = ("input_layer", "input_layer_shape", "input_layer_value_files")
_PRECISIONS = {
    **{"F32": "f32", "F16": "f16", "QU8": "u8"},
    **dict.fromkeys(("QS8", "QC8", "QD8", "QP8"), "i8"),
}
"""XNNPACK's names of number formats."""
_MOST_OPERATORS, _LONGEST = 5000, 200
_DELEGATE, _INSIDE = "DELEGATE", "Delegate/"
_TIME = re.compile(r"\d{1,9}(\.\d{1,9})?(e-\d{1,3})?")


@dataclass(frozen=True)
class Tool:
    """How benchmark_model is called for one model."""

    path: str
    """Its own, on the phone."""
    graph: str
    """The model's path there."""
    threads: int
    """Of one inference."""
    mask: str
    """Cores to run on, as `taskset` takes them; empty for all."""
    shape: tuple[int, ...]
    """Of the input tensor."""

    def call(self, flags: Mapping[str, object], fed: str = "") -> str:
        """One call as a line of the phone's shell.

        Args:
            flags: of benchmark_model, beside those that every call has.
            fed: file there with the bytes of the input tensor; random ones when empty.
        """
        shape = ",".join(map(str, self.shape))
        values = (INPUT, shape, f"{INPUT}:{fed}")
        given = {
            "graph": self.graph,
            "num_threads": self.threads,
            "use_xnnpack": "true",
            **(dict(zip(_INPUT_FLAGS, values, strict=True)) if fed else {}),
            **flags,
        }
        words = ["taskset", self.mask] if self.mask else []
        words += [self.path, *(f"--{name}={value}" for name, value in given.items())]
        return shlex.join(words)


def times(warm_runs: int, warm_s: float, runs: int, limit_s: float) -> dict[str, object]:
    """Flags that say how long to run.

    Args:
        warm_runs: least runs of the warm-up.
        warm_s: least time of the warm-up.
        runs: runs after it.
        limit_s: longest time of each.
    """
    warm = {"warmup_runs": warm_runs, "warmup_min_secs": warm_s}
    return {**warm, "num_runs": runs, "min_secs": 0, "max_secs": limit_s}


def delegation(printed: str) -> str:
    """What became of XNNPACK, which every call asks for, in words."""
    if "will be completely executed by the delegate" in printed:
        return "XNNPACK, 1 partition"
    if parts := re.search(r"partially executed by the delegate w/ (\d{1,5}) ", printed):
        return f"XNNPACK, {parts[1]} partitions; the rest fell back to built-in kernels"
    if "will not be executed by the delegate" in printed:
        return "without XNNPACK: it fell back to built-in kernels"
    return "benchmark_model does not tell of XNNPACK"


def peak_memory_mib(printed: str) -> float | None:
    """Most memory of the whole process; None where it is not told."""
    line = r"Overall peak memory footprint \(MB\) via periodic monitoring: (\d{1,9}(?:\.\d{1,9})?)"
    match = re.search(line, printed)
    return float(match[1]) if match else None


def read_profile(text: str, written: Sequence[Operator]) -> tuple[Operator, ...]:
    """The operators with their times, from the file that `--op_profiling_output_mode=csv` writes.

    Args:
        text: the file; of it counts what is said of the runs, in the order of the runs.
        written: the operators of the model's file, in its order.

    Returns:
        first those outside XNNPACK, then those inside; where it does not tell them, XNNPACK as one.
    """
    runs = text.rpartition("Profiling Info for Regular Benchmark Runs:")[2]
    # Older builds list XNNPACK's operators apart, newer ones among the graph's.
    graph, _, apart = runs.partition("Delegate internal:")
    rows = [*_rows(graph), *_rows(apart)]
    inner = [_inner(row) for row in rows if row.name.startswith(_INSIDE)]
    nodes = [_node(row, written) for row in rows if not row.name.startswith(_INSIDE)]
    whole = [node for node in nodes if node.kind == _DELEGATE]
    place = "outside XNNPACK" if whole or inner else ""
    outer = [dataclasses.replace(n, place=place) for n in nodes if n.kind != _DELEGATE]
    return (*outer, *(inner or whole))


@dataclass(frozen=True)
class _Row:
    kind: str
    ms: float
    name: str


def _rows(section: str) -> list[_Row]:
    """The table of a section that is in the order of the runs."""
    table = section.partition("Run Order")[2].partition("\n")[2].partition("==========")[0]
    lines = [line.split(", ") for line in table.strip().splitlines()[:_MOST_OPERATORS]]
    if not lines or "avg_ms" not in lines[0]:
        return []
    # A kind may hold a comma, a name none: columns are counted from the right.
    ms, width = lines[0].index("avg_ms") - len(lines[0]), len(lines[0])
    return [
        _Row(", ".join(line[: len(line) - width + 1])[:_LONGEST], float(line[ms]), line[-1].strip())
        for line in lines[1:]
        if len(line) >= width and _TIME.fullmatch(line[ms])
    ]


def _node(row: _Row, written: Sequence[Operator]) -> Operator:
    """A node of the graph; the file tells its precision, by the number behind its name."""
    if "delegate" in row.kind.lower():
        return Operator(_DELEGATE, "", row.ms, kernel="XNNPACK")
    number = re.search(r":(\d{1,6})$", row.name)
    place = int(number[1]) if number else len(written)
    known = written[place] if place < len(written) else None
    precision = known.precision if known and known.kind == row.kind else ""
    return Operator(row.kind, precision, row.ms, name=row.name[:_LONGEST], kernel="built-in")


def _inner(row: _Row) -> Operator:
    """An operator of XNNPACK, whose name tells its number format, as in `(NHWC, QC8)`."""
    name = row.name.removeprefix(_INSIDE).replace("\t", ",")
    kind = re.sub(r":\d+$", "", name)[:_LONGEST]
    words = re.findall(r"[A-Z]+\d+", kind)
    precision = next((_PRECISIONS[word] for word in words if word in _PRECISIONS), "")
    return Operator(kind, precision, row.ms, kernel="XNNPACK")
