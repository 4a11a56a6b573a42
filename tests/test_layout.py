"""The rooms stand as the design says, and the device layer needs nothing of the others."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("train", "export", "quantize", "runtime", "targets", "pipeline")
# They say that something is, not what it is.
EMPTY_NAMES = {"found", "one", "told", "said", "there", "it"}

IMPORT = """
import importlib, pkgutil, sys
BLOCKED = {"torch", "tensorflow", "onnx", "cv2", "scipy", "pydantic"}

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
room = importlib.import_module(sys.argv[1])
names = [m.name for m in pkgutil.walk_packages(room.__path__, room.__name__ + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
loaded = (name for name, module in sys.modules.items() if module)  # None: kept from loading
foreign = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
print(len(names), *sorted(f for f in foreign if not f.startswith("_")))
"""


def test_landmint_stays_a_namespace_package() -> None:
    for room in ROOMS:
        assert (ROOT / room / "landmint" / room / "__init__.py").is_file()
        assert not (ROOT / room / "landmint" / "__init__.py").exists()


def test_every_room_is_packaged_and_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["sources"]) == set(ROOMS)
    assert set(project["tool"]["pytest"]["ini_options"]["pythonpath"]) == set(ROOMS)
    assert set(ROOMS) < set(project["tool"]["mypy"]["files"])


def test_names_say_what_a_thing_is() -> None:
    sources = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    empty = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources
        for name, line in _bound_names(path)
        if name.strip("_") in EMPTY_NAMES
    ]
    assert empty == []


def _bound_names(path: Path) -> Iterator[tuple[str, int]]:
    """Each name that a file gives to a variable, an argument, a function or a class; its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name, node.lineno
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno


def test_runtime_imports_with_numpy_alone() -> None:
    assert _imports_with_numpy_alone("landmint.runtime", "runtime") > 10


def test_the_library_imports_with_numpy_alone() -> None:
    assert _imports_with_numpy_alone("landmint.api", *ROOMS) > 0


def _imports_with_numpy_alone(package: str, *roots: str) -> int:
    """How many modules the package has; each was imported where everything heavy is blocked."""
    path = [str(ROOT / root) for root in roots]
    done = subprocess.run(
        [sys.executable, "-S", "-c", IMPORT, package],
        env={"PYTHONPATH": ":".join([*path, _site_packages()])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    count, *foreign = done.stdout.split()
    assert set(foreign) <= {"landmint", "numpy"}, foreign
    return int(count)


def _site_packages() -> str:
    import numpy

    return str(Path(numpy.__file__).parents[1])
