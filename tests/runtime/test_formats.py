"""Records agree with the engines that they name, and every room reads them."""

from typing import get_args

import pytest

from landmint.runtime.engines import ENGINES
from landmint.runtime.formats import (
    FORMATS,
    INT8,
    LISTED,
    PRECISIONS,
    QUANTIZED,
    Format,
    Precision,
    quantize_tools,
)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_an_engine_and_a_file_with_its_graph(name: str) -> None:
    record = FORMATS[name]
    assert record.engine in ENGINES
    assert record.graph_engine in ("", *ENGINES)
    assert record.graph_suffix in record.suffixes
    assert record.precisions
    assert INT8 in record.quantized
    assert {*record.precisions, *record.quantized} <= PRECISIONS.keys()
    assert not {*record.precisions} & {*QUANTIZED}


def test_what_is_made_on_demand_says_what_it_is_for() -> None:
    on_demand = {name for name, record in PRECISIONS.items() if record.purpose}
    assert on_demand == {*QUANTIZED} - {INT8}
    assert get_args(Precision) == QUANTIZED
    assert len(set(quantize_tools())) == len(quantize_tools())


def test_recipes_choose_among_the_formats() -> None:
    assert get_args(Format) == tuple(FORMATS)


def test_no_two_formats_look_alike() -> None:
    for attribute in ("label", "color"):
        values = [getattr(record, attribute) for record in LISTED.values()]
        assert len(set(values)) == len(values)
