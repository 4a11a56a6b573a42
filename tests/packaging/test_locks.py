"""The locked versions and pyproject.toml say the same; `make lock` writes them anew."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"].values()
REQUIREMENTS = [
    requirement
    for requirement in map(Requirement, [*PROJECT["dependencies"], *sum(EXTRAS, start=[])])
    if requirement.name != "landmint"
]


def _locked(name: str) -> dict[str, Version]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]
    return {
        canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("==")) for pin in pins
    }


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-oldest.txt"])
def test_every_dependency_is_locked_within_its_bounds(name: str) -> None:
    locked = _locked(name)
    unlocked = [
        str(requirement)
        for requirement in REQUIREMENTS
        if canonicalize_name(requirement.name) not in locked
        or locked[canonicalize_name(requirement.name)] not in requirement.specifier
    ]
    assert not unlocked, f"{name} does not hold these; run `make lock`"


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    oldest = _locked("constraints-oldest.txt")
    assert all(requirement.specifier for requirement in REQUIREMENTS)
    untried = []
    for requirement in REQUIREMENTS:
        bound = min(Version(s.version.removesuffix(".*")) for s in requirement.specifier)
        tried = oldest[canonicalize_name(requirement.name)]
        if tried.release[: len(bound.release)] != bound.release:
            untried.append(f"{requirement}: tried {tried}")
    assert not untried, "raise these lower bounds, then run `make lock`"


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-oldest.txt", "Makefile"])
def test_no_package_index_is_named(name: str) -> None:
    assert "://" not in (ROOT / name).read_text(encoding="utf-8")
