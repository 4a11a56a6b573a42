"""`landmint targets`: where engines can run, and what that needs here."""

from typing import Annotated

import typer


def targets() -> None:
    """Where engines can run: this machine, boards, and profiles of your own.

    Every option --target, and the key `target` of a recipe, takes one of these names, or the file
    of a profile; an address may follow after a colon.

    Examples:
        landmint targets
        landmint targets probe rpi5:pi@raspberrypi.local
    """
    from landmint.pipeline.tables import print_targets

    print_targets()


def probe(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="As for --target.")],
) -> int:
    """What a target has, what it lacks, and what mends that; nothing is copied or changed.

    The exit code is 3 where nothing could be measured there.

    Examples:
        landmint targets probe host
        landmint targets probe rpi5:pi@raspberrypi.local
    """
    from landmint.runtime.errors import NotMeasuredError
    from landmint.targets import load_target
    from landmint.targets.target import Probed

    place = load_target(target)
    if not isinstance(place, Probed):
        raise NotMeasuredError(f"{place.name} does not tell what it has", remedy="measure there")
    findings = place.probe()
    for finding in findings:
        state = "MISSING" if finding.stops else "mend" if finding.remedy else "ok"
        print(f"{state:8}{finding.what}: {finding.state}")
        if finding.remedy:
            print(f"{'':8}remedy: {finding.remedy}")
    return 3 if any(finding.stops for finding in findings) else 0


def setup(
    name: Annotated[str, typer.Argument(metavar="TARGET", help="As `landmint targets` lists it.")],
) -> None:
    """Prepare this machine for a target, once; what is there already is kept.

    An emulated board gets Debian's libraries and the engines' wheels for its processor, in the
    user's cache: some 350 MB and a minute. Nothing of the machine itself is changed.

    Examples:
        landmint targets setup emulated-rpi5
    """
    from landmint.pipeline.progress import Screen
    from landmint.targets import set_up_target

    with Screen().bar("setup") as bar:
        line = set_up_target(name, bar)
    print(line)
