"""No test depends on the clock, the number of cores, HOME, or the last digit of a float.

What these rules cannot see, such as an equality of arrays, is left to whoever writes the test.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# A module and what a test must not ask of it; a stand-in is set with monkeypatch.
MACHINE = {
    "time": {"sleep", "time", "monotonic", "perf_counter", "process_time", "thread_time"},
    "datetime": {"now", "today", "utcnow"},
    "date": {"today"},
    "os": {"cpu_count"},
    "multiprocessing": {"cpu_count"},
    "Path": {"home"},
}
# Of arrays: their last digits differ from one processor's kernels to another's.
ROUNDED = {"mean", "median", "std", "var", "norm", "average"}
LARGEST_DENOMINATOR = 2**10
PROGRAMS = ("targets/benchmark_model.py",)
"""Not tests: what stands in for a tool that times, and so times."""


def breaches(tree: ast.AST) -> Iterator[str]:
    """What in a test depends on the machine, as "line: expression"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = {alias.name.removesuffix("_ns") for alias in node.names}
            refused = bool(names & MACHINE.get(node.module or "", set()))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            refused = node.attr.removesuffix("_ns") in MACHINE.get(node.value.id, set())
        elif isinstance(node, ast.Compare):
            equal = any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
            sides = [node.left, *node.comparators]
            refused = equal and not any(map(is_tolerant, sides)) and any(map(is_rounded, sides))
        else:
            continue
        if refused:
            yield f"{node.lineno}: {ast.unparse(node)}"


def is_tolerant(side: ast.expr) -> bool:
    """Whether it is `pytest.approx(...)`."""
    return isinstance(side, ast.Call) and ast.unparse(side.func).endswith("approx")


def is_rounded(side: ast.expr) -> bool:
    """Whether it is a fraction that binary cannot hold, or a figure that a kernel has rounded."""
    match side:
        case ast.Constant(value=float() as value):
            return value.as_integer_ratio()[1] > LARGEST_DENOMINATOR
        case ast.UnaryOp(operand=operand):
            return is_rounded(operand)
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            return any(map(is_rounded, elements))
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in ROUNDED
        case _:
            return False


def test_no_test_depends_on_the_machine() -> None:
    refused = [
        f"{file.relative_to(HERE)}:{breach}"
        for file in sorted(HERE.rglob("*.py"))
        if str(file.relative_to(HERE)) not in PROGRAMS
        for breach in breaches(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not refused, "\n".join(refused)


@pytest.mark.parametrize(
    "line",
    [
        "time.sleep(1)",
        "begin = time.perf_counter_ns()",
        "from time import monotonic",
        "today = datetime.date.today() or date.today()",
        "count = os.cpu_count()",
        "root = Path.home()",
        "assert np.median(far.max(axis=1)) == 1",
        "assert 0.3 != decay",
        "assert (low, high) == (-0.1, 0.5)",
        "assert [0.5, points.mean()] == [0.5, 2]",
    ],
)
def test_what_depends_on_it_is_noticed(line: str) -> None:
    assert list(breaches(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "assert np.mean(values) == pytest.approx(0.1)",
        "assert samples_needed(0.9) == 64",
        "assert low == 0.25 and values.max() == 3",
        "assert points.mean() < 0.1",
        "time = event.time",
    ],
)
def test_what_does_not_is_left_in_peace(line: str) -> None:
    assert not list(breaches(ast.parse(line)))
