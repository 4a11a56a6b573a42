"""Draw the rooms of the source from their imports, and write docs/architecture.md.

    make architecture

Nothing of landmint is imported: the files are parsed. What the page says of a room is the docstring
of its package. A test compares the page with what this file makes.
"""

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOTS = ("train", "export", "quantize", "runtime", "targets", "pipeline")
WITHIN = {"api": "pipeline"}
"""Packages that stand in the source root of another one."""
DRIVERS = {"api", "pipeline", "pipeline.steps", "pipeline.cli"}
"""Rooms that call the others one after the other, and so open every kind of file."""
DATA: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "labelled faces": (("write_synthetic",), ("load_faces",)),
    "weights": (("save_model",), ("load_model",)),
    "linter findings": (("write_findings",), ("read_findings",)),
    "bundle": (("write_bundle",), ("Bundle",)),
    "losses of INT8": (("write_explanation",), ("read_explanation",)),
    "measurements": (("write_measurement",), ("read_measurements",)),
    "verdict": (("judge_measurements",), ("Verdict",)),
}
"""What lies on disk between rooms: what writes it and what reads it, by the names of functions and
classes that rooms import for that."""

_PAGE = """# Architecture

<!-- Written by `make architecture` from the imports and docstrings of the code. -->

landmint is six source roots of one namespace package. A stage imports what stands upstream of it
and nothing downstream; stages meet in files on disk, never in memory. So each can be run alone,
resumed, or replaced. The vocabulary stands in [contract and bundle](contract-and-bundle.md), the
method of measuring in [how it measures](how-it-measures.md).

## What flows

Files, and the rooms that write and read them. `pipeline`, its steps, its command and the library
`api` are left out: they call the other rooms one after the other and open every file.

{data}

## Who imports whom

An arrow goes from the room that imports to the room that is imported. Arrows that a longer way
makes plain are left out. Between single modules there is no circle: a test sees to that.

{imports}

## The rooms

What each is, and what it is not, as its own docstring has it.

{rooms}

## What is checked

`make check` runs import-linter, which holds these contracts of `pyproject.toml`:

{contracts}

`tests/test_layout.py` imports `runtime` with numpy alone, and `tests/docs/test_architecture.py`
finds circles and compares this page with the code.
"""


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    """Dotted name without `landmint.`; a package goes by its own name."""
    is_package: bool
    """Whether it is an `__init__.py`."""
    docstring: str
    """Its docstring; empty without one."""
    names: frozenset[str]
    """Dotted names, without `landmint.`, of all that it imports, wherever the import stands."""

    @property
    def room(self) -> str:
        """The package that it stands in."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


def read_modules(root: Path = ROOT) -> dict[str, Module]:
    """Every module of the six source roots, by name."""
    modules = {}
    for source in ROOTS:
        base = root / source / "landmint"
        for path in sorted(base.rglob("*.py")):
            module = _read_module(path, base)
            modules[module.name] = module
    return modules


def _read_module(path: Path, base: Path) -> Module:
    parts = path.relative_to(base).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = frozenset(
        name.removeprefix("landmint.")
        for node in ast.walk(tree)
        for name in _imported(node)
        if name.startswith("landmint.")
    )
    name = ".".join(parts[:-1] if is_package else parts)
    return Module(name, is_package, ast.get_docstring(tree) or "", names)


def _imported(node: ast.AST) -> Iterator[str]:
    """Names that a node imports; a name from a module with the module before it."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def import_graph(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    """Module to the modules that it imports."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for module in modules.values():
        for name in module.names:
            target = name if name in modules else name.rpartition(".")[0]
            if target in modules and target != module.name:
                graph[module.name].add(target)
    return graph


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """What can be reached from a node by one arrow or more."""
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += graph[node]
    return seen


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of nodes each of which can be reached from every other, each group sorted."""
    reached = {node: reachable(graph, node) for node in graph}
    groups = {
        tuple(sorted(other for other in reached[node] if node in reached[other]))
        for node in graph
        if node in reached[node]
    }
    return [list(group) for group in sorted(groups)]


def room_graph(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    """Room to the rooms that it imports from, itself left out."""
    graph: dict[str, set[str]] = {module.room: set() for module in modules.values()}
    for name, targets in import_graph(modules).items():
        room = modules[name].room
        graph[room] |= {modules[target].room for target in targets} - {room}
    return graph


def reduced(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The graph without arrows that a longer way makes plain: of a > b > c and a > c, not the last.

    A way counts only where it goes down: through no node that leads back to where it came from.
    """
    reached = {node: reachable(graph, node) for node in graph}

    def is_plain(start: str, end: str) -> bool:
        return any(
            end in reached[middle] and start not in reached[middle] and middle not in reached[end]
            for middle in graph[start] - {end}
        )

    return {start: {e for e in ends if not is_plain(start, e)} for start, ends in graph.items()}


