"""Tables on a terminal of 80 columns, and in a file: no figure is cut off."""

import re

import pytest
from rich.table import Table

from landmint.pipeline import tables
from landmint.train.zoo import shipped


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    return [line.rstrip() for line in lines]  # earlier versions of rich fill each line up


def test_shipped_models_have_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    models = shipped()
    tables.print_shipped(models)
    lines = _lines(capsys)
    for model in models:
        assert any(
            line.startswith(model.name) and f" {100 * model.about.nme:.2f} " in line
            for line in lines
        )


def test_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_recipes()
    assert any(line.startswith("demo ") for line in _lines(capsys))


def test_columns_of_words_are_narrowed_and_figures_stay_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    node = "node_of_a_graph/that_has/one_very/long_name_without_blanks"
    figures = "12.34", "-0.123", "0.456", "12.34", "45.67", "1234", "123.45"
    table = Table(*tables._COLUMNS, "first operator to differ")
    table.add_row(*figures, "i8 43, f32 1 (XNNPACK, 1 partition)", node)
    tables.print_tables(table)
    (row,) = (line for line in _lines(capsys) if "12.34" in line)
    assert re.findall(r"-?\d+\.?\d*", row)[: len(figures)] == list(figures)


def test_a_table_with_room_is_as_wide_as_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("variant", "ran in")
    table.add_row("tflite-decoded/float32", "f32 (XNNPACK, 4 partitions)")
    tables.print_tables(table)
    assert "tflite-decoded/float32  f32 (XNNPACK, 4 partitions)" in _lines(capsys)
