"""What a run tells about itself: averages of its losses, a CSV file, TensorBoard events.

Not a progress bar: people's screens belong to the pipeline. Event files are written through
TensorBoard's own records and protocol buffers; its usual writer would import all of tensorflow.
"""

import csv
import io
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import (  # type: ignore[import-untyped]
    RecordWriter,
)
from torch import Tensor

from landmint.runtime.files import remove_if_empty, write_text

Metrics = Mapping[str, float]


class Means:
    """Means of named scalars over steps, kept on the device until they are asked for.

    To read a scalar from a GPU waits for all its work: at every step that would cost speed.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._sums: dict[str, Tensor] = {}
        self.steps = 0
        """Steps since the last `take`."""

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Take in one step's scalars; every step has the same names."""
        for name, value in values.items():
            number = value.detach().float()
            self._sums[name] = self._sums[name] + number if self.steps else number
        self.steps += 1

    def take(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The means since the last call, by name; `reduce` averages (K,) over processes."""
        names = sorted(self._sums)
        means = torch.stack([self._sums[name] for name in names]) / self.steps
        self._sums, self.steps = {}, 0
        return dict(zip(names, reduce(means).tolist(), strict=True))


def write_history(path: Path, history: Sequence[Metrics]) -> None:
    """Write one CSV line per row; a column that a row lacks stays empty there."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())


class Events:
    """One TensorBoard event file, appended to while a run goes on."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Open a new file; what older files say of `first_step` and later steps is void."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        self._records: Any = RecordWriter(self._path.open("wb"))
        self._write(Event(file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.START)
        self._write(Event(step=first_step, session_log=start))

    def add(self, step: int, values: Metrics) -> None:
        """Scalars of a step, by name."""
        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(Event(step=step, summary=Summary(value=scalars)))
        self._records.flush()

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def discard(self) -> None:
        """Close and delete the file, and its folder if nothing else is in it."""
        self.close()
        self._path.unlink()
        remove_if_empty(self._path.parent)

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
