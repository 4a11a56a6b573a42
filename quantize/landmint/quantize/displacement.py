"""How far the landmarks of one form of a model lie from those of another, on the same crops.

The distance shows at once if a conversion went wrong. It is not the accuracy, which is measured
downstream, on other faces.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract
from landmint.runtime.decode import decode
from landmint.runtime.engines import Session
from landmint.runtime.errors import LandmintError
from landmint.runtime.quantised import Values

Outputs = Mapping[str, Values]
Points = NDArray[np.float64]


def landmarks(session: Session, contract: Contract, tensors: NDArray[np.float32]) -> Points:
    """Run a loaded artefact face by face; returns landmarks (N, L, 2) in crop pixels.

    Args:
        session: of any engine.
        contract: in the session's layout.
        tensors: (N, ...) normalised crops in that layout.

    Raises:
        LandmintError: an output is missing, has a wrong shape, or holds NaN or infinity.
    """
    return np.concatenate([points_of(contract, session.run(face[None])) for face in tensors])


def points_of(contract: Contract, outputs: Outputs) -> Points:
    """Decoded landmarks (N, L, 2) in crop pixels.

    Raises:
        LandmintError: an output is missing, has a wrong shape, or holds NaN or infinity.
    """
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise LandmintError(
                f"output '{name}' holds numbers that are not finite",
                reason="the quantised graph overflows",
                remedy="report the network; leave the format out of quantize.formats",
            )
    points, _ = decode(contract, outputs)
    return points


def describe(reference: Points, points: Points) -> str:
    """Mean and 95th percentile of the distances, as a note for the manifest."""
    distances = np.linalg.norm(points - reference, axis=2)
    mean, tail = distances.mean(), np.percentile(distances, 95)
    return f"mean {mean:.2f} px, p95 {tail:.2f} px of the crop over {len(points)} calibration faces"
