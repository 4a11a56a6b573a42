"""Runs a variant on a target for minutes without a pause, one variant at a time.

Before it, the machine rests until it no longer cools. What is made of the samples:
`landmint.runtime.sustained`.
"""

import math
from time import sleep

import numpy as np

from landmint.runtime.conditions import Conditions
from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import Progress
from landmint.runtime.sustained import MOMENT_S, Moment, Sustained
from landmint.targets.target import Link, Target
from landmint.targets.visit import Faces, Subject, read_answer

REST_S = 10.0
"""Between two looks at the temperature of a machine that rests."""
MOST_RESTS = 30
"""After so many it counts as cool, whatever its temperature does."""
STILL_C = 0.5
"""A machine that lost less than this between two looks no longer cools."""


def check_minutes(target: Target, minutes: float) -> None:
    """Refuse a sustained run that cannot be.

    Args:
        target: where.
        minutes: of each variant; none is wanted when 0.

    Raises:
        LandmintError: the number is none, or times there say nothing.
    """
    if not 0 <= minutes < math.inf:
        raise LandmintError(f"{minutes} minutes", reason="a run cannot last for so long")
    if minutes and target.no_times:
        raise LandmintError(
            f"a sustained run cannot be timed on {target.name}",
            reason=target.no_times,
            remedy="leave out the minutes, or measure on a device",
        )


def sustain(
    subject: Subject, faces: Faces, minutes: float, threads: int, timeout_s: float, bar: Progress
) -> None:
    """Let one subject's model run for so long, and note with it what was timed.

    A run that is cut short, by a crash or a lost connection, is kept up to there, with the reason.

    Args:
        subject: which; nothing else runs on its machine.
        faces: on the target.
        minutes: how long.
        threads: that one inference may use.
        timeout_s: longest wait for one answer.
        bar: told of each moment.
    """
    moments: list[Moment] = []
    cut, total_s = "", math.ceil(minutes * 60)
    try:
        link = subject.target.start(subject.place, subject.variant.name, threads, timeout_s)
        try:
            bar.step(f"{subject.label}: rests until it is cool")
            _rest(link, timeout_s)
            link.ask({"do": "load", "plans": subject.bundle.plans}, timeout_s)
            # Each moment lasts for a second at least, so that there is no clock to trust here.
            for _ in range(math.ceil(minutes * 60 / MOMENT_S)):
                answer = link.ask({"do": "sustain", "crops": faces.timed}, timeout_s)
                moments.append(read_answer(Moment, answer))
                elapsed_s = _elapsed_s(moments)
                bar.at(min(int(elapsed_s), total_s), total_s, _words(subject.label, moments[-1]))
                if elapsed_s >= minutes * 60:
                    break
        finally:
            link.close()
    except LandmintError as error:
        cut = " ".join(str(error).split())
    subject.sustained = Sustained.of(minutes, moments, cut)


def _rest(link: Link, timeout_s: float) -> None:
    """Wait until the machine no longer cools; not at all where it tells no temperature."""
    before = math.inf
    for _ in range(MOST_RESTS):
        now = read_answer(Conditions, link.ask({"do": "conditions"}, timeout_s)).temperature_c
        if now is None or now > before - STILL_C:
            return
        before = now
        sleep(REST_S)


def _elapsed_s(moments: list[Moment]) -> float:
    last = moments[-1]
    return last.begun_s - moments[0].begun_s + sum(last.samples_ms) / 1000


def _words(label: str, moment: Moment) -> str:
    heat = "" if moment.temperature_c is None else f", {moment.temperature_c:.0f} C"
    return f"{label}: {np.median(moment.samples_ms):.2f} ms{heat}"
