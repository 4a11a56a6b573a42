"""One TOML file that says everything about a run, read and checked as a whole.

The rooms own their settings; here they are composed. Nothing is run, and torch is not imported:
a recipe is read in a moment. `networks.py` asks the networks themselves whether they agree.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from landmint.export.config import ExportConfig
from landmint.pipeline.measure_config import GateConfig, MeasureConfig
from landmint.pipeline.shipped_recipes import find_recipe
from landmint.pipeline.source_config import SourceConfig
from landmint.pipeline.toml_lines import Key, key_lines, line_of
from landmint.quantize.config import QatConfig, QuantizeConfig
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import FORMATS, INT8, SOURCE
from landmint.runtime.markup import known_markups
from landmint.runtime.markup_file import read_markup
from landmint.train.config import DistillConfig, NetworkRecipe, SelfTrainingConfig
from landmint.train.faces.readers import FacesConfig
from landmint.train.models import MODELS


class Recipe(BaseModel):
    """Everything about a run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the model and of the run's folder."""
    about: str = ""
    """A sentence for people: what this recipe is for."""
    source: SourceConfig | None = None
    """The published system that this recipe is, for `landmint zoo` and docs/zoo.md."""
    teachers: tuple[str, ...] = ()
    """Trained networks that teach the student, beside the one of [teacher] if there is one: names
    of shipped models, or files such as another run's student/model.safetensors. Their heads may
    be of any kind; several teach their mean. A student that is trained does not need them."""
    faces: FacesConfig
    """The data set."""
    teacher: NetworkRecipe | None = None
    """The heavy network. Without one, the student learns from the faces alone."""
    student: NetworkRecipe
    """The network that is deployed."""
    distill: DistillConfig = DistillConfig()
    """What the student learns from the teacher."""
    self_training: SelfTrainingConfig | None = None
    """How the trained student learns from faces without labels; for PIPNet."""
    qat: QatConfig | None = None
    """How the trained student learns to bear INT8. Without it, INT8 is made of the student."""
    export: ExportConfig = ExportConfig()
    """The float forms."""
    quantize: QuantizeConfig = QuantizeConfig()
    """The INT8 forms."""
    measure: MeasureConfig = MeasureConfig()
    """How every variant is measured."""
    gate: GateConfig = GateConfig()
    """What a variant may cost; without limits, nothing is judged."""

    _file: Path = PrivateAttr(default=Path("recipe.toml"))

    @property
    def file(self) -> Path:
        """The file that it was read from; relative paths in it start at that file's folder."""
        return self._file

    def with_faces(self, root: Path) -> "Recipe":
        """The same recipe on a data set in another folder, relative to the working directory.

        Where the recipe says synthetic faces, the folder has the layout of 300W.
        """
        kind = "300w" if self.faces.kind == "synthetic" else self.faces.kind
        faces = self.faces.model_copy(update={"root": root.absolute(), "kind": kind})
        return self.model_copy(update={"faces": faces})


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a recipe."""

    key: Key
    """Where, as the path of keys."""
    fact: str
    """What is wrong, with the valid choices where there are some."""


def load_recipe(path: Path) -> Recipe:
    """Read a recipe and check it as far as it can be checked without its networks and faces.

    Args:
        path: its file, or the name of a shipped recipe.

    Raises:
        LandmintError: it cannot be read or is wrong; all problems in one message, each with its
            line.
    """
    path = find_recipe(path)
    text = _read(path)
    raw = _parse(path, text)
    if problems := list(_endless_numbers(raw)):
        raise problems_error(path, text, problems)
    raw.setdefault("name", path.stem)
    _read_own_markup(raw, path.parent)
    _inherit_markup(raw)
    _inherit_formats(raw)
    try:
        # By way of JSON, since there strict means: "128" is no number, but a list is a tuple.
        recipe = Recipe.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise problems_error(
            path, text, [*_registry_problems(raw), *map(_problem, details)]
        ) from None
    if problems := [*_registry_problems(raw), *_cross_problems(recipe)]:
        raise problems_error(path, text, problems)
    folder = path.parent
    teachers = {"teachers": tuple(_weights_at(folder, each) for each in recipe.teachers)}
    whole = _starts(recipe, folder) | _ranges(recipe, folder) | teachers | _target(recipe, folder)
    recipe = recipe.model_copy(update=whole)
    recipe._file = path
    return recipe


def _starts(recipe: Recipe, folder: Path) -> dict[str, NetworkRecipe]:
    """Networks that begin from weights, with the whole path of those."""
    networks = {"teacher": recipe.teacher, "student": recipe.student}
    return {
        role: network.model_copy(update={"start": _weights_at(folder, network.start)})
        for role, network in networks.items()
        if network and network.start
    }


def _weights_at(folder: Path, given: str) -> str:
    """The whole path of weights that a recipe in a folder names; a bare word is a shipped name."""
    return str((folder / given).absolute()) if Path(given).suffix else given


def _target(recipe: Recipe, folder: Path) -> dict[str, MeasureConfig]:
    """Where to measure, with the whole path of the profile's file if it is one."""
    name, colon, address = recipe.measure.target.partition(":")
    target = f"{_weights_at(folder, name)}{colon}{address}"
    return {"measure": recipe.measure.model_copy(update={"target": target})}


