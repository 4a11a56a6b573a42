"""`landmint doctor`: what this machine has."""

from json import dumps
from typing import Annotated

import typer


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What this machine has: engines, converters, GPUs; and what to install for the rest.

    Examples:
        landmint doctor
        landmint doctor --json
    """
    from landmint.pipeline.doctor import as_lines, examine
    from landmint.pipeline.progress import Screen

    with Screen().bar("looking at this machine"):
        examined = examine()
    print(dumps(examined, indent=2) if json else "\n".join(as_lines(examined)))
