"""The two builds that a gate compares: how they are named, and which variants make pairs.

It measures nothing and judges nothing.
"""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from landmint.pipeline.revision import folder_of_revision, repository_of
from landmint.runtime.bundle import Bundle, Variant
from landmint.runtime.engines import ENGINES
from landmint.runtime.errors import LandmintError

_WITH_VARIANT = re.compile(r"(?P<place>.+):(?P<variant>[a-z0-9-]+/[a-z0-9-]+)")


@dataclass(frozen=True)
class Build:
    """One of the two builds."""

    name: str
    """As it was given."""
    bundle: Bundle
    """Its bundle."""
    variant: str = ""
    """The only variant that is meant; all of them when empty."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A variant of the candidate, and the baseline's that it is compared with."""

    baseline: Variant | None
    """None where the baseline has none of that name."""
    candidate: Variant | None
    """None where the candidate has none of that name."""

    @property
    def name(self) -> str:
        """The variant's name; both where they differ."""
        names = [v.name for v in (self.candidate, self.baseline) if v is not None]
        return " over ".join(dict.fromkeys(names))


def open_candidate(text: str, plans: bool = False) -> Build:
    """The build that is judged: a bundle's folder, or FOLDER:VARIANT for one variant of it.

    Raises:
        LandmintError: there is no bundle, or it has no such variant.
    """
    place, variant = _split(text)
    return _checked(Build(text, Bundle.open(Path(place), plans=plans), variant))


def open_baseline(text: str, candidate: Build, scratch: Path, plans: bool = False) -> Build:
    """The build that is compared with.

    Args:
        text: a bundle's folder, or a git revision, which means the candidate's folder as it was in
            that revision; either may end in :VARIANT.
        candidate: the other build.
        scratch: an empty folder for files of a revision.
        plans: whether TensorRT plans may run.

    Raises:
        LandmintError: there is no such folder or revision, no such variant, or the two builds have
            other markups or contracts.
        NotMeasuredError: the revision lacks the bundle.
    """
    place, variant = _split(text)
    folder = Path(place)
    if not folder.exists():
        folder = _revision(place, candidate, scratch)
    build = _checked(Build(text, Bundle.open(folder, plans=plans), variant))
    _check_comparable(build, candidate)
    return build


def _split(text: str) -> tuple[str, str]:
    """A place and the variant named behind it, if one is."""
    match = None if Path(text).exists() else _WITH_VARIANT.fullmatch(text)
    return (match["place"], match["variant"]) if match else (text, "")


def _revision(name: str, candidate: Build, scratch: Path) -> Path:
    """The candidate's folder as it was in a revision; a name that can only be a path is none."""
    folder = candidate.bundle.path
    is_path = name.startswith((".", "/", "~"))
    if is_path or repository_of(folder) is None:
        outside = "" if is_path else f", and {folder} lies in no git repository"
        raise LandmintError(
            f"there is no baseline {name}",
            reason=f"it is no folder{outside}",
            remedy="give the folder of a bundle, or a git revision that has one",
        )
    return folder_of_revision(folder, name, scratch / "revision")


def _checked(build: Build) -> Build:
    if build.variant:
        build.bundle.variant(build.variant)
    return build


def _check_comparable(baseline: Build, candidate: Build) -> None:
    """Refuse builds of other tasks: neither landmarks nor times would say anything."""
    theirs, ours = baseline.bundle.manifest.contract, candidate.bundle.manifest.contract
    if theirs.markup != ours.markup:
        raise LandmintError(
            f"the candidate has markup {ours.markup}, the baseline {theirs.markup}",
            reason="their landmarks are other points of a face",
            remedy="give a baseline of the same markup",
        )
    fields = [item.name for item in dataclasses.fields(ours)]
    apart = [name for name in fields if getattr(ours, name) != getattr(theirs, name)]
    if apart:
        raise LandmintError(
            f"candidate and baseline have other contracts: they differ in {', '.join(apart)}",
            reason="an application that runs one could not run the other as it is",
            remedy="give a baseline that was exported with the same contract",
        )


def pair_variants(
    baseline: Build, candidate: Build, patterns: Sequence[str] = ()
) -> tuple[Pair, ...]:
    """Which variants are compared.

    Args:
        baseline: the build that is compared with.
        candidate: the build that is judged.
        patterns: of variant names, such as "*/int8"; all that an engine runs when empty.

    Returns:
        pairs of variants of one name, in the candidate's order, then those that it lacks. Where a
        build names its variant, the only pair is that one with its namesake, or with the variant
        that the other build names.

    Raises:
        LandmintError: no variant matches a pattern, or a build lacks the variant that the other
            names.
    """
    if baseline.variant or candidate.variant:
        ours, theirs = candidate.variant or baseline.variant, baseline.variant or candidate.variant
        return (Pair(baseline.bundle.variant(theirs), candidate.bundle.variant(ours)),)
    before = {v.name: v for v in baseline.bundle.manifest.variants if v.engine in ENGINES}
    now = {v.name: v for v in candidate.bundle.manifest.variants if v.engine in ENGINES}
    names = list(dict.fromkeys([*now, *before]))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise LandmintError(f"no variant of the two builds matches '{pattern}'", choices=names)
    chosen = [n for n in names if not patterns or any(fnmatchcase(n, p) for p in patterns)]
    return tuple(Pair(before.get(name), now.get(name)) for name in chosen)