def _ranges(recipe: Recipe, folder: Path) -> dict[str, QuantizeConfig]:
    """The quantisation with the whole path of its file of ranges."""
    config = recipe.quantize
    if config.ranges is None:
        return {}
    return {"quantize": config.model_copy(update={"ranges": (folder / config.ranges).absolute()})}


def problems_error(path: Path, text: str, problems: Iterable[Problem]) -> LandmintError:
    """All problems of a recipe as one error, in the order of their lines."""
    lines = key_lines(text)
    by_line = sorted(
        {(line_of(lines, p.key), f"{'.'.join(p.key) or 'recipe'}: {p.fact}") for p in problems}
    )
    each = [f"{path}:{line}: {fact}" for line, fact in by_line]
    if len(each) == 1:
        return LandmintError(each[0], remedy="correct the recipe")
    listed = "".join(f"\n  {problem}" for problem in each)
    return LandmintError(f"{path}: {len(each)} problems{listed}", remedy="correct the recipe")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise LandmintError(
            f"cannot read the recipe {path}",
            reason=error.strerror or str(error),
            remedy="give a recipe's file, or a name that `landmint recipes` lists",
        ) from None
    except UnicodeDecodeError as error:
        raise LandmintError(f"{path} is not UTF-8 text", reason=str(error)) from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).partition(" (at ")
        line = where.removeprefix("line ").split(",")[0] if where.startswith("line ") else ""
        # tomllib says "at end of document" where the text stops too early.
        number = line or str(max(1, len(text.splitlines())))
        raise LandmintError(
            f"{path}:{number}: not valid TOML", reason=what, remedy="correct the recipe"
        ) from None
    except (ValueError, RecursionError) as error:  # endless digits, or brackets in brackets
        raise LandmintError(
            f"{path}: not valid TOML", reason=str(error), remedy="correct the recipe"
        ) from None


def _endless_numbers(value: Any, key: Key = ()) -> Iterator[Problem]:
    """Whole numbers that TOML does not know, and no setting can use."""
    if isinstance(value, int) and abs(value) >= 2**63:
        yield Problem(key, "is a number of more than 64 bits")
    if isinstance(value, list):
        value = {str(index): part for index, part in enumerate(value)}
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _endless_numbers(part, (*key, name))


def _read_own_markup(raw: dict[str, Any], folder: Path) -> None:
    """Put a markup's name where the faces have that of its file, a path from the recipe's folder.

    Raises:
        LandmintError: the file cannot be read or is wrong.
    """
    match raw.get("faces"):
        case {"markup": str(name)} if name.endswith(".toml"):
            raw["faces"]["markup"] = read_markup(folder / name).name


def _inherit_markup(raw: dict[str, Any]) -> None:
    """Networks and unlabelled faces have the markup of the faces unless they say otherwise."""
    faces = raw.get("faces")
    if not isinstance(faces, dict) or faces.get("markup") not in known_markups():
        return
    for model in _models(raw).values():
        model.setdefault("markup", faces["markup"])
    match raw.get("self_training"):
        case {"faces": dict() as unlabelled}:
            unlabelled.setdefault("markup", faces["markup"])


def _inherit_formats(raw: dict[str, Any]) -> None:
    """INT8 is made in the formats that are exported unless the recipe says otherwise."""
    match raw.get("export"):
        case {"formats": list() as formats} if all(name in tuple(FORMATS) for name in formats):
            quantize = raw.setdefault("quantize", {})
            if isinstance(quantize, dict):
                quantize.setdefault("formats", formats)


def _models(raw: Mapping[str, Any]) -> dict[Key, dict[str, Any]]:
    """The [teacher.model] and [student.model] tables that are there."""
    models: dict[Key, dict[str, Any]] = {}
    for role in ("teacher", "student"):
        network = raw.get(role)
        model = network.get("model") if isinstance(network, dict) else None
        if isinstance(model, dict):
            models[role, "model"] = model
    return models


