"""Lines of keys in a recipe."""

import pytest

from landmint.pipeline.toml_lines import key_lines, line_of

TEXT = """\
name = "x"          # 1

[faces]             # 3
kind = "300w"
train = [
  "a",
]

[teacher.model]     # 9
name = "hrnet"
"input_size" = 128
[teacher.fit]
epochs = 3
[student]
model.name = "pfld" # 15
fit = { epochs = 2 }
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("name",), 1),
        (("faces",), 3),
        (("faces", "train"), 5),
        (("faces", "train", "0"), 5),
        (("faces", "nowhere"), 3),
        (("teacher",), 9),
        (("teacher", "model", "input_size"), 11),
        (("teacher", "fit", "epochs"), 13),
        (("teacher", "loss"), 9),
        (("student", "model", "name"), 15),
        (("student", "model"), 15),
        (("student", "fit", "epochs"), 16),
        (("absent",), 1),
    ],
)
def test_the_line_of_a_key_or_of_what_encloses_it(key: tuple[str, ...], line: int) -> None:
    assert line_of(key_lines(TEXT), key) == line
