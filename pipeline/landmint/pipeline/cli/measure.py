"""`landmint measure`: a bundle's variants on test faces, raw."""

from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import (
    FacesOption,
    HistoryOption,
    PlansOption,
    RecipeOption,
    TargetOption,
)


def measure(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle.")],
    out: Annotated[Path, typer.Option(help="Folder for the measurements.")],
    recipe: RecipeOption = None,
    faces: FacesOption = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT/PRECISION", help="Only this one; may be given again."),
    ] = None,
    target: TargetOption = None,
    minutes: Annotated[
        float,
        typer.Option(
            min=0,
            help="Then run each variant for so long without a pause: does heat slow it down?",
        ),
    ] = 0,
    plans: PlansOption = False,
    history: HistoryOption = None,
) -> None:
    """Measure landmarks, latency, memory and size of every variant; raw samples are kept.

    A variant that cannot run there is "not measured", with the reason.

    Examples:
        landmint measure runs/demo/bundle --recipe demo --out measurements
        landmint measure bundle --faces /data/my-300w --variant tflite/int8 --out m
        landmint measure runs/demo/bundle --recipe demo --out m --history demo.sqlite
        landmint measure runs/demo/bundle --recipe demo --out m --target rpi5:pi@raspberrypi.local
        landmint measure bundle --recipe demo --out m --variant tflite/int8 --minutes 30
    """
    from landmint import api
    from landmint.pipeline.history.importing import add_folders, check_writable, revision_here
    from landmint.pipeline.progress import Screen
    from landmint.pipeline.tables import print_measurements

    if history is not None:
        check_writable(history)
    settings = None if recipe is None else api.load_recipe(recipe)
    config = api.MeasureConfig.chosen(settings.measure if settings else None, target)
    with Screen().bar("measure") as bar:
        api.measure(
            bundle,
            out,
            config=config,
            recipe=settings,
            faces=faces,
            variants=variant or (),
            plans=plans,
            minutes=minutes,
            progress=bar,
        )
    if history is not None:
        add_folders(history, [out], revision_here())
    print_measurements(out)
    print("".join(f"{line}\n" for line in api.judge(out, recipe=settings).advice), end="")
