"""What is brought home from a machine that was ours for minutes: small files, and all that counts.

Weights are stored in half precision; above the limit they are cut into parts, beside a list of
them. At home nobody joins those by hand: `find_model` does, when the weights are first asked for.
Importing this loads no library.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, read_json, sha256_file, write_json

HOME = "home"
"""Folder, within a training's, of what to bring home."""
LARGEST_BYTES = 15 * 2**20
"""Of a file there."""
_LIST = ".parts.json"
_SCHEMA = 1


def bring_home(run: Path, home: Path) -> None:
    """Write a finished training into a folder of small files.

    Args:
        run: the training's folder.
        home: gets the weights in half precision, the history, and the plan of the budget; what
            stands there is replaced.
    """
    from landmint.train.budget import BUDGET_FILE
    from landmint.train.loop import HISTORY_FILE, MODEL_FILE
    from landmint.train.models import load_model, save_model

    with atomic_path(home) as fresh:
        fresh.mkdir()
        save_model(load_model(run / MODEL_FILE), fresh / MODEL_FILE, half=True)
        cut(fresh / MODEL_FILE, LARGEST_BYTES)
        for name in (HISTORY_FILE, BUDGET_FILE):
            if (run / name).is_file():
                shutil.copy(run / name, fresh / name)


def cut(file: Path, largest_bytes: int) -> None:
    """Replace a file that is too large by its parts and a list of them; a small one stays."""
    size = file.stat().st_size
    if size <= largest_bytes:
        return
    count = -(-size // largest_bytes)
    parts = []
    with file.open("rb") as whole:
        for number in range(1, count + 1):
            part = file.with_name(f"{file.name}.{number}-of-{count}")
            part.write_bytes(whole.read(largest_bytes))
            parts.append({"name": part.name, "sha256": sha256_file(part)})
    about = {"schema": _SCHEMA, "sha256": sha256_file(file), "parts": parts}
    write_json(_list_of(file), about)
    file.unlink()


def join(file: Path) -> bool:
    """Make a file of the parts that `cut` left beside it, which stay.

    Returns:
        whether there are such parts.

    Raises:
        LandmintError: a part is missing or is another one, or the file cannot be written.
    """
    if not _list_of(file).is_file():
        return False
    parts = list(_whole_parts(file))
    try:
        with atomic_path(file) as fresh, fresh.open("wb") as joined:
            for part in parts:
                joined.write(part.read_bytes())
    except OSError as error:
        raise LandmintError(
            f"the parts of {file} cannot be joined", reason=error.strerror or str(error)
        ) from None
    return True


def _whole_parts(file: Path) -> Iterator[Path]:
    """The parts in their order, each as it was cut."""
    wanted = read_json(_list_of(file))
    try:
        digests = {str(part["name"]): str(part["sha256"]) for part in wanted["parts"]}
    except (KeyError, TypeError):
        raise LandmintError(f"{_list_of(file)} is no list of parts") from None
    for name, digest in digests.items():
        part = file.parent / Path(name).name  # never one of another folder
        if not part.is_file():
            raise LandmintError(
                f"a part of {file} is missing: {name}",
                reason=f"there are {len(digests)} parts",
                remedy="bring it home as well, into the same folder",
            )
        if sha256_file(part) != digest:
            raise LandmintError(
                f"{part} is not what it was when it was cut",
                reason="its sha256 is another one: it lacks its end, or is of another training",
                remedy="bring it home again",
            )
        yield part


def _list_of(file: Path) -> Path:
    return file.parent / (file.name + _LIST)
