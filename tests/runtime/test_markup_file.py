"""A markup of one's own: read from a file, carried by contracts, refused where it does not fit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import MARKUPS, get_markup
from landmint.runtime.markup_file import read_markup

FIVE = """
name = "five-of-a-test"
flip = [1, 0, 2, 4, 3]
eye_corners = [0, 1]
contours = [{ points = [3, 2, 4], closed = false }]

[regions]
eyes = [0, 1]
nose = [2]
mouth = [3, 4]
"""


def _written(folder: Path, text: str = FIVE) -> Path:
    path = folder / "five.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_it_is_known_by_its_name(tmp_path: Path) -> None:
    markup = read_markup(_written(tmp_path))
    assert get_markup("five-of-a-test") == markup
    assert (markup.points, markup.pupils) == (5, ((0,), (1,)))
    assert markup.contours == (((3, 2, 4), False),)
    assert read_markup(_written(tmp_path)) == markup, "the same file may be read again"


def test_a_contract_carries_it_to_where_there_is_no_file(tmp_path: Path) -> None:
    name = read_markup(_written(tmp_path)).name
    outputs = (Output("coordinates", (10,)),)
    crop, ones = CropRule((1.2, 1.2), True), (1.0, 1.0, 1.0)
    contract = Contract(name, 32, crop, ones, ones, Head("coordinates"), outputs)
    content = contract.to_json()
    assert Contract.from_json(json.loads(json.dumps(content))) == contract
    script = (
        "import json, sys\nfrom landmint.runtime.contract import Contract\n"
        "contract = Contract.from_json(json.load(sys.stdin))\n"
        "assert contract.landmarks.flip == (1, 0, 2, 4, 3)\n"
        "assert contract.to_json()['schema'] == 4"
    )
    command = [sys.executable, "-c", script]
    subprocess.run(command, input=json.dumps(content), text=True, check=True)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[1, 0, 2, 4, 3]", "[1, 2, 0, 4, 3]", "mirror"),
        ("[1, 0, 2, 4, 3]", "[1, 0, 2, 9, 3]", "mirror"),
        ("[1, 0, 2, 4, 3]", "[]", "2 to 5000"),
        ("[0, 1]\ncon", "[0, 7]\ncon", "from 0 to 4"),
        ("nose = [2]", "nose = [3]", "every landmark once"),
        ("name = ", "nome = ", "nome"),
        ('"five-of-a-test"', '"../five"', "letters"),
        ('"five-of-a-test"', '"68"', "cannot be compared"),
        ("[regions]", "[regions", "TOML"),
    ],
)
def test_what_does_not_fit(old: str, new: str, reason: str, tmp_path: Path) -> None:
    assert old in FIVE
    with pytest.raises(LandmintError) as error:
        read_markup(_written(tmp_path, FIVE.replace(old, new)))
    assert reason in str(error.value) or reason == "TOML"
    assert "five.toml" in error.value.remedy


def test_missing_files_are_one_message(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="cannot be read as a markup"):
        read_markup(tmp_path / "none.toml")


def test_those_that_come_along_fit_themselves() -> None:
    assert all(markup == get_markup(name) for name, markup in MARKUPS.items())
