"""Profiles of two builds in turns: which operator takes how long in each.

Not for verdicts: an engine that times its operators is slower than one that does not. What is asked
for here says where a slowdown that was proved otherwise comes from.
"""

import random

from landmint.runtime.engines.engine import Operator
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import LatencyConfig
from landmint.runtime.progress import SILENT, Progress
from landmint.runtime.typed_json import read_as
from landmint.targets.paired import Side

ROUNDS = 5
Profile = tuple[Operator, ...]


def profile_in_turns(
    baseline: Side,
    candidate: Side,
    config: LatencyConfig,
    rounds: int = ROUNDS,
    progress: Progress = SILENT,
) -> tuple[tuple[Profile, Profile], ...]:
    """The operators of both builds with their times, from fresh processes, in random order.

    Args:
        baseline: the build that is compared with.
        candidate: the build that is judged.
        config: threads, and how long to wait for an answer.
        rounds: how often; each round starts a process of each build.
        progress: told of every round.

    Returns:
        a pair of profiles from each round, the baseline's first; empty profiles where an engine
        does not tell its operators.

    Raises:
        LandmintError: a build does not load, or its engine cannot be profiled.
    """
    order = random.Random(config.seed)
    pairs = []
    for number in range(rounds):
        progress.step(f"{candidate.variant}: operators {number + 1} of {rounds}")
        sides = [0, 1]
        order.shuffle(sides)
        profiles = {place: _profile((baseline, candidate)[place], config) for place in sides}
        pairs.append((profiles[0], profiles[1]))
    return tuple(pairs)


def _profile(side: Side, config: LatencyConfig) -> Profile:
    place = side.target.push(side.bundle.path)
    link = side.target.start(place, side.variant, config.threads, config.timeout_s)
    try:
        link.ask({"do": "load", "plans": side.bundle.plans}, config.timeout_s)
        answer = link.ask({"do": "precision"}, config.timeout_s)
    finally:
        link.close()
    try:
        return tuple(read_as(Operator, each, "an operator") for each in answer["operators"])
    except (KeyError, TypeError, ValueError) as error:
        raise LandmintError("the agent told no operators", reason=str(error)) from None
