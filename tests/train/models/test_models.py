"""Every network keeps its contract, has the published size, and refuses what does not fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray

from landmint.runtime.decode import decode
from landmint.runtime.errors import LandmintError
from landmint.train.models import MODELS, ModelConfig, create_model, model_class
from landmint.train.models.base import LandmarkModel, tap_shapes
from landmint.train.models.complexity import complexity
from landmint.train.models.pipnet import nearest
from landmint.train.models.pixel_shuffle import PixelShuffle

MakeModel = Callable[..., LandmarkModel]

SMALL: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hrnet", {"input_size": 64, "backbone": "hrnet_w18_small"}),
    ("hrnet", {"input_size": 64, "backbone": "hrnet_w18_small_v2", "markup": "98"}),
    ("fan", {"input_size": 64, "backbone": "fan_2"}),
    ("pipnet", {"input_size": 128}),
    ("pipnet", {"input_size": 64, "stride": 16, "backbone": "mobilenetv3_small_100"}),
    ("pipnet", {"input_size": 64, "activation": "relu6"}),
    ("pipnet", {"input_size": 64, "activation": "relu", "squeeze_excite": False}),
    ("pipnet", {"input_size": 128, "stride": 16, "backbone": "efficientnet_lite0"}),
    ("pipnet", {"input_size": 64, "backbone": "efficientnet_lite1"}),
    ("pfld", {"input_size": 64}),
    ("pfld", {"input_size": 112, "width": 0.25, "markup": "98"}),
    ("pfld", {"input_size": 64, "backbone": "mobilenetv3_small_100"}),
    ("pfld", {"input_size": 64, "backbone": "mobilenetv3_small_050", "activation": "relu6"}),
    ("pfld", {"input_size": 64, "backbone": "mobilenetv3_small_050", "squeeze_excite": False}),
    ("mobilefan", {"input_size": 64}),
    ("mobilefan", {"input_size": 64, "decoder": "shuffle", "activation": "relu"}),
    ("mobilefan", {"input_size": 64, "decoder": "shuffle", "width": 0.5, "stride": 2}),
    ("mobilefan", {"input_size": 64, "stride": 2, "backbone": "mobilenetv2_050", "width": 0.5}),
    ("mobilefan", {"input_size": 64, "decoder": "shuffle", "backbone": "efficientnet_lite0"}),
    ("mobilefan", {"input_size": 64, "decoder": "shuffle", "backbone": "efficientnet_lite2"}),
    ("simcc", {"input_size": 64, "stride": 16}),
    ("simcc", {"input_size": 64, "backbone": "mobilenetv3_small_050", "bins_per_pixel": 3}),
    ("pipnet", {"input_size": 64, "backbone": "resnet18"}),
    ("pipnet", {"input_size": 64, "backbone": "mobilenetv2_050", "stride": 16}),
    ("fan", {"input_size": 64, "backbone": "fan_1", "width": 0.25}),
    ("hourglass", {"input_size": 64, "backbone": "hourglass_2", "width": 0.125}),
    ("hourglass", {"input_size": 64, "backbone": "residual_1", "decoder": "shuffle"}),
    ("awing", {"input_size": 64, "backbone": "fan_2", "width": 0.125}),
    ("adnet", {"input_size": 64, "backbone": "hourglass_2", "width": 0.125}),
    ("adnet", {"input_size": 64, "backbone": "residual_1", "width": 0.125, "markup": "29"}),
    ("spiga", {"input_size": 64, "backbone": "hourglass_2", "width": 0.125}),
    ("spiga", {"input_size": 128, "backbone": "residual_1", "width": 0.125, "markup": "29"}),
    ("simplebaseline", {"input_size": 64, "backbone": "resnet18", "width": 0.25}),
    ("cpm", {"input_size": 64, "backbone": "cpm_3", "width": 0.125}),
    ("cunet", {"input_size": 64, "backbone": "unet_2", "width": 0.125}),
    ("luvli", {"input_size": 64, "backbone": "unet_2", "width": 0.125}),
    ("ghostone", {"input_size": 64, "width": 0.25}),
    ("propagation", {"input_size": 64, "backbone": "hourglass_2", "width": 0.125}),
    ("lab", {"input_size": 64, "backbone": "residual_2", "width": 0.125}),
    ("san", {"input_size": 64, "backbone": "cpm_3", "width": 0.125}),
    ("anchorface", {"input_size": 64, "backbone": "mobilenetv3_small_050"}),
    ("grmi", {"input_size": 64}),
    ("grmi", {"input_size": 64, "backbone": "mobilenetv2_050", "stride": 4, "decoder": "deconv"}),
    ("centernet", {"input_size": 64, "backbone": "mobilenetv2_050", "width": 0.5}),
    ("hih", {"input_size": 64, "backbone": "residual_2", "width": 0.125}),
    ("hih", {"backbone": "residual_1", "width": 0.0625, "markup": "29"}),
    ("deeppose", {"input_size": 64, "backbone": "mobilenetv3_small_050", "stride": 16}),
    *((name, {"input_size": 64}) for name in MODELS.added),
)


@pytest.mark.parametrize(("name", "settings"), SMALL)
def test_outputs_are_those_of_the_contract(
    name: str, settings: dict[str, Any], make_model: MakeModel
) -> None:
    model = make_model(name, **settings).eval()
    contract = model.contract
    with torch.no_grad():
        outputs = model(torch.zeros(2, 3, contract.input_size, contract.input_size))
    assert [(k, tuple(v.shape[1:])) for k, v in outputs.items()] == [
        (output.name, output.shape) for output in contract.outputs
    ]
    points, confidence = decode(contract, {k: v.numpy() for k, v in outputs.items()})
    assert points.shape == (2, contract.landmarks.points, 2)
    assert confidence.shape == points.shape[:2]


@pytest.mark.parametrize(("name", "settings"), SMALL)
def test_a_loss_on_the_outputs_reaches_every_parameter(
    name: str, settings: dict[str, Any], make_model: MakeModel
) -> None:
    model = make_model(name, **settings).train()
    size = model.contract.input_size
    features = model.features(torch.randn(2, 3, size, size))
    # What is drawn early and read by nothing later is learnt all the same.
    early = (*model.early_heatmaps(features), *model.early_boundaries(features))
    drawn = (*model.head(features).values(), *early)
    loss = torch.stack([tensor.square().mean() for tensor in drawn]).sum()
    torch.autograd.backward(loss)
    assert not [n for n, p in model.named_parameters() if p.grad is None]


@pytest.mark.parametrize(
    ("name", "settings", "millions", "giga_macs"),
    [
        ("hrnet", {"markup": "98"}, "9.66", "4.69"),
        ("fan", {"backbone": "fan_1"}, "6.25", "8.27"),
        ("pipnet", {}, "4.47", "0.375"),
        ("pipnet", {"markup": "98"}, "5.14", "0.418"),
        ("pfld", {"markup": "98", "input_size": 112}, "1.228", "0.273"),
    ],
)
def test_size_is_the_published_one(
    name: str, settings: dict[str, Any], millions: str, giga_macs: str, make_model: MakeModel
) -> None:
    size = complexity(make_model(name, **settings))
    assert f"{size.parameters / 1e6:.{len(millions) - 2}f}" == millions
    assert f"{size.macs / 1e9:.{len(giga_macs) - 2}f}" == giga_macs


def test_mobilefan_has_about_two_million_parameters(make_model: MakeModel) -> None:
    # The published 2.02 M are of a decoder whose widths are not; its 0.72 GMAC are not ours.
    assert complexity(make_model("mobilefan")).parameters == pytest.approx(2.02e6, rel=0.03)
    half = complexity(make_model("mobilefan", backbone="mobilenetv2_050"))
    assert half.parameters < 0.7e6


@pytest.mark.parametrize(
    ("name", "settings", "millions", "giga_macs"),
    [
        ("pipnet", {"activation": "relu6"}, "4.47", "0.375"),
        ("pipnet", {"activation": "relu", "squeeze_excite": False}, "2.96", "0.374"),
        ("mobilefan", {"input_size": 128}, "2.05", "0.112"),
        ("mobilefan", {"input_size": 128, "decoder": "shuffle"}, "2.06", "0.108"),
        (
            "pipnet",
            {"input_size": 128, "stride": 16, "backbone": "efficientnet_lite0"},
            "3.46",
            "0.254",
        ),
        (
            "mobilefan",
            {"input_size": 128, "decoder": "shuffle", "backbone": "efficientnet_lite2"},
            "4.62",
            "0.198",
        ),
        ("simcc", {"input_size": 128, "stride": 16}, "3.01", "0.226"),
    ],
)
def test_size_of_the_choices(
    name: str, settings: dict[str, Any], millions: str, giga_macs: str, make_model: MakeModel
) -> None:
    size = complexity(make_model(name, **settings))
    assert f"{size.parameters / 1e6:.2f}" == millions
    assert f"{size.macs / 1e9:.3f}" == giga_macs


def test_the_trunk_is_built_from_what_was_chosen(make_model: MakeModel) -> None:
    def kinds(**settings: object) -> set[str]:
        model = make_model("pipnet", input_size=64, **settings)
        return {type(module).__name__ for module in model.modules()}

    assert kinds() >= {"Hardswish", "SqueezeExcite"}
    assert "Hardswish" not in kinds(activation="relu6") and "ReLU6" in kinds(activation="relu6")
    gates = {"SqueezeExcite", "Hardsigmoid", "HardSigmoid"}
    plain = kinds(activation="relu", squeeze_excite=False)
    assert not plain & {"Hardswish", "ReLU6", *gates}
    lite = kinds(backbone="efficientnet_lite0")
    assert "ReLU6" in lite and not lite & {"SiLU", "Hardswish", *gates}


def test_the_chosen_trunk_starts_from_the_published_weights(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = make_model("pipnet", input_size=64).state_dict()
    real = timm.create_model

    def fetched(*arguments: Any, pretrained: bool, **settings: Any) -> Any:
        trunk = real(*arguments, pretrained=False, **settings)
        weights = {k.removeprefix("trunk."): v + pretrained for k, v in published.items()}
        trunk.load_state_dict({k: v for k, v in weights.items() if k in trunk.state_dict()})
        return trunk

    monkeypatch.setattr("timm.create_model", fetched)
    plain = make_model(
        "pipnet", input_size=64, activation="relu", squeeze_excite=False, pretrained=True
    )
    found = {k: v for k, v in plain.state_dict().items() if k.startswith("trunk.")}
    assert len(found) > 200
    assert all(torch.equal(v, published[k] + 1) for k, v in found.items())


def test_pixel_shuffle_spreads_channels_over_cells() -> None:
    maps = torch.arange(8.0).reshape(1, 8, 1, 1).expand(1, 8, 3, 3)
    first, second = PixelShuffle()(maps)[0]
    assert torch.equal(first, torch.tensor([[0.0, 2], [4, 6]]).repeat(3, 3))
    assert torch.equal(second, first + 1)


def test_hrnet_joins_the_raw_branches(make_model: MakeModel) -> None:
    model = make_model("hrnet", input_size=64)
    channels = [shape[0] for shape in tap_shapes(model)]
    assert channels == [144, 72, 36, 18, 144 + 72 + 36 + 18]


def test_width_scales_what_is_our_own(make_model: MakeModel) -> None:
    full = complexity(make_model("pfld", input_size=112)).parameters
    quarter = complexity(make_model("pfld", input_size=112, width=0.25)).parameters
    assert quarter < full / 8
    narrow = tap_shapes(make_model("mobilefan", input_size=64, width=0.5))
    assert [shape[0] for shape in narrow] == [320, 16, 24, 32]


def test_pip_head_starts_small_and_unbiased(make_model: MakeModel) -> None:
    model = make_model("pipnet", input_size=64)
    state = model.state_dict()
    for name in ("cls", "x", "y", "nb_x", "nb_y"):
        assert state[f"convs.{name}.weight"].std() == pytest.approx(0.001, rel=0.02)
        assert not state[f"convs.{name}.bias"].any()


def test_simcc_costs_what_its_layers_do(make_model: MakeModel) -> None:
    """Beside a trunk: L maps of C channels, then for each landmark cells x bins, twice."""
    settings = {"input_size": 128, "stride": 16, "backbone": "efficientnet_lite0"}
    model, pip = make_model("simcc", **settings), make_model("pipnet", **settings)
    (channels, rows, columns) = tap_shapes(model)[-1]
    cells, bins = rows * columns, 2 * 128
    trunk = complexity(pip).macs - cells * channels * 68 * (3 + 2 * 10)
    assert complexity(model).macs == trunk + cells * channels * 68 + 2 * 68 * cells * bins
    head = model.contract.head
    assert head.sigma == pytest.approx(4) and head.radius == 6
    large = make_model("simcc", backbone="efficientnet_lite0").contract.head
    assert large.sigma == pytest.approx(5.66, abs=0.01), "as RTMPose has it at 256 px"


def test_simcc_starts_unsure_of_every_bin(make_model: MakeModel) -> None:
    model = make_model("simcc", input_size=64, stride=16).eval()
    with torch.no_grad():
        outputs = model(torch.randn(2, 3, 64, 64))
    assert all(float(vectors.abs().max()) < 0.1 for vectors in outputs.values())


def test_pip_grid_of_a_small_input_at_stride_16_is_that_of_a_large_one(
    make_model: MakeModel,
) -> None:
    large = make_model("pipnet", input_size=256).contract
    small = make_model("pipnet", input_size=128, stride=16).contract
    assert large.outputs == small.outputs
    assert large.outputs[0].shape == (68, 8, 8)


def test_neighbours_are_the_nearest_others(make_model: MakeModel) -> None:
    rows = make_model("pipnet", input_size=64, neighbours=4).contract.head.neighbours
    assert len(rows) == 68
    for i, row in enumerate(rows):  # on a circle: two on either side
        assert set(row) == {(i + step) % 68 for step in (-2, -1, 1, 2)}
        assert {(i - 1) % 68, (i + 1) % 68} == set(row[:2])


def test_more_neighbours_than_landmarks_are_refused() -> None:
    with pytest.raises(LandmintError, match="at most 2"):
        nearest(np.array([[0.0, 0], [1, 0], [2, 0]]), 3)


def test_pfld_starts_at_the_mean_face(
    make_model: MakeModel, mean_shape: NDArray[np.float64]
) -> None:
    model = make_model("pfld", input_size=64).eval()
    with torch.no_grad():
        outputs = model(torch.randn(1, 3, 64, 64))
    points, _ = decode(model.contract, {k: v.numpy() for k, v in outputs.items()})
    np.testing.assert_allclose((points[0] + 0.5) / 64, mean_shape, atol=0.03)


def test_anchors_are_mixed_by_confidence(
    make_model: MakeModel, mean_shape: NDArray[np.float64]
) -> None:
    """A fresh network is sure of none: the mean of the turned faces, first."""
    model = make_model("anchorface", input_size=64, backbone="mobilenetv3_small_050").eval()
    anchors = model.get_buffer("anchors").reshape(9, 68, 2).numpy()
    np.testing.assert_allclose(anchors[4], mean_shape, atol=1e-6)
    middle = mean_shape.mean(axis=0)
    turned = np.arctan2(*(anchors[-1, 0] - middle)[::-1]) - np.arctan2(
        *(mean_shape[0] - middle)[::-1]
    )
    assert np.degrees(turned) == pytest.approx(60, abs=1e-3)
    with torch.no_grad():
        outputs = model(torch.randn(1, 3, 64, 64))
        found = outputs["coordinates"].reshape(68, 2).numpy()
        np.testing.assert_allclose(found, anchors.mean(axis=0), atol=0.03)
        model.get_parameter("confidence.bias")[8] = 50
        sure = model(torch.randn(1, 3, 64, 64))["coordinates"].reshape(68, 2).numpy()
    np.testing.assert_allclose(sure, anchors[8], atol=0.03)


def test_decode_is_the_architectures_own_unless_configured(make_model: MakeModel) -> None:
    assert make_model("hrnet", input_size=64).contract.head.decode == "dark"
    assert make_model("mobilefan", input_size=64).contract.head.decode == "local_soft_argmax"
    quarter = make_model("mobilefan", input_size=64, decode="quarter", heatmap_sigma=1.0)
    assert (quarter.contract.head.decode, quarter.contract.head.sigma) == ("quarter", 1.0)


def test_the_soft_argmax_is_configured(make_model: MakeModel) -> None:
    published = make_model("mobilefan", input_size=64).contract.head
    assert (published.tau, published.radius) == (10.0, 2)
    wide = {"soft_argmax_tau": 3.5, "soft_argmax_radius": 4}
    head = make_model("mobilefan", input_size=64, **wide).contract.head
    assert (head.tau, head.radius) == (3.5, 4)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("hrnet", {"input_size": 112}, "multiple of 32, such as 128"),
        ("pipnet", {"input_size": 112}, "multiple of 32"),
        ("pipnet", {"input_size": 120, "stride": 16}, "multiple of 16"),
        ("pfld", {"input_size": 100}, "multiple of 16"),
        ("pfld", {"input_size": 112, "backbone": "mobilenetv3_large_100"}, "multiple of 32"),
        ("mobilefan", {"input_size": 144}, "multiple of 32"),
        ("mobilefan", {"input_size": 8}, "such as 32"),
        ("pipnet", {"stride": 8}, "choices: 32, 16"),
        ("pfld", {"input_size": 112, "stride": 32}, "choices: 16"),
        ("pipnet", {"width": 0.5}, "choose a backbone of the width"),
        ("pfld", {"width": 0.5, "backbone": "mobilenetv3_large_100"}, "leave width at 1"),
        ("hrnet", {"backbone": "resnet50"}, "choices: hrnet_w18"),
        ("pipnet", {"markup": "98"}, "98 points"),
        ("pipnet", {"neighbours": 68}, "at most 67"),
        ("mobilefan", {"activation": "hard_swish"}, "choices: relu6, relu"),
        ("hrnet", {"activation": "relu6"}, "has no activation 'relu6'"),
        ("mobilefan", {"squeeze_excite": False}, "leave squeeze_excite away"),
        ("pfld", {"input_size": 64, "squeeze_excite": False}, "no squeeze-and-excitation"),
        ("pipnet", {"decoder": "shuffle"}, "leave decoder away"),
        ("pfld", {"input_size": 64, "pretrained": True}, "choose a backbone of timm's"),
        ("vgg", {}, f"choices: {', '.join(MODELS)}"),
        ("hrnet", {"markup": "5"}, "unknown markup '5'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    name: str, settings: dict[str, Any], message: str, mean_shape: NDArray[np.float64]
) -> None:
    config = ModelConfig.model_validate({"name": name, **settings})
    with pytest.raises(LandmintError) as caught:
        create_model(config, mean_shape)
    assert message in str(caught.value)


def test_pretrained_weights_that_cannot_be_had_are_an_error_with_a_remedy(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, pretrained: bool, **__: object) -> None:
        assert pretrained
        raise OSError("name resolution failed\nand more")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(LandmintError, match="set pretrained = false") as caught:
        make_model("pipnet", pretrained=True)
    assert "OSError: name resolution failed" in str(caught.value)


def test_published_students_say_which_taps_imitate_the_teacher() -> None:
    taps = {
        "hrnet": 1,
        "fan": 1,
        "hourglass": 1,
        "pipnet": 1,
        "pfld": 0,
        "mobilefan": 3,
        "simcc": 1,
    }
    assert {name: len(model_class(name).IMITATES) for name in taps} == taps


def test_every_model_of_the_registry_is_tested() -> None:
    assert set(MODELS) == {name for name, _ in SMALL}


def test_counting_leaves_the_mode_and_the_statistics_alone(make_model: MakeModel) -> None:
    model = make_model("pfld", input_size=64).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    complexity(model)
    tap_shapes(model)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
