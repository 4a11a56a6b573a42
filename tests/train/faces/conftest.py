"""Small data sets on disk: of four training faces for each reader, and a synthetic one."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import cv2
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from landmint.runtime.markup import get_markup
from landmint.train.faces.face import FaceSet
from landmint.train.faces.pts300w import write_pts
from landmint.train.faces.readers import FacesConfig, load_faces
from landmint.train.faces.synthetic import write_synthetic

Writers = Mapping[str, Callable[[Path], FacesConfig]]


def points_of(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Landmarks inside the pictures."""
    return np.random.default_rng(seed).uniform(5, 35, (count, 2))


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((40, 50, 3), len(path.stem), dtype=np.uint8))


def write_300w(root: Path) -> FacesConfig:
    for name in ("b_1", "a_2", "a_1", "c_1"):
        write_image(root / "train" / f"{name}.jpg")
        write_pts(root / "train" / f"{name}.pts", points_of(68))
    return FacesConfig(kind="300w", root=root, person_pattern=r"^(\w)_")


def write_wflw(root: Path) -> FacesConfig:
    lines = []
    for name in ("a/b_1.jpg", "a/a_2.jpg", "a/a 1.jpg", "a/a 1.jpg"):
        write_image(root / "images" / name)
        numbers = [*points_of(98).ravel(), 5, 6, 35, 37, 0, 1, 0, 0, 1, 0]
        lines.append(" ".join(f"{value:g}" for value in numbers) + f" {name}\n")
    (root / "list.txt").write_text("".join(lines))
    return FacesConfig(kind="wflw", root=root, markup="98", images="images", train=("list.txt",))


def write_drawn(root: Path) -> FacesConfig:
    write_synthetic(root, {"train": 4}, get_markup("98"), 48, seed=0)
    return FacesConfig(kind="synthetic", root=root, markup="98")


def write_cofw(root: Path, part: str = "Tr") -> FacesConfig:
    """Version 7.3: HDF5 with MATLAB's axes reversed, pictures behind references."""
    name = {"Tr": "COFW_train_color.mat", "T": "COFW_test_color.mat"}[part]
    root.mkdir(parents=True, exist_ok=True)
    hidden = np.zeros((4, 29))
    hidden[:, 3] = 1
    xy = np.stack([points_of(29, seed).T.ravel() for seed in range(4)])
    with h5py.File(root / name, "w") as file:
        file[f"phis{part}"] = np.concatenate([xy, hidden], axis=1).T
        file[f"bboxes{part}"] = np.tile([[6.0], [7.0], [30.0], [32.0]], 4)
        cells = file.create_dataset(f"Is{part}", (1, 4), dtype=h5py.ref_dtype)
        for i in range(4):
            shape = (40, 50) if i == 1 else (40, 50, 3)  # COFW has grey pictures too
            picture = np.full(shape, i, dtype=np.uint8)
            if picture.ndim == 3:
                picture[..., 0] = 200
            cells[0, i] = file.create_dataset(f"#refs#/{i}", data=picture.T).ref
    return FacesConfig(kind="cofw", root=root, markup="29", train=(name,))


def write_cofw68(root: Path) -> FacesConfig:
    write_cofw(root, "T")
    folder = root / "COFW68_Data" / "test_annotations"
    folder.mkdir(parents=True)
    hidden = np.zeros((68, 1), dtype=np.uint8)
    hidden[5] = 1
    for i in range(4):
        points = {"Points": points_of(68, i), "Occ": hidden}
        savemat(folder / f"{i + 1}_points.mat", points)
    savemat(folder.parent / "cofw68_test_bboxes.mat", {"bboxes": np.tile([6, 7, 30, 32], (4, 1))})
    return FacesConfig(kind="cofw68", root=root, train=("COFW68_Data/test_annotations",))


