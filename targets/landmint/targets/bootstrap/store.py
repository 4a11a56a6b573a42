"""Keeps files by their content on a device, and lays out trees of them.

Arguments: a verb and the folder of the store. Standard input: one line of JSON, then, for
`receive`, the bytes of the files one after the other. It answers with one line.

    missing  {"tree": digest, "files": {digest: bytes}} -> missing digests, or that the tree stands
    receive  [[digest, bytes], ...]                     -> nothing
    lay      {"tree": digest, "files": [[path, digest], ...]} -> that it stands
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

MARK = "landmint: "
_PIECE = 1 << 20


def missing(store: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Which files are not there yet; one of another size was cut off by a loss of power."""
    if (store / "trees" / request["tree"]).is_dir():
        return {"stands": True, "missing": []}
    absent = [
        digest
        for digest, size in request["files"].items()
        if not (store / "files" / digest).is_file()
        or (store / "files" / digest).stat().st_size != size
    ]
    return {"stands": False, "missing": absent, "free": shutil.disk_usage(store).free}


def receive(store: Path, request: list[tuple[str, int]]) -> dict[str, Any]:
    """Take files from the standard input; each is there whole or not at all."""
    (store / "files").mkdir(exist_ok=True)
    for digest, size in request:
        with tempfile.NamedTemporaryFile(dir=store / "files", prefix=".", delete=False) as file:
            try:
                take(file.file, digest, size)
                Path(file.name).replace(store / "files" / digest)
            except BaseException:
                Path(file.name).unlink()
                raise
    return {}


def take(file: IO[bytes], digest: str, size: int) -> None:
    """Copy so many bytes into an open file, and hold them against their digest."""
    seen = hashlib.sha256()
    while size:
        piece = sys.stdin.buffer.read(min(size, _PIECE))
        if not piece:
            raise EOFError("the connection ended in the middle of a file")
        seen.update(piece)
        file.write(piece)
        size -= len(piece)
    file.flush()
    os.fsync(file.fileno())
    if seen.hexdigest() != digest:
        raise ValueError("a file arrived with other bytes than were sent")


def lay(store: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Make a tree of files that are there, whole or not at all."""
    tree = store / "trees" / request["tree"]
    tree.parent.mkdir(exist_ok=True)
    if not tree.is_dir():
        work = Path(tempfile.mkdtemp(dir=tree.parent, prefix="."))
        try:
            for name, digest in request["files"]:
                place = work / name
                place.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(store / "files" / digest, place)
                except OSError:  # a disk without links
                    shutil.copyfile(store / "files" / digest, place)
            work.chmod(0o755)
            work.replace(tree)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return {"stands": True}


def main() -> None:
    """Do what the arguments say."""
    store = Path(sys.argv[2])
    store.mkdir(parents=True, exist_ok=True)
    verbs: dict[str, Any] = {"missing": missing, "receive": receive, "lay": lay}
    try:
        answer = verbs[sys.argv[1]](store, json.loads(sys.stdin.buffer.readline()))
    except (OSError, EOFError, ValueError) as error:
        answer = {"error": getattr(error, "strerror", None) or str(error)}
    print(MARK + json.dumps(answer))


if __name__ == "__main__":
    main()
