"""Whole commands over sound files, each with what it may be given broken: a file, or a word.

A command ends well where it says what it did or refuses in landmint's words, with an exit code that
`landmint --help` lists, and where it writes nothing but what it was asked to.
"""

import shutil
import traceback
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from landmint.pipeline import cli
from landmint.pipeline.history.importing import add_folders
from landmint.pipeline.shipped_recipes import shipped_recipes
from landmint.runtime.markup import get_markup
from landmint.train.faces.readers import Split
from landmint.train.faces.synthetic import write_synthetic
from tests.export.importing.conftest import foreign_onnx, write_contract
from tests.pipeline.conftest import make_fake_run
from tests.strangers.mutations import WORDS, mutated
from tests.strangers.readings import READINGS

EXIT_CODES = range(6)
"""What a command may end with; 2 is "usage or bad input"."""
_KINDS = {".json": "json", ".toml": "text", ".csv": "text", ".pts": "text"}
_WRITTEN = "out/"
"""Words that begin so name what a command writes: they are not changed."""


_QUICK = """
[faces]
kind = "300w"
root = "faces"
markup = "68"

[student.model]
name = "pfld"
input_size = 64

[quantize]
size = 4

[measure]
launches = 1
samples = 4
seconds = 0.2
"""


@dataclass(frozen=True)
class Command:
    """One command line."""

    words: str
    """After `landmint`; files by their place in the folder of `sound_files`."""
    reads: tuple[str, ...]
    """Patterns of the files that may be broken."""
    code: int = 0
    """Its exit code where nothing is broken."""
    slow: bool = False
    """It takes seconds where nothing is broken, so it is tried more seldom."""


class Broken(NamedTuple):
    """One thing that is wrong with a command."""

    words: tuple[str, ...]
    """What stands after `landmint`."""
    file: str = ""
    """The broken file; none where it is a word."""
    content: bytes | None = None
    """What stands in it; None where it is gone."""


COMMANDS: Mapping[str, Command] = {
    "predict": Command(
        "predict pictures/a.png --model pfld --box 9,9,40,40 --out out/found", ("pictures/a.png",)
    ),
    "predict faces": Command("predict pictures/b.jpeg --out out/found", ("pictures/b.jpeg",), 3),
    "predict by a bundle": Command(
        "predict pictures/a.png --bundle float --variant onnx/float32 --box 9,9,40,40 --out out/p",
        ("float/manifest.json", "float/onnx/*"),
    ),
    "label": Command(
        "label pictures --model run/student/model.safetensors --boxes whole --processes 1 "
        "--accelerator cpu --out out/labels.json",
        ("pictures/*",),
        slow=True,
    ),
    "data check": Command(
        "data check faces --train train --test test --model none --out out/sheet.jpg",
        ("faces/test/*", "faces/train/*"),
    ),
    "data check of COCO": Command(
        "data check coco --kind coco --train labels.json --model none --out out/sheet.jpg",
        ("coco/*",),
        2,
    ),
    "lint": Command("export --lint float --out out", ("float/manifest.json", "float/*/*")),
    "lint of a file": Command("export --lint net.onnx --out out", ("net.onnx",), 2),
    "draft": Command("import net.onnx --draft out/contract.toml", ("net.onnx",)),
    "import": Command(
        "import net.onnx --contract contract.toml --format onnx --out out/bundle",
        ("net.onnx", "contract.toml"),
        slow=True,
    ),
    "quantize": Command(
        "quantize float --recipe quick.toml --faces faces --format onnx --out out/bundle",
        ("float/manifest.json", "quick.toml", "faces/train/*"),
        slow=True,
    ),
    "measure": Command(
        "measure float --recipe quick.toml --faces faces --variant onnx/float32 --out out/measured",
        ("float/manifest.json", "quick.toml", "faces/test/*"),
        slow=True,
    ),
    "gate by limits": Command(
        "gate run/measurements --recipe demo.toml --out out/verdict",
        ("run/measurements/*", "demo.toml"),
    ),
    "gate by history": Command(
        "gate --candidate run/measurements --history history.sqlite --out out/verdict",
        ("run/measurements/*", "history.sqlite"),
        3,
    ),
    "report": Command(
        "report run --out out/page.html",
        ("run/*.json", "run/*/*.json", "run/*/*.csv", "run/student/*"),
    ),
    "history add": Command(
        "history add run/measurements --history out/h.sqlite", ("run/measurements/*",)
    ),
    "history list": Command("history list --history history.sqlite", ("history.sqlite",)),
    "history show": Command("history show 1 --history history.sqlite", ("history.sqlite",)),
    "history changes": Command("history changes --history history.sqlite", ("history.sqlite",)),
    "history page": Command(
        "history page --history history.sqlite --out out/page.html", ("history.sqlite",)
    ),
}
"""By what is asked for."""


