"""Where INT8 loses, written beside the bundle that it was found in.

What a report shows of it stands in `report/losses.py`.
"""

from collections.abc import Mapping
from pathlib import Path

from landmint.pipeline.fallback import fall_back, quantize_with
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.progress import Bar, Screen
from landmint.pipeline.tables import print_explanation
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.explain import explain
from landmint.quantize.explanation import EXPLANATION, Explanation, write_explanation
from landmint.runtime.bundle import Bundle
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import Split


def explain_into(folder: Path, faces: FaceSet, bar: Bar) -> Explanation:
    """Explain the bundle in a folder, and write what was found into that folder.

    Args:
        folder: of a bundle with onnx/float32 and onnx/int8.
        faces: labelled, neither calibrated nor judged on.
        bar: told of every layer.

    Raises:
        LandmintError: a variant is missing, or there are no faces.
    """
    found = explain(Bundle.open(folder, verify=False), faces, bar.at)
    write_explanation(folder / EXPLANATION, found)
    return found


def explain_int8(
    bundle: Bundle,
    int8: Path,
    faces: Mapping[Split, FaceSet],
    config: QuantizeConfig,
    measuring: MeasureConfig,
    fallback_budget: float | None,
) -> int:
    """Explain an INT8 bundle and print it; search for a fallback where there is a budget.

    Args:
        bundle: the float bundle.
        int8: folder of the INT8 bundle that was made of it.
        faces: to calibrate on ("train"), to explain and choose on ("val") and to keep apart from
            both ("test").
        config: how the INT8 bundle was made.
        measuring: how candidates are measured.
        fallback_budget: most rise of NME, in points of per cent.

    Returns:
        0, or the gate's code when a fallback was searched for and some format has none that surely
        keeps the budget.

    Raises:
        LandmintError: a variant is missing, or a candidate cannot be built.
    """
    with Screen().bar("explain") as bar:
        explanation = explain_into(int8, faces["val"], bar)
    print_explanation(explanation)
    if fallback_budget is None:
        return 0
    build = quantize_with(bundle, faces["train"], faces["test"], config)
    return fall_back(int8, explanation, fallback_budget, build, faces["val"], measuring, config)
