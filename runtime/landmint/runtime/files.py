"""Files written whole or not at all, and the digests that identify them.

Not a store: it knows nothing of bundles, runs or measurements.
"""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from landmint.runtime.errors import LandmintError

_UNFINISHED = ".unfinished"
_LARGEST_JSON_BYTES = 256 * 2**20
_DEEPEST_JSON = 64


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `final`; move it into place on success, remove it on failure.

    The body creates a file or a folder at the yielded path. A folder that already stands at
    `final` is replaced: it is renamed away first, so that `final` is never half-written.

    A process that is killed leaves the temporary sibling; `remove_unfinished` removes it.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(_UNFINISHED, f".{final.name}.", final.parent))
    try:
        fresh = work / final.name
        yield fresh
        if final.is_dir():
            final.rename(work / "replaced")
        fresh.replace(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that nothing is in; another one stays, and none is no error."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def remove_unfinished(final: Path) -> None:
    """Remove what killed processes left of `final` beside it, and of the files within it.

    The caller makes sure that no living process writes there.
    """
    beside = final.parent.glob(f".{glob.escape(final.name)}.*{_UNFINISHED}")
    for left_over in (*beside, *final.rglob(f".*{_UNFINISHED}")):
        shutil.rmtree(left_over, ignore_errors=True)


def remove_suffixed(place: Path) -> None:
    """Remove every file and folder that is called as `place`, with any suffix."""
    for made in place.parent.glob(f"{glob.escape(place.name)}.*"):
        if made.is_dir():
            shutil.rmtree(made)
        else:
            made.unlink()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically; NaN and infinity are refused by JSON itself."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        LandmintError: the file is missing, too large, truncated, nested too deep, or not JSON.
    """
    try:
        if path.stat().st_size > _LARGEST_JSON_BYTES:
            raise ValueError(f"it has more than {_LARGEST_JSON_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        if _depth(content) > _DEEPEST_JSON:
            raise ValueError(f"it is nested deeper than {_DEEPEST_JSON} levels")
        return content
    except FileNotFoundError:
        raise LandmintError(f"{path} does not exist", remedy="check the path") from None
    except IsADirectoryError:
        raise LandmintError(f"{path} is a folder, not a file", remedy="check the path") from None
    except (ValueError, RecursionError) as error:
        raise LandmintError(
            f"{path} is not valid JSON",
            reason=f"it is truncated or was edited: {error}"[:400],
            remedy="make it again with the stage that wrote it",
        ) from None


def _depth(content: Any) -> int:
    """How many lists and objects stand within each other, itself among them; 0 for a value."""
    depth, level = 0, [content]
    while level := [part for part in level if isinstance(part, list | dict)]:
        depth += 1
        level = [v for part in level for v in (part.values() if isinstance(part, dict) else part)]
    return depth


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_cache(name: str) -> Path:
    """A folder of landmint's in the user's cache (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "landmint" / name


def digest(content: Any) -> str:
    """Hexadecimal sha256 of `content` as canonical JSON: equal content, equal digest."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
