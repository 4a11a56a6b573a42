"""What `landmint data check` says of a data set, and the picture that it writes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from landmint.pipeline.draw import write_image
from landmint.pipeline.leaning import leaning_lines
from landmint.pipeline.progress import Screen
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.check import MISLABELLED, DataCheck, check_data
from landmint.train.faces.face import Face, FaceSet
from landmint.train.faces.readers import SPLITS, FacesConfig, Split
from landmint.train.faces.remark import Remark, placed_faces
from landmint.train.faces.sheet import contact_sheet
from landmint.train.faces.typical import FEWEST_FACES
from landmint.train.zoo import find_model, shipped

if TYPE_CHECKING:
    from landmint.train.models.base import LandmarkModel

BROKEN = 2
"""Exit code where something is broken: that of bad input."""
_COLUMNS, _TILES = 8, 24
_MOST_HINTS = 10
NO_MODEL = "none"
_ASKED, _ASKED_UNBIDDEN = 400, 150
"""Faces, chosen at random, that a network is asked about: one that was named, and another."""


def check_faces(
    config: FacesConfig,
    splits: Sequence[Split],
    sheet: Path,
    network: str | None = None,
) -> int:
    """Examine a data set, print what is found, write the contact sheet.

    Args:
        config: which data set; a relative root starts at the working directory.
        splits: what to read.
        sheet: where the picture goes, in the format of its suffix.
        network: weights, or the name of a shipped model, that is asked which way round labels fit,
            and whether they lean; "none" for none. None: a shipped one of the markup, if there are
            faces enough.

    Returns:
        0 where it is sound, else 2.

    Raises:
        LandmintError: the picture cannot be written, or the model has another markup.
    """
    screen = Screen()
    model = _given(network, config.markup)
    with screen.bar("reading images") as bar:
        check = check_data(config, splits, Path(), bar)
    opinion: list[str] = []
    asked = _sample(check)[:_ASKED]
    if network is None and len(asked) >= FEWEST_FACES:
        model, asked = _shipped(config.markup), asked[:_ASKED_UNBIDDEN]
    if model is not None and asked:
        with screen.bar("asking a model"):
            check, opinion = _asked(model, check, asked)
    console = Console(highlight=False, soft_wrap=True)
    console.print(_counts(check))
    for line in (*lines_of(check), *opinion):
        console.print(escape(line))
    worst, sample = _shown(check)
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


def _given(network: str | None, markup: str) -> "LandmarkModel | None":
    """The network of a name or path; one of another markup is refused before faces are read.

    Raises:
        LandmintError: there is no such network, or it is of another markup.
    """
    if network in (None, NO_MODEL):
        return None
    from landmint.train.models import load_model

    model = load_model(find_model(network or ""))
    if model.contract.markup != markup:
        raise LandmintError(
            f"the model knows markup {model.contract.markup}, the faces have {markup}",
            remedy="name a model that was trained on such faces",
        )
    return model


def _shipped(markup: str) -> "LandmarkModel | None":
    """The best shipped model of a markup that has learnt from photographs."""
    from landmint.train.models import load_model

    fitting = (m for m in shipped() if m.about.markup == markup and not m.about.drawn)
    model = next(fitting, None)
    return load_model(model.weights) if model else None


def _asked(
    model: "LandmarkModel", check: DataCheck, named: Sequence[tuple[str, Face]]
) -> tuple[DataCheck, list[str]]:
    """The check with what a network says of some of its faces, and lines about their lean."""
    from landmint.train.second_opinion import opinion_remarks, second_opinion

    faces = [face for _, face in named]
    opinion = second_opinion(model, FaceSet(check.markup, tuple(faces), "a sample", ""))
    known = {remark.where for remark in check.findings if remark.fault}
    places = [where for where, _ in named]
    remarks = [r for r in opinion_remarks(opinion, places) if r.where not in known]
    findings = sorted((*check.findings, *remarks), key=lambda remark: not remark.fault)
    asked = f"a model was asked about {len(faces)} faces at random"
    check = replace(check, findings=tuple(findings))
    if any(remark.fault and remark.kind in MISLABELLED for remark in check.findings):
        return check, [asked, "whether labels lean is not told: mend first what is broken in them"]
    sides = np.array([max(face.box.w, face.box.h) for face in faces])
    persons = [face.person for face in faces]
    return check, [asked, *leaning_lines(opinion.lean_px, sides, persons)]


def _line(finding: Remark) -> str:
    return f"{finding.where}: {finding.detail}" if finding.detail else finding.where


def _sample(check: DataCheck) -> list[tuple[str, Face]]:
    """Faces in random order, each with its place; those that can be read and have all landmarks."""
    named = [
        (where, face)
        for where, face in placed_faces(check.splits)
        if face.image in check.readable and face.placed.all()
    ]
    order = np.random.default_rng(0).permutation(len(named)).tolist()
    return [named[i] for i in order]


def _shown(check: DataCheck) -> tuple[list[Face], list[Face]]:
    """The strangest faces, and a random sample; of those whose pictures can be read."""
    worst = [face for face in check.strangest if face.image in check.readable]
    return worst[:_TILES], [face for _, face in _sample(check)][:_TILES]
