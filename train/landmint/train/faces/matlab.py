"""MATLAB files as arrays: the older format by SciPy, version 7.3 by h5py.

Not a reader of faces: it knows no data set. Both libraries are imported when a file is opened.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.train.faces.row import unreadable


def load_mat(path: Path, *names: str) -> list[NDArray[Any]]:
    """The named variables of a `.mat` file older than version 7.3.

    Raises:
        LandmintError: it cannot be read, or has no such variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise unreadable(path, "the MATLAB file", str(error)) from None
    return [_variable(content, name, path) for name in names]


def load_mat73(path: Path, *names: str) -> list[NDArray[Any]]:
    """The named variables of a `.mat` file of version 7.3, their axes in MATLAB's order.

    Raises:
        LandmintError: it cannot be read, or has no such variable.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return [_variable(file, name, path)[()].T for name in names]
    except OSError as error:
        raise unreadable(path, "the MATLAB file", str(error)) from None


def load_cell73(path: Path, name: str, index: int) -> NDArray[Any]:
    """What one cell of a cell array holds, in a `.mat` file of version 7.3.

    Raises:
        LandmintError: it cannot be read, or has no such cell.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            cells = np.ravel(_variable(file, name, path)[()])
            return np.asarray(file[cells[index]][()]).T
    except (OSError, IndexError, ValueError) as error:
        raise unreadable(path, "the MATLAB file", f"{name}{{{index + 1}}}: {error}") from None


def _variable(content: Any, name: str, path: Path) -> Any:
    if name not in content:
        raise unreadable(path, "the MATLAB file", f"it has no variable '{name}'")
    return content[name]
