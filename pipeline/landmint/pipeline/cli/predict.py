"""`landmint predict`: landmarks in photographs and videos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import PlansOption


def predict(
    paths: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Photographs, or videos.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "--bundle",
            metavar="MODEL",
            help="A shipped model, a bundle, or weights; the best shipped model by default.",
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT/PRECISION", help="Of a bundle; the first that runs here by default."
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="The face, in pixels; else faces are looked for."),
    ] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Videos: filter out the landmarks' tremble.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for pictures and JSON.")] = Path("predictions"),
    plans: PlansOption = False,
) -> int:
    """Find landmarks in photographs and videos; draws them and writes them as JSON.

    Examples:
        landmint predict me.jpg
        landmint predict me.jpg --model mobilefan --box 120,80,200,220
        landmint predict a.jpg b.jpg --model bundle --variant tflite/int8 --out found
        landmint predict clip.mp4 --model runs/demo/bundle --smooth
    """
    return _predict(paths, model, variant, box, smooth, out, plans)


def _predict(
    paths: Sequence[Path],
    given: str | None,
    variant: str | None,
    box: str | None,
    smooth: bool,
    out: Path,
    plans: bool,
) -> int:
    """Returns 0, 2 when an image could not be read, or 3 when in one no face was found."""
    from landmint import api
    from landmint.pipeline.predict import UNREADABLE, parse_box, predict_images, read_pictures
    from landmint.pipeline.predict_video import VIDEO_SUFFIXES, predict_videos
    from landmint.pipeline.progress import Screen
    from landmint.runtime.errors import LandmintError

    where = None if box is None else parse_box(box)
    videos = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    images = [path for path in paths if path not in videos]
    if smooth and not videos:
        raise LandmintError(
            "--smooth has nothing to smooth",
            reason="only landmarks that follow each other in time tremble",
            remedy="leave it out, or give a video",
            choices=VIDEO_SUFFIXES,
        )
    model, screen = api.load(given, variant, plans=plans), Screen()
    pictures, broken = read_pictures(images, where)
    code = predict_images(pictures, model, where, out, screen)
    code = max(code, predict_videos(videos, model, where, smooth, out, screen))
    for error in broken:
        screen.line(str(error), style="yellow")
    return UNREADABLE if broken else code
