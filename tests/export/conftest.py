"""Tiny networks of each head, and faces to crop, for the export room's tests."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landmint.export.forms.onnx import to_onnx
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.crop import box_of
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import Face, FaceSet, face_set
from landmint.train.models import ModelConfig
from landmint.train.models.base import LandmarkModel

SIZE = 32
GRID = 4
NEIGHBOURS = tuple(tuple((i + step) % 68 for step in (1, 2)) for i in range(68))
HEADS = {
    "coordinates": (Head("coordinates"), (Output("coordinates", (136,)),)),
    "heatmap": (Head("heatmap", "quarter", 1.0), (Output("heatmaps", (68, 8, 8)),)),
    "pip": (
        Head("pip", neighbours=NEIGHBOURS),
        tuple(
            Output(name, (channels, GRID, GRID))
            for name, channels in (("cls", 68), ("x", 68), ("y", 68), ("nb_x", 136), ("nb_y", 136))
        ),
    ),
    "simcc": (
        Head("simcc", sigma=2.0, radius=3),
        (Output("simcc_x", (68, 64)), Output("simcc_y", (68, 64))),
    ),
}


class TinyNet(LandmarkModel):
    """Four layers with what makes export hard: batch norm, hard-swish, a gate, an upsampling."""

    BACKBONES = ("own",)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        super().__init__(config, contract)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 4, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())
        self.down = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.heads = nn.ModuleDict({o.name: nn.Conv2d(16, o.shape[0], 1) for o in contract.outputs})
        if contract.head.kind == "simcc":
            self.rows = nn.Linear(GRID**2, contract.outputs[0].shape[1])

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        stem = self.stem(images)
        return (self.down(stem * self.gate(stem)),)

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        last, kind = features[-1], self.contract.head.kind
        if kind == "heatmap":
            last = self.up(last)
        if kind == "coordinates":
            last = last.mean(dim=(2, 3), keepdim=True)
        found = {name: head(last) for name, head in self.heads.items()}
        if kind == "simcc":
            rows = {name: maps.reshape(-1, GRID**2) for name, maps in found.items()}
            return {n: self.rows(v).unflatten(0, (len(last), 68)) for n, v in rows.items()}
        return {n: v.flatten(1) for n, v in found.items()} if kind == "coordinates" else found


def tiny_net(kind: str) -> TinyNet:
    """A seeded network with the head `kind`, in eval mode, its batch norm not the identity."""
    head, outputs = HEADS[kind]
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    contract = Contract("68", SIZE, CropRule((1.2, 1.2), True), mean, std, head, outputs)
    torch.manual_seed(0)
    model = TinyNet(ModelConfig(name="tiny", input_size=SIZE), contract)
    model.train()
    with torch.no_grad():
        model(torch.randn(8, 3, SIZE, SIZE))
    return model.eval()


@pytest.fixture(scope="session", params=sorted(HEADS))
def tiny(request: pytest.FixtureRequest) -> LandmarkModel:
    """A tiny network of each head in turn; not to be changed."""
    return tiny_net(request.param)


@pytest.fixture(scope="session")
def pip_net() -> LandmarkModel:
    """The tiny PIP network; not to be changed."""
    return tiny_net("pip")


@pytest.fixture(scope="session")
def pip_onnx(pip_net: LandmarkModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny PIP network as ONNX; not to be changed."""
    path = tmp_path_factory.mktemp("onnx") / "float32.onnx"
    to_onnx(pip_net, path)
    return path


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Five smooth random pictures with a landmark box in each: enough to cut crops from."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    found = []
    for index in range(5):
        picture = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        image = cv2.resize(picture, (90, 80), interpolation=cv2.INTER_CUBIC)
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), image)
        points = 20 + 40 * rng.random((get_markup("68").points, 2))
        visible = np.ones(len(points), dtype=bool)
        found.append(Face(str(index), path, points, box_of(points), str(index), visible, {}))
    return face_set("68", found, "random pictures")
