"""Records agree with the engines that they name, and every room reads them."""

from typing import get_args

import pytest

from landmint.runtime.engines import ENGINES
from landmint.runtime.formats import FORMATS, LISTED, Format


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_an_engine_and_a_file_with_its_graph(name: str) -> None:
    record = FORMATS[name]
    assert record.engine in ENGINES
    assert record.graph_engine in ("", *ENGINES)
    assert record.graph_suffix in record.suffixes
    assert record.precisions


def test_recipes_choose_among_the_formats() -> None:
    assert get_args(Format) == tuple(FORMATS)


def test_no_two_formats_look_alike() -> None:
    for attribute in ("label", "color"):
        values = [getattr(record, attribute) for record in LISTED.values()]
        assert len(set(values)) == len(values)
