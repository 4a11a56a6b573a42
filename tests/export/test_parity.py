"""What parity passes, what it refuses and which output it blames."""

import numpy as np
import pytest

from landmint.export.parity import (
    Parity,
    Tensors,
    compare,
    crops_for_parity,
    engine_outputs,
    require,
    torch_outputs,
)
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.engines.engine import Tensor
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import FaceSet, face_set
from landmint.train.models.base import LandmarkModel


@pytest.fixture
def outputs(pip_net: LandmarkModel, faces: FaceSet) -> Tensors:
    return torch_outputs(pip_net, crops_for_parity(faces, pip_net.contract, 3))


def refused(parity: Parity) -> str:
    with pytest.raises(LandmintError) as caught:
        require("tflite/float32", parity, mean_px=0.05, max_px=0.5)
    return str(caught.value)


def test_crops_are_spread_over_the_faces(pip_net: LandmarkModel, faces: FaceSet) -> None:
    few = crops_for_parity(faces, pip_net.contract, 2)
    every = crops_for_parity(faces, pip_net.contract, 100)
    assert few.shape == (2, 32, 32, 3) and len(every) == len(faces.faces)
    assert np.array_equal(few, every[[0, -1]])


def test_no_faces_no_parity(pip_net: LandmarkModel) -> None:
    with pytest.raises(LandmintError, match="no faces"):
        crops_for_parity(face_set("68", [], "an empty folder"), pip_net.contract, 2)


def test_the_network_itself_is_in_parity(tiny: LandmarkModel, faces: FaceSet) -> None:
    reference = torch_outputs(tiny, crops_for_parity(faces, tiny.contract, 3))
    parity = compare(tiny.contract, reference, reference)
    require("onnx/float32", parity, mean_px=0.05, max_px=0.5)
    assert parity.max_px == 0 and parity.ties == 0
    assert parity.crops == 3 and parity.landmarks == 3 * 68
    assert "max 0 px over 3 crops" in str(parity)


def test_first_wrong_output_in_graph_order_is_blamed(
    pip_net: LandmarkModel, outputs: Tensors
) -> None:
    wrong = {**outputs, "y": outputs["y"] + 1, "nb_x": outputs["nb_x"] + 1}
    message = refused(compare(pip_net.contract, outputs, wrong))
    assert "tflite/float32" in message and "first output that differs is 'y'" in message


def test_swapped_outputs_of_one_shape_are_found(pip_net: LandmarkModel, outputs: Tensors) -> None:
    swapped = {**outputs, "nb_x": outputs["nb_y"], "nb_y": outputs["nb_x"]}
    assert "'nb_x'" in refused(compare(pip_net.contract, outputs, swapped))


def test_one_landmark_far_off_is_too_much(pip_net: LandmarkModel, outputs: Tensors) -> None:
    off = outputs["x"].copy()
    off[0, 5] += 0.5
    parity = compare(pip_net.contract, outputs, {**outputs, "x": off})
    assert parity.mean_px < 0.05
    assert "'x'" in refused(parity)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_is_never_in_parity(
    bad: float, pip_net: LandmarkModel, outputs: Tensors
) -> None:
    broken = outputs["x"].copy()
    broken[0, 0] = bad
    parity = compare(pip_net.contract, outputs, {**outputs, "x": broken})
    assert parity.max_px == np.inf
    assert "'x'" in refused(parity)


def contested(outputs: Tensors, margin: float) -> tuple[Tensors, Tensors]:
    """Two forms of which one sees a peak in the first cell, the other in the last.

    Args:
        outputs: of a PIP network.
        margin: what the peaks have over each other, as a share of their height.
    """
    forms = []
    for first, last in ((1, 1 - margin), (1 - margin, 1)):
        scores = outputs["cls"].copy()
        scores[0, 0] = 0
        scores[0, 0, 0, 0], scores[0, 0, -1, -1] = first, last
        forms.append({**outputs, "cls": scores})
    return forms[0], forms[1]


def test_tie_within_noise_is_counted_and_settled(pip_net: LandmarkModel, outputs: Tensors) -> None:
    parity = compare(pip_net.contract, *contested(outputs, margin=1e-5))
    assert parity.ties == 1 and parity.max_px == 0
    assert "1 ties of 204 landmarks" in str(parity)


def test_contest_beyond_noise_is_a_difference(pip_net: LandmarkModel, outputs: Tensors) -> None:
    parity = compare(pip_net.contract, *contested(outputs, margin=1e-2))
    assert parity.ties == 0
    assert "'cls'" in refused(parity)


def test_contested_sign_of_a_quarter_offset_is_a_tie() -> None:
    contract = Contract(
        markup="68",
        input_size=64,
        crop=CropRule((1.2, 1.2), True),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        head=Head("heatmap", "quarter", 1.0),
        outputs=(Output("heatmaps", (68, 8, 8)),),
    )
    maps = np.zeros((1, 68, 8, 8), dtype=np.float32)
    maps[:, :, 4, 4], maps[:, :, 4, 3], maps[:, :, 4, 5] = 1, 0.5, 0.5
    ours, theirs = maps.copy(), maps.copy()
    ours[0, 7, 4, 3] += 1e-6  # a quarter cell to the left, 4 px from a quarter to the right
    theirs[0, 7, 4, 5] += 1e-6
    parity = compare(contract, {"heatmaps": ours}, {"heatmaps": theirs})
    assert parity.ties == 1 and parity.max_px == 0
    theirs[0, 7, 4, 5] += 1e-2
    assert compare(contract, {"heatmaps": ours}, {"heatmaps": theirs}).max_px > 3.9


def test_broken_network_is_named_as_such(pip_net: LandmarkModel, faces: FaceSet) -> None:
    bias = pip_net.get_parameter("heads.cls.bias")
    kept = bias.data.clone()
    bias.data[:] = np.nan
    try:
        with pytest.raises(LandmintError, match="the network returns NaN"):
            torch_outputs(pip_net, crops_for_parity(faces, pip_net.contract, 1))
    finally:
        bias.data[:] = kept


class ChannelsLast:
    """A session of an NHWC artefact that computes with the torch network."""

    executed_precision = "f32"

    def __init__(self, model: LandmarkModel) -> None:
        self.model = model

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        import torch

        with torch.no_grad():
            outputs = self.model(torch.from_numpy(np.moveaxis(tensor, -1, 1)))
        return {name: np.moveaxis(value.numpy(), 1, -1) for name, value in outputs.items()}


def test_channels_last_artefacts_are_compared_alike(pip_net: LandmarkModel, faces: FaceSet) -> None:
    contract: Contract = pip_net.contract.with_layout("NHWC")
    crops = crops_for_parity(faces, contract, 3)
    found = engine_outputs(ChannelsLast(pip_net), contract, crops)
    parity = compare(pip_net.contract, torch_outputs(pip_net, crops), found)
    require("tflite/float32", parity, mean_px=0.05, max_px=0.5)