def write_aflw(root: Path) -> FacesConfig:
    names = ["0/a.jpg", "2/b.jpg", "0/a.jpg", "3/c.jpg"]
    for name in names:
        write_image(root / "images" / name)
    shown = np.ones((4, 19), dtype=np.uint8)
    shown[2, 4] = 0
    content = {
        "nameList": np.array([[name] for name in names], dtype=object),
        "data": np.stack([points_of(19, seed).T.ravel() for seed in range(4)]),
        "bbox": np.tile([5, 35, 6, 38], (4, 1)),
        "mask_new": shown,
        "ra": np.array([[2, 1, 4, 3]]),
    }
    savemat(root / "AFLWinfo_release.mat", content)
    return FacesConfig(kind="aflw", root=root, markup="19", images="images")


def write_imglab(root: Path) -> FacesConfig:
    top = ElementTree.Element("dataset")
    images = ElementTree.SubElement(top, "images")
    for name in ("b.jpg", "a.jpg", "deep/c.jpg"):
        write_image(root / name)
        image = ElementTree.SubElement(images, "image", file=name)
        for count in range(2 if name == "a.jpg" else 1):
            place = {"top": "5", "left": f"{4 + count}", "width": "30", "height": "32"}
            box = ElementTree.SubElement(image, "box", place)
            for i, (x, y) in enumerate(points_of(68).tolist()):
                ElementTree.SubElement(box, "part", name=f"{i:02d}", x=f"{x:.2f}", y=f"{y:.2f}")
        ElementTree.SubElement(image, "box", {**place, "ignore": "1"})
    ElementTree.ElementTree(top).write(root / "faces.xml")
    return FacesConfig(kind="imglab", root=root, train=("faces.xml",))


def write_coco(root: Path) -> FacesConfig:
    images, annotations = [], []
    for i, name in enumerate(("b.jpg", "a.jpg", "c.png")):
        write_image(root / "pictures" / name)
        images.append({"id": 7 * i, "file_name": name, "width": 50, "height": 40})
    for i, image in enumerate((7, 0, 7, 14)):
        flags = np.where(np.arange(106) == i, 1, 2)
        keypoints = np.column_stack([points_of(106, i), flags]).ravel().tolist()
        box = {} if i == 3 else {"bbox": [5.0, 6.0, 30.0, 32.0]}
        annotations.append({"id": i, "image_id": image, "keypoints": keypoints} | box)
    (root / "faces.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return FacesConfig(
        kind="coco", root=root, markup="106", images="pictures", train=("faces.json",)
    )


def write_hrnet(root: Path) -> FacesConfig:
    columns = [f"original_{i}_{axis}" for i in range(68) for axis in "xy"]
    lines = [",".join(["image_name", "scale", "center_w", "center_h", *columns])]
    for i, name in enumerate(("b.jpg", "a.jpg", "deep/c.jpg", "a.jpg")):
        write_image(root / "pictures" / name)
        values = [0.16, 20, 22, *points_of(68, i).ravel()]
        lines.append(",".join([name, *(f"{value:.4f}" for value in values)]))
    (root / "faces.csv").write_text("\n".join(lines) + "\n")
    return FacesConfig(kind="hrnet", root=root, images="pictures", train=("faces.csv",))


def write_lapa(root: Path) -> FacesConfig:
    (root / "train/landmarks").mkdir(parents=True)
    for i, name in enumerate(("b_1", "a_2", "a_1", "c_1")):
        write_image(root / f"train/images/{name}.jpg")
        lines = ["106", *(f"{x:.4f} {y:.4f}" for x, y in points_of(106, i))]
        (root / f"train/landmarks/{name}.txt").write_text("\n".join(lines) + "\n")
    return FacesConfig(kind="lapa", root=root, markup="106", person_pattern=r"^(\w)_")


WRITERS: Writers = {
    "hrnet": write_hrnet,
    "lapa": write_lapa,
    "synthetic": write_drawn,
    "300w": write_300w,
    "wflw": write_wflw,
    "cofw": write_cofw,
    "cofw68": write_cofw68,
    "aflw": write_aflw,
    "imglab": write_imglab,
    "coco": write_coco,
}


@pytest.fixture
def writers() -> Writers:
    """By the kind of reader, what writes four training faces and gives their settings."""
    return WRITERS


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
