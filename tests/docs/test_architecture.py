"""No module is in a circle of imports, and the page of the architecture is the code's."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import benchmark

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def architecture() -> ModuleType:
    return benchmark("architecture")


def source(root: Path, files: dict[str, str]) -> Path:
    """Source roots with a few modules in `train`."""
    for name in ("train", "export", "quantize", "runtime", "targets", "pipeline"):
        (root / name / "landmint" / name).mkdir(parents=True)
    for name, text in files.items():
        path = root / "train/landmint/train" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_no_module_is_in_a_circle_of_imports(architecture: ModuleType) -> None:
    assert architecture.circles(architecture.import_graph(architecture.read_modules())) == []


def test_a_circle_is_found_however_long_and_wherever_its_imports_stand(
    architecture: ModuleType, tmp_path: Path
) -> None:
    root = source(
        tmp_path,
        {
            "a.py": "from landmint.train.b import x",
            "b.py": "def late():\n    from landmint.train import c",
            "c.py": "import landmint.train.a",
            "d.py": "from landmint.train.a import x",
        },
    )
    modules = architecture.read_modules(root)
    assert architecture.circles(architecture.import_graph(modules)) == [
        ["train.a", "train.b", "train.c"]
    ]


def test_a_package_and_what_is_in_it_can_make_a_circle(
    architecture: ModuleType, tmp_path: Path
) -> None:
    root = source(
        tmp_path,
        {
            "p/__init__.py": "from landmint.train.p.q import x",
            "p/q.py": "from landmint.train.p import y",
        },
    )
    modules = architecture.read_modules(root)
    assert architecture.circles(architecture.import_graph(modules)) == [["train.p", "train.p.q"]]


def test_the_page_is_current(architecture: ModuleType) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert page == architecture.architecture(), "run `make architecture`"


def test_every_room_stands_in_the_drawing(architecture: ModuleType) -> None:
    _, drawing = architecture.architecture().split("## Who imports whom")
    for name, module in architecture.read_modules().items():
        if module.is_package:
            assert f"[{name}]" in drawing, name


def test_every_room_says_what_it_is(architecture: ModuleType) -> None:
    for name, module in architecture.read_modules().items():
        if module.is_package:
            assert len(re.findall(r"\.(?:\s|$)", module.docstring)) > 1, (
                f"{name}: say what it is, and what it is not"
            )


def test_arrows_that_a_longer_way_makes_plain_are_left_out(architecture: ModuleType) -> None:
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert architecture.reduced(graph) == {"a": {"b"}, "b": {"c"}, "c": set()}
