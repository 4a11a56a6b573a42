"""Batches: a pure function of seed, epoch and index, however they are prepared."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.crop import Box, box_of, crop_matrix, normalise, warp
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.augment import AugmentConfig, augment
from landmint.train.faces.dataset import (
    EpochBatches,
    FaceDataset,
    excerpt_of,
    finish_batch,
    load_batches,
    mean_shape,
)
from landmint.train.faces.face import Face, FaceSet, face_set, read_image

CONTRACT = Contract(
    markup="68",
    input_size=48,
    crop=CropRule((1.2, 1.2), True),
    mean=(120.0, 115.0, 100.0),
    std=(58.0, 57.0, 56.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
)
MakeFaces = Callable[[int, int], FaceSet]


@pytest.fixture
def disk_faces(tmp_path: Path) -> MakeFaces:
    """Makes faces with noise images of a given side on disk."""

    def make(count: int, side: int) -> FaceSet:
        rng = np.random.default_rng(count)
        faces = []
        for i in range(count):
            path = tmp_path / f"{side}_{i}.png"
            coarse = rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
            cv2.imwrite(str(path), cv2.resize(coarse, (side, side)))
            points = rng.uniform(0.3, 0.7, (68, 2)) * side
            attributes = {"occlusion": 1} if i == 0 else {}
            faces.append(
                Face(str(i), path, points, box_of(points), f"p{i}", np.ones(68, bool), attributes)
            )
        return face_set("68", faces, "test")

    return make


def collect(dataset: FaceDataset, batches: EpochBatches, workers: int) -> list[dict[str, Tensor]]:
    return list(load_batches(dataset, batches, workers, pin_memory=False))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_batches_do_not_depend_on_workers_or_cache(disk_faces: MakeFaces) -> None:
    faces = disk_faces(7, 96)
    batches = EpochBatches(7, 3, epochs=2, seed=4)
    plain = collect(FaceDataset(faces, CONTRACT, AugmentConfig(), 4), batches, 0)
    cached = collect(FaceDataset(faces, CONTRACT, AugmentConfig(), 4, cache_mib=1), batches, 0)
    parallel = collect(FaceDataset(faces, CONTRACT, AugmentConfig(), 4, cache_mib=1), batches, 2)
    assert len(plain) == len(cached) == len(parallel) == 4
    assert all(same(a, b) and same(a, c) for a, b, c in zip(plain, cached, parallel, strict=True))
    assert plain[0]["crop"].shape == (3, 48, 48, 3) and plain[0]["points"].shape == (3, 68, 2)
    assert plain[0]["euler_rad"].shape == (3, 3) and plain[0]["attributes"].shape == (3, 6)


def test_a_face_varies_with_epoch_and_seed_alone(disk_faces: MakeFaces) -> None:
    faces = disk_faces(2, 96)
    dataset = FaceDataset(faces, CONTRACT, AugmentConfig(), 0)
    first = dataset[0, 1]
    assert same(first, dataset[0, 1])
    assert not torch.equal(first["crop"], dataset[1, 1]["crop"])
    assert not torch.equal(
        first["crop"], FaceDataset(faces, CONTRACT, AugmentConfig(), 1)[0, 1]["crop"]
    )


def test_a_face_of_few_views_shows_them_over_and_over(disk_faces: MakeFaces) -> None:
    dataset = FaceDataset(disk_faces(2, 96), CONTRACT, AugmentConfig(views=3), 0)
    items = [dataset[epoch, 1] for epoch in range(7)]
    assert all(same(items[i], items[i % 3]) for i in range(7))
    assert [int(item["row"]) for item in items] == [1, 3, 5, 1, 3, 5, 1]
    assert not torch.equal(items[0]["crop"], items[1]["crop"])


def test_equal_rows_are_equal_crops_whatever_the_order_of_faces(disk_faces: MakeFaces) -> None:
    faces = disk_faces(3, 96)
    fresh, still = (FaceDataset(faces, CONTRACT, a, 0) for a in (AugmentConfig(), None))
    assert [int(fresh[epoch, 2]["row"]) for epoch in range(3)] == [2, 5, 8]
    assert [int(still[epoch, 2]["row"]) for epoch in range(3)] == [2, 2, 2]


def test_crops_may_have_a_seed_of_their_own(disk_faces: MakeFaces) -> None:
    faces = disk_faces(2, 96)
    own = [FaceDataset(faces, CONTRACT, AugmentConfig(seed=5), seed)[0, 1] for seed in (0, 1)]
    assert same(*own)
    assert same(own[0], FaceDataset(faces, CONTRACT, AugmentConfig(), 5)[0, 1])


def test_a_run_that_goes_on_sees_the_batches_that_are_left(disk_faces: MakeFaces) -> None:
    faces = disk_faces(9, 64)
    dataset = FaceDataset(faces, CONTRACT, AugmentConfig(), 0)
    whole = collect(dataset, EpochBatches(9, 2, epochs=3, seed=0), 0)
    for start in (1, 4, 7):
        left = collect(dataset, EpochBatches(9, 2, epochs=3, seed=0, start=start), 0)
        assert all(same(a, b) for a, b in zip(whole[start:], left, strict=True))


def test_processes_share_every_batch_without_overlap() -> None:
    alone = list(EpochBatches(50, 8, epochs=2, seed=3))
    parts = [list(EpochBatches(50, 4, epochs=2, seed=3, rank=rank, world=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*parts, strict=True)] == alone
    for epoch in (0, 1):
        indices = [i for batch in alone for e, i in batch if e == epoch]
        assert len(indices) == len(set(indices)) == 48
    assert alone[:6] != [[(0, i) for _, i in batch] for batch in alone[6:]]


def test_too_few_faces_for_a_batch_are_refused() -> None:
    with pytest.raises(LandmintError, match="do not fill one batch"):
        EpochBatches(7, 4, epochs=1, seed=0, world=2)


def test_without_augmentation_the_crop_is_the_devices(disk_faces: MakeFaces) -> None:
    faces = disk_faces(1, 300)
    face = faces.faces[0]
    item = FaceDataset(faces, CONTRACT, None, 0)[5, 0]
    expected = warp(read_image(face.image), crop_matrix(face.box, CONTRACT.crop, 48), 48)
    assert np.array_equal(item["crop"].numpy(), expected)
    for contract in (CONTRACT, dataclasses.replace(CONTRACT, color="BGR")):
        batch = {name: values[None] for name, values in item.items()}
        finished = finish_batch(batch, contract, torch.device("cpu"))
        images = torch.from_numpy(normalise(expected[None], contract))
        torch.testing.assert_close(finished["images"], images)
    assert finished["images"].is_contiguous(memory_format=torch.channels_last)
    assert "crop" not in finished


@pytest.mark.parametrize("side", [96, 640])
def test_a_portrait_gives_the_crops_of_the_whole_image(disk_faces: MakeFaces, side: int) -> None:
    faces, geometry = disk_faces(1, side), AugmentConfig(jpeg_probability=0)
    face, dataset = faces.faces[0], FaceDataset(faces, CONTRACT, geometry, 0)
    excerpt = excerpt_of(face, CONTRACT, geometry)
    image = read_image(face.image)
    assert excerpt.image.nbytes < image.nbytes or side == 96
    for epoch in range(10):
        item = dataset[epoch, 0]
        rng = np.random.default_rng((0, 1, epoch, 0))
        crop, points = augment(
            image, face.points, face.box, CONTRACT.crop, 48, get_markup("68"), geometry, rng
        )
        assert item["points"].numpy() == pytest.approx((points + 0.5) / 48, abs=1e-6)
        difference = np.abs(item["crop"].numpy().astype(int) - crop)
        if side == 96:
            assert difference.max() == 0
        else:  # shrunk once for all scales: another filter, the same picture
            assert difference.mean() < crop.std() / 3


def test_a_box_beside_the_image_gives_a_black_crop(disk_faces: MakeFaces) -> None:
    faces = disk_faces(1, 64)
    outside = dataclasses.replace(faces.faces[0], box=Box(500.0, 500.0, 40.0, 40.0))
    moved = dataclasses.replace(faces, faces=(outside,))
    config = AugmentConfig(occlude_probability=0, colour_probability=0)
    assert int(FaceDataset(moved, CONTRACT, config, 0)[0, 0]["crop"].max()) == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_image_is_one_clear_error(disk_faces: MakeFaces, workers: int) -> None:
    faces = disk_faces(4, 64)
    faces.faces[2].image.unlink()
    dataset = FaceDataset(faces, CONTRACT, None, 0)
    with pytest.raises(LandmintError) as error:
        collect(dataset, EpochBatches(4, 4, epochs=1, seed=0), workers)
    assert str(faces.faces[2].image) in str(error.value)
    assert "Traceback" not in str(error.value)


def test_markups_must_agree(disk_faces: MakeFaces) -> None:
    other = dataclasses.replace(disk_faces(1, 64), markup="98")
    with pytest.raises(LandmintError, match="markup 98"):
        FaceDataset(other, CONTRACT, None, 0)


def test_attributes_keep_the_order_of_the_lists(disk_faces: MakeFaces) -> None:
    dataset = FaceDataset(disk_faces(2, 64), CONTRACT, None, 0)
    assert dataset[0, 0]["attributes"].tolist() == [0, 0, 0, 0, 1, 0]
    assert dataset[0, 1]["attributes"].tolist() == [0] * 6


def test_the_mean_shape_stands_in_the_crop(disk_faces: MakeFaces) -> None:
    faces = disk_faces(3, 64)
    shape = mean_shape(faces, CropRule((1.0, 1.0), False))
    assert shape.shape == (68, 2) and 0 <= shape.min() and shape.max() <= 1
    single = dataclasses.replace(faces, faces=faces.faces[:1])
    alone = mean_shape(single, CropRule((1.0, 1.0), False))
    assert alone.min(axis=0) == pytest.approx([0, 0]) and alone.max(axis=0) == pytest.approx([1, 1])
    item = FaceDataset(single, CONTRACT, None, 0)[0, 0]["points"].numpy()
    assert mean_shape(single, CONTRACT.crop) == pytest.approx(item, abs=1e-6)
    with pytest.raises(LandmintError, match="no faces"):
        mean_shape(dataclasses.replace(faces, faces=()), CONTRACT.crop)


def test_missing_landmarks_stay_missing_in_crops_and_are_no_part_of_the_mean_shape(
    disk_faces: MakeFaces,
) -> None:
    faces = disk_faces(3, 96)
    faces.faces[1].points[[2, 60]] = np.nan
    for augmentation in (None, AugmentConfig(flip_probability=1.0)):
        item = FaceDataset(faces, CONTRACT, augmentation, seed=0)[0, 1]
        missing = torch.isnan(item["points"]).any(dim=1).nonzero()[:, 0].tolist()
        assert missing == ([2, 60] if augmentation is None else [14, 64])
        assert item["euler_rad"].isfinite().all()
    others = face_set("68", [faces.faces[0], faces.faces[2]], "test")
    mean, of_others = mean_shape(faces, CONTRACT.crop), mean_shape(others, CONTRACT.crop)
    assert mean[[2, 60]] == pytest.approx(of_others[[2, 60]])
    for face in faces.faces:
        face.points[5] = np.nan
    with pytest.raises(LandmintError, match="landmark 5 is missing in all faces"):
        mean_shape(faces, CONTRACT.crop)
