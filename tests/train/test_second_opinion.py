"""A shipped model tells labels that are exchanged, or mirrored without their picture."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from landmint.runtime.markup import get_markup
from landmint.train.faces.face import Face, FaceSet, read_face
from landmint.train.faces.readers import FacesConfig, load_faces
from landmint.train.models import load_model
from landmint.train.second_opinion import Opinion, opinion_remarks, second_opinion
from landmint.train.zoo import shipped

RealFaces = Callable[[str], Path]
FLIP = list(get_markup("68").flip)


@pytest.fixture(scope="module")
def faces(real_faces: RealFaces) -> FaceSet:
    config = FacesConfig(kind="300w", root=real_faces("ytf68"), limits={"val": 12})
    return load_faces(config, "val", Path())


def _mirrored_picture(face: Face, folder: Path) -> Face:
    path = folder / f"{Path(face.name).name}.png"
    cv2.imwrite(str(path), np.ascontiguousarray(read_face(face)[:, ::-1, ::-1]))
    return replace(face, image=path)


def test_labels_that_do_not_fit_are_told(faces: FaceSet, tmp_path: Path) -> None:
    spoiled = list(faces.faces)
    spoiled[1] = replace(spoiled[1], points=spoiled[1].points[FLIP])
    spoiled[4] = _mirrored_picture(spoiled[4], tmp_path)
    unnamed = _mirrored_picture(spoiled[7], tmp_path)
    spoiled[7] = replace(unnamed, points=unnamed.points[FLIP])
    model = load_model(shipped()[-1].weights)
    opinion = second_opinion(model, replace(faces, faces=tuple(spoiled)))
    places = [str(i) for i in range(12)]
    remarks = {remark.where: remark for remark in opinion_remarks(opinion, places) if remark.fault}
    assert {where: remark.title for where, remark in remarks.items()} == {
        "1": "left and right swapped",
        "4": "labels of the mirrored picture",
        "7": "labels of the mirrored picture",
    }
    assert remarks["4"].detail.endswith("with labels mirrored")
    assert remarks["7"].detail.endswith("keeping its name")
    assert np.isinf(opinion.mirrored).sum() >= 9, "what fits is not tried otherwise"


def test_a_face_that_fits_no_way_round_is_for_a_person_to_look_at() -> None:
    opinion = Opinion(
        lean_px=np.zeros((3, 2)),
        error=np.array([0.05, 0.4, 0.6]),
        exchanged=np.array([0.01, 0.3, 0.5]),
        mirrored=np.array([np.inf, 0.3, 0.7]),
        mirrored_names_kept=np.array([np.inf, 0.5, 0.7]),
    )
    remarks = list(opinion_remarks(opinion, ["a", "b", "c"]))
    assert [remark.where for remark in remarks] == ["c", "b"]
    assert not any(remark.fault for remark in remarks)
    assert remarks[0].detail == "60% of the normaliser away"
