"""The protocols that an engine and its sessions keep, and helpers that all engines share."""

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.quantised import Quantisation, Quantised
from landmint.runtime.telemetry import without_telemetry

Tensor = NDArray[np.float32]


@dataclass(frozen=True)
class Operator:
    """One operator that an engine ran, as the engine reports it."""

    kind: str
    """The engine's own name for it, such as "QLinearConv"."""
    precision: str
    """Number format that it reads or computes in, such as "f32" or "i8"; "" where untold."""
    ms: float | None = None
    """Time of one warm run; None where untold."""
    place: str = ""
    """Where it runs, if that is not where the others do, such as "outside XNNPACK"."""
    name: str = ""
    """Its own name in the model, as the engine keeps it; "" where untold."""
    kernel: str = ""
    """What computes it, by the engine's own name: a primitive such as "jit_avx512_I8", else the
    provider or delegate, such as "XNNPACK"; "" where untold."""


class Session(Protocol):
    """One variant, loaded and ready to run."""

    @property
    def executed_precision(self) -> str:
        """The number formats in which convolutions and matrix products really ran.

        One format ("f32"), or each with its number of layers ("i8 52, f32 4"); "unknown" where the
        engine does not tell. Finding out may run the model: ask after the clock has stopped.
        """
        ...

    def run(self, tensor: Tensor) -> Mapping[str, Tensor | Quantised]:
        """Run one face.

        Args:
            tensor: of the contract's `input_shape`, normalised; or the integers that stand for
                it, where the session states an attribute `entrance`, a `Quantisation`.

        Returns:
            canonical output name to array with a batch axis of 1, in the artefact's layout. What
            the model returns in integers may be left `Quantised`.
        """
        ...


def entrance_of(session: Session) -> Quantisation | None:
    """What the integers that a session's model takes stand for; None where it takes float32."""
    entrance: Quantisation | None = getattr(session, "entrance", None)
    return entrance


class EngineSession(Session, Protocol):
    """A session of an engine, which can also list the operators that it ran."""

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The operators of one inference, in order; empty where the engine does not tell.

        Finding out may run the model, as for `executed_precision`.
        """
        ...


class Engine(Protocol):
    """A library that opens artefacts of one format."""

    name: str
    """Its name in the registry."""
    version: str
    """The library that runs, with its version."""

    def load(self, entry: Path, contract: Contract, threads: int) -> EngineSession:
        """Open an artefact.

        Args:
            entry: the file that the variant names first.
            contract: in the artefact's layout.
            threads: how many threads one inference may use.

        Raises:
            LandmintError: the file is missing, broken, or does not keep the contract.
            NotMeasuredError: this machine cannot run it.
        """
        ...


def import_library(name: str, install: str) -> ModuleType:
    """Import an engine's library.

    Raises:
        NotMeasuredError: it is not installed, or does not load on this machine.
    """
    try:
        with without_telemetry():
            return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise NotMeasuredError(
            f"{name} cannot be imported on this machine", reason=str(error), remedy=install
        ) from None


@contextlib.contextmanager
def loading(engine: str, entry: Path) -> Iterator[None]:
    """Turn whatever a library raises while it opens `entry` into one clear message.

    Raises:
        LandmintError: the file is missing, or the library refused it.
    """
    if not entry.is_file():
        raise LandmintError(f"{entry} does not exist", remedy="export the model again")
    try:
        yield
    except (LandmintError, MemoryError):
        raise
    except Exception as error:  # engine libraries raise types of their own, or bare RuntimeError
        reason = " ".join(str(error).split())
        raise LandmintError(
            f"{engine} cannot open {entry}",
            reason=reason[:400] or type(error).__name__,
            remedy="export the model again, or use the engine version that it was made for",
        ) from error


def check_input(shape: Sequence[object], contract: Contract, entry: Path) -> None:
    """Refuse an artefact whose input shape is not the contract's; dynamic axes are accepted.

    Raises:
        LandmintError: an axis differs.
    """
    expected = contract.input_shape
    known = [axis if isinstance(axis, int | np.integer) and axis > 0 else None for axis in shape]
    if len(known) != len(expected) or any(
        axis not in (None, wanted) for axis, wanted in zip(known, expected, strict=True)
    ):
        raise LandmintError(
            f"{entry} takes an input of shape {tuple(shape)}",
            reason=f"its contract says {expected}",
            remedy="export the model again",
        )


def match_outputs(outputs: Mapping[str, int], contract: Contract, entry: Path) -> dict[str, int]:
    """The place of each canonical output among the artefact's outputs.

    Args:
        outputs: place by name of the artefact's own outputs.
        contract: names the outputs that must be there.
        entry: the artefact, for the message.

    Raises:
        LandmintError: an output of the contract is not there by name. Its place is never guessed:
            outputs of one shape would be swapped in silence.
    """
    plain = {name.split(":")[0].split("/")[-1]: place for name, place in outputs.items()}
    wanted = [output.name for output in contract.outputs]
    missing = [name for name in wanted if name not in plain]
    if missing == wanted and len(wanted) == len(outputs) == 1:
        return {wanted[0]: next(iter(outputs.values()))}
    if missing:
        raise LandmintError(
            f"{entry} has no output '{missing[0]}'",
            reason=f"its outputs are {', '.join(outputs) or 'none'}",
            remedy="export the model again",
        )
    return {name: plain[name] for name in wanted}


def describe_precision(layers: Mapping[str, int]) -> str:
    """Number formats and their layers as text, the most frequent first."""
    if not layers:
        return "unknown"
    if len(layers) == 1:
        return next(iter(layers))
    ordered = sorted(layers.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ordered)
