"""Files broken as strangers break them: values of other types, huge numbers, cuts, wrong bytes.

What is broken is drawn by hypothesis, so that a finding is made as small as it can be.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

DIGITS = "9" * 5000
"""More digits than Python reads."""
HUGE = 10**400
"""A whole number that no float holds."""
_SHALLOW, _DEEP = 70, 5000
_TOKEN = re.compile(rb"[^\s=,:;'\"<>\[\](){}]+")
WORDS = (
    *("", "0", "-1", "1", "68", "nan", "inf", "-inf", "1e20", "1e308", "1e309", "-1e7", "1e7"),
    *(str(2**31), str(2**63), str(HUGE), DIGITS, "true", "null", "[]", "[[]]", "{}", '""', "a b"),
    *("../x", "/etc/passwd", "C:\\x\\y.png", "a" * 5000, "\u00e9", "\ufeff", "\x00", "1_0", "0x10"),
    *("[" * _SHALLOW, "[" * _DEEP, "2020-01-01", "#", "'''", "<a>", "&x;"),
)
_LEAVES: tuple[Any, ...] = (
    *(None, True, False, "", "68", "a\0b", "../x", "/etc/passwd", "\ud800", "a" * 5000, 0, -1, 1),
    *(2**31, 2**63, HUGE, -HUGE, 0.5, 1e7, 1e20, 1e308, float("nan"), float("inf"), [], {}),
)
_values = st.recursive(
    st.sampled_from(_LEAVES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["id", "name", "schema", "x"]), inner, max_size=2),
    ),
    max_leaves=4,
)


@st.composite
def mutated(draw: st.DrawFn, content: bytes, kind: str) -> bytes:
    """The content of a file with one to three things changed.

    Args:
        draw: hypothesis' own.
        content: a sound file.
        kind: what it is: "json", "text", "safetensors", or "bytes" for anything else.
    """
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        content = draw(st.sampled_from(_WAYS[kind]))(draw, content)
    return content


def _json(draw: st.DrawFn, content: bytes) -> bytes:
    """One value, at any depth, is another one, is left out, or stands under another key."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):  # what an earlier change left
        return content
    holder: Any = {"top": parsed}
    key: Any = "top"
    while isinstance(part := holder[key], dict | list) and part and draw(st.integers(0, 5)):
        keys = list(part) if isinstance(part, dict) else range(len(part))
        holder, key = part, draw(st.sampled_from(keys))
    how = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
    if how == "remove" and key != "top":
        del holder[key]
    elif how == "rename" and isinstance(holder, dict) and key != "top":
        holder["x"] = holder.pop(key)
    else:
        holder[key] = draw(_values)
    top = holder["top"] if key == "top" else parsed
    return json.dumps(top).encode("utf-8", "surrogatepass")


def _words(draw: st.DrawFn, content: bytes) -> bytes:
    """One word is another, or a line stands twice or not at all."""
    spans = [match.span() for match in _TOKEN.finditer(content)]
    if not spans or draw(st.integers(0, 9)) == 0:
        lines = content.splitlines(keepends=True)
        if not lines:
            return content
        at = draw(st.integers(0, len(lines) - 1))
        return b"".join([*lines[:at], *lines[at : at + 1] * draw(st.sampled_from([0, 2]))])
    first, last = draw(st.sampled_from(spans))
    word = draw(st.sampled_from(WORDS)).encode()
    return content[:first] + word + content[last:]


def _cut(draw: st.DrawFn, content: bytes) -> bytes:
    """The file ends early, or begins late."""
    at = draw(st.integers(0, len(content)))
    return content[:at] if draw(st.booleans()) else content[at:]


def _bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """A few bytes are others; the first ones more often, where headers stand."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        last = draw(st.sampled_from([32, 128, 1024, len(content)]))
        at = draw(st.integers(0, max(0, min(last, len(content)) - 1)))
        value = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
        changed[at : at + 1] = bytes([value])
    return bytes(changed)


def _safetensors(draw: st.DrawFn, content: bytes) -> bytes:
    """A value of the header is another, or of the configuration or the contract within it."""
    end = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8:end])
        about = header["__metadata__"]
        part = draw(st.sampled_from(["config", "contract", "header"]))
        if part == "header":
            text = _json(draw, content[8:end])
        else:
            about[part] = _json(draw, about[part].encode()).decode("utf-8", "replace")
            text = json.dumps(header).encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        return content
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


_WAYS: Mapping[str, Sequence[Callable[[st.DrawFn, bytes], bytes]]] = {
    "json": [*[_json] * 8, _words, _cut],
    "text": [*[_words] * 8, _cut],
    "safetensors": [*[_safetensors] * 8, _bytes, _cut],
    "bytes": [*[_bytes] * 4, _cut],
}
"""What can happen to a file of each kind, the most telling more often."""
