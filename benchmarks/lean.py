"""How far networks lean to one side: what they see in pictures and in their mirror images.

A network that learned from labels which lie to the right carries that to every face. Prints
Markdown: the mean over faces of `landmint.train.evaluate.own_lean`, with its 95 % interval over
persons. Names are of shipped models or files of weights. A lean up or down is not seen.

    python benchmarks/lean.py recipes/pipnet-lite0-ytf68.toml pfld pipnet-mbv3
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.text import markdown_table, percent
from landmint.runtime.errors import LandmintError
from landmint.runtime.stats import person_interval
from landmint.train.evaluate import own_lean
from landmint.train.faces.readers import load_faces
from landmint.train.models import load_model
from landmint.train.zoo import find_model

_COLUMNS = ("network", "leans right, % of the box", "95 %")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="of the faces: its test split")
    parser.add_argument("models", nargs="+", help="shipped names, or files of weights")
    options = parser.parse_args(arguments)
    try:
        faces = load_faces(load_recipe(options.recipe).faces, "test", Path())
        rows = []
        for name in options.models:
            with Screen().bar(f"{name} on {len(faces.faces)} faces"):
                lean = own_lean(load_model(find_model(name)), faces)
            interval = person_interval(lean, [face.person or face.name for face in faces.faces])
            bounds = f"{percent(interval.low, 3)} to {percent(interval.high, 3)}"
            rows.append([name, percent(interval.estimate, 3), bounds])
    except LandmintError as error:
        print(f"lean: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(_COLUMNS, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
