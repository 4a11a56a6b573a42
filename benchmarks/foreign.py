"""Landmark models that landmint did not train, as people install them: from a picture and a box.

Each comes in a package of PyPI, which landmint does not need: `mediapipe==0.10.21`, `dlib-bin` with
`face_recognition_models`, `opencv-contrib-python-headless` with `GoldenFace`, `facenet-pytorch`.
Not a script: benchmarks/rivals.py and benchmarks/predict.py run them.
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from landmint import api
from landmint.pipeline.opening import load_variant
from landmint.runtime.bundle import Bundle
from landmint.runtime.contract import Contract, CropRule
from landmint.runtime.crop import Box, Floats, Image, apply_affine, compose, crop_matrix, warp
from landmint.runtime.engines import Session
from landmint.runtime.errors import NotMeasuredError
from landmint.runtime.predict import predict_crops, predict_image

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.dlib_forest import read_forest  # noqa: E402

CONTRACTS = ROOT / "benchmarks/contracts"
INNER = (
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
"""Vertex of MediaPipe's mesh for each of the landmarks 17 to 67 of the 68: brows, nose, eyes, lips.
The list that is used everywhere for that; ByteDance's LatentSync (Apache-2.0) has it too."""
EYES = (33, 263)
"""Outer eye corners in MediaPipe's mesh."""
_MESH_SCALE = 1.5
"""Side of MediaPipe's crop over that of the mesh of the frame before, as its graph has it."""
_HALF_PIXEL = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5]])
_DRAWN = CropRule(scale=(2.0, 2.0), square=True)
_DRAWING_PX = 512
"""Side of a face that is drawn anew, whose box is half as wide: dlib's landmarks are whole pixels,
and boxes of OpenCV too."""
_DLIB_LICENCE = "CC0, faces for research only"
Predict = Callable[[Image, Box], Floats]
"""Landmarks (L, 2) in pixels of a picture (H, W, 3); NaN where no face was seen."""


@dataclass(frozen=True)
class Contestant:
    """One model in one engine."""

    ran: str
    """What runs it, and in which precision."""
    points: str
    """Which landmarks it returns: a name of `benchmarks.rivals.SCHEMES`."""
    predict: Predict
    """Finds them."""
    size_bytes: int
    """Of its files; 0 where they cannot be told from others."""
    licence: str
    """Of code and weights; behind a comma, what is known of the faces it learned from."""
    fitted: bool = True
    """Whether its box has to be fitted: its makers do not say how it lies around the landmarks."""


def of_bundle(bundle: Bundle, variant: str) -> Contestant:
    """A student of landmint's.

    Raises:
        NotMeasuredError: its engine is not here.
    """
    form = bundle.variant(variant)
    session, contract = load_variant(bundle, form), bundle.contract_of(form)

    def predict(image: Image, box: Box) -> Floats:
        return predict_image(session, contract, image, box).points

    return Contestant(
        session.executed_precision.split(" (")[0],
        "68",
        predict,
        bundle.size_bytes(form),
        "Apache-2.0, faces MIT",
        fitted=False,
    )


def mesh(folder: Path) -> Contestant:
    """MediaPipe's mesh of 468 points by landmint's LiteRT engine, its box given."""
    session, contract, size_bytes = _mesh(folder)

    def predict(image: Image, box: Box) -> Floats:
        matrix = crop_matrix(box, contract.crop, contract.input_size)
        return _mesh_points(session, contract, image, matrix)[list(INNER)]

    return Contestant("LiteRT, imported, f32", "51", predict, size_bytes, "Apache-2.0")


def mesh_again(folder: Path) -> Contestant:
    """The same, run a second time in the crop that its first answer gives.

    On a video MediaPipe crops so: turned until the eyes are level, around the mesh of the frame
    before.
    """
    session, contract, size_bytes = _mesh(folder)

    def predict(image: Image, box: Box) -> Floats:
        matrix = crop_matrix(box, contract.crop, contract.input_size)
        before = _mesh_points(session, contract, image, matrix)
        turned = level_crop(before, EYES, _MESH_SCALE, contract.input_size)
        return _mesh_points(session, contract, image, turned)[list(INNER)]

    return Contestant("LiteRT, imported, f32, run twice", "51", predict, size_bytes, "Apache-2.0")


