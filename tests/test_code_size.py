"""Functions and files stay short enough to be read at one go."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("train", "export", "quantize", "runtime", "targets", "pipeline")
MOST_LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 30


def _files() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def _function_lengths(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def test_nine_functions_of_ten_are_short() -> None:
    lengths = sorted(length for path in _files() for length in _function_lengths(path))
    assert len(lengths) > 1000
    assert lengths[len(lengths) * 9 // 10] < LINES_OF_A_FUNCTION


def test_no_file_is_long() -> None:
    lines = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in _files()}
    assert {name: n for name, n in lines.items() if n > MOST_LINES_OF_A_FILE} == {}
