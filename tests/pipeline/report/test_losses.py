"""The section on INT8's losses: worst first, and engines that part are named."""

import dataclasses
from pathlib import Path

import pytest

from landmint.pipeline.report.blocks import TableBlock, Text
from landmint.pipeline.report.gather import gather
from landmint.pipeline.report.losses import losses
from landmint.pipeline.tables import print_explanation
from landmint.quantize.explain.explanation import EXPLANATION, read_explanation


def test_layers_stand_worst_first_with_what_each_saves(fake_run: Path) -> None:
    section = losses(gather(fake_run))
    assert section is not None
    layers, _ = [block.table for block in section.blocks if isinstance(block, TableBlock)]
    assert [row.head for row in layers.rows][:2] == ["node_4", "node_18"]
    worst, last = layers.rows[0], layers.rows[-1]
    texts = [cell.text for cell in worst.cells]
    assert texts == ["trunk.blocks.4.conv", "28.0", "0.9990", "1.000", "0.040", "0.900", "0.050"]
    assert worst.cells[3].heat == 1.0
    assert (last.head, last.cells[-1].text) == ("node_19", "stays in float")


def test_engines_that_part_are_named_with_their_values(fake_run: Path) -> None:
    section = losses(gather(fake_run))
    assert section is not None
    _, engines = [block.table for block in section.blocks if isinstance(block, TableBlock)]
    said = [row.cells[-1].text for row in engines.rows]
    assert said == [
        "none: they agree",
        "node_4 (HardSwish): 1 against 1.2, 2 against 2.4",
        "not compared: it was not built",
    ]
    first = section.blocks[0]
    assert isinstance(first, Text)
    assert "INT8 adds 0.100 points and moves landmarks by 1.100 px" in first.text


def test_without_an_explanation_there_is_no_section(fake_run: Path) -> None:
    assert losses(dataclasses.replace(gather(fake_run), explanation=None)) is None


def test_the_terminal_shows_the_worst(fake_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(read_explanation(fake_run / "bundle" / EXPLANATION))
    shown = capsys.readouterr().out
    assert shown.index("node_4") < shown.index("node_18")
    assert "node_2 " not in shown
    assert "0.900" in shown
    assert "HardSwish" in shown
