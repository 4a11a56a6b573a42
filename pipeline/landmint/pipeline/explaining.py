"""Where INT8 loses, written beside the bundle that it was found in.

What a report shows of it stands in `report/losses.py`.
"""

from pathlib import Path

from landmint.pipeline.progress import Bar
from landmint.quantize.explain import explain
from landmint.quantize.explanation import EXPLANATION, Explanation, write_explanation
from landmint.runtime.bundle import Bundle
from landmint.train.faces.face import FaceSet


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
