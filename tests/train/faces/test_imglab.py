"""dlib's imglab XML: what is read, and what a malformed box is told."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import Face
from landmint.train.faces.readers import FacesConfig, load_faces

BOX = '<box top="2" left="1" width="30" height="40">'
PARTS = "".join(f'<part name="{i:02d}" x="{2 * i}" y="{3 * i}"/>' for i in range(19))


def load(root: Path, boxes: str) -> tuple[Face, ...]:
    assert cv2.imwrite(str(root / "a.png"), np.zeros((60, 40, 3), dtype=np.uint8))
    text = f"<dataset>\n<images>\n<image file='a.png'>{boxes}</image></images></dataset>"
    (root / "t.xml").write_text(text)
    config = FacesConfig(kind="imglab", root=root, markup="19", test=("t.xml",))
    return load_faces(config, "test", Path()).faces


def test_entities_are_refused(tmp_path: Path) -> None:
    """A few lines of them could grow to gigabytes, or name a file of this machine."""
    (tmp_path / "t.xml").write_text(
        '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        '<dataset><images><image file="&b;"/></images></dataset>'
    )
    config = FacesConfig(kind="imglab", root=tmp_path, markup="19", test=("t.xml",))
    with pytest.raises(LandmintError, match="defines entities"):
        load_faces(config, "test", Path())


def test_parts_in_any_order_and_spelling(tmp_path: Path) -> None:
    ignored = '<box top="0" left="0" width="9" height="9" ignore="1"/>'
    shuffled = "".join(reversed(PARTS.replace("/>", "/>\n").splitlines())).replace('"03"', '"3"')
    (face,) = load(tmp_path, f"{ignored}{BOX}{shuffled}</box>")
    assert (face.name, face.person, face.box) == ("a#0", "a", (1, 2, 30, 40))
    assert face.points[3].tolist() == [6, 9]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('<part name="04" x="8" y="12"/>', "", "landmarks 4 are missing"),
        (PARTS, "", "landmarks 0, 1, 2, 3, 4 and 14 more are missing"),
        ('name="04"', 'name="nose"', "parts nose are not of 0 to 18"),
        ('name="04"', 'name="19"', "parts 19 are not of 0 to 18"),
        ("</box>", '<part name="4" x="1" y="1"/></box>', "two parts have the same name"),
        ('x="8"', 'x="8px"', "x='8px' of a part is not a number"),
        ('x="8"', 'x="inf"', "landmark 4 is not finite"),
        ('width="30"', "", "width='' of a box is not a number"),
        ('width="30"', 'width="0"', "the box has 0 x 40 px"),
    ],
)
def test_malformed_box(tmp_path: Path, old: str, new: str, reason: str) -> None:
    good = f"{BOX}{PARTS}</box>"
    with pytest.raises(LandmintError) as caught:
        load(tmp_path, good + good.replace(old, new))
    assert caught.value.fact == f"{tmp_path / 't.xml'}: image 'a.png', box 1: malformed face"
    assert caught.value.reason.startswith(reason)


def test_other_xml(tmp_path: Path) -> None:
    config = FacesConfig(kind="imglab", root=tmp_path, markup="19", test=("t.xml",))
    (tmp_path / "t.xml").write_text("<dataset>\n<images>\n")
    with pytest.raises(LandmintError, match=r"t\.xml:3: not valid XML"):
        load_faces(config, "test", Path())
    (tmp_path / "t.xml").write_text("<other/>")
    with pytest.raises(LandmintError, match="no <image> below"):
        load_faces(config, "test", Path())
