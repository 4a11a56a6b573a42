"""The how-to pages, followed to the letter in one copy of the tree, pass what they name.

A page says where a block of code belongs in the line above it: "`PATH`, a new file:", "`PATH`,
above `NAME`:" or "`PATH`, in `NAME`:", where NAME is a literal dict, list or tuple of the file.
"""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    "adding-a-dataset",
    "adding-a-student",
    "adding-an-engine",
    "adding-a-format",
    "adding-a-stage",
    "adding-a-target",
)
# What makes the student page's recipe short.
FEWER = {"= 200": "= 24", "val = 20": "val = 4", "= 40": "= 4", "size = 16": "size = 8"}
ONNX_ALONE = """
[export]
formats = ["onnx"]
"""
# In one process, since to import torch and the engines takes longer than most of the suites.
ONE_AFTER_THE_OTHER = """
import json, sys
import pytest

for words in json.loads(sys.argv[1]):
    print("pytest", *words, flush=True)
    if code := pytest.main(["-q", *words]):
        sys.exit(code)
"""
ROOMS = ("train", "export", "quantize", "runtime", "targets", "pipeline")
PLACED = re.compile(
    r"^`(?P<path>[^`\n]+)`, (?P<how>a new file|above|in)(?: `(?P<name>\w+)`)?:\n\n"
    r"```\w+\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

pytestmark = pytest.mark.slow


def _follow(page: Path, tree: Path) -> None:
    """Put every block of a page where it says."""
    for block in PLACED.finditer(page.read_text(encoding="utf-8")):
        path, code = tree / block["path"], block["code"]
        if block["how"] == "a new file":
            assert not path.exists(), f"{page.name}: {block['path']} is not new"
            path.write_text(code, encoding="utf-8")
            continue
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        statement, last = _literal(path, block["name"])
        if block["how"] == "above":
            lines[statement.lineno - 1 : statement.lineno - 1] = [code, "\n\n"]
        else:
            indent = re.match(r" *", lines[last.lineno - 1])
            assert indent
            lines[last.end_lineno : last.end_lineno] = [textwrap.indent(code, indent[0])]
        path.write_text("".join(lines), encoding="utf-8")


def _literal(path: Path, name: str) -> tuple[ast.stmt, ast.expr]:
    """The statement that assigns a dict, list or tuple to `name`, and its last entry."""
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value):
                pass
            case _:
                continue
        if target == name:
            literal = value.args[0] if isinstance(value, ast.Call) else value
            assert isinstance(literal, ast.Dict | ast.List | ast.Tuple)
            entries = literal.values if isinstance(literal, ast.Dict) else literal.elts
            return statement, entries[-1]
    raise AssertionError(f"{path} assigns no {name}")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which all pages have been followed."""
    tree = tmp_path_factory.mktemp("followed")
    unwanted = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.jpg")
    for name in (*ROOMS, "tests", "benchmarks", "recipes"):
        shutil.copytree(ROOT / name, tree / name, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", tree)
    for page in PAGES:
        _follow(ROOT / f"docs/{page}.md", tree)
    return tree


def _run(tree: Path, *command: str) -> str:
    """Run a command in the tree, which must succeed; returns what it said to the person."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(tree / room) for room in ROOMS)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stderr


def test_the_suites_that_the_pages_name_pass(tree: Path) -> None:
    suites = []
    for page in PAGES:
        text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
        (arguments,) = re.findall(r"^pytest (.*)$", text, re.MULTILINE)
        suites.append(shlex.split(arguments))
    _run(tree, sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(suites))


def test_the_student_trains_and_the_stage_runs_once(tree: Path) -> None:
    text = (tree / "recipes/tinynet.toml").read_text(encoding="utf-8")
    for old, new in FEWER.items():
        assert old in text
        text = text.replace(old, new)
    (tree / "recipes/fewer.toml").write_text(text + ONNX_ALONE, encoding="utf-8")
    words = "run", "recipes/fewer.toml", "--until", "archive"
    command = sys.executable, "-m", "landmint.pipeline", *words
    _run(tree, *command)
    assert (tree / "runs/fewer/student/model.safetensors").is_file()
    with ZipFile(tree / "runs/fewer/bundle.zip") as archive:
        assert "manifest.json" in archive.namelist()
    assert "archive       up to date" in _run(tree, *command)


@pytest.mark.parametrize("check", ["ruff check", "ruff format --check", "lint-imports", "mypy"])
def test_the_checks_pass(check: str, tree: Path) -> None:
    words = check.split()
    if check == "mypy":  # of the new files; with what `make check` has cached of all others
        words += ["--cache-dir", str(ROOT / ".mypy_cache"), *_new_files()]
    _run(tree, str(Path(sys.executable).with_name(words[0])), *words[1:])


def _new_files() -> list[str]:
    pages = [(ROOT / f"docs/{page}.md").read_text(encoding="utf-8") for page in PAGES]
    blocks = [block for page in pages for block in PLACED.finditer(page)]
    new = [block["path"] for block in blocks if block["how"] == "a new file"]
    return [path for path in new if path.endswith(".py")]
