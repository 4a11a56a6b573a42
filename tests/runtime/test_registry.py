"""Names of parts: landmint's own, those of other packages, and what is wrong with either."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from landmint.runtime.errors import LandmintError
from landmint.runtime.registry import Registry

AddPackage = Callable[[str, str, str], None]


@pytest.fixture
def add_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddPackage:
    """Install a package of one module, by its name, its entry points and its code."""

    def add(name: str, entries: str, code: str) -> None:
        folder = tmp_path / name
        about = folder / f"{name}-1.5.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (about / "entry_points.txt").write_text(f"[landmint.parts]\n{entries}\n")
        (folder / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(folder)

    return add


def parts() -> Registry:
    own = {"path": "pathlib:Path", "purepath": "pathlib:PurePath"}
    return Registry(own, kind="part", group="landmint.parts")


def test_a_package_adds_a_part(add_package: AddPackage) -> None:
    add_package("foreign_a", "toy = foreign_a:Toy", "class Toy: pass")
    registry = parts()
    assert list(registry) == ["path", "purepath", "toy"] and len(registry) == 3
    assert registry["toy"] == "foreign_a:Toy" and registry["path"] == "pathlib:Path"
    assert registry.load("toy").__name__ == "Toy"
    assert registry.load("path") is Path
    assert registry.check("toy") == "toy"


def test_an_unknown_name_is_answered_with_all_names(add_package: AddPackage) -> None:
    add_package("foreign_b", "toy = foreign_b:Toy", "class Toy: pass")
    with pytest.raises(LandmintError, match="unknown part 'tooth'") as caught:
        parts().load("tooth")
    assert caught.value.choices == ("path", "purepath", "toy")
    with pytest.raises(ValueError, match="unknown part 'tooth'; choices: path, purepath, toy"):
        parts().check("tooth")


def test_a_name_that_two_packages_offer_is_refused(add_package: AddPackage) -> None:
    add_package("foreign_c", "toy = foreign_c:Toy\npath = foreign_c:Toy", "class Toy: pass")
    add_package("foreign_d", "toy = foreign_d:Toy", "class Toy: pass")
    registry = parts()
    assert list(registry) == ["path", "purepath", "toy"]
    with pytest.raises(LandmintError, match="2 packages offer the part 'path'") as caught:
        registry.load("path")
    assert "landmint and foreign_c 1.5" in caught.value.reason
    with pytest.raises(LandmintError, match="2 packages offer the part 'toy'") as caught:
        registry.load("toy")
    assert "foreign_c 1.5 and foreign_d 1.5" in caught.value.reason
    assert caught.value.choices == ("path", "purepath")
    assert registry.load("purepath")


@pytest.mark.parametrize(
    ("entry", "code", "reason"),
    [
        ("toy = foreign_e:Toy", "import a_library_that_is_not_there", "ModuleNotFoundError: No "),
        ("toy = foreign_e:Toy", "raise RuntimeError('on import')", "RuntimeError: on import"),
        ("toy = foreign_e:Toy", "", "AttributeError: module 'foreign_e' has no attribute 'Toy'"),
        ("toy = another:Toy", "", "ModuleNotFoundError: No module named 'another'"),
        ("toy = no reference", "", "no reference: "),
    ],
)
def test_a_broken_package_is_named(
    entry: str, code: str, reason: str, add_package: AddPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "foreign_e", raising=False)
    add_package("foreign_e", entry, code)
    registry = parts()
    with pytest.raises(LandmintError) as caught:
        registry.load("toy")
    assert caught.value.fact == "the part 'toy' of the package foreign_e 1.5 cannot be loaded"
    assert reason in caught.value.reason
    assert registry.load("path") is Path, "a broken package breaks nothing else"


def test_an_error_of_ours_comes_through(add_package: AddPackage) -> None:
    code = "from landmint.runtime.errors import NotMeasuredError\nraise NotMeasuredError('no toys')"
    add_package("foreign_f", "toy = foreign_f:Toy", code)
    with pytest.raises(LandmintError, match="no toys"):
        parts().load("toy")
