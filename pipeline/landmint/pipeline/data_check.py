"""What `landmint data check` says of a data set, and the picture that it writes."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from landmint.pipeline.draw import write_image
from landmint.pipeline.judge.comparison import side_of
from landmint.pipeline.progress import Screen
from landmint.pipeline.text import percent
from landmint.runtime.crop import Floats
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.runtime.stats import person_interval
from landmint.train.faces.check import DataCheck, check_data
from landmint.train.faces.face import Face, FaceSet
from landmint.train.faces.readers import SPLITS, FacesConfig, Split
from landmint.train.faces.remark import Remark
from landmint.train.faces.sheet import contact_sheet

if TYPE_CHECKING:
    from landmint.train.models.base import LandmarkModel

BROKEN = 2
"""Exit code where something is broken: that of bad input."""
_COLUMNS, _TILES = 8, 24
_MOST_HINTS = 10
_LEANING = 400
"""Faces, chosen at random, that tell whether labels lean to one side."""
_LEANS = 0.002
"""Share of the box's longer side from which that is worth a word: a twentieth of a good NME."""
_FEW_SIZES = 0.1
"""Standard deviation of the faces' sides, as a share of their mean, below which they are too much
of a size to tell what part of a lean is the same for all and what part grows with the face."""


def check_faces(
    config: FacesConfig,
    splits: Sequence[Split],
    sheet: Path,
    model: "LandmarkModel | None" = None,
) -> int:
    """Examine a data set, print what is found, write the contact sheet.

    Args:
        config: which data set; a relative root starts at the working directory.
        splits: what to read.
        sheet: where the picture goes, in the format of its suffix.
        model: trained on such faces; tells whether their labels lean to one side.

    Returns:
        0 where it is sound, else 2.

    Raises:
        LandmintError: the picture cannot be written, or the model has another markup.
    """
    screen = Screen()
    _check_markup(model, config.markup)
    with screen.bar("reading images") as bar:
        check = check_data(config, splits, Path(), bar)
    console = Console(highlight=False, soft_wrap=True)
    console.print(_counts(check))
    for line in lines_of(check):
        console.print(escape(line))
    worst, sample = _shown(check)
    if sample and model is not None:
        with screen.bar("looking both ways"):
            console.print(escape(_leaning(model, sample[:_LEANING], check.markup)))
    sample = sample[:_TILES]
    if sample:
        markup = get_markup(check.markup)
        groups = [faces for faces in (worst, sample) if faces]
        rows = [contact_sheet(faces, _COLUMNS, markup=markup) for faces in groups]
        write_image(sheet, np.concatenate(rows))
        console.print(f"{sheet}: the {len(worst)} strangest, then {len(sample)} at random")
    print("sound" if check.sound else "broken")
    return 0 if check.sound else BROKEN


def settings(base: FacesConfig, given: Mapping[str, object]) -> FacesConfig:
    """Settings of a data set with what is given instead.

    Raises:
        LandmintError: a value makes no sense.
    """
    try:
        return FacesConfig.model_validate({**base.model_dump(), **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise LandmintError(f"{key}: {first['msg'].removeprefix('Value error, ')}") from None


def splits_there(config: FacesConfig) -> list[Split]:
    """The splits of which something lies under the root.

    Raises:
        LandmintError: there is none.
    """
    splits = [
        split
        for split in SPLITS
        if any((config.root / name).exists() for name in config.names_of(split))
    ]
    if not splits:
        named = ", ".join(name for split in SPLITS for name in config.names_of(split))
        raise LandmintError(
            f"{config.root} has no split",
            reason=f"there is no {named}",
            remedy="name a folder or file of the faces: --train NAME, --val NAME or --test NAME",
        )
    return splits


def _counts(check: DataCheck) -> Table:
    table = Table(caption=f"markup {check.markup}")
    for title in ("split", "faces", "images", "persons", "broken rows"):
        table.add_column(title, justify="left" if title == "split" else "right")
    for part in check.splits:
        images = {face.image for face in part.faces}
        persons = {face.person for face in part.faces}
        counts = (len(part.faces), len(images), len(persons), len(part.broken))
        table.add_row(part.split, *map(str, counts))
    return table


def lines_of(check: DataCheck) -> Iterator[str]:
    """Lines for people: every fault, the first few of each kind of hint, and what to do."""
    for kind, same in groupby(check.findings, key=lambda finding: finding.kind):
        findings = list(same)
        yield f"{'broken' if kind.is_fault else 'look at'}: {kind.title}: {len(findings)}"
        kept = findings if kind.is_fault else findings[:_MOST_HINTS]
        yield from (f"  {_line(finding)}" for finding in kept)
        if len(findings) > len(kept):
            yield f"  and {len(findings) - len(kept)} more"
        if kind.remedy:
            yield f"  what to do: {kind.remedy}"


def _check_markup(model: "LandmarkModel | None", markup: str) -> None:
    """Refuse a network of another markup before the faces are read.

    Raises:
        LandmintError: it is of another.
    """
    if model is not None and model.contract.markup != markup:
        raise LandmintError(
            f"the model knows markup {model.contract.markup}, the faces have {markup}",
            remedy="name a model that was trained on such faces",
        )


def _leaning(model: "LandmarkModel", faces: Sequence[Face], markup: str) -> str:
    """Whether labels lean to one side of what a network sees both ways round, as a line."""
    from landmint.train.evaluate import mirror_lean

    lean_px = mirror_lean(model, FaceSet(markup, tuple(faces), "a sample", ""))
    sides = np.array([max(face.box.w, face.box.h) for face in faces])
    shift = person_interval(lean_px / sides, [face.person for face in faces])
    if shift.is_unbounded:
        return "whether labels lean to one side cannot be told: not enough persons"
    if side_of(shift, 0) == "undecided" or abs(shift.estimate) < _LEANS:
        return f"labels lean to neither side (of {len(faces)} faces)"
    side = "right" if shift.estimate > 0 else "left"
    amount = percent(abs(shift.estimate))
    pixels, share = lean_line(lean_px, sides)
    return (
        f"look at: labels lie {amount} % of the box's longer side to the {side} of what the "
        f"model sees both ways round ({len(faces)} faces); to take that off, add under [faces]: "
        f"label_offset = {{ pixels = [{pixels:.2f}, 0], share = [{share:.4f}, 0] }}"
    )


def lean_line(lean_px: Floats, sides: Floats) -> tuple[float, float]:
    """A lean as pixels that are the same for all faces, and a share of the box's longer side.

    Args:
        lean_px: (N,) of each face.
        sides: (N,) longer side of each face box, in pixels.

    Returns:
        the least-squares line of the lean over the side: its value at 0, and its slope. Where the
        faces are all of about one size, 0 and the mean share.
    """
    if sides.std() < _FEW_SIZES * sides.mean():
        return 0.0, float((lean_px / sides).mean())
    share, pixels = np.polyfit(sides, lean_px, 1)
    return float(pixels), float(share)


def _line(finding: Remark) -> str:
    return f"{finding.where}: {finding.detail}" if finding.detail else finding.where


def _shown(check: DataCheck) -> tuple[list[Face], list[Face]]:
    """The strangest faces, and a random sample; of those whose pictures can be read."""
    everyone = [face for part in check.splits for face in part.faces]
    order = np.random.default_rng(0).permutation(len(everyone)).tolist()
    worst = [face for face in check.strangest if face.image in check.readable]
    sample = [everyone[i] for i in order if everyone[i].image in check.readable]
    return worst[:_TILES], sample