def sound_files(folder: Path) -> Path:
    """Fill a folder with what the commands read; takes seconds."""
    make_fake_run(folder / "run")
    counts: dict[Split, int] = {"train": 8, "val": 2, "test": 4}
    write_synthetic(folder / "faces", counts, get_markup("68"), 64, seed=1)
    for name, kind in (("a.png", "png"), ("b.jpeg", "jpeg")):
        (folder / "pictures").mkdir(exist_ok=True)
        (folder / "pictures" / name).write_bytes(READINGS[f"picture {kind}"].content(folder))
    (folder / "coco").mkdir()
    (folder / "coco/labels.json").write_bytes(READINGS["coco"].content(folder))
    Image.fromarray(np.full((64, 48, 3), 99, np.uint8)).save(folder / "coco/a.png")
    shutil.copy(shipped_recipes()["demo"], folder / "demo.toml")
    (folder / "quick.toml").write_text(_QUICK)
    foreign_onnx(folder / "net.onnx", layout="NHWC")
    write_contract(folder / "contract.toml", "NHWC")
    given = [folder / "net.onnx", "--contract", folder / "contract.toml", "--format", "onnx"]
    words = ["import", *map(str, given), "--out", str(folder / "float")]
    made = CliRunner().invoke(cli.app, words)
    assert made.exit_code == 0, made.output
    add_folders(folder / "history.sqlite", [folder / "run/measurements"], "")
    return folder


@st.composite
def broken(draw: st.DrawFn, command: Command, folder: Path) -> Broken:
    """A command of which one file or one word is wrong."""
    words = command.words.split()
    if draw(st.integers(0, 4)) == 0:
        places = [i for i, word in enumerate(words) if i and not _is_kept(word)]
        words[draw(st.sampled_from(places))] = draw(st.sampled_from(WORDS))
        return Broken(tuple(words))
    file = draw(st.sampled_from(_files(folder, command.reads)))
    how = draw(st.sampled_from(["mutated"] * 8 + ["gone", "empty"]))
    if how != "mutated":
        return Broken(tuple(words), file, None if how == "gone" else b"")
    kind = _KINDS.get(Path(file).suffix, "bytes")
    return Broken(tuple(words), file, draw(mutated((folder / file).read_bytes(), kind)))


def _is_kept(word: str) -> bool:
    return word.startswith((_WRITTEN, "--")) or word == _WRITTEN.rstrip("/")


def _files(folder: Path, patterns: Sequence[str]) -> list[str]:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(name for name in names if any(fnmatch(name, pattern) for pattern in patterns))


def command_ending(case: Broken, folder: Path, codes: Collection[int] = EXIT_CODES) -> str:
    """How a command ends: empty where it does as the module says.

    The folder is as it was afterwards.

    Args:
        case: the command.
        folder: of sound files; the working folder is another, which is empty.
        codes: what it may end with.
    """
    out, kept = folder / "out", b""
    if case.file:
        kept = (folder / case.file).read_bytes()
        (folder / case.file).unlink()
        if case.content is not None:
            (folder / case.file).write_bytes(case.content)
    out.mkdir()
    before = _stamps(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = CliRunner().invoke(cli.app, [_placed(word, folder) for word in case.words])
        strays = sorted(_stamps(folder).items() ^ before.items())
        strays += [(path.as_posix(), (0, 0)) for path in Path().iterdir()]
    finally:
        if case.file:
            (folder / case.file).write_bytes(kept)
        shutil.rmtree(out, ignore_errors=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        return _place(result.exception)
    if "Traceback" in result.output or "landmint failed" in result.output:
        failure = result.output[result.output.find("landmint failed") :][:400]
        return failure.replace("failed: ", "failed with ", 1).replace("\n", ": ", 1)
    if result.exit_code not in codes:
        return f"exit code {result.exit_code}: {result.output[:400]}"
    return f"wrote {strays[0][0]}" if strays else ""


def _placed(word: str, folder: Path) -> str:
    """A word as it is given: names of files by their whole path."""
    names = {"out", *(path.name for path in folder.iterdir())}
    return str(folder / word) if word.partition("/")[0] in names else word


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file but of those that a command was asked for."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_relative_to(folder / "out")
    }


def _place(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno} {last.name}: {error}"
    )
