"""Integers at both ends of a model: the same landmarks as by real numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from landmint.runtime.contract import Color, Contract, CropRule, Head, Layout, Output
from landmint.runtime.crop import normalise, normalise_to
from landmint.runtime.decode import decode
from landmint.runtime.embedded import read_contract
from landmint.runtime.engines import load_engine
from landmint.runtime.engines.engine import entrance_of
from landmint.runtime.engines.litert_engine import LiteRtEngine
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.predict import input_of
from landmint.runtime.quantised import Quantisation, Quantised, join
from landmint.runtime.slowed import SlowedSession
from landmint.train.zoo import folder

INT8 = np.dtype(np.int8)
NEAR = tuple(tuple((i + 1 + k) % 68 for k in range(3)) for i in range(68))
HEADS: dict[str, tuple[Head, dict[str, tuple[int, ...]]]] = {
    "coordinates": (
        Head("coordinates"),
        {"coordinates": (136,), "confidence": (68,)},
    ),
    **{
        name: (Head("heatmap", name, 1.5), {"heatmaps": (68, 12, 16)})
        for name in ("argmax", "quarter", "dark", "local_soft_argmax")
    },
    "pip": (
        Head("pip", neighbours=NEAR),
        {
            **dict.fromkeys(("cls", "x", "y"), (68, 4, 8)),
            **dict.fromkeys(("nb_x", "nb_y"), (204, 4, 8)),
        },
    ),
    "simcc": (Head("simcc", sigma=3.0, radius=5), {"simcc_x": (68, 64), "simcc_y": (68, 64)}),
}


def contract_of(head: str, layout: Layout = "NCHW", color: Color = "RGB") -> Contract:
    kind, shapes = HEADS[head]
    return Contract(
        markup="68",
        input_size=16,
        crop=CropRule((1.2, 1.2), True),
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        head=kind,
        outputs=tuple(Output(name, shape) for name, shape in shapes.items()),
        layout=layout,
        color=color,
    )


def rounded(reals: NDArray[np.float32], scale: float, zero: int, least: int) -> NDArray[np.float64]:
    """By Python's own round, which takes halves to even, in the 32 bits that engines divide in."""
    levels = [round(float(v)) for v in (reals / np.float32(scale)).ravel()]
    shifted = np.reshape(np.array(levels, np.float64), reals.shape) + zero
    return shifted.clip(least, least + 255)


@pytest.mark.parametrize("color", ["RGB", "BGR"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("scale", "zero", "kind"),
    [
        (0.01865844801068306, -14, "int8"),
        (0.0186, 128, "uint8"),
        (0.5, -3, "int8"),
        (3e-3, 9, "u1"),
    ],
)
def test_each_byte_becomes_the_integer_that_its_normalised_value_is_rounded_to(
    layout: Layout, color: Color, scale: float, zero: int, kind: str
) -> None:
    """Each of the 256 bytes in each of the channels; the finest scale saturates at both ends."""
    contract = contract_of("coordinates", layout, color)
    crops = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 3, axis=3)
    crops[..., 1], crops[..., 2] = 255 - crops[..., 1], np.roll(crops[..., 2], 77)
    entrance = Quantisation(scale, zero, np.dtype(kind))
    integers, reals = normalise_to(entrance, crops, contract), normalise(crops, contract)
    assert integers.dtype == np.dtype(kind)
    assert integers.flags.c_contiguous and reals.flags.c_contiguous
    least = int(np.iinfo(kind).min)
    np.testing.assert_array_equal(integers, rounded(reals, scale, zero, least))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("faces", [1, 3])
