"""A contract survives JSON and refuses what no device could keep."""

import dataclasses
from typing import Any

import pytest

from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.errors import LandmintError

CONTRACT = Contract(
    markup="68",
    input_size=128,
    crop=CropRule(scale=1.25, square=True),
    mean=(123.7, 116.3, 103.5),
    std=(58.4, 57.1, 57.4),
    head=Head("pip", neighbours=tuple(((i + 1) % 68, (i + 2) % 68) for i in range(68))),
    outputs=(Output("cls", (68, 8, 8)), Output("x", (68, 8, 8))),
)


def test_json_round_trip() -> None:
    assert Contract.from_json(CONTRACT.to_json()) == CONTRACT


def test_layout_changes_the_input_shape_only() -> None:
    channels_last = CONTRACT.with_layout("NHWC")
    assert CONTRACT.input_shape == (1, 3, 128, 128)
    assert channels_last.input_shape == (1, 128, 128, 3)
    assert channels_last.with_layout("NCHW") == CONTRACT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"markup": "67"}, "unknown markup '67'"),
        ({"input_size": 0}, "positive input_size"),
        ({"std": (0.0, 1.0, 1.0)}, "positive"),
        ({"layout": "CHWN"}, "unknown layout"),
        ({"head": Head("magic")}, "unknown head"),  # type: ignore[arg-type]
        ({"head": Head("heatmap", decode="guess")}, "unknown decode"),  # type: ignore[arg-type]
    ],
)
def test_impossible_contracts_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(LandmintError, match=message):
        dataclasses.replace(CONTRACT, **change)


@pytest.mark.parametrize("key", sorted(set(CONTRACT.to_json()) - {"schema"}))
def test_a_missing_key_is_named(key: str) -> None:
    content = CONTRACT.to_json()
    del content[key]
    with pytest.raises(LandmintError, match=rf"incomplete[\s\S]*{key}"):
        Contract.from_json(content)


def test_a_future_schema_is_refused() -> None:
    with pytest.raises(LandmintError, match="schema 2"):
        Contract.from_json({**CONTRACT.to_json(), "schema": 2})