def users_of(modules: Mapping[str, Module], names: Sequence[str]) -> set[str]:
    """The rooms that define or import one of some functions or classes; drivers left out.

    The device layer only holds the format of what others write, so that defining does not count.

    Raises:
        KeyError: nothing imports one of them, so it must have another name now.
    """
    rooms = set()
    for name in names:
        imports = {n for module in modules.values() for n in module.names if _last(n) == name}
        if not imports:
            raise KeyError(f"nothing imports {name}: correct DATA in {__file__}")
        rooms |= {module.room for module in modules.values() if imports & module.names}
        definers = {n.rpartition(".")[0] for n in imports} & modules.keys()
        rooms |= {modules[definer].room for definer in definers} - {"runtime"}
    return rooms - DRIVERS


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def architecture(root: Path = ROOT) -> str:
    """The whole page, in Markdown."""
    modules = read_modules(root)
    rooms = {name: module for name, module in modules.items() if module.is_package}
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = [contract["name"] for contract in project["tool"]["importlinter"]["contracts"]]
    return _PAGE.format(
        data=_mermaid("LR", [*_data_nodes(), *_data_arrows(modules)]),
        imports=_mermaid("TB", [*_room_nodes(rooms), *_arrows(reduced(room_graph(modules)))]),
        rooms="\n\n".join(_about(module) for module in rooms.values()),
        contracts="\n".join(f"- {name}" for name in contracts),
    )


def _mermaid(direction: str, lines: Sequence[str]) -> str:
    return "\n".join(["```mermaid", f"flowchart {direction}", *(f"    {x}" for x in lines), "```"])


def _id(name: str) -> str:
    """A name as mermaid takes it: some words, such as `end`, mean something to it."""
    return f"n_{re.sub('[^a-z0-9]', '_', name.lower())}"


def _data_nodes() -> Iterator[str]:
    yield from (f'{_id(name)}[("{name}")]' for name in DATA)


def _data_arrows(modules: Mapping[str, Module]) -> Iterator[str]:
    """From the rooms that write each kind of file to it, and from it to those that read it."""
    for name, (writers, readers) in DATA.items():
        for room in sorted(users_of(modules, writers)):
            yield f"{_id(room)}[{room}] --> {_id(name)}"
        for room in sorted(users_of(modules, readers)):
            yield f"{_id(name)} --> {_id(room)}[{room}]"


def _room_nodes(rooms: Mapping[str, Module]) -> Iterator[str]:
    """Each source root with the rooms in it."""
    for source in ROOTS:
        yield f'subgraph {_id(source)}_root ["{source}/"]'
        for name in rooms:
            package = name.split(".")[0]
            if WITHIN.get(package, package) == source:
                yield f"    {_id(name)}[{name}]"
        yield "end"


def _arrows(graph: Mapping[str, set[str]]) -> Iterator[str]:
    for start, ends in sorted(graph.items()):
        yield from (f"{_id(start)} --> {_id(end)}" for end in sorted(ends))


def _about(module: Module) -> str:
    """A room's heading and what its docstring says."""
    text = " ".join(module.docstring.split())
    lines = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"### {module.name}\n", *lines])


if __name__ == "__main__":
    page = ROOT / "docs" / "architecture.md"
    page.write_text(architecture(), encoding="utf-8")
    print(f"{page.relative_to(ROOT)} written")
