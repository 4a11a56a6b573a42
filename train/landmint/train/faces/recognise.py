"""Which reader reads a folder of faces, told by how the data set of each kind is laid out.

The first training face is read to see which landmark scheme fits. Not a check of the data set:
`landmint data check` reads every row.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import MARKUPS
from landmint.train.faces.readers import SPLITS, FacesConfig, Split, find_rows, missing_folder
from landmint.train.faces.row import MissingPoints

_IN = r"(?:.*/)?"
LAYOUTS: Mapping[str, str] = {
    "300w": r"({split})/.*\.pts",
    "lapa": r"({split})/landmarks/[^/]*\.txt",
    "wflw": rf"({_IN}list_98pt_rect_attr_{{split}}\.txt)",
    "cofw": rf"({_IN}COFW_{{split}}_color\.mat)",
    "hrnet": rf"({_IN}[^/]*{{split}}[^/]*\.csv)",
    "imglab": rf"({_IN}[^/]*{{split}}[^/]*\.xml)",
    "coco": rf"({_IN}[^/]*{{split}}[^/]*\.json)",
}
"""Paths of a split's labels under the root, by kind; the group is what the recipe names."""
_FEW_VALIDATION_FACES = 500
Parts = Mapping[Split, tuple[str, ...]]


def recognise(root: Path, kind: str | None = None, markup: str | None = None) -> FacesConfig:
    """The settings of the data set in a folder.

    Where there are no validation faces, some of the training faces stand for them.

    Args:
        root: the folder; a relative path starts at the working directory.
        kind: the reader; None: the one whose layout the folder has.
        markup: the landmark scheme; None: the one that fits the first face.

    Raises:
        LandmintError: the folder is missing, has no known layout or several, or no landmark scheme
            fits its first face.
    """
    if not root.is_dir():
        raise missing_folder(root, "the data set is expected there")
    kind, parts = _fitting(root, kind)
    base = FacesConfig(
        kind=kind,
        root=root,
        train=parts["train"],
        val=parts.get("val", parts["train"]),
        test=parts["test"],
        limits={} if "val" in parts else {"val": _FEW_VALIDATION_FACES},
    )
    folders = sorted(path.name for path in root.iterdir() if path.is_dir())
    problems = []
    for images, name in product(("", *folders), _known(markup)):
        config = base.model_copy(update={"images": images, "markup": name})
        problem = _problem(config)
        if not problem:
            return config
        problems.append(problem)
    raise LandmintError(
        f"the first face of {root} cannot be read as {kind}",
        reason=problems[0],
        remedy="correct it, or name another --kind or --markup",
        choices=MARKUPS,
    )


def _known(markup: str | None) -> Sequence[str]:
    if markup is not None and markup not in MARKUPS:
        raise LandmintError(f"unknown markup '{markup}'", choices=MARKUPS)
    return (markup,) if markup else tuple(MARKUPS)


def _fitting(root: Path, kind: str | None) -> tuple[str, Parts]:
    """The kind whose layout a folder has, and what each split names."""
    if kind is not None and kind not in LAYOUTS:
        raise LandmintError(
            f"no layout is known of kind '{kind}'",
            remedy="name one that is, or write [faces] by hand: docs/adding-a-dataset.md",
            choices=LAYOUTS,
        )
    files = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*"))]
    by_kind = {name: _parts(files, LAYOUTS[name]) for name in ([kind] if kind else LAYOUTS)}
    fitting = {name: parts for name, parts in by_kind.items() if {"train", "test"} <= {*parts}}
    if len(fitting) == 1:
        return fitting.popitem()
    if fitting:
        raise LandmintError(
            f"{root} looks like several kinds of data set", remedy="add --kind", choices=fitting
        )
    raise LandmintError(
        f"no data set with train and test faces is recognised in {root}",
        reason="; ".join(_what_is_there(by_kind)) or "it has no file that is named like labels",
        remedy="put the faces into train/, val/ and test/, each NAME.jpg beside NAME.pts, or write "
        "[faces] by hand: docs/adding-a-dataset.md",
        choices=by_kind,
    )


def _parts(files: Sequence[str], layout: str) -> Parts:
    """What each split of a layout names, as far as it is there."""
    parts: dict[Split, tuple[str, ...]] = {}
    for split in SPLITS:
        pattern = re.compile(layout.format(split=split))
        matches = filter(None, map(pattern.fullmatch, files))
        if names := tuple(dict.fromkeys(match[1] for match in matches)):
            parts[split] = names
    return parts


def _what_is_there(by_kind: Mapping[str, Parts]) -> Iterator[str]:
    for kind, parts in by_kind.items():
        if parts:
            yield f"of {kind} there is {' and '.join(parts)} alone"


def _problem(config: FacesConfig) -> str:
    """Why the first training face cannot be read; empty where it can."""
    try:
        for row in find_rows(config, "train", Path()):
            row()
            return ""
    except MissingPoints:  # there are as many landmarks as the scheme has
        return ""
    except LandmintError as error:
        return f"{error.fact}: {error.reason}" if error.reason else error.fact
    return "there are no training faces"
