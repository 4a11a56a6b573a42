"""`landmint label`: a trained network labels images, to train on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import SplitOption


class Accelerator(StrEnum):
    """Where a network runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Images = Annotated[
    Path, typer.Argument(metavar="IMAGES", help="A folder of images, looked through below.")
]
Model = Annotated[
    str, typer.Option(metavar="MODEL", help="A network's model.safetensors, or a shipped one.")
]
Out = Annotated[Path, typer.Option(help="The COCO-style JSON that is written.")]
Boxes = Annotated[
    str,
    typer.Option(
        metavar="WHERE",
        help="found: faces are looked for; whole: each image is a face; or a data set that "
        "knows the boxes, its folder or file; COCO-style JSON needs no landmarks for that.",
    ),
]
Margin = Annotated[
    float,
    typer.Option(
        min=0.0, max=0.49, help="whole: share of each side that is no face, at each edge."
    ),
]
Kind = Annotated[
    str | None, typer.Option(help="The data set's reader; see docs/adding-a-dataset.md.")
]
Markup = Annotated[
    str | None, typer.Option(help="The data set's landmark scheme, if not the network's.")
]
MinConfidence = Annotated[
    float | None, typer.Option(help="Leave out faces whose mean confidence is lower.")
]
FlipTest = Annotated[
    bool,
    typer.Option("--flip-test", help="Heatmaps: mean with the mirrored crop; twice the work."),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Faces together in the network.")]
Processes = Annotated[
    int | None,
    typer.Option(min=1, help="On each machine; one for each GPU, else core, by default."),
]
Nodes = Annotated[
    int, typer.Option(min=1, help="Machines; start the command on each with torchrun or Slurm.")
]
AcceleratorOption = Annotated[
    Accelerator, typer.Option(help="Where to run; auto takes the GPUs if there are any.")
]


def label(
    images: Images,
    model: Model,
    out: Out,
    boxes: Boxes = "found",
    margin: Margin = 0.1,
    kind: Kind = None,
    markup: Markup = None,
    split: SplitOption = None,
    min_confidence: MinConfidence = None,
    flip_test: FlipTest = False,
    batch_size: BatchSize = 32,
    processes: Processes = None,
    nodes: Nodes = 1,
    accelerator: AcceleratorOption = Accelerator.auto,
) -> int:
    """Let a trained network label any images, to train on: teacher or student, any head.

    Run it again to go on where it was interrupted. Images that cannot be read are listed at the
    end. Exit code 3 when no face was found at all.

    Examples:
        landmint label photographs --model runs/demo/teacher/model.safetensors --out labels.json
        landmint label crops --model model.safetensors --out labels.json --boxes whole --margin 0.05
        landmint label images --model model.safetensors --out labels.json --boxes boxes.json
        landmint label images --model model.safetensors --out labels.json --min-confidence 0.4
    """
    from landmint.pipeline.labelling import BoxOptions, label_folder
    from landmint.train.label import LabelConfig
    from landmint.train.launch import devices_here
    from landmint.train.processes import ProcessConfig
    from landmint.train.zoo import find_model

    where = BoxOptions(boxes, margin, kind, markup, tuple(split or ()))
    where_to_run = ProcessConfig(accelerator=accelerator.value, nodes=nodes)
    devices = processes or devices_here(where_to_run)
    where_to_run = where_to_run.model_copy(update={"devices": devices})
    config = LabelConfig(
        flip_test=flip_test,
        min_confidence=min_confidence,
        batch_size=batch_size,
        processes=where_to_run,
    )
    return label_folder(images, find_model(model), out, where, config)
