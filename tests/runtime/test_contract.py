"""A contract survives JSON, is read from older schemas, and refuses what no device could keep."""

import copy
import dataclasses
import json
from typing import Any

import pytest

from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.errors import LandmintError

VOTES = tuple(((i + 1) % 68, (i + 2) % 68) for i in range(68))
CONTRACT = Contract(
    markup="68",
    input_size=128,
    crop=CropRule(scale=(1.25, 1.25), square=True, shift=(0.0, 0.1)),
    mean=(123.7, 116.3, 103.5),
    std=(58.4, 57.1, 57.4),
    head=Head("pip", neighbours=VOTES),
    outputs=tuple(
        Output(name, (channels, 8, 8))
        for name, channels in (("cls", 68), ("x", 68), ("y", 68), ("nb_x", 136), ("nb_y", 136))
    ),
    color="BGR",
)
STRETCHED = dataclasses.replace(CONTRACT, crop=CropRule((1.2, 1.0), square=False))
HEATMAP = dataclasses.replace(
    CONTRACT,
    head=Head("heatmap", "local_soft_argmax", 1.5, tau=20.0, radius=3),
    outputs=(Output("heatmaps", (68, 32, 32)),),
)

SIMCC = dataclasses.replace(
    CONTRACT,
    head=Head("simcc", sigma=4.0, radius=6),
    outputs=(Output("simcc_x", (68, 256)), Output("simcc_y", (68, 128))),
)


@pytest.mark.parametrize("contract", [CONTRACT, STRETCHED, HEATMAP, SIMCC, CONTRACT.decoded()])
def test_json_round_trip(contract: Contract) -> None:
    assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract


def test_layout_changes_the_input_shape_only() -> None:
    channels_last = CONTRACT.with_layout("NHWC")
    assert CONTRACT.input_shape == (1, 3, 128, 128)
    assert channels_last.input_shape == (1, 128, 128, 3)
    assert channels_last.with_layout("NCHW") == CONTRACT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"markup": "67"}, "unknown markup '67'"),
        ({"markup": "98"}, "outputs that do not fit|neighbours of 68"),
        ({"input_size": 0}, "input_size is 0"),
        ({"input_size": 10**9}, "input_size is 1e"),
        ({"std": (0.0, 1.0, 1.0)}, "std is 0"),
        ({"std": (1.0, float("nan"), 1.0)}, "std is nan"),
        ({"mean": (0.0, float("inf"), 0.0)}, "mean is inf"),
        ({"layout": "CHWN"}, "unknown layout"),
        ({"color": "GRAY"}, "unknown color 'GRAY'"),
        ({"input_name": ""}, "needs the input's name"),
        ({"head": Head("pip")}, "neighbours of 0 landmarks"),
        ({"head": Head("pip", neighbours=((),) * 68)}, "neighbours of 68 landmarks, in lists of"),
        ({"head": Head("pip", neighbours=(*VOTES[:67], (1,)))}, r"in lists of \[1, 2\]"),
        ({"head": Head("pip", neighbours=(*VOTES[:67], (1, 68)))}, "neighbours of landmark 67"),
        ({"head": Head("pip", neighbours=(*VOTES[:67], (1, -1)))}, "neighbours of landmark 67"),
        ({"head": Head("pip", neighbours=(*VOTES[:67], (1, 1)))}, "neighbours of landmark 67"),
        ({"head": Head("coordinates")}, r"do not fit[\s\S]*coordinates \[136\] would fit"),
        ({"outputs": CONTRACT.outputs[:4]}, "do not fit a pip head"),
        ({"outputs": (*CONTRACT.outputs, CONTRACT.outputs[0])}, "two of them have the same name"),
        ({"outputs": (Output("x", (68, 4, 4)), *CONTRACT.outputs[:1])}, "do not fit"),
    ],
)
def test_impossible_contracts_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(LandmintError, match=message):
        dataclasses.replace(CONTRACT, **change)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "magic"}, "unknown head 'magic'"),
        ({"kind": "heatmap", "decode": "guess"}, "unknown decode 'guess'"),
        ({"kind": "heatmap"}, "heatmaps need a decode"),
        ({"kind": "pip", "decode": "dark"}, "no other head has one"),
        ({"kind": "heatmap", "decode": "dark"}, "head.sigma is 0"),
        ({"kind": "heatmap", "decode": "dark", "sigma": 1e300}, r"head.sigma is 1e\+300"),
        ({"kind": "heatmap", "decode": "argmax", "tau": float("nan")}, "head.tau is nan"),
        ({"kind": "heatmap", "decode": "argmax", "radius": 0}, "head.radius is 0"),
    ],
)
def test_impossible_heads_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(LandmintError, match=message):
        Head(**settings)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e300, float("nan")])
def test_a_crop_of_an_impossible_size_is_refused(scale: float) -> None:
    with pytest.raises(LandmintError, match="crop.scale"):
        CropRule((1.2, scale), square=False)


def test_a_square_has_one_scale() -> None:
    with pytest.raises(LandmintError, match="a square crop of two scales"):
        CropRule((1.2, 1.0), square=True)


@pytest.mark.parametrize("share", [1.1, float("nan"), float("-inf")])
def test_a_crop_beside_the_face_is_refused(share: float) -> None:
    with pytest.raises(LandmintError, match="crop.shift"):
        CropRule((1.2, 1.2), square=True, shift=(0.0, share))


