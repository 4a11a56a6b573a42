"""The state of an interrupted run, on disk: written whole or not at all, never unpickled.

The file is what `torch.save` writes, and behind that the sha256 of it: a damaged one is refused
before torch reads it. Not the trained network: that is `model.safetensors`, by
`landmint.train.models.save_model`.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, sha256_file

SCHEMA = 1
_DIGEST_BYTES = hashlib.sha256().digest_size


def save_checkpoint(path: Path, identity: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write `state`, tensors and plain values, with what it belongs to.

    Args:
        path: where.
        identity: plain values by name; a run with others must not go on from this state.
        state: what `load_checkpoint` gives back.

    Raises:
        LandmintError: the disk is full or the folder cannot be written.
    """
    content = {"schema": SCHEMA, "identity": dict(identity), "state": dict(state)}
    try:
        with atomic_path(path) as fresh:
            torch.save(content, fresh)
            digest = bytes.fromhex(sha256_file(fresh))
            with fresh.open("ab") as file:
                file.write(digest)
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
        raise LandmintError(
            f"cannot write the checkpoint {path}",
            reason=(str(error).splitlines() or [""])[0][:200],
            remedy="free disk space or correct the rights of its folder, then run again",
        ) from error


def load_checkpoint(
    path: Path, identity: Mapping[str, Any], device: torch.device
) -> dict[str, Any] | None:
    """The state that an interrupted run left; None if there is none.

    Raises:
        LandmintError: the file is damaged, no checkpoint, or one of another run.
    """
    if not path.exists():
        return None
    saved = _undamaged(path)
    try:
        content = torch.load(io.BytesIO(saved), map_location=device, weights_only=True)
        schema, before, state = content["schema"], content["identity"], content["state"]
        if schema != SCHEMA:
            raise ValueError(f"it has schema {schema}, this landmint reads {SCHEMA}")
    except Exception as error:  # torch raises half a dozen types for a broken archive
        first = (str(error).splitlines() or [""])[0]
        raise _not_resumable(path, f"{type(error).__name__}: {first[:200]}") from None
    differing = sorted(
        key for key in before.keys() | identity.keys() if before.get(key) != identity.get(key)
    )
    if differing:
        shown = ", ".join(
            f"{key} was {_brief(before.get(key))}, is {_brief(identity.get(key))}"
            for key in differing[:5]
        )
        raise LandmintError(
            f"{path} belongs to another run",
            reason=shown + (f", and {len(differing) - 5} more" if len(differing) > 5 else ""),
            remedy="restore the settings to go on, or delete the file to start anew",
        )
    resumed: dict[str, Any] = state
    return resumed


def _undamaged(path: Path) -> bytes:
    """The bytes of a checkpoint without the digest behind them.

    Raises:
        LandmintError: they do not have that digest.
    """
    content = path.read_bytes()
    saved, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(saved).digest() != digest:
        raise _not_resumable(path, "it is damaged, or of an older landmint: its sha256 differs")
    return saved


def _not_resumable(path: Path, reason: str) -> LandmintError:
    return LandmintError(
        f"{path} is no checkpoint that can be resumed",
        reason=reason,
        remedy="delete it; training then starts anew",
    )


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
