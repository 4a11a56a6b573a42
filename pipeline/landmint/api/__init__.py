"""landmint as a library: what its command does, as functions; docs/library.md shows them at work.

Nothing here ends the process, prints, or changes the process as a whole: results are returned, and
errors are `LandmintError`s. Importing this loads neither torch nor a converter: a function imports
what it needs when it is called, and says what to install where that is missing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from landmint.api.bundles import draft_contract, export, import_, lint, quantize
from landmint.api.gating import gate, self_test
from landmint.api.history import gate_by_history
from landmint.api.listings import (
    engines,
    load_recipe,
    models,
    readers,
    recipes,
    students,
    targets,
)
from landmint.api.measuring import judge, measure, report
from landmint.api.predicting import load
from landmint.api.running import run, run_on_targets
from landmint.api.training import adapt, distill, train
from landmint.pipeline.extras import naming_extras
from landmint.pipeline.opening import Model
from landmint.pipeline.view import Relay, View
from landmint.runtime.bundle import Bundle
from landmint.runtime.crop import Box
from landmint.runtime.errors import (
    Interrupted,
    LandmintError,
    MissingLibraryError,
    NotMeasuredError,
)
from landmint.runtime.predict import Prediction
from landmint.runtime.progress import SILENT, Progress
from landmint.train.zoo import Shipped

if TYPE_CHECKING:
    from landmint.export.config import ExportConfig
    from landmint.pipeline.judge.gate import Limits, Verdict
    from landmint.pipeline.judge.judgement import Judgement
    from landmint.pipeline.judge.paired import PairedRules
    from landmint.pipeline.measure_config import MeasureConfig
    from landmint.pipeline.quantizing import Quantized
    from landmint.pipeline.recipe import Recipe
    from landmint.pipeline.self_test import SelfTest
    from landmint.quantize.config import QuantizeConfig
    from landmint.runtime.measurement import Measurement

__all__ = [
    "SILENT",
    "Box",
    "Bundle",
    "ExportConfig",
    "Interrupted",
    "Judgement",
    "LandmintError",
    "Limits",
    "Measurement",
    "MeasureConfig",
    "MissingLibraryError",
    "Model",
    "NotMeasuredError",
    "PairedRules",
    "Prediction",
    "Progress",
    "Quantized",
    "QuantizeConfig",
    "Recipe",
    "Relay",
    "SelfTest",
    "Shipped",
    "Verdict",
    "View",
    "adapt",
    "distill",
    "draft_contract",
    "engines",
    "export",
    "import_",
    "gate",
    "gate_by_history",
    "judge",
    "lint",
    "load",
    "load_recipe",
    "measure",
    "models",
    "quantize",
    "readers",
    "recipes",
    "report",
    "run",
    "run_on_targets",
    "self_test",
    "students",
    "targets",
    "train",
]

_LATER = {
    "ExportConfig": "landmint.export.config",
    "Judgement": "landmint.pipeline.judge.judgement",
    "Limits": "landmint.pipeline.judge.gate",
    "Measurement": "landmint.runtime.measurement",
    "MeasureConfig": "landmint.pipeline.measure_config",
    "PairedRules": "landmint.pipeline.judge.paired",
    "Quantized": "landmint.pipeline.quantizing",
    "QuantizeConfig": "landmint.quantize.config",
    "Recipe": "landmint.pipeline.recipe",
    "SelfTest": "landmint.pipeline.self_test",
    "Verdict": "landmint.pipeline.judge.gate",
}
"""Classes whose modules a prediction does not need: imported when somebody names one."""


@naming_extras
def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"landmint.api has no '{name}'")
    return getattr(importlib.import_module(_LATER[name]), name)
