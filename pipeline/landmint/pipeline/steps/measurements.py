"""The stage of the measurements: every variant of the bundle, on the test faces."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.runtime.bundle import Bundle
from landmint.runtime.machine import identify
from landmint.runtime.measurement import read_measurements
from landmint.runtime.progress import Progress
from landmint.targets import ADDED, Profile, find_profile
from landmint.targets.profile import SHIPPED, SUFFIX, read_profile

_PLAIN = "host", "null"
"""Profiles that say nothing but a transport; runs that are older than profiles stay up to date."""


def measure_settings(run: Run) -> Mapping[str, Any]:
    """What decides a measurement: how it is taken, from which machine, and on which device.

    Raises:
        LandmintError: the device's profile cannot be read, or is wrong.
    """
    machine = identify().to_json()
    this_machine = {key: machine[key] for key in ("cpu", "architecture", "cores", "packages")}
    config = run.recipe.measure
    profile = _profile_settings(config.target)
    return {"measure": config.model_dump(mode="json"), "machine": this_machine, **profile}


def _profile_settings(target: str) -> dict[str, str]:
    """What a target's profile says, where it has one that is not plain."""
    if target in ADDED:
        return {}
    deciding = _profile_text(find_profile(target))
    plain = [_profile_text(read_profile(SHIPPED / f"{name}{SUFFIX}")) for name in _PLAIN]
    return {} if deciding in plain else {"profile": deciding}


def _profile_text(profile: Profile) -> str:
    """What a profile says but its line for people, as text: TOML has values that JSON has not."""
    fields = asdict(profile)
    del fields["about"]
    return json.dumps(fields, sort_keys=True, default=str)


def _work(run: Run, place: Path, bar: Progress) -> None:
    from landmint.pipeline.measuring import measure_into

    bundle = Bundle.open(run.place("bundle"), plans=True)  # this run made it
    measure_into(place, bundle, run.faces("test"), run.recipe.measure, (), bar)
    run.describe()


def _summary(place: Path) -> str:
    measurements = read_measurements(place)
    variants: dict[str, list[str]] = {"measured": []}
    for each in measurements:
        variants.setdefault(each.status, []).append(each.variant)
    summary = f"{len(variants.pop('measured'))} variants measured"
    return "; ".join([summary, *(f"{status}: {', '.join(v)}" for status, v in variants.items())])


MEASUREMENTS = Stage(
    name="measurements",
    revision=2,
    needs=lambda run: ("faces", "bundle"),
    settings=measure_settings,
    work=_work,
    summary=_summary,
)