def _mesh(folder: Path) -> tuple[Session, Contract, int]:
    path = package_file("mediapipe", "modules/face_landmark/face_landmark.tflite")
    return *_imported(path, "mesh468-contract.toml", "tflite", folder), path.stat().st_size


def _mesh_points(session: Session, contract: Contract, image: Image, matrix: Floats) -> Floats:
    """All 468 points. The network counts from the edge of the first pixel, not from its middle."""
    crop = warp(image, matrix, contract.input_size)
    counted = compose(matrix, _HALF_PIXEL)
    points, _ = predict_crops(session, contract, crop[None], counted[None])
    return points.reshape(-1, 2)


def level_crop(points: Floats, eyes: tuple[int, int], scale: float, size: int) -> Floats:
    """The matrix (2, 3) of a square crop around landmarks in which the eyes are level.

    Args:
        points: (L, 2).
        eyes: left and right one in the picture.
        scale: side of the crop over the longer side of the landmarks, measured along it.
        size: of the crop in pixels.
    """
    across, down = points[eyes[1]] - points[eyes[0]]
    angle = np.arctan2(down, across)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    level = points @ turn
    low, high = level.min(axis=0), level.max(axis=0)
    linear = turn * scale * float((high - low).max()) / size
    middle = turn @ (low + high) / 2
    return np.column_stack([linear, middle - linear @ np.full(2, (size - 1) / 2)])


def face_mesh(refined: bool, still: bool = True) -> Contestant:
    """MediaPipe's own runtime, which looks for the face itself.

    Args:
        refined: whether lips, eyes and irises are refined, by the network with attention.
        still: whether each picture is a new one; else it follows the face of the picture before.
    """
    folder = package_file("mediapipe", "modules/face_landmark")
    name = "face_landmark_with_attention.tflite" if refined else "face_landmark.tflite"
    graph = import_module("mediapipe").solutions.face_mesh.FaceMesh(
        static_image_mode=still, refine_landmarks=refined
    )

    def predict(image: Image, box: Box) -> Floats:
        faces = graph.process(image).multi_face_landmarks
        if not faces:
            return np.full((len(INNER), 2), np.nan)
        places = [faces[0].landmark[i] for i in INNER]
        shares = np.array([(place.x, place.y) for place in places])
        return np.asarray(shares * image.shape[1::-1] - 0.5)

    size_bytes = (folder / name).stat().st_size
    return Contestant(
        "MediaPipe, with its detector", "51", predict, size_bytes, "Apache-2.0", fitted=False
    )


def dlib_68(folder: Path) -> Contestant:
    """The 68 points that dlib's author trained, on a face that is drawn anew."""
    return shape_predictor(dlib_file(), _DLIB_LICENCE)


def dlib_68_plain(folder: Path) -> Contestant:
    """The same on the picture as it is, as most people run it."""
    return shape_predictor(dlib_file(), _DLIB_LICENCE, drawn=False)


def dlib_68_by_numpy(folder: Path) -> Contestant:
    """The same by numpy, without dlib, and to parts of a pixel."""
    path = dlib_file()
    forest = read_forest(path)

    def points_of(image: Image, box: Box) -> Floats:
        left, top, right, bottom = map(round, (box.x, box.y, box.x + box.w, box.y + box.h))
        return forest.predict(image, (left, top, right, bottom))

    ran = "numpy, on a drawing of 512 px"
    return Contestant(ran, "68", _on_drawing(points_of), path.stat().st_size, _DLIB_LICENCE)


def dlib_file() -> Path:
    """The file of the 68 points that dlib's author trained.

    Raises:
        NotMeasuredError: its package is not installed.
    """
    name = "shape_predictor_68_face_landmarks.dat"
    return package_file("face_recognition_models", f"models/{name}")


def shape_predictor(path: Path, licence: str, drawn: bool = True) -> Contestant:
    """A file of dlib's with 68 points.

    Args:
        path: of the file.
        licence: of its weights.
        drawn: whether the face is drawn anew, so that whole pixels are fine enough.
    """
    dlib = library("dlib")
    predictor = dlib.shape_predictor(str(path))

    def points_of(image: Image, box: Box) -> Floats:
        corners = box.x, box.y, box.x + box.w, box.y + box.h
        parts = predictor(image, dlib.rectangle(*map(round, corners))).parts()
        return np.array([(part.x, part.y) for part in parts], dtype=np.float64)

    predict = _on_drawing(points_of) if drawn else points_of
    ran = "dlib, on a drawing of 512 px" if drawn else "dlib, on the picture"
    return Contestant(ran, "68", predict, path.stat().st_size, licence)


