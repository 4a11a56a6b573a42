"""The command itself: how a verb is registered and fails, and the options that verbs share."""

import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.formats import FORMATS, QUANTIZED

if TYPE_CHECKING:
    from landmint.runtime.bundle import Bundle

app = typer.Typer(
    name="landmint",
    help="Small facial-landmark models for phones and boards: train a heavy teacher, distil a "
    "student, export and quantise it, measure what was lost.\n\n"
    "The whole way: landmint run demo",
    epilog="Exit codes: 0 pass, 1 latency or size regression, 2 usage or bad input, 3 not "
    "measured, 4 inconclusive, 5 accuracy drift.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

data = typer.Typer(help="Look at a data set before training on it.", no_args_is_help=True)
app.add_typer(data, name="data")
history = typer.Typer(
    help="Measurements of many sessions in one file: list, export, find changes, draw trends.",
    no_args_is_help=True,
)
app.add_typer(history, name="history")

targets = typer.Typer()
app.add_typer(targets, name="targets")


RecipeFile = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE", help="A TOML file, or a shipped recipe; see `landmint recipes`."
    ),
]
RecipeOption = Annotated[
    Path | None,
    typer.Option("--recipe", metavar="RECIPE", help="Take faces and settings from this recipe."),
]
FacesOption = Annotated[
    Path | None,
    typer.Option(
        "--faces",
        metavar="ROOT",
        help="The data set's folder, instead of the recipe's; without a recipe a folder in 300W "
        "layout with train/, val/ and test/.",
    ),
]
FormatsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Only this format, instead of the recipe's; may be given again.",
    ),
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A network's model.safetensors, or a shipped model; see `landmint models`.",
    ),
]
OutFolder = Annotated[Path, typer.Option(help="Folder for weights, checkpoints and logs.")]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Be done within this time, such as 9m, 1h30m or 90s: the number of epochs is chosen "
        "by the speed that is measured.",
    ),
]
PlansOption = Annotated[
    bool, typer.Option("--plans", help="Run TensorRT plans too: code of whoever made them.")
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="Where engines run, see `landmint targets`; the recipe's, or host, by default.",
    ),
]
SplitOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Folder or file of this split; may be given again."),
]
HistoryOption = Annotated[
    Path | None,
    typer.Option(
        "--history",
        metavar="FILE",
        help="Add the measurements to this history too, with the git revision of this folder.",
    ),
]
_debug = False


def register(
    function: Callable[..., int | None], group: typer.Typer, name: str | None = None
) -> None:
    """Add a verb that returns its exit code; whatever it raises becomes one message.

    Args:
        function: its options are the arguments, its help the docstring.
        group: the command, or a part of it.
        name: of the verb, where the function cannot be called so.
    """
    group.command(name, **_help(function))(_guarded(function))


def register_callback(function: Callable[..., int | None], group: typer.Typer) -> None:
    """Let a group do something of its own, without options, where no verb of it is named."""
    guarded = _guarded(function)

    def callback(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            guarded()

    group.callback(invoke_without_command=True, **_help(function))(callback)


def _guarded(function: Callable[..., int | None]) -> Callable[..., None]:
    @functools.wraps(function)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            code = function(*arguments, **options) or 0
        except BrokenPipeError:
            code = _end_as_a_cut_pipe()
        except (Exception, KeyboardInterrupt) as error:
            code = _tell(error)
        raise typer.Exit(code)

    return guarded


def _help(function: Callable[..., int | None]) -> dict[str, Any]:
    """What typer shows of a verb, from its docstring."""
    text, _, examples = inspect.cleandoc(function.__doc__ or "").partition("Examples:")
    lines = [f"[cyan]{line.strip()}[/cyan]" for line in examples.splitlines() if line.strip()]
    paragraphs = "\n\n".join(part.replace("\n", " ") for part in text.strip().split("\n\n"))
    return {"help": paragraphs, "epilog": "\n\n".join(["[bold]Examples[/bold]", *lines])}


def chosen_formats(names: list[str] | None) -> dict[str, tuple[str, ...]]:
    """The setting that `--format` changes; empty where it is not given.

    Raises:
        LandmintError: there is no such format.
    """
    for name in names or ():
        if name not in FORMATS:
            raise LandmintError(f"unknown format '{name}'", choices=FORMATS)
    return {"formats": tuple(names)} if names else {}


def print_bundle(bundle: "Bundle") -> int:
    """Print a bundle's folder, and to stderr what could not be made; 3 when something could not.

    A format of which the bundle has no float form was left out of it on purpose: that it has no
    INT8 either is told, and is no failure.
    """
    variants = bundle.manifest.variants
    exported = {variant.format for variant in variants if variant.precision not in QUANTIZED}
    missing = [variant for variant in variants if not variant.files]
    for variant in missing:
        print(f"{variant.name}: not made: {variant.reason}", file=sys.stderr)
    print(bundle.path)
    failed = any(variant.format in exported for variant in missing)
    return NotMeasuredError.exit_code if failed else 0


def _end_as_a_cut_pipe() -> int:
    """Be silent where the reader has gone, as in `landmint targets | head -3`.

    Returns:
        128 + SIGPIPE, as a shell says of a program that it ended; never a verdict's exit code.
    """
    # What is still buffered is written when Python ends: to nowhere, rather than into the pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13


def _tell(error: BaseException) -> int:
    from landmint.pipeline.failures import explain

    if _debug:
        traceback.print_exception(error)
    explained = explain(error)
    print(f"landmint: {explained}", file=sys.stderr)
    return explained.exit_code


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(version("landmint"))
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    global _debug
    _debug = debug