def test_landmarks_of_integers_are_those_of_the_real_numbers(
    head: str, layout: Layout, faces: int
) -> None:
    """Of random integers of few levels, so that many peaks are equal, in several scales."""
    contract = contract_of(head, layout)
    rng = np.random.default_rng(faces)
    for levels, scale, zero in ((256, 0.0047, -87), (9, 0.11, 3), (2, 1.0, 0)):
        quantisation = Quantisation(scale, zero, INT8)
        outputs = {}
        for output in contract.outputs:
            integers = rng.integers(0, levels, (faces, *output.shape)) - levels // 2
            if layout == "NHWC" and integers.ndim == 4:
                integers = np.ascontiguousarray(integers.transpose(0, 2, 3, 1))
            outputs[output.name] = Quantised(integers.astype(np.int8), quantisation)
        points, confidence = decode(contract, outputs)
        whole = {
            name: (values.integers.astype(np.float32) - np.float32(zero)) * np.float32(scale)
            for name, values in outputs.items()
        }
        expected, sure = decode(contract, whole)
        np.testing.assert_allclose(points, expected, atol=1e-9)
        np.testing.assert_allclose(confidence, sure, atol=1e-9)


def test_numpy_sees_real_numbers_and_faces_are_joined() -> None:
    quantisation = Quantisation(0.5, -1, INT8)
    first, second = (Quantised(np.array([row], np.int8), quantisation) for row in ([1, 2], [-1, 9]))
    np.testing.assert_allclose(np.asarray(first), [[1.0, 1.5]])
    assert np.asarray(first).dtype == np.float32
    assert np.asarray(first, dtype=np.float64).dtype == np.float64
    joined = join([first, second])
    assert isinstance(joined, Quantised) and joined.shape == (2, 2)
    np.testing.assert_allclose(np.asarray(joined), [[1.0, 1.5], [0.0, 5.0]])
    assert join([first]) is first
    reals = join([np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)])
    np.testing.assert_allclose(np.asarray(reals), [[0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize("path", sorted(folder().glob("*.tflite")), ids=lambda path: path.stem)
def test_shipped_models_take_bytes_and_leave_their_maps_in_integers(path: Path) -> None:
    """The landmarks are those of a normalised crop and of outputs made real in full."""
    try:
        engine = load_engine("litert")
    except NotMeasuredError as error:
        pytest.skip(f"not measured: {error}")
    contract = read_contract(path)
    session = engine.load(path, contract, threads=1)
    side = contract.input_size
    crop = np.random.default_rng(7).integers(0, 256, (side, side, 3), np.uint8)
    assert entrance_of(session) == entrance_of(SlowedSession(session, 0.1))
    tensor = input_of(session, contract, crop)
    assert tensor.dtype == np.int8
    outputs = session.run(tensor)
    assert all(isinstance(v, Quantised) for v in outputs.values() if v.ndim == 4)
    by_reals = session.run(normalise(crop[None], contract))
    expected, sure = decode(contract, {name: np.asarray(v) for name, v in by_reals.items()})
    points, confidence = decode(contract, outputs)
    np.testing.assert_allclose(points, expected, atol=1e-9)
    np.testing.assert_allclose(confidence, sure, atol=1e-9)


def test_outputs_that_another_litert_wrote_are_those_of_the_session() -> None:
    library = pytest.importorskip("ai_edge_litert.interpreter")
    path = folder() / "pipnet-mbv3.tflite"
    contract = read_contract(path)
    session = LiteRtEngine().load(path, contract, threads=1)
    reals = np.random.default_rng(7).uniform(-1, 1, contract.input_shape).astype(np.float32)
    assert session.entrance is not None
    other = library.Interpreter(str(path))
    other.allocate_tensors()
    other.set_tensor(other.get_input_details()[0]["index"], session.entrance.quantise(reals))
    other.invoke()
    tensors = [other.get_tensor(detail["index"]) for detail in other.get_output_details()]
    content = b"".join(tensor.tobytes() for tensor in tensors)
    again = session.read_outputs(content)
    assert len(again) == len(contract.outputs) > 1
    for name, values in session.run(reals).items():
        np.testing.assert_allclose(np.asarray(again[name]), np.asarray(values), atol=1e-9)
    with pytest.raises(LandmintError, match="bytes of outputs, not"):
        session.read_outputs(content[1:])


def test_a_session_that_names_no_integers_takes_floats() -> None:
    contract = contract_of("pip")
    session = load_engine("null").load(Path("none"), replace(contract, layout="NHWC"), threads=1)
    assert entrance_of(session) is None
    assert input_of(session, contract, np.zeros((16, 16, 3), np.uint8)).dtype == np.float32
