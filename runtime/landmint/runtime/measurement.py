"""What was measured of one variant: raw samples and landmarks, never statistics.

Stored as `<format>-<precision>.json`, beside it the landmarks as `.npy` and a sustained run as
`.npz`. Figures are derived by `accuracy`, `latency` and `sustained`; they are not stored, so that a
better statistic needs no new run.
"""

import dataclasses
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.engines import ON_GPU
from landmint.runtime.engines.built import Built
from landmint.runtime.engines.engine import Operator
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, read_json, sha256_file, write_json
from landmint.runtime.hygiene import spoiled_blocks
from landmint.runtime.instructions import Instructions
from landmint.runtime.latency import Latency, Launch, summarise_latency
from landmint.runtime.machine import Machine
from landmint.runtime.sustained import Sustained, read_sustained, write_sustained
from landmint.runtime.typed_json import read_as

SCHEMA = 1
Floats = NDArray[np.float64]
Status = Literal["measured", "built, not run", "not measured"]
_LATER_FIELDS = {
    *("points", "operators", "notes", "bundle_sha256", "no_times", "instructions", "built"),
    "sustained",
}
"""Not in every measurement's JSON: kept apart, or added since."""
_ARRAYS = {"points", "sustained"}
"""Fields that have files of their own."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """One variant on one machine."""

    bundle: str
    """Name of the model."""
    variant: str
    """Format and precision, such as "tflite/int8"."""
    engine: str
    """Registry name of the engine."""
    status: Status
    """Whether it ran; where it did not, whether its plan could at least be built."""
    reason: str = ""
    """Why it did not run; empty when it did."""
    bundle_sha256: str = ""
    """sha256 of the bundle's manifest, which holds those of all its files; empty where unknown."""
    engine_version: str = ""
    """The library that ran, with its version."""
    executed_precision: str = ""
    """The number formats that really ran, as the engine tells."""
    operators: tuple[Operator, ...] = ()
    """The operators of one inference; empty where the engine does not tell."""
    threads: int = 1
    """Threads that one inference might use."""
    target: str = ""
    """Where it ran, by the target's name."""
    session: str = ""
    """Time, in UTC, of the visit to the machine; variants of one visit took turns."""
    machine: Machine | None = None
    """The machine that ran it."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The variant's files and their sha256."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """How the variant was made, as its bundle tells."""
    size_bytes: int = 0
    """Their size on disk."""
    peak_memory_mib: float | None = None
    """Most memory of the process from loading to the last run; None where untold."""
    baseline_memory_mib: float | None = None
    """Memory of the same process, engine imported, before it loaded the model."""
    launches: tuple[Launch, ...] = ()
    """Raw times; empty when latency was not measured."""
    no_times: str = ""
    """Why the target's times say nothing, so that none were taken; empty where they count."""
    built: Built | None = None
    """What was built of it where it cannot run; None where it ran, or nothing was built."""
    instructions: tuple[Instructions, ...] = ()
    """Counted instructions of single inferences; empty where nothing counts them."""
    faces: tuple[str, ...] = ()
    """Names of the faces, in the order of `points`."""
    points: Floats | None = None
    """(N, L, 2) predicted landmarks in original image pixels; None when not measured."""
    sustained: Sustained | None = None
    """Minutes without a pause; None where nobody asked for them."""

    @property
    def why_not(self) -> str:
        """Why there are no figures, and whether a plan was built; empty where it ran."""
        return f"it was built, not run: {self.reason}" if self.built else self.reason

    @property
    def latency(self) -> Latency | None:
        """Figures of the launches; None when latency was not measured."""
        if not self.launches:
            return None
        one_thread = self.threads == 1 and self.engine not in ON_GPU
        latency = summarise_latency(self.launches, one_thread)
        blocks = sum(len(launch.blocks) for launch in self.launches)
        spoiled = spoiled_blocks(self.launches).items()
        notes = tuple(f"{count} of {blocks} blocks were spoiled: {why}" for why, count in spoiled)
        return dataclasses.replace(latency, notes=latency.notes + notes)

    @property
    def blocks_ms(self) -> list[list[float]]:
        """Raw warm times of every block of every launch."""
        return [list(block.samples_ms) for launch in self.launches for block in launch.blocks]


def not_measured(bundle: str, variant: str, engine: str, reason: str) -> Measurement:
    """The measurement of a variant that could not run."""
    return Measurement(bundle, variant, engine, "not measured", reason)


def measurement_path(folder: Path, variant: str) -> Path:
    """Where a variant's measurement stands."""
    return folder / f"{variant.replace('/', '-')}.json"


def measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    """Everything but landmarks and sustained run, as plain dictionaries and lists."""
    fields = (item.name for item in dataclasses.fields(measurement) if item.name not in _ARRAYS)
    content = {name: getattr(measurement, name) for name in fields}
    content["machine"] = measurement.machine.to_json() if measurement.machine else None
    content["launches"] = [dataclasses.asdict(launch) for launch in measurement.launches]
    content["built"] = dataclasses.asdict(measurement.built) if measurement.built else None
    content["instructions"] = [dataclasses.asdict(run) for run in measurement.instructions]
    content["operators"] = [dataclasses.asdict(operator) for operator in measurement.operators]
    return content


def measurement_from_json(content: Mapping[str, Any]) -> Measurement:
    """The measurement that `measurement_to_json` wrote.

    Raises:
        KeyError: a field is missing that every measurement has.
        ValueError: a value is of another type, or a launch has no samples.
    """
    written = {item.name for item in dataclasses.fields(Measurement)}
    if missing := sorted(written - _LATER_FIELDS - set(content)):
        raise KeyError(missing[0])
    measurement = read_as(Measurement, content, "measurement")
    _check(measurement)
    return measurement


def write_measurement(folder: Path, measurement: Measurement) -> Path:
    """Write the arrays, then the JSON that names them; returns the JSON's path."""
    path = measurement_path(folder, measurement.variant)
    points_file, sustained_file = path.with_suffix(".npy"), path.with_suffix(".npz")
    digests: dict[str, str | None] = {"points_sha256": None}
    if measurement.points is not None:
        with atomic_path(points_file) as fresh, fresh.open("wb") as file:
            np.save(file, measurement.points)
        digests["points_sha256"] = sha256_file(points_file)
    if measurement.sustained is not None:
        write_sustained(sustained_file, measurement.sustained)
        digests["sustained_sha256"] = sha256_file(sustained_file)
    write_json(path, {"schema": SCHEMA, **measurement_to_json(measurement), **digests})
    return path


def read_measurement(path: Path) -> Measurement:
    """The measurement that `write_measurement` wrote.

    Raises:
        LandmintError: the file or its arrays are missing, truncated or of another schema.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("schema", None) != SCHEMA:
        raise LandmintError(
            f"{path} is no measurement of schema {SCHEMA}",
            reason="another landmint wrote it, or it is another file",
            remedy="measure again",
        )
    try:
        points_sha256 = content.pop("points_sha256")
        sustained_sha256 = content.pop("sustained_sha256", None)
        measurement = measurement_from_json(content)
        points = _read_points(path.with_suffix(".npy"), points_sha256, len(measurement.faces))
        sustained = _read_sustained(path.with_suffix(".npz"), sustained_sha256)
        return dataclasses.replace(measurement, points=points, sustained=sustained)
    except (KeyError, TypeError, ValueError) as error:
        raise LandmintError(
            f"{path} is incomplete",
            reason=f"it has no field {error}" if isinstance(error, KeyError) else str(error),
            remedy="measure again",
        ) from None


def read_measurements(folder: Path) -> tuple[Measurement, ...]:
    """Every measurement in a folder, by variant name.

    Raises:
        LandmintError: there is none, or one cannot be read.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise LandmintError(
            f"{folder} holds no measurements", remedy="run `landmint measure` first"
        )
    return tuple(read_measurement(path) for path in paths)


def _check(measurement: Measurement) -> None:
    if measurement.variant.count("/") != 1:
        raise ValueError(f"the variant '{measurement.variant[:80]}' is no format and precision")
    if (measurement.status == "built, not run") != (measurement.built is not None):
        raise ValueError(f"'{measurement.status}', and what was built does not say the same")
    for launch in measurement.launches:
        if not launch.blocks or not all(block.samples_ms for block in launch.blocks):
            raise ValueError("a launch without samples")


def _read_points(path: Path, expected: str | None, faces: int) -> Floats | None:
    if expected is None:
        return None
    _check_file(path, expected)
    try:
        points: Floats = np.load(path, allow_pickle=False)
    except (EOFError, MemoryError) as error:
        raise ValueError(f"no array of landmarks: {error}") from None
    shape = np.shape(points)
    if shape[:1] + shape[2:] != (faces, 2) or points.dtype != np.float64:
        raise ValueError(f"{points.dtype} of shape {shape} as landmarks (x, y) of {faces} faces")
    return points


def _read_sustained(path: Path, expected: str | None) -> Sustained | None:
    if expected is None:
        return None
    _check_file(path, expected)
    try:
        return read_sustained(path)
    except (EOFError, MemoryError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"no sustained run: {error}") from None


def _check_file(path: Path, expected: str) -> None:
    if not path.is_file() or sha256_file(path) != expected:
        raise LandmintError(
            f"{path} is missing, truncated or changed",
            reason="it is not what its measurement was written with",
            remedy="measure again",
        )
