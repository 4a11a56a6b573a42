"""The text of ncnn's layers: written as it was read, and never misread."""

import pytest

from landmint.runtime.ncnn_param import Layer, parse, render

TEXT = """7767517
3 4
Input in0 0 1 image 0=8 1=8 2=3
Split s 1 2 image a b
InnerProduct fc 2 1 a b y 0=10 1=1 8=2 -23310=2,0.0,6.0
"""


def test_what_is_read_is_written() -> None:
    layers, behind = parse(TEXT)
    assert behind == ""
    assert [layer.kind for layer in layers] == ["Input", "Split", "InnerProduct"]
    assert layers[1].outputs == layers[2].inputs == ("a", "b")
    assert layers[2].settings["-23310"] == "2,0.0,6.0"
    assert [layer.is_int8 for layer in layers] == [False, False, True]
    assert render(layers) == TEXT


def test_what_stands_behind_the_layers_is_kept_apart() -> None:
    layers, behind = parse(TEXT.replace("\n", "\r\n\n") + "\nsomething of others {}\n")
    assert behind == "something of others {}"
    assert parse(render(layers, behind)) == (layers, behind)


def test_a_layer_of_an_unknown_kind_is_float() -> None:
    assert not Layer("ReLU", "r", ("a",), ("b",), {"8": "1"}).is_int8


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("7767517", "7767", "does not begin with 7767517"),
        ("3 4", "4 4", "has not the 4 layers"),
        ("3 4", "0 4", "has not the 0 layers"),
        ("3 4", "-3 4", "'-3' is not a number of things"),
        ("Split s 1 2 image a b", "Split s 0", "few words"),
        ("Split s 1 2", "Split s 1 9", "few tensors"),
        ("8=2", "8", "setting has no value: '8'"),
    ],
)
def test_a_broken_text_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(TEXT.replace(old, new))
