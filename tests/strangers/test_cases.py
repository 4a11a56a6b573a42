"""Files as people bring them, in ../shared/data/cases: each is read right, or refused in words."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from landmint.runtime.errors import LandmintError
from tests.strangers.readings import READINGS, ending

RealFaces = Callable[[str | Path], Path]
READ_AS: Mapping[str, str] = {
    "boxes": "coco",
    "coco": "coco",
    "gate-recipe": "recipe",
    "imglab": "imglab",
    "manifest": "manifest",
    "measurement": "measurement",
    "networks": "networks of a recipe",
    "pts": "pts",
    "ranges": "ranges",
    "recipe": "recipe",
    "wflw": "wflw",
}
"""What the middle of a fuzz file's name means."""
REFUSED: Mapping[str, tuple[str, str]] = {
    "03/digits.toml": ("recipe", "not valid TOML"),
    "03/recipe.toml": ("recipe", "faces.markup: [] should be a valid string"),
    "04/id.json": ("coco", "has no boxes for the images"),
    "04/kp.json": ("coco", "annotations[0]: malformed face"),
    "05/a.pts": ("pts", "a.pts:71: malformed landmarks"),
    "06/deep.json": ("manifest", "is not valid JSON"),
    "06/manifest.json": ("manifest", "manifest of schema None"),
}
"""What each of the malformed files is, and what is said of it."""


def _said(kind: str, content: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            READINGS[kind].read(Path(folder), content)
        except LandmintError as error:
            return str(error)
    return ""


def test_what_mutations_found_is_read_or_refused(real_faces: RealFaces) -> None:
    endings = {}
    for path in sorted(real_faces("cases/fuzz").iterdir()):
        reading = READINGS[READ_AS["-".join(path.name.split("-")[2:-1])]]
        with tempfile.TemporaryDirectory() as folder:
            endings[path.name] = ending(reading, path.read_bytes(), Path(folder))
    assert len(endings) > 30
    assert {name: how for name, how in endings.items() if how} == {}


def test_what_is_malformed_is_refused_by_its_reason(real_faces: RealFaces) -> None:
    folder = real_faces("cases/malformed")
    for name, (kind, words) in REFUSED.items():
        assert words in _said(kind, (folder / name).read_bytes()), name
