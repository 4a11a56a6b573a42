"""Numbers and names as people read them; one place, so that every table writes alike."""

import math
from collections.abc import Sequence

from landmint.runtime.stats import Interval

NONE = "–"
"""Where there is no figure."""


def number(value: float | None, digits: int = 2) -> str:
    """A figure with so many digits after the point; a dash for None, a word for infinity."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return "infinite"
    rounded = f"{value:.{digits}f}"
    return (
        rounded.removeprefix("-") if float(rounded) == 0 else rounded.replace("-", "\N{MINUS SIGN}")
    )


def percent(share: float | None, digits: int = 2) -> str:
    """A share as per cent, without the sign."""
    return number(None if share is None else share * 100, digits)


def percent_interval(interval: Interval | None, digits: int = 2) -> tuple[str, str]:
    """A share as per cent, and its interval in brackets."""
    if interval is None:
        return NONE, ""
    if interval.is_unbounded:
        return percent(interval.estimate, digits), "not enough persons"
    if not math.isfinite(interval.low):
        return percent(interval.estimate, digits), ""
    low, high = percent(interval.low, digits), percent(interval.high, digits)
    return percent(interval.estimate, digits), f"[{low}, {high}]"


def milliseconds(value: float | None) -> str:
    """Three significant digits are what a timing on a shared machine is worth."""
    if value is None:
        return NONE
    return number(value, 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3)


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def mebibytes(size_bytes: int) -> str:
    """A size in MiB."""
    return number(size_bytes / 2**20) if size_bytes else NONE


def thousands(value: int) -> str:
    """A count with thin separators."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def times(speedup: Interval | None) -> tuple[str, str]:
    """A factor and its interval."""
    if speedup is None:
        return NONE, ""
    return f"{speedup.estimate:.2f}×", f"[{speedup.low:.2f}, {speedup.high:.2f}]"


def listed(words: list[str]) -> str:
    """Words as a sentence lists them."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def one_line(reason: str) -> str:
    """An error's message, which has a line for each part, as running text."""
    text = reason.replace("\n  reason: ", ": ").replace("\n  remedy: ", "; remedy: ")
    return " ".join(text.split())


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a column of which every cell starts as a figure is set to the right."""
    figures = [
        all(not row[i] or row[i][0] in f"0123456789{NONE}\N{MINUS SIGN}" for row in rows)
        for i in range(len(columns))
    ]
    rule = ["---:" if right else "---" for right in figures]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, rule, *cells])
