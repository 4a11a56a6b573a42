"""`landmint measure`: a bundle's variants on test faces, raw."""

from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, PlansOption, RecipeOption


def measure(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle.")],
    out: Annotated[Path, typer.Option(help="Folder for the measurements.")],
    recipe: RecipeOption = None,
    faces: FacesOption = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT/PRECISION", help="Only this one; may be given again."),
    ] = None,
    plans: PlansOption = False,
) -> None:
    """Measure landmarks, latency, memory and size of every variant; raw samples are kept.

    A variant that cannot run here is "not measured", with the reason.

    Examples:
        landmint measure runs/demo/bundle --recipe demo --out measurements
        landmint measure bundle --faces /data/my-300w --variant tflite/int8 --out m
    """
    from landmint.pipeline.cli.given import given_faces
    from landmint.pipeline.judge.advice import advise_folder
    from landmint.pipeline.lock import hold
    from landmint.pipeline.measure_config import GateConfig, MeasureConfig
    from landmint.pipeline.measuring import measure_into
    from landmint.pipeline.progress import Screen
    from landmint.pipeline.tables import print_measurements
    from landmint.runtime.bundle import Bundle
    from landmint.runtime.files import atomic_path

    opened, names, screen = Bundle.open(bundle, plans=plans), variant or [], Screen()
    for name in names:
        opened.variant(name)
    markup = opened.manifest.contract.markup
    settings, sets = given_faces(recipe, faces, markup, ("test",))
    config = settings.measure if settings else MeasureConfig()
    with hold(out, screen), screen.bar("measure") as bar, atomic_path(out) as fresh:
        measure_into(fresh, opened, sets["test"], config, names, bar)
    print_measurements(out)
    limits = (settings.gate if settings else GateConfig()).limits
    print("".join(f"{line}\n" for line in advise_folder(out, limits)), end="")
