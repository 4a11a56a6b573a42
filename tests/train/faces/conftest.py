"""A small synthetic data set on disk, written once."""

from pathlib import Path

import pytest

from landmint.runtime.markup import get_markup
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import FacesConfig, load_faces
from landmint.train.faces.synthetic import write_synthetic


@pytest.fixture(scope="session")
def synthetic_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 20 train, 8 val and 8 test faces, 68 points, 96 px; not to be changed."""
    root = tmp_path_factory.mktemp("synthetic")
    write_synthetic(root, {"train": 20, "val": 8, "test": 8}, get_markup("68"), 96, seed=1)
    return root


@pytest.fixture(scope="session")
def synthetic_faces(synthetic_root: Path) -> FaceSet:
    """The train faces of the synthetic data set."""
    return load_faces(FacesConfig(root=synthetic_root), "train", Path())
