"""What can be named: what comes along, and parts that other packages add among landmint's own."""

from pathlib import Path
from typing import TYPE_CHECKING

from landmint.pipeline.extras import naming_extras
from landmint.train.zoo import Shipped, shipped

if TYPE_CHECKING:
    from landmint.pipeline.recipe import Recipe


@naming_extras
def load_recipe(recipe: str | Path) -> "Recipe":
    """Read a recipe, to look at it or to change it before it is given to a function.

    Args:
        recipe: its file, or the name of a shipped one.

    Raises:
        LandmintError: it cannot be read or is wrong; all problems in one message.
        MissingLibraryError: landmint[pipeline] is not installed.

    Example:
        >>> from landmint import api
        >>> recipe = api.load_recipe("demo")
        >>> recipe.name, recipe.faces.markup
        ('demo', '68')
    """
    from landmint.pipeline.recipe import load_recipe

    return load_recipe(Path(recipe))


def recipes() -> dict[str, Path]:
    """The recipes that come along: the file of each by its name.

    Example:
        >>> from landmint import api
        >>> api.recipes()["demo"].name
        'demo.toml'
    """
    from landmint.pipeline.shipped_recipes import shipped_recipes

    return shipped_recipes()


@naming_extras
def models() -> tuple[Shipped, ...]:
    """The models that come along, the best first.

    Raises:
        LandmintError: a file among them is none that was published.
        MissingLibraryError: landmint[pipeline] is not installed.

    Example:
        >>> from landmint import api
        >>> sorted(model.name for model in api.models())
        ['mobilefan', 'pfld', 'pipnet-lite0', 'pipnet-mbv3']
    """
    return shipped()


@naming_extras
def readers() -> tuple[str, ...]:
    """The kinds of data sets that can be read, those that other packages add among them.

    Raises:
        MissingLibraryError: landmint[train] is not installed.

    Example:
        >>> from landmint import api
        >>> "300w" in api.readers()
        True
    """
    from landmint.train.faces.readers import READERS

    return tuple(READERS)


@naming_extras
def students() -> tuple[str, ...]:
    """The networks that a recipe can name, those that other packages add among them.

    Raises:
        MissingLibraryError: landmint[train] is not installed.

    Example:
        >>> from landmint import api
        >>> "pipnet" in api.students()
        True
    """
    from landmint.train.models import MODELS

    return tuple(MODELS)


def engines() -> tuple[str, ...]:
    """The engines that run variants, those that other packages add among them.

    Example:
        >>> from landmint import api
        >>> "onnxruntime" in api.engines()
        True
    """
    from landmint.runtime.engines import ENGINES

    return tuple(ENGINES)


def targets() -> tuple[str, ...]:
    """Where engines can run, places that other packages add among them.

    Example:
        >>> from landmint import api
        >>> "host" in api.targets()
        True
    """
    from landmint.targets import known_targets

    return known_targets()
