"""One run, measured and judged on several targets.

Targets on different machines are visited at the same time, those on one machine in turn. Each has a
folder of its own in the run, so one that drops out leaves the others whole; the next run visits it
again, and leaves alone what is up to date.
"""

import multiprocessing
import os
import re
import signal
import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import sleep
from types import FrameType

from landmint.pipeline.driver import run_stages
from landmint.pipeline.judge.gate import outcome
from landmint.pipeline.judge.summary import summarise_run
from landmint.pipeline.judge.target_results import TargetResult
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.judge.verdicts import judge_folder
from landmint.pipeline.places import TARGETS
from landmint.pipeline.progress import Side
from landmint.pipeline.run import Run
from landmint.pipeline.steps import stages_of
from landmint.pipeline.text import one_line
from landmint.pipeline.view import Relay, View
from landmint.runtime.errors import Interrupted, LandmintError
from landmint.runtime.measurement import read_measurements
from landmint.runtime.progress import SILENT, Progress
from landmint.targets import ADDED, check_target, find_profile

_OWN = ("measurements", "verdict")
"""Stages whose outcome each target has for itself."""
_GRACE_S = 30.0
"""Agents and connections of a visit may need so long to end."""
_PASS_ON_S = 0.1


class TargetRun(Run):
    """A run on one of its targets: the faces and the bundle are the run's, the rest is its own."""

    def __init__(self, run: Run, target: str) -> None:
        """Nothing is reached yet.

        Args:
            run: whose bundle is measured.
            target: where.
        """
        measure = run.recipe.measure.model_copy(update={"target": target})
        recipe = run.recipe.model_copy(update={"measure": measure})
        super().__init__(recipe, run.folder, run.command)
        self._own_folder = run.folder / TARGETS / re.sub(r"[^A-Za-z0-9._-]+", "-", target)

    def place(self, name: str) -> Path:
        """The folder of a stage, by the stage's name."""
        return self._own_folder / name if name in _OWN else super().place(name)


def checked_targets(targets: Sequence[str]) -> tuple[str, ...]:
    """The targets that somebody named.

    Raises:
        LandmintError: there is no such target, it cannot be reached, or it is named twice.
    """
    if not targets:
        raise LandmintError("no target is named", remedy="name some, such as host,emulated-rpi4")
    for target in targets:
        check_target(target)
        if targets.count(target) > 1:
            raise LandmintError(f"{target} is named twice", remedy="name each target once")
    return tuple(targets)


def visit_targets(run: Run, targets: Sequence[str], view: View) -> tuple[TargetResult, ...]:
    """Bring the measurements of every target up to date.

    Each machine's targets are visited by a process of their own. An interrupt of this process ends
    them too, each in order: governors are set back, agents ended, half-written files removed.

    Args:
        run: with a bundle that is up to date.
        targets: of `checked_targets`.
        view: told of each target, by its name.

    Returns:
        what came of each, in the order given.

    Raises:
        Interrupted: Ctrl-C; targets that were measured stay so.
    """
    by_machine: dict[str, list[str]] = defaultdict(list)
    for target in targets:
        by_machine[_machine(target)].append(target)
    if len(by_machine) == 1:
        return tuple(_visit(run, target, view) for target in targets)
    visits: list[_Visit] = []
    try:
        for group in by_machine.values():
            visits.append(_Visit(run, group))
        results = _gathered(visits, view)
    except KeyboardInterrupt:
        _end(visits)
        raise Interrupted(
            "interrupted while targets were visited",
            reason="what was measured on a target to the end is kept",
            remedy=f"go on with: {run.command}",
        ) from None
    finally:
        for visit in visits:
            visit.process.join()
    return tuple(results[target] for target in targets)


def _machine(target: str) -> str:
    """Which machine a target keeps busy: an address, or this one."""
    return "" if target in ADDED else find_profile(target).address


def _visit(run: Run, target: str, view: View) -> TargetResult:
    own, side = TargetRun(run, target), Side(view, target)
    try:
        run_stages(stages_of(own), own, side, until="verdict")
        folder = own.place("measurements")
        measurements, truth = read_measurements(folder), read_truth(folder / TRUTH_FILE)
        summaries = summarise_run(measurements, truth)
        verdicts = judge_folder(folder, run.recipe.gate.limits)
    except Interrupted:
        raise
    except LandmintError as error:
        side.line(str(error))
        return TargetResult(target, "not measured", one_line(str(error)))
    return TargetResult(target, outcome(verdicts), measurements=folder, summaries=summaries)


class _Visit:
    """The process that visits the targets of one machine, and what it sends."""

    def __init__(self, run: Run, targets: Sequence[str]) -> None:
        """Start it."""
        context = multiprocessing.get_context("spawn")
        self.targets = targets
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=_visit_all, args=(run, targets, sender))
        self.process.start()
        sender.close()  # so that the end of the process is the end of the messages


def _end(visits: Sequence[_Visit]) -> None:
    """Interrupt visits and wait; a process that does not end by itself is killed.

    Even then its board is set back: what holds a board sees the connection end.
    """
    for visit in visits:
        visit.process.terminate()
    for visit in visits:
        visit.process.join(_GRACE_S)
        visit.process.kill()


def _visit_all(run: Run, targets: Sequence[str], sender: Connection) -> None:
    """Visit targets in turn, and send lines and results."""
    interrupt = _Interrupt()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell's "&" leaves it
            signal.signal(number, interrupt)
    _pass_on_signals(interrupt)
    try:
        for target in targets:
            sender.send(_visit(run, target, _Sending(sender)))
    except (Interrupted, KeyboardInterrupt):
        pass  # the one who waits was interrupted as well, and tells it


class _Interrupt:
    """Raises KeyboardInterrupt at the first signal, and does nothing at others.

    Ctrl-C may reach a process twice: from the terminal, and from the one who waits for it.
    """

    def __init__(self) -> None:
        self.raised = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.raised:
            self.raised = True
            raise KeyboardInterrupt


def _pass_on_signals(interrupt: _Interrupt) -> None:
    """Let a signal reach the main thread, which runs the handlers.

    The kernel may hand a signal to any thread. A main thread that waits for a lock would sleep on.
    """
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    signal.set_wakeup_fd(sender, warn_on_full_buffer=False)

    def pass_on() -> None:
        number = os.read(receiver, 1)[0]
        while not interrupt.raised:
            sleep(_PASS_ON_S)
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    threading.Thread(target=pass_on, daemon=True).start()


class _Sending:
    """Passes lines on to another process."""

    def __init__(self, sender: Connection) -> None:
        self._sender = sender

    def line(self, text: str, style: str = "") -> None:
        self._sender.send((text, style))

    def bar(self, title: str) -> AbstractContextManager[Progress]:
        return Relay(SILENT).bar(title)


def _gathered(visits: Sequence[_Visit], view: View) -> dict[str, TargetResult]:
    """Pass lines on and gather results until every process has ended."""
    results = {
        target: TargetResult(target, "not measured", "its process ended before it was visited")
        for visit in visits
        for target in visit.targets
    }
    receivers = [visit.receiver for visit in visits]
    while receivers:
        for receiver in wait(receivers):
            assert isinstance(receiver, Connection)
            try:
                message = receiver.recv()
            except EOFError:
                receivers.remove(receiver)
                continue
            if isinstance(message, TargetResult):
                results[message.target] = message
            else:
                view.line(*message)
    return results
