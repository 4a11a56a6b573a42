"""The file of pseudo-labels: COCO-style JSON, written image by image and read by `faces/coco.py`.

Each annotation has bbox and keypoints and, where the network states a confidence, "confidence" of
each landmark and their mean as "score". "info" tells what made the file. Not the labelling.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, read_json

SCHEMA = 1
_VISIBLE = 2

Entry = dict[str, Any]
"""An image of a shard: file_name; width, height and faces, or error."""


@dataclass(frozen=True)
class Labelled:
    """What a file of pseudo-labels holds."""

    images: int
    """Images that could be read."""
    faces: int
    """Faces with landmarks."""
    empty_images: int
    """Images without a face."""
    doubtful_faces: int
    """Faces left out: below the least confidence, or with a landmark that is no finite number."""
    unreadable: Mapping[str, str]
    """Why an image cannot be read, by its name."""


def write_labels(
    out: Path,
    shards: Sequence[Path],
    contract: Contract,
    states_confidence: bool,
    min_confidence: float | None,
    made_by: str,
    upright: bool,
) -> Labelled:
    """Write the file from finished shards, one of them in memory at a time.

    Args:
        out: where.
        shards: JSON lists of images, in their order.
        contract: of the network.
        states_confidence: whether its confidence means something.
        min_confidence: the least mean confidence of a face that is kept; None keeps all.
        made_by: digest of what decides the content.
        upright: the labels are of the pictures as people see them.
    """
    kept = _Kept(states_confidence, min_confidence)
    with atomic_path(out) as fresh, fresh.open("w", encoding="ascii") as file:
        file.write('{"images": ')
        _write_list(file, kept.images(_entries(shards)))
        file.write(',\n"annotations": ')
        _write_list(file, kept.annotations(_entries(shards)))
        categories = [{"id": 1, "name": "face"}]
        summary = kept.summary()
        info = {
            "schema": SCHEMA,
            "made_by": made_by,
            "markup": contract.markup,
            "orientation": "exif" if upright else "stored",
            **vars(summary),
        }
        file.write(f',\n"categories": {json.dumps(categories)},\n"info": {json.dumps(info)}}}\n')
    return summary


def read_summary(out: Path, made_by: str) -> Labelled:
    """What a file holds that stands already.

    Raises:
        LandmintError: it is no such file, or was made of something else.
    """
    content = read_json(out)
    info = content.get("info") if isinstance(content, dict) else None
    made = info.get("made_by") if isinstance(info, dict) else None
    if made != made_by or not isinstance(info, dict):
        raise LandmintError(
            f"{out} exists",
            reason="other weights, images, boxes or settings made it"
            if made
            else "it was not written by `landmint label`",
            remedy="give another name with --out, or delete it first",
        )
    return Labelled(**{name: info[name] for name in Labelled.__dataclass_fields__})


def _entries(shards: Iterable[Path]) -> Iterator[Entry]:
    for shard in shards:
        yield from read_json(shard)


def _write_list(file: TextIO, rows: Iterable[Mapping[str, Any]]) -> None:
    """A JSON list with one row a line."""
    before = "[\n"
    for row in rows:
        file.write(before + json.dumps(row, allow_nan=False))
        before = ",\n"
    file.write("]" if before != "[\n" else "[]")


class _Kept:
    """Turns images of shards into rows, and counts them."""

    def __init__(self, states_confidence: bool, min_confidence: float | None) -> None:
        self._states, self._least = states_confidence, min_confidence
        self._images = self._faces = self._empty = self._doubtful = 0
        self._unreadable: dict[str, str] = {}

    def images(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Rows of the images that could be read; ids count from 1."""
        for entry in entries:
            if "error" in entry:
                self._unreadable[entry["file_name"]] = entry["error"]
                continue
            self._images += 1
            self._empty += not entry["faces"]
            yield {"id": self._images, **{k: v for k, v in entry.items() if k != "faces"}}

    def annotations(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Rows of the faces that are kept."""
        readable = (entry for entry in entries if "error" not in entry)
        for image, entry in enumerate(readable, start=1):
            for face in entry["faces"]:
                score = float(np.mean(face.get("confidence", 0.0)))
                sure = self._least is None or score >= self._least
                if not (sure and "points" in face):
                    self._doubtful += 1
                    continue
                self._faces += 1
                yield self._annotation(image, face, score)

    def _annotation(self, image: int, face: Entry, score: float) -> Entry:
        x, y, w, h = face["box"]
        sure = {"score": round(score, 4), "confidence": face["confidence"]} if self._states else {}
        return {
            "id": self._faces,
            "image_id": image,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": [x, y, w, h],
            "area": round(w * h, 3),
            "num_keypoints": len(face["points"]),
            "keypoints": [value for point in face["points"] for value in (*point, _VISIBLE)],
            **sure,
        }

    def summary(self) -> Labelled:
        """What was counted, after both lists."""
        return Labelled(
            self._images, self._faces, self._empty, self._doubtful, dict(self._unreadable)
        )
