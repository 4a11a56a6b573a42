"""How far outputs lie apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def relative_error(reference: NDArray[Any], outputs: NDArray[Any]) -> float:
    """Root mean square of the difference over that of the reference."""
    return float(np.sqrt(np.mean((outputs - reference) ** 2) / np.mean(reference**2)))
