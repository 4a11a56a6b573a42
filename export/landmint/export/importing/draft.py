"""Drafts a contract by looking at a file: what is told is written, what is not is marked.

No question is asked. The draft is TOML with comments, for a person to correct.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from landmint.export.importing.binding import Tap
from landmint.export.importing.foreign_contract import Signature
from landmint.export.importing.heads import Looks, readings
from landmint.export.importing.imported import kind_of
from landmint.export.importing.original import Kind
from landmint.export.importing.trials import FACES, SCALINGS, Trial, is_sure, try_readings
from landmint.runtime.contract import Layout, Shape
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import load

CHECK = "CHECK"
"""Stands in each line that a file does not tell."""
_CREDIBLE = 0.3
"""A reading that misses by more, over the distance between the eyes, tells nothing."""
SIZES = (112, 128, 256, 224, 192, 160, 96, 64, 48, 32, 384, 512, 320, 144, 120, 80, 60, 40)
"""Sides that are tried where a file does not tell its own, the usual ones first."""
_SHOWN_TRIALS = 6
_UNKNOWN = "unknown-markup.toml"


def draft_contract(path: Path) -> str:
    """A contract's TOML, as far as a file tells.

    Raises:
        LandmintError: the file cannot be read, takes no picture, or returns nothing that could be
            landmarks.
    """
    kind = kind_of(path)
    signature, size, layout, is_open = _picture(path, kind)
    looks = readings(signature.outputs)
    if not looks:
        raise LandmintError(
            f"the outputs of {path.name} look like no head that landmint decodes",
            reason=_listed(signature.outputs),
            remedy="coordinates are (B, 2L), (B, L, 2) or (B, L, 3), heatmaps (B, L, h, w), PIPNet "
            "has five maps, SimCC two outputs (B, L, bins); add such an output, or write the "
            "contract by hand as docs/importing.md tells",
        )
    infer, _ = load(kind.run)(path)
    try:
        trials = try_readings(infer, signature, looks[0], size, layout)
    except Exception as error:  # engines raise types of their own
        raise LandmintError(
            f"{path.name} does not run",
            reason=" ".join(str(error).split())[:400],
            remedy="check that the file runs by itself",
        ) from None
    if trials and trials[0].nme > _CREDIBLE:
        trials = []
    parts = (
        _heading(path, signature),
        _markup(looks),
        _input(size, layout, is_open, trials),
        _crop(trials),
        _head(looks),
        _outputs(looks[0], trials),
    )
    return "\n".join(line for part in parts for line in part) + "\n"


def _picture(path: Path, kind: Kind) -> tuple[Signature, int, Layout, bool]:
    """The file's signature; side and layout of the picture; whether the side is open in the file.

    Raises:
        LandmintError: no input is a square picture.
    """
    taken = {}
    for size in SIZES:
        try:
            taken[size] = load(kind.read)(path, size)[1]
        except LandmintError:
            if size == SIZES[-1] and not taken:
                raise
        if len(taken) == 2:
            break
    signature = next(iter(taken.values()))
    is_open = len({tuple(each.inputs.values()) for each in taken.values()}) > 1
    for shape in signature.inputs.values():
        if len(shape) == 4 and 3 in (shape[1], shape[3]):
            layout: Layout = "NCHW" if shape[1] == 3 else "NHWC"
            side = shape[2]
            if len(set(shape[2:] if layout == "NCHW" else shape[1:3])) == 1:
                return signature, side, layout, is_open
    raise LandmintError(
        f"{path.name} takes no square picture of three channels",
        reason=_listed(signature.inputs),
        remedy="landmint feeds crops (B, 3, S, S) or (B, S, S, 3); export the network for one",
    )


def _listed(shapes: Mapping[str, Shape]) -> str:
    return "; ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


def _heading(path: Path, signature: Signature) -> Iterator[str]:
    yield f"# What landmint must know of {path.name}, drafted by looking at it. Correct it, then:"
    yield "#   landmint import MODEL --contract THIS-FILE --out bundle"
    yield f"# A line with {CHECK} holds a guess: the file does not tell."
    yield f"# It takes:   {_listed(signature.inputs)}"
    yield f"# It returns: {_listed(signature.outputs)}"
    yield ""


def _markup(looks: Sequence[Looks]) -> Iterator[str]:
    first = looks[0]
    yield f"# {first.because}."
    for other in looks[1:4]:
        yield f"# It may be something else: {other.because}."
    if first.markup:
        yield f'markup = "{first.markup}"  # {CHECK}: other markups may have as many points'
    else:
        yield f"# No markup of {first.points} points comes along: describe yours in a TOML file."
        yield f'markup = "{_UNKNOWN}"  # {CHECK}: see "Any markup" in docs/importing.md'
    yield ""


def _input(size: int, layout: Layout, is_open: bool, trials: Sequence[Trial]) -> Iterator[str]:
    yield "[input]"
    note = f"  # {CHECK}: the file takes any size" if is_open else ""
    yield f"size = {size}{note}"
    yield f'layout = "{layout}"'
    yield "# The order of channels, and what is subtracted from red, green and blue (mean) and then"
    yield "# divides them (std), on the 0..255 scale."
    yield from _table(trials)
    color, scaling = "RGB", next(iter(SCALINGS))
    color_sure = scaling_sure = False
    if trials:
        best = trials[0]
        color, scaling = best.spec.input.color, best.scaling
        color_sure = is_sure(best, [t for t in trials if t.spec.input.color != color])
        scaling_sure = is_sure(best, [t for t in trials if t.scaling != scaling])
    mean, std = SCALINGS[scaling]
    guess = _guess(scaling_sure, ";")
    yield f'color = "{color}"{_guess(color_sure)}'
    yield f"mean = {list(mean)}  # bytes become {scaling}{guess}"
    yield f"std = {list(std)}"
    yield ""


def _table(trials: Sequence[Trial]) -> Iterator[str]:
    if not trials:
        yield "# No reading puts landmarks onto drawn faces, or none could be tried."
        return
    yield f"# Tried on {FACES} drawn faces, which are no photographs. Landmarks miss by, in % of"
    yield "# the distance between the eyes:"
    best: dict[tuple[str, str], float] = {}
    for trial in trials:
        best.setdefault((trial.scaling, trial.spec.input.color), 100 * trial.nme)
    for (scaling, color), nme in list(best.items())[:_SHOWN_TRIALS]:
        yield f"#   {nme:6.1f}  {scaling}, {color}"


def _guess(sure: bool, sign: str = "  #") -> str:
    return f"{sign} best on the drawn faces" if sure else f"{sign} {CHECK}"


def _crop(trials: Sequence[Trial]) -> Iterator[str]:
    yield "[crop]"
    yield "# Side of the square crop over the longer side of the landmarks' tight box. With"
    yield "# `square = false` the box is stretched; `shift = [x, y]` moves it by shares of the box."
    scale = trials[0].spec.crop.scale[0] if trials else 1.2
    others = [t for t in trials if t.spec.crop.scale[0] != scale]
    sure = bool(trials) and is_sure(trials[0], others)
    yield f"scale = {scale}{_guess(sure)}: as in the network's training"
    yield ""


def _head(looks: Sequence[Looks]) -> Iterator[str]:
    first = looks[0]
    yield "[head]"
    yield f'kind = "{first.kind}"'
    for doubt in first.doubts:
        yield f"# {CHECK} {doubt}"
    for key, value in first.settings.items():
        yield f"{key} = {value}"
    yield ""


def _outputs(looks: Looks, trials: Sequence[Trial]) -> Iterator[str]:
    taps = trials[0].spec.outputs if trials else looks.taps
    for name, tap in taps.items():
        yield f"[outputs.{name}]"
        yield f'tensor = "{tap.tensor}"'
        yield from _coordinates(tap, trials) if name == "coordinates" else _maps(name, tap)
        yield ""


def _maps(name: str, tap: Tap) -> Iterator[str]:
    if name not in ("confidence", "simcc_x", "simcc_y"):
        yield f'layout = "{tap.layout}"'


def _coordinates(tap: Tap, trials: Sequence[Trial]) -> Iterator[str]:
    def apart(field: str) -> list[Trial]:
        mine = getattr(tap, field)
        return [t for t in trials if getattr(t.spec.outputs["coordinates"], field) != mine]

    sure = {field: bool(trials) and is_sure(trials[0], apart(field)) for field in ("order", "unit")}
    yield "# interleaved: x, y, x, y; planar: all x, then all y. A third number is dropped."
    yield f'order = "{tap.order}"{_guess(sure["order"])}'
    yield "# share: of the crop's side, 0 to 1; pixels: of the crop; centred: -1 to 1."
    yield f'unit = "{tap.unit}"{_guess(sure["unit"])}'
