"""The weights that a training begins from.

Not a registry: shipped models are found by `zoo`. Importing this loads no torch.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from landmint.runtime.crop import Floats
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.runtime.progress import SILENT, Progress
from landmint.train.config import NetworkRecipe
from landmint.train.home import join
from landmint.train.models import ModelConfig, create_model, load_model, model_class
from landmint.train.zoo import find_model

if TYPE_CHECKING:
    from landmint.train.models.base import LandmarkModel


def starting_weights(start: str) -> Path:
    """The file of what `NetworkRecipe.start` says.

    Raises:
        LandmintError: there is none.
    """
    if Path(start).is_absolute() and not (Path(start).is_file() or join(Path(start))):
        raise LandmintError(
            f"the weights to begin from are not at {start}",
            reason="there is no such file",
            remedy="run the recipe that makes them first, or correct start in this one",
        )
    return find_model(start)


def starting_model(fresh: "LandmarkModel", start: str, progress: Progress) -> "LandmarkModel":
    """The network with the weights that it begins from.

    The weights may be of a network with another activation, with gates that this one leaves out,
    or of another input size. Where the head is another, the trunk alone is taken, and is told.

    Args:
        fresh: the network before its first step; it is changed.
        start: what `NetworkRecipe.start` says.
        progress: told which part was taken, unless it is all.

    Raises:
        LandmintError: there are no such weights, or they do not even fit the trunk.
    """
    source = load_model(starting_weights(start))
    differences = ", ".join(_differences(fresh.config, source.config))
    if not differences:
        return source
    given, needed = source.state_dict(), fresh.state_dict()
    lacking = [
        name
        for name, tensor in needed.items()
        if name not in given or given[name].shape != tensor.shape
    ]
    trunk = {name for name in needed if name.startswith("trunk.")}
    if lacking and (not trunk or not trunk.isdisjoint(lacking)):
        raise LandmintError(
            f"{start} holds another network than the recipe",
            reason=f"there {differences}: {len(lacking)} of {len(needed)} tensors are not there or "
            f"of another shape, such as {lacking[0]}",
            remedy="write the same under [student.model] or [teacher.model], or drop start",
        )
    if lacking:
        progress.step(f"taking the trunk of {start}; the head is new, for there {differences}")
        fresh.load_state_dict(needed | {name: given[name] for name in trunk})
        return fresh.eval()
    fresh.load_state_dict({name: given[name] for name in needed})
    # Whom a landmark votes for was learned from the faces that those weights were trained on.
    neighbours = source.contract.head.neighbours
    fresh.contract = replace(
        fresh.contract, head=replace(fresh.contract.head, neighbours=neighbours)
    )
    return fresh.eval()


def check_beginning(network: NetworkRecipe) -> None:
    """Refuse a network whose training could not begin, but for weights that are fetched.

    Raises:
        LandmintError: the weights that it begins from are not there or are another network's, or
            the package that its pretrained trunk comes in is not installed.
    """
    from landmint.train.models.pretrained import PACKAGED, packaged_weights

    backbone = model_class(network.model.name).backbone_of(network.model)
    if network.start:
        starting_model(untrained_model(network), network.start, SILENT)
    elif network.model.pretrained and backbone in PACKAGED:
        packaged_weights(backbone)


def untrained_model(network: NetworkRecipe) -> "LandmarkModel":
    """The network with a stand-in for the mean face; no weights are fetched."""
    config = network.model.model_copy(update={"pretrained": False})
    return create_model(config, stand_in_shape(get_markup(config.markup).points))


def stand_in_shape(points: int) -> Floats:
    """Any shape (L, 2) in [0, 1] whose landmarks stand apart."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return 0.5 + 0.4 * np.column_stack([np.cos(angle), np.sin(angle)])


def _differences(wanted: ModelConfig, source: ModelConfig) -> list[str]:
    """In what the configuration of the weights differs, in words."""
    settings = source.model_dump(exclude={"pretrained"})
    return [
        f"{name} is {value!r}" for name, value in settings.items() if value != getattr(wanted, name)
    ]
