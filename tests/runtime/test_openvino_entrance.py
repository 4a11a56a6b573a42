"""OpenVINO models whose first step rounds the input take bytes; against OpenVINO alone."""

from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset8 as operators

from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.crop import normalise
from landmint.runtime.engines import load_engine
from landmint.runtime.engines.engine import entrance_of
from landmint.runtime.predict import input_of

SIZE, CELLS, POINTS = 32, 4, 68
CONTRACT = Contract(
    markup="68",
    input_size=SIZE,
    crop=CropRule((1.2, 1.2), True),
    mean=(127.5, 127.5, 127.5),
    std=(127.5, 127.5, 127.5),
    head=Head("heatmap", "argmax", 1.0),
    outputs=(Output("heatmaps", (POINTS, CELLS, CELLS)),),
)


def rounded_input(
    folder: Path, ends: tuple[float, float], levels: int = 256, twice: bool = False
) -> Path:
    """An OpenVINO file whose first step rounds its input; `twice`: another step reads it too."""
    image = operators.parameter(list(CONTRACT.input_shape), np.float32, name="image")
    low, high = (np.float32(end) for end in ends)
    rounded = operators.fake_quantize(image, low, high, low, high, levels)
    read = operators.add(rounded, image) if twice else rounded
    weights = np.random.default_rng(5).normal(size=(POINTS, 3, 8, 8)).astype(np.float32)
    maps = operators.convolution(read, weights, [8, 8], [0, 0], [0, 0], [1, 1])
    maps.output(0).tensor.set_names({"heatmaps"})
    openvino.save_model(openvino.Model([maps], [image]), folder / "rounded.xml")
    return folder / "rounded.xml"


@pytest.mark.parametrize("ends", [(0.0, 2.55), (-1.28, 1.27), (-2.127063, 2.6308413)])
def test_openvino_takes_the_bytes_that_its_file_rounds_to(
    ends: tuple[float, float], tmp_path: Path
) -> None:
    """Against OpenVINO alone, which is given real numbers."""
    entry = rounded_input(tmp_path, ends)
    session = load_engine("openvino").load(entry, CONTRACT, threads=1)
    crops = np.random.default_rng(2).integers(0, 256, (1, SIZE, SIZE, 3), np.uint8)
    reals = normalise(crops, CONTRACT)
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    expected = openvino.Core().compile_model(str(entry), "CPU", settings)(reals)[0]
    entrance = entrance_of(session)
    assert entrance is not None
    for tensor in (input_of(session, CONTRACT, crops[0]), reals):
        np.testing.assert_allclose(session.run(tensor)["heatmaps"], expected, atol=1e-4)
    assert input_of(session, CONTRACT, crops[0]).dtype == np.uint8
    assert session.operators


@pytest.mark.parametrize(
    ("ends", "levels", "twice"),
    [((0.1, 2.0), 256, False), ((-1.0, 1.0), 16, False), ((-1.28, 1.27), 256, True)],
    ids=["zero is no level", "sixteen levels", "read in full as well"],
)
def test_openvino_is_given_real_numbers_where_bytes_would_lose_something(
    ends: tuple[float, float], levels: int, twice: bool, tmp_path: Path
) -> None:
    entry = rounded_input(tmp_path, ends, levels, twice)
    session = load_engine("openvino").load(entry, CONTRACT, threads=1)
    assert entrance_of(session) is None
    session.run(normalise(np.zeros((1, SIZE, SIZE, 3), np.uint8), CONTRACT))
