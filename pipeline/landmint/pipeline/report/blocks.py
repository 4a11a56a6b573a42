"""What a page is made of: texts, tables, figures, galleries. Plain data for the template.

No number is computed here, and nothing is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    """What stands in it."""
    unit: str = ""
    """Its unit."""
    hint: str = ""
    """A sentence for those who point at the title."""
    words: bool = False
    """True for prose, which may wrap."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    """The figure or word."""
    sub: str = ""
    """An interval or remark in small type."""
    css: str = ""
    """CSS classes."""
    heat: float | None = None
    """0 to 1: how strongly the cell is tinted."""
    span: int = 1
    """Columns that the cell covers."""


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    head: str
    """What the row is about."""
    cells: Sequence[Cell]
    """The rest of it."""
    css: str = ""
    """CSS classes of the row's head."""


@dataclass(frozen=True)
class Table:
    """A table with one heading row."""

    caption: str
    """What it shows, read aloud to people who do not see it."""
    columns: Sequence[Column]
    """Headings, that of the row heads first."""
    rows: Sequence[Row]
    """The rows, top first."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    """The words."""
    note: bool = False
    """True for small print."""
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Heading:
    """A heading below the section's own."""

    text: str
    """The words."""
    kind: Literal["heading"] = "heading"


@dataclass(frozen=True)
class TableBlock:
    """A table in the flow of a section."""

    table: Table
    """The table."""
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Facts:
    """Names and values, one pair a line."""

    pairs: Sequence[tuple[str, str]]
    """Name and value."""
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True)
class Picture:
    """One figure with its caption."""

    svg: str
    """Inline markup, made by this package and trusted."""
    caption: str
    """What to see in it."""
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True)
class Gallery:
    """Several small pictures side by side."""

    pictures: Sequence[tuple[str, str]]
    """Inline markup and caption of each."""
    css: str
    """Class of the grid."""
    switches: Sequence[tuple[str, str]] = ()
    """Layers that the reader can hide: CSS class and label."""
    kind: Literal["gallery"] = "gallery"


@dataclass(frozen=True)
class Code:
    """Preformatted text that opens on demand."""

    title: str
    """What it is."""
    text: str
    """The text, kept letter by letter."""
    kind: Literal["code"] = "code"


Block = Text | Heading | TableBlock | Facts | Picture | Gallery | Code


@dataclass(frozen=True)
class Section:
    """One titled part of the page."""

    id: str
    """Anchor."""
    title: str
    """Heading."""
    blocks: Sequence[Block]
    """What stands in it, top first."""


@dataclass(frozen=True)
class Banner:
    """The verdict."""

    title: str
    """One line."""
    css: str
    """"good", "bad", "open" or "none"."""
    lines: Sequence[str] = ()
    """What stands behind it."""


@dataclass(frozen=True)
class Card:
    """One figure worth remembering."""

    value: str
    """The figure."""
    unit: str
    """Its unit."""
    label: str
    """What it is."""


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    """Heading of the page."""
    kicker: str
    """The line above it."""
    answer: str
    """The answer in words."""
    banner: Banner
    """The verdict."""
    cards: Sequence[Card]
    """Figures worth remembering."""
    sections: Sequence[Section]
    """The rest, in reading order."""
    footer: str = field(default="")
    """The last line."""
