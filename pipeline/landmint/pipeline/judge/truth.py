"""The labels that measurements are judged against, beside them on disk.

Without pictures: a folder of measurements can be judged where the faces are not.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from landmint.runtime.accuracy import Truth
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path
from landmint.runtime.markup import Markup, keep_markup, own_markup
from landmint.runtime.typed_json import read_as

TRUTH_FILE = "truth.npz"
"""Its name in a folder of measurements."""


def write_truth(path: Path, truth: Truth) -> None:
    """Write labelled faces, without their pictures."""
    arrays: dict[str, Any] = {
        name: np.array(value) for name, value in dataclasses.asdict(truth).items()
    }
    if scheme := own_markup(truth.markup):
        arrays["scheme"] = np.array(json.dumps(dataclasses.asdict(scheme)))
    with atomic_path(path) as fresh, fresh.open("wb") as file:
        np.savez(file, **arrays)


def read_truth(path: Path) -> Truth:
    """What `write_truth` wrote.

    Raises:
        LandmintError: the file is missing or truncated.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if "scheme" in arrays:
                content = json.loads(str(arrays["scheme"]))
                keep_markup(read_as(Markup, content, "scheme"))
            return Truth(
                markup=str(arrays["markup"]),
                names=tuple(map(str, arrays["names"])),
                persons=tuple(map(str, arrays["persons"])),
                points=arrays["points"],
                boxes=arrays["boxes"],
            )
    except FileNotFoundError:
        raise LandmintError(
            f"{path} does not exist",
            reason="measurements are judged against the labels that lie beside them",
            remedy="give the folder that `landmint measure` wrote",
        ) from None
    except LandmintError:
        raise
    except Exception as error:  # numpy and zipfile have many ways to refuse a file
        raise LandmintError(
            f"{path} does not hold labelled faces",
            reason=f"{type(error).__name__}: {error}",
            remedy="measure again",
        ) from None
