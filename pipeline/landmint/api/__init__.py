"""landmint as a library: what its command does, as functions; docs/library.md shows them at work.

Nothing here ends the process, prints, or changes the process as a whole: results are returned, and
errors are `LandmintError`s. Importing this loads neither torch nor a converter: a function imports
what it needs when it is called, and says what to install where that is missing.
"""

from landmint.api.predicting import load
from landmint.pipeline.opening import Model
from landmint.runtime.crop import Box
from landmint.runtime.errors import (
    Interrupted,
    LandmintError,
    MissingLibraryError,
    NotMeasuredError,
)
from landmint.runtime.predict import Prediction

__all__ = [
    "Box",
    "Interrupted",
    "LandmintError",
    "MissingLibraryError",
    "Model",
    "NotMeasuredError",
    "Prediction",
    "load",
]
