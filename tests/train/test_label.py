"""Pseudo-labels: what the file says, resuming, processes, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from landmint.runtime.crop import Box
from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import SILENT, Progress
from landmint.train import label
from landmint.train.evaluate import evaluate
from landmint.train.faces.readers import FacesConfig, load_faces
from landmint.train.faces.unlabelled import (
    BoxSource,
    KnownBoxes,
    WholeImage,
    find_images,
    known_boxes,
)
from landmint.train.label import LabelConfig, label_images
from landmint.train.label_file import Labelled
from landmint.train.models import load_model, save_model
from landmint.train.models.base import LandmarkModel
from landmint.train.processes import ProcessConfig

ALONE = LabelConfig(processes=ProcessConfig(accelerator="cpu"))
WHOLE = WholeImage(0.1)
IMAGES = 40  # two shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in two folders, with something beside it that is no image."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    (root / "deep").mkdir()
    for i in range(IMAGES):
        image = rng.integers(0, 256, (50 + i, 60, 3), dtype=np.uint8)
        cv2.imwrite(str(root / ("deep" if i % 3 else ".") / f"{i:02d}.png"), image)
    (root / "notes.txt").write_text("no image")
    (root / ".hidden.png").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def weights(
    tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., LandmarkModel]
) -> dict[str, Path]:
    """A network of each kind of head, whose answers depend on the image."""
    kinds: dict[str, dict[str, Any]] = {
        "pipnet": {"backbone": "mobilenetv3_small_050", "stride": 16, "input_size": 64},
        "hrnet": {"backbone": "hrnet_w18_small", "input_size": 64},
        "pfld": {"input_size": 112},
    }
    made = {}
    for name, settings in kinds.items():
        model = make_model(name, **settings, pretrained=False)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape))
        made[name] = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
        save_model(model.eval(), made[name])
    return made


class Watch:
    """Notes what a run reports, and may do something each time."""

    def __init__(self, action: Callable[[], None] = lambda: None) -> None:
        self._action = action
        self.done: list[int] = []
        self.note = ""

    def at(self, done: int, total: int, note: str = "") -> None:
        self.done.append(done)
        self.note = note
        self._action()

    def step(self, note: str) -> None:
        raise AssertionError("images are counted")


def work(
    weights: Path,
    folder: Path,
    out: Path,
    config: LabelConfig = ALONE,
    boxes: BoxSource = WHOLE,
    progress: Progress = SILENT,
) -> Labelled:
    return label_images(weights, folder, find_images(folder), boxes, config, out, progress)


@pytest.mark.parametrize("kind", ["pipnet", "hrnet", "pfld"])
def test_a_reader_reads_what_the_network_says(
    kind: str, weights: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    told = work(weights[kind], folder, tmp_path / "labels.json")
    assert told == Labelled(IMAGES, IMAGES, 0, 0, {})
    config = FacesConfig(
        kind="coco", root=tmp_path, images=str(folder), train=("labels.json",), markup="68"
    )
    faces = load_faces(config, "train", Path())
    model = load_model(weights[kind])
    result = evaluate(model, faces, batch_size=7)
    assert np.array([face.points for face in faces.faces]) == pytest.approx(result.points, abs=2e-3)
    first = json.loads((tmp_path / "labels.json").read_text())["annotations"][0]
    assert ("score" in first) == (kind != "pfld")
    if kind != "pfld":
        assert first["score"] == pytest.approx(np.mean(first["confidence"]), abs=1e-4)
    assert not (tmp_path / "labels.json.parts").exists()


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(
    weights: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    whole, part = tmp_path / "whole.json", tmp_path / "part.json"
    seen = Watch()
    work(weights["pipnet"], folder, whole, progress=seen)
    assert seen.done[:2] == [32, IMAGES] and seen.note.startswith(f"{IMAGES} faces ")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(weights["pipnet"], folder, part, progress=Watch(stop))
    assert not part.exists()
    kept = tmp_path / "part.json.parts" / "0000000.32.json"
    before = kept.stat().st_mtime_ns

    def look() -> None:
        assert kept.stat().st_mtime_ns == before

    again = Watch(look)
    work(weights["pipnet"], folder, part, progress=again)
    assert again.done[0] == IMAGES, "the first shard is not done again"
    assert part.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(
    weights: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    work(weights["pipnet"], folder, one)
    both = ProcessConfig(accelerator="cpu", devices=2)
    work(weights["pipnet"], folder, two, replace(ALONE, processes=both))
    assert two.read_bytes() == one.read_bytes()


def test_a_finished_file_is_known_again(
    weights: dict[str, Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = work(weights["pipnet"], folder, tmp_path / "l.json")
    monkeypatch.setattr(label, "launch", None)
    assert work(weights["pipnet"], folder, tmp_path / "l.json") == told
    for other in (replace(ALONE, min_confidence=0.5), replace(ALONE, batch_size=4)):
        with pytest.raises(LandmintError, match=r"l\.json exists"):
            work(weights["pipnet"], folder, tmp_path / "l.json", other)
    (tmp_path / "mine.json").write_text('{"images": []}')
    with pytest.raises(LandmintError, match="not written by `landmint label`"):
        work(weights["pipnet"], folder, tmp_path / "mine.json")


def test_parts_of_another_run_are_refused(
    weights: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "l.json.parts"
    parts.mkdir()
    (parts / "job.json").write_text('{"schema": 1}')
    with pytest.raises(LandmintError, match="belongs to another labelling") as caught:
        work(weights["pipnet"], folder, tmp_path / "l.json")
    assert "weights" in caught.value.reason


def test_broken_images_are_named_and_the_rest_is_labelled(
    weights: dict[str, Path], tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), np.zeros((40, 40, 3), dtype=np.uint8))
    (images / "b.jpg").write_bytes(b"\xff\xd8 cut short")
    (images / "c.png").write_bytes(b"")
    told = work(weights["pfld"], images, tmp_path / "l.json")
    assert (told.images, told.faces) == (1, 1)
    assert set(told.unreadable) == {"b.jpg", "c.png"}
    content = json.loads((tmp_path / "l.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.png"]
    assert content["info"]["unreadable"] == told.unreadable


def test_doubtful_faces_are_left_out(
    weights: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    work(weights["hrnet"], folder, tmp_path / "all.json")
    everyone = json.loads((tmp_path / "all.json").read_text())["annotations"]
    least = float(np.median([face["score"] for face in everyone]))
    told = work(weights["hrnet"], folder, tmp_path / "l.json", replace(ALONE, min_confidence=least))
    kept = json.loads((tmp_path / "l.json").read_text())["annotations"]
    wanted = [face["keypoints"] for face in everyone if face["score"] >= least]
    assert [face["keypoints"] for face in kept] == wanted
    assert 0 < told.doubtful_faces == IMAGES - told.faces


def test_landmarks_that_are_no_numbers_are_left_out(
    weights: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    model = load_model(weights["pfld"])
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    save_model(model, tmp_path / "nan.safetensors")
    told = work(tmp_path / "nan.safetensors", folder, tmp_path / "l.json")
    assert (told.faces, told.doubtful_faces) == (0, IMAGES)
    assert json.loads((tmp_path / "l.json").read_text())["annotations"] == []


def test_the_flip_test_is_another_answer(
    weights: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    flipped = replace(ALONE, flip_test=True)
    for name, config in (("plain", ALONE), ("flip", flipped)):
        work(weights["hrnet"], folder, tmp_path / f"{name}.json", config)
    assert (tmp_path / "plain.json").read_bytes() != (tmp_path / "flip.json").read_bytes()
    with pytest.raises(LandmintError, match="pipnet has no flip test"):
        work(weights["pipnet"], folder, tmp_path / "l.json", flipped)


def test_no_confidence_no_limit_on_it(
    weights: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(LandmintError, match="no least confidence"):
        work(weights["pfld"], folder, tmp_path / "l.json", replace(ALONE, min_confidence=0.5))


def test_boxes_of_a_data_set_need_no_landmarks(
    weights: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    content = {
        "images": [{"id": 7, "file_name": "00.png"}, {"id": 8, "file_name": "deep/01.png"}],
        "annotations": [
            {"id": 1, "image_id": 8, "bbox": [5, 6, 20, 30]},
            {"id": 2, "image_id": 8, "bbox": [1, 2, 20, 30]},
            {"id": 3, "image_id": 7, "bbox": [3, 4, 20, 30]},
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    config = FacesConfig(kind="coco", root=tmp_path, images=str(folder), train=("boxes.json",))
    known = known_boxes(config, "train", folder)
    assert known.boxes == {
        "00.png": (Box(3, 4, 20, 30),),
        "deep/01.png": (Box(1, 2, 20, 30), Box(5, 6, 20, 30)),
    }
    out = tmp_path / "l.json"
    told = label_images(weights["pfld"], folder, tuple(known.boxes), known, ALONE, out)
    assert (told.images, told.faces) == (2, 3)
    boxes = [face["bbox"] for face in json.loads(out.read_text())["annotations"]]
    assert boxes == [[3, 4, 20, 30], [1, 2, 20, 30], [5, 6, 20, 30]]
    few = config.model_copy(update={"limits": {"train": 1}})
    assert known_boxes(few, "train", folder).boxes == {"00.png": (Box(3, 4, 20, 30),)}
    with pytest.raises(LandmintError, match="has no boxes for the images"):
        known_boxes(config, "train", tmp_path)
    content["annotations"] = [{"id": 1, "image_id": 8}]
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(LandmintError, match="malformed face") as caught:
        known_boxes(config, "train", folder)
    assert caught.value.reason == "it has no bbox"


def test_rules_for_boxes(folder: Path) -> None:
    image = np.zeros((40, 80, 3), dtype=np.uint8)
    assert WholeImage(0.25)("a.png", image) == (Box(19.5, 9.5, 40, 20),)
    assert KnownBoxes({"a.png": (Box(1, 2, 3, 4),)})("b.png", image) == ()


def test_images_are_found_below(folder: Path, tmp_path: Path) -> None:
    names = find_images(folder)
    assert len(names) == IMAGES and names == tuple(sorted(names))
    assert {"00.png", "deep/01.png"} <= set(names)
    with pytest.raises(LandmintError, match="there are no images below"):
        find_images(tmp_path)
    with pytest.raises(LandmintError, match="does not exist"):
        find_images(tmp_path / "nowhere")
