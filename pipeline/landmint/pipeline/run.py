"""One recipe and the folder that it fills: what every stage of a run knows.

Nothing is run here, and torch is not imported.
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmint.pipeline.places import RUN_FILE
from landmint.pipeline.recipe import Recipe
from landmint.runtime.files import write_json
from landmint.train.config import NetworkRecipe
from landmint.train.faces.readers import FacesConfig, Split, load_faces

if TYPE_CHECKING:
    from landmint.train.faces.face import FaceSet


class Run:
    """One recipe on its way, in one folder."""

    def __init__(self, recipe: Recipe, folder: Path, command: str = "the same command") -> None:
        """Nothing is read or written yet.

        Args:
            recipe: what to make.
            folder: where to; teachers go to a folder beside it.
            command: goes on with the run after an interruption, and makes it again.
        """
        self.recipe = recipe
        self.folder = folder
        self.command = command

    @property
    def faces_config(self) -> FacesConfig:
        """The data set with its folder: synthetic faces are drawn within the run's own."""
        config = self.recipe.faces
        synthetic = config.kind == "synthetic"
        root = self.place("faces") if synthetic else self.recipe.file.parent / config.root
        return config.model_copy(update={"root": root})

    @functools.cache  # noqa: B019 - a run lives as long as its process
    def faces(self, split: Split) -> "FaceSet":
        """The faces of a split, read once.

        Raises:
            LandmintError: the data set is missing or malformed.
        """
        return load_faces(self.faces_config, split, Path())

    @property
    def unlabelled_config(self) -> FacesConfig:
        """The unlabelled faces with their folder."""
        assert self.recipe.self_training is not None
        config = self.recipe.self_training.faces
        return config.model_copy(update={"root": self.recipe.file.parent / config.root})

    @property
    def taught(self) -> tuple[str, ...]:
        """The stage of the teacher, where the recipe has one."""
        return ("teacher",) if self.recipe.teacher else ()

    @property
    def trained(self) -> str:
        """The stage whose student is deployed."""
        return "self-training" if self.recipe.self_training else "student"

    @property
    def adapted(self) -> tuple[str, ...]:
        """The stage of the weights that INT8 is made of, where those are not the student's."""
        return ("qat",) if self.recipe.qat else ()

    @property
    def networks(self) -> dict[str, NetworkRecipe]:
        """What is trained, by its stage; weights that only adapt to INT8 are not among them."""
        recipe = self.recipe
        taught_by = {"teacher": recipe.teacher} if recipe.teacher else {}
        return {**taught_by, "student": recipe.student, self.trained: recipe.student}

    def place(self, name: str) -> Path:
        """The folder of a stage, by the stage's name."""
        return self.folder / name

    @property
    def about(self) -> dict[str, Any]:
        """What the report says of the run as a whole."""
        recipe = self.recipe
        text = recipe.file.read_text(encoding="utf-8")
        return {"schema": 1, "name": recipe.name, "about": recipe.about, "recipe": text}

    def describe(self) -> None:
        """Write `RUN_FILE`, for whoever measures, judges or reports on the run."""
        write_json(self.folder / RUN_FILE, {**self.about, "command": self.command})
