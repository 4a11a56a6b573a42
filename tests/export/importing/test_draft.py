"""A draft says what the file tells, marks what it does not, and is a contract once corrected."""

from pathlib import Path

import pytest

from landmint.export.forms.onnx import to_onnx
from landmint.export.importing.draft import CHECK, draft_contract
from landmint.export.importing.foreign_contract import read_foreign_contract
from landmint.export.importing.heads import readings
from landmint.export.importing.imported import read_imported
from landmint.runtime.contract import Shape
from landmint.runtime.errors import LandmintError
from landmint.train.models import load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.zoo import find_model
from tests.export.importing.conftest import foreign_onnx

PIP = {"a": 29, "b": 29, "c": 29, "d": 290, "e": 290}


@pytest.mark.parametrize(
    ("outputs", "kind", "points"),
    [
        ({"a": (1, 136)}, "coordinates", 68),
        ({"a": (1, 106, 2)}, "coordinates", 106),
        ({"a": (1, 2, 98)}, "coordinates", 98),
        ({"a": (1, 1, 1, 1404), "b": (1, 1, 1, 1)}, "coordinates", 468),
        ({"a": (1, 204)}, "coordinates", 68),
        ({"a": (1, 64, 64, 98)}, "heatmap", 98),
        ({"a": (1, 68, 64, 64), "b": (1, 68, 64, 64)}, "heatmap", 68),
        ({"x": (1, 98, 512), "y": (1, 98, 512)}, "simcc", 98),
        (
            {n: (1, c, 8, 8) for n, c in zip("abcde", (29, 29, 29, 290, 290), strict=True)},
            "pip",
            29,
        ),
        (
            {n: (1, 8, 8, c) for n, c in zip("abcde", (29, 29, 29, 290, 290), strict=True)},
            "pip",
            29,
        ),
    ],
)
def test_heads_by_their_shapes(outputs: dict[str, Shape], kind: str, points: int) -> None:
    first = readings(outputs)[0]
    assert (first.kind, first.points) == (kind, points)


@pytest.mark.parametrize("outputs", [{}, {"class": (1, 1000, 1)}, {"a": (1, 7)}, {"a": (1,)}])
def test_what_looks_like_no_head(outputs: dict[str, Shape]) -> None:
    assert readings(outputs) == []


def test_a_trained_network_is_read_as_it_was_trained(tmp_path: Path) -> None:
    model = load_model(find_model("pfld"))
    to_onnx(model, tmp_path / "net.onnx")
    text = draft_contract(tmp_path / "net.onnx")
    (tmp_path / "c.toml").write_text(text, encoding="utf-8")
    spec = read_foreign_contract(tmp_path / "c.toml")
    assert (spec.markup, spec.input.size, spec.head.kind) == ("68", 112, "coordinates")
    tap = spec.outputs["coordinates"]
    assert (tap.tensor, tap.order, tap.unit) == ("coordinates", "interleaved", "share")
    assert "best on the drawn faces" in text and CHECK in text


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_draft_is_a_contract(layout: str, tmp_path: Path) -> None:
    foreign_onnx(tmp_path / "net.onnx", layout=layout)
    (tmp_path / "c.toml").write_text(draft_contract(tmp_path / "net.onnx"), encoding="utf-8")
    origin = read_imported(tmp_path / "net.onnx", tmp_path / "c.toml")
    assert origin.binding.layout == layout
    assert [output.name for output in origin.contract.outputs] == ["coordinates", "confidence"]


def test_an_open_size_is_marked(tmp_path: Path) -> None:
    foreign_onnx(tmp_path / "net.onnx", side="side")
    (line,) = [
        line for line in draft_contract(tmp_path / "net.onnx").splitlines() if "size = " in line
    ]
    assert CHECK in line


def test_every_head_of_our_own_is_seen(tiny: LandmarkModel, tmp_path: Path) -> None:
    to_onnx(tiny, tmp_path / "net.onnx")
    assert f'kind = "{tiny.contract.head.kind}"' in draft_contract(tmp_path / "net.onnx")


def test_no_head_at_all_is_one_message(tmp_path: Path) -> None:
    foreign_onnx(tmp_path / "net.onnx", shape=(7 * 2 + 60,))
    with pytest.raises(LandmintError, match="look like no head") as error:
        draft_contract(tmp_path / "net.onnx")
    assert "points [1, 74]" in str(error.value)