def facemark_lbf(folder: Path) -> Contestant:
    """OpenCV's Facemark: regression of local binary features (Ren et al., 2014)."""
    path = package_file("GoldenFace", "landmark.yaml")
    marker = library("cv2").face.createFacemarkLBF()
    marker.loadModel(str(path))

    def points_of(image: Image, box: Box) -> Floats:
        _, faces = marker.fit(image, np.array([box]).round().astype(np.int32))
        return np.asarray(faces[0][0], dtype=np.float64)

    return Contestant(
        "OpenCV Facemark, on a drawing of 512 px",
        "68",
        _on_drawing(points_of),
        path.stat().st_size,
        "MIT, faces not stated",
    )


def _on_drawing(predict: Predict) -> Predict:
    """The same on a gray drawing of the face: finer than a small picture, no finer than needed."""
    quarter, half = _DRAWING_PX / 4, _DRAWING_PX / 2

    def drawn(image: Image, box: Box) -> Floats:
        matrix = crop_matrix(box, _DRAWN, _DRAWING_PX)
        gray = cv2.cvtColor(warp(image, matrix, _DRAWING_PX), cv2.COLOR_RGB2GRAY)
        points = predict(np.asarray(gray, dtype=np.uint8), Box(quarter, quarter, half, half))
        return apply_affine(matrix, points)

    return drawn


def onet(folder: Path) -> Contestant:
    """MTCNN's O-Net (Zhang et al., 2016), five points, as facenet-pytorch converted it."""
    path = package_file("facenet_pytorch", "data/onet.pt")
    file = folder / "onet.onnx"
    _write_onet(path, file)
    session, contract = _imported(file, "onet-contract.toml", "onnx", folder)

    def predict(image: Image, box: Box) -> Floats:
        return predict_image(session, contract, image, box).points

    licence = "MIT, faces for research only"
    return Contestant("ONNX Runtime, imported, f32", "5", predict, path.stat().st_size, licence)


def _write_onet(weights: Path, file: Path) -> None:
    import torch

    models = library("facenet_pytorch.models.mtcnn")
    network = models.ONet(pretrained=False)
    network.load_state_dict(torch.load(weights, weights_only=True))
    torch.onnx.export(
        network.eval(),
        (torch.zeros(1, 3, 48, 48),),
        file,
        input_names=["image"],
        output_names=["box", "points", "score"],
        opset_version=18,
        dynamo=False,
    )


def _imported(path: Path, contract: str, form: str, folder: Path) -> tuple[Session, Contract]:
    """A foreign file as `landmint import` takes it, in one format."""
    config = api.ExportConfig(formats=(form,), parity_faces=2)
    bundle = api.import_(path, CONTRACTS / contract, folder / path.stem, config=config)
    variant = bundle.variant(f"{form}/float32")
    return load_variant(bundle, variant), bundle.contract_of(variant)


def library(name: str) -> Any:
    """A module that landmint does not need.

    Raises:
        NotMeasuredError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise NotMeasuredError(f"{name} cannot be imported", reason=str(error)) from None


def package_file(package: str, name: str) -> Path:
    """A file of an installed package, which is not imported.

    Raises:
        NotMeasuredError: there is no such package, or it has no such file.
    """
    spec = importlib.util.find_spec(package)
    for root in spec.submodule_search_locations or () if spec else ():
        if (path := Path(root) / name).exists():
            return path
    raise NotMeasuredError(f"the package {package} with {name} is not installed")


RIVALS: Mapping[str, Callable[[Path], Contestant]] = MappingProxyType(
    {
        "MediaPipe mesh": mesh,
        "MediaPipe mesh, level crop": mesh_again,
        "MediaPipe FaceMesh": lambda _: face_mesh(refined=False),
        "MediaPipe FaceMesh, refined": lambda _: face_mesh(refined=True),
        "dlib, 68 points, drawn": dlib_68,
        "dlib, 68 points": dlib_68_plain,
        "dlib, 68 points, by numpy": dlib_68_by_numpy,
        "OpenCV LBF": facemark_lbf,
        "MTCNN O-Net": onet,
    }
)
"""Everything that could be had, by name; each is given a folder for files that it makes."""