def test_heatmaps_may_come_with_a_confidence() -> None:
    stated = (*HEATMAP.outputs, Output("confidence", (68,)))
    contract = dataclasses.replace(HEATMAP, outputs=stated)
    assert Contract.from_json(contract.to_json()) == contract
    with pytest.raises(LandmintError, match="do not fit a heatmap head"):
        dataclasses.replace(HEATMAP, outputs=(*HEATMAP.outputs, Output("confidence", (67,))))


@pytest.mark.parametrize(
    "heatmaps", [(67, 32, 32), (68, 32), (68, 0, 32), (68, 32, 10**6), (68, 32, 32, 1), (68, -1, 4)]
)
def test_heatmaps_of_an_impossible_shape_are_refused(heatmaps: tuple[int, ...]) -> None:
    with pytest.raises(LandmintError, match="do not fit a heatmap head"):
        dataclasses.replace(HEATMAP, outputs=(Output("heatmaps", heatmaps),))


@pytest.mark.parametrize(
    "vectors", [(67, 256), (68,), (68, 0), (68, 10**6), (68, 256, 1), (68, -1)]
)
def test_vectors_of_an_impossible_shape_are_refused(vectors: tuple[int, ...]) -> None:
    with pytest.raises(LandmintError, match="do not fit a simcc head"):
        dataclasses.replace(SIMCC, outputs=(Output("simcc_x", vectors), SIMCC.outputs[1]))


REQUIRED = ("markup", "input_size", "crop", "mean", "std", "head", "outputs")


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_field_is_named(key: str) -> None:
    content = CONTRACT.to_json()
    del content[key]
    with pytest.raises(LandmintError, match=rf"cannot be read[\s\S]*has no field '{key}'"):
        Contract.from_json(content)


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in JSON, of long lists the first two."""
    found = [path] if path else []
    if isinstance(content, dict):
        items = list(content.items())
    else:
        items = list(enumerate(content[:2])) if isinstance(content, list) else []
    for key, value in items:
        found += places(value, (*path, key))
    return found


PLAIN = json.loads(json.dumps(CONTRACT.to_json()))
WRONG: tuple[Any, ...] = (
    None,
    [],
    {},
    "",
    "0",
    True,
    float("nan"),
    float("inf"),
    1e300,
    -1,
    10**400,
    [[]],
    {"a": 1},
)


@pytest.mark.parametrize("path", places(PLAIN), ids=lambda path: ".".join(map(str, path)))
def test_wrong_values_anywhere_are_refused_or_harmless(path: tuple[Any, ...]) -> None:
    """Another value that is taken keeps its type: nothing is converted in silence."""
    for wrong in WRONG:
        content = copy.deepcopy(PLAIN)
        place = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = wrong
        try:
            taken = Contract.from_json(content)
        except LandmintError:
            continue
        assert json.loads(json.dumps(taken.to_json())) == content, wrong


@pytest.mark.parametrize("path", [(), ("crop",), ("head",), ("outputs", 0)])
def test_an_unknown_field_is_refused(path: tuple[Any, ...]) -> None:
    content = copy.deepcopy(PLAIN)
    place = content
    for key in path:
        place = place[key]
    place["rotation"] = 1
    with pytest.raises(LandmintError, match="unknown field, 'rotation'"):
        Contract.from_json(content)


def schema_2() -> dict[str, Any]:
    """A contract whose crop has one scale for both axes."""
    return {**copy.deepcopy(PLAIN), "schema": 2}


def test_a_contract_of_schema_2_is_read_as_it_was_meant() -> None:
    assert Contract.from_json(schema_2()) == CONTRACT


def test_a_contract_is_written_in_the_oldest_schema_that_can_say_it() -> None:
    assert CONTRACT.to_json()["schema"] == 2
    assert SIMCC.to_json()["schema"] == 2, "an earlier runtime reads it, and refuses the head"
    assert STRETCHED.to_json()["schema"] == 3


@pytest.mark.parametrize("scale", ["1.2", None, True, {}, [1.2, 1.2], [], 10**400])
def test_a_scale_that_schema_2_never_had_is_refused(scale: Any) -> None:
    content = schema_2()
    content["crop"]["scale"] = scale
    with pytest.raises(LandmintError, match="cannot be read"):
        Contract.from_json(content)


def schema_1() -> dict[str, Any]:
    """A contract as it was written before it knew of shift, tau and radius."""
    content = schema_2()
    del content["crop"]["shift"], content["head"]["tau"], content["head"]["radius"]
    return {**content, "schema": 1}


def test_a_contract_of_schema_1_is_read_as_it_was_meant() -> None:
    contract = Contract.from_json(schema_1())
    assert contract.crop == CropRule((1.25, 1.25), True)
    assert (contract.head.tau, contract.head.radius) == (10.0, 2)
    assert dataclasses.replace(contract, crop=CONTRACT.crop) == CONTRACT


@pytest.mark.parametrize("part", ["crop", "head"])
def test_a_broken_contract_of_schema_1_is_refused(part: str) -> None:
    wrongs: tuple[Any, ...] = (None, [], "68")
    for wrong in wrongs:
        with pytest.raises(LandmintError, match="cannot be read"):
            Contract.from_json({**schema_1(), part: wrong})


@pytest.mark.parametrize("schema", [None, 0, 5, "2", [], {}, 1.5])
def test_an_unknown_schema_is_refused(schema: Any) -> None:
    with pytest.raises(LandmintError, match="contract of schema"):
        Contract.from_json({**PLAIN, "schema": schema})


@pytest.mark.parametrize("content", [None, [], "68", 4])
def test_what_is_no_object_is_no_contract(content: Any) -> None:
    with pytest.raises(LandmintError, match="contract of schema None"):
        Contract.from_json(content)