def _registry_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Names that no registry knows."""
    for key, model in _models(raw).items():
        for field, known in (("name", MODELS), ("markup", known_markups())):
            value = model.get(field)
            if isinstance(value, str) and value not in known:
                fact = f"unknown {_NOUNS[field]} '{value}'{_hint(value, known)}"
                yield Problem((*key, field), fact)


_NOUNS = {"name": "model", "markup": "markup"}


def _cross_problems(recipe: Recipe) -> Iterator[Problem]:
    """Sections that do not fit each other."""
    student = recipe.student.model
    if student.markup != recipe.faces.markup:
        yield Problem(
            ("student", "model", "markup"),
            f"is {student.markup}, but the faces have markup {recipe.faces.markup}",
        )
    yield from _format_problems(recipe)
    if recipe.teacher is None:
        return
    teacher = recipe.teacher.model
    if teacher.markup != recipe.faces.markup:
        yield Problem(
            ("teacher", "model", "markup"),
            f"is {teacher.markup}, but the faces have markup {recipe.faces.markup}",
        )
    for field in ("crop_scale", "crop_square", "crop_shift"):
        ours, theirs = getattr(student, field), getattr(teacher, field)
        if ours != theirs:
            yield Problem(
                ("student", "model", field),
                f"is {_toml(ours)}, but the teacher's is {_toml(theirs)}; "
                "both must see the same crop",
            )


def _format_problems(recipe: Recipe) -> Iterator[Problem]:
    """Quantised forms that no format has, or whose float form is not exported."""
    quantize = recipe.quantize
    for name in quantize.variants:
        format_, _, precision = name.partition("/")
        source = FORMATS[format_].quantized[precision].source
        needed = source.partition("/")[0]
        if needed not in (*recipe.export.formats, SOURCE):  # which every bundle has
            fact = f"{name} is made from {source}; add {needed} to export.formats"
            yield Problem(("quantize", "formats"), fact)
    for precision in quantize.unavailable:
        having = [name for name, record in FORMATS.items() if precision in record.quantized]
        fact = f"{precision} is a precision of {', '.join(having)}, which is not among the formats"
        yield Problem(("quantize", "precisions"), fact)
    if quantize.explains and f"{SOURCE}/{INT8}" not in quantize.variants:
        fact = (
            "layers are explained in the ONNX INT8 graph; add onnx to quantize.formats and int8 "
            "to quantize.precisions"
        )
        yield Problem(("quantize", "explain" if quantize.explain else "fallback_budget"), fact)
    if quantize.fallback_budget is not None and recipe.qat:
        fact = "no cure is searched for where [qat] trains with rounding; drop one of the two"
        yield Problem(("quantize", "fallback_budget"), fact)


_REPLACED: Mapping[str, str] = {
    "mirror_shift": "is no longer a key: say how far the labels lean under [faces], such as "
    "label_offset = { share = [0.015, 0] } for labels that lie 1.5 % of the box to the right",
}
"""Keys of earlier recipes, and what to write instead."""


def _problem(detail: ErrorDetails) -> Problem:
    """One of pydantic's errors in the words of a recipe."""
    key = tuple(str(part) for part in detail["loc"])
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        if key[-1] in _REPLACED:
            return Problem(key, _REPLACED[key[-1]])
        known = _fields_at(key[:-1])
        return Problem(key, f"unknown key{_hint(key[-1], known)}")
    if kind == "missing":
        return Problem(key, "is missing")
    if kind == "literal_error":
        choices = detail["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
        return Problem(key, f"unknown value {_toml(value)}{_hint(str(value), choices.split(', '))}")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    shown = "" if isinstance(value, dict) or "_type" not in kind else f"{_toml(value)} "
    return Problem(key, f"{shown}{message}")


def _fields_at(key: Key) -> tuple[str, ...]:
    """Names of the keys that a section knows."""
    section: type[BaseModel] = Recipe
    for part in key:
        field = section.model_fields.get(part)
        models = [] if field is None else models_in(field.annotation)
        if not models:
            return ()
        section = models[0]
    return tuple(section.model_fields)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models among the alternatives of a field's type."""
    parts = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]


def _hint(word: str, known: Iterable[str]) -> str:
    """The close match, and all choices."""
    choices = tuple(known)
    if not choices:
        return ""
    close = difflib.get_close_matches(word, choices, n=1)
    meant = f"; did you mean '{close[0]}'?" if close else ""
    return f"{meant}; choices: {', '.join(choices)}"


def _toml(value: Any) -> str:
    """A value as it is written in a recipe."""
    return json.dumps(value, default=str)
