"""Train a network of a recipe, let it learn from a teacher, and let it learn to bear INT8."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landmint.pipeline.extras import naming_extras
from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import SILENT, Progress
from landmint.train.home import HOME

if TYPE_CHECKING:
    from landmint.pipeline.recipe import Recipe
    from landmint.train.budget import Budget
    from landmint.train.config import NetworkRecipe


@naming_extras
def train(
    recipe: "Recipe | str | Path",
    out: str | Path,
    *,
    role: str = "teacher",
    faces: str | Path | None = None,
    budget: str | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Train one network of a recipe on its faces alone, or go on where an earlier call stopped.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        out: folder for weights, checkpoints and logs.
        role: which network of the recipe: teacher or student, or both: then the student learns
            from the teacher, in the folders teacher/ and student/ of `out`.
        faces: the data set's folder, instead of the recipe's.
        budget: the time that the training may take, such as "9m"; the number of epochs is then
            chosen by the measured pace, and `out` gets a folder home/ of small files to take along.
        progress: told of every step.

    Returns:
        the path of the weights; of both networks, the student's.

    Raises:
        LandmintError: recipe, faces and network do not fit, the budget is too short, or the
            training diverged.
        MissingLibraryError: landmint[train] is not installed.

    Example:
        >>> from landmint import api
        >>> weights = api.train("demo", "runs/student", role="student")
        >>> weights.name
        'model.safetensors'
    """
    from landmint.pipeline.given import recipe_on

    time_given = _begun(budget)
    settings = recipe_on(recipe, faces)
    networks = {"teacher": settings.teacher, "student": settings.student}
    if role == "both" and settings.teacher:
        return _train_both(settings, Path(out), time_given, progress)
    network = networks.get(role)
    if network is None:
        both = ["both"] if settings.teacher else []
        raise LandmintError(
            f"the recipe {settings.name} has no network '{role}'",
            choices=[*(name for name, known in networks.items() if known), *both],
        )
    return _train(settings, network, Path(out), (), time_given, progress)


@naming_extras
def distill(
    recipe: "Recipe | str | Path",
    teacher: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    lessons: str | Path | None = None,
    faces: str | Path | None = None,
    budget: str | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Train a recipe's student with a trained teacher beside it, or with several.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        teacher: the weights of a network with any head, or the name of a shipped one; several
            teach their mean.
        out: folder for weights, checkpoints and logs.
        lessons: folder that keeps the teachers' answers, for students that see the same crops.
        faces: the data set's folder, instead of the recipe's.
        budget: the time that the training may take, as `train` takes it.
        progress: told of every step.

    Returns:
        the path of the student's weights.

    Raises:
        LandmintError: there is no such teacher, recipe, faces and networks do not fit, or the
            budget is too short.
        MissingLibraryError: landmint[train] is not installed.

    Example:
        >>> from landmint import api
        >>> teacher = api.train("demo", "runs/teacher")
        >>> api.distill("demo", teacher, "runs/student").name
        'model.safetensors'
    """
    from landmint.pipeline.given import recipe_on

    time_given = _begun(budget)
    settings = recipe_on(recipe, faces)
    weights = _weights_of(teacher)
    return _train(settings, settings.student, Path(out), weights, time_given, progress, lessons)


def _weights_of(teacher: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """The files of one teacher or several.

    Raises:
        LandmintError: there is no such teacher.
    """
    from landmint.train.zoo import find_model

    teachers = [teacher] if isinstance(teacher, str | Path) else teacher
    return tuple(find_model(str(each)) for each in teachers)


def _begun(budget: str | None) -> "Budget | None":
    """A budget whose time begins to run, if there is one."""
    from landmint.train.budget import Budget, budget_seconds

    return None if budget is None else Budget(budget_seconds(budget))


def _train(
    recipe: "Recipe",
    network: "NetworkRecipe",
    out: Path,
    teachers: tuple[Path, ...],
    budget: "Budget | None",
    progress: Progress,
    lessons: str | Path | None = None,
) -> Path:
    from landmint.pipeline.given import learning_faces
    from landmint.pipeline.lock import hold
    from landmint.train.config import TrainingPlan
    from landmint.train.training import train_network

    sets = learning_faces(recipe, progress)
    with hold(out, progress.step):
        plan = TrainingPlan(network, sets["train"], sets["val"], teachers, recipe.distill, budget)
        weights = train_network(plan, out, progress, Path(lessons) if lessons else None)
        if budget:
            _bring_home(out, out / HOME)
        return weights


def _bring_home(run: Path, home: Path) -> None:
    """Write what is brought home of a training; in one process alone."""
    from landmint.train.home import bring_home
    from landmint.train.processes import launcher_rank

    if launcher_rank() == 0:
        bring_home(run, home)


def _train_both(recipe: "Recipe", out: Path, budget: "Budget | None", progress: Progress) -> Path:
    from landmint.pipeline.given import learning_faces
    from landmint.pipeline.lock import hold
    from landmint.train.config import TrainingPlan
    from landmint.train.sharing import train_pair

    sets = learning_faces(recipe, progress)
    faces = sets["train"], sets["val"]
    assert recipe.teacher is not None
    with hold(out, progress.step):
        teacher = TrainingPlan(recipe.teacher, *faces)
        trained = _weights_of(recipe.teachers)
        student = TrainingPlan(recipe.student, *faces, trained, recipe.distill)
        weights = train_pair(teacher, student, out, budget, progress)
        for role in ("teacher", "student") if budget else ():
            _bring_home(out / role, out / HOME / role)
        return weights


@naming_extras
def adapt(
    model: str | Path,
    recipe: "Recipe | str | Path",
    out: str | Path,
    *,
    teacher: str | Path | Sequence[str | Path] = (),
    faces: str | Path | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Quantisation-aware training: let a trained student learn to bear INT8.

    Give the weights that come out to `quantize` as `adapted`.

    Args:
        model: the student: its weights, or a shipped model.
        recipe: of the student; its table qat says how. A recipe, its file, or a shipped name.
        out: folder for weights, ranges, checkpoints and logs.
        teacher: weights of a teacher, or of several, to learn from as well.
        faces: the data set's folder, instead of the recipe's.
        progress: told of every step.

    Returns:
        the path of the adapted weights.

    Raises:
        LandmintError: recipe, faces and network do not fit, or the training diverged.
        MissingLibraryError: landmint[export] is not installed.

    Example:
        >>> from landmint import api
        >>> weights = api.adapt("runs/mine/student/model.safetensors", "demo", "adapted")
        >>> weights.name
        'model.safetensors'
    """
    from landmint.pipeline.given import learning_faces, recipe_on
    from landmint.pipeline.lock import hold
    from landmint.quantize.config import QatConfig
    from landmint.quantize.qat.adapt import adapt_network
    from landmint.train.config import TrainingPlan
    from landmint.train.models import load_model
    from landmint.train.zoo import find_model

    settings, student, place = recipe_on(recipe, faces), find_model(str(model)), Path(out)
    teachers = _weights_of(teacher)
    load_model(student)  # before the faces, which take longer
    sets = learning_faces(settings, progress)
    with hold(place, progress.step):
        plan = TrainingPlan(
            settings.student, sets["train"], sets["val"], teachers, settings.distill
        )
        config = settings.qat or QatConfig()
        return adapt_network(plan, config, settings.quantize, student, place, progress)
