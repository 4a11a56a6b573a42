"""On which line of a TOML text a key stands, for error messages.

Not a TOML reader: `tomllib` reads, and says nothing of lines. A key inside an inline table is
found by the line of the table.
"""

import re

_BARE = r"[A-Za-z0-9_-]+"
_PART = rf"""(?:{_BARE}|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]\]?")
_KEY = re.compile(rf"^\s*({_DOTTED})\s*=")

Key = tuple[str, ...]


def key_lines(text: str) -> dict[Key, int]:
    """Path of every key and table header of the text, with its line, counted from 1."""
    lines: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = _parts(header.group(1))
            lines.setdefault(table, number)
        elif entry := _KEY.match(line):
            lines.setdefault(table + _parts(entry.group(1)), number)
    return lines


def line_of(lines: dict[Key, int], key: Key) -> int:
    """The line of a key, else of the nearest that encloses it; 1 when none does.

    A table that only its own tables mention, as [a] in [a.b], stands where the first of them does.
    """
    for end in range(len(key), 0, -1):
        if key[:end] in lines:
            return lines[key[:end]]
        within = [number for path, number in lines.items() if path[:end] == key[:end]]
        if within:
            return min(within)
    return 1


def _parts(dotted: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in re.findall(_PART, dotted))
