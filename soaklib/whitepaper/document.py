"""What a paper is made of, whatever it is printed with: sections of paragraphs, lists, tables, figures and queries.

Text is a row of runs: words that somebody wrote, and what a claim says. Nothing else can be put into a paper, so a
number in it is a claim's, and both renderers show the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Block", "Bullets", "Cell", "Code", "Column", "Figure", "Inline", "Paper", "Paragraph", "Section", "Stated",
    "Table", "Text", "Words", "plain",
]  # fmt: skip


class Words(NamedTuple):
    """Words as they were written: no number is among them."""

    text: str


class Stated(NamedTuple):
    """What a claim says, and its name."""

    text: str
    claim: str


Inline: TypeAlias = Words | Stated
Text: TypeAlias = tuple[Inline, ...]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; `tone` sets one apart that sums up."""

    text: Text
    tone: Literal["", "lead"] = ""


@dataclass(frozen=True)
class Bullets:
    """A list of points."""

    items: tuple[Text, ...]


class Column(NamedTuple):
    """A column's heading, and whether numbers stand in it."""

    title: str
    is_number: bool = False
    share: float = 1.0


class Cell(NamedTuple):
    """A cell; `tone` is a verdict's state, for its colour."""

    text: Text
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is its heading."""

    caption: Text
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes
    ----------
    name
        Of its files.
    caption, alt
        What stands below it; what it shows, for who cannot see it.
    svg
        Its file; None where it could not be drawn, which is said in its place.
    """

    name: str
    caption: Text
    alt: Text
    svg: Path | None


@dataclass(frozen=True)
class Code:
    """A query, with what is asked by it."""

    title: str
    text: str
    language: Literal["sql", "python"]


Block: TypeAlias = "Paragraph | Bullets | Table | Figure | Code | Section"


@dataclass(frozen=True)
class Section:
    """A section; sections in its blocks are its parts."""

    title: str
    blocks: tuple[Block, ...]
    is_numbered: bool = True

    @property
    def anchor(self) -> str:
        """Name that links point at."""
        return "-".join("".join(letter if letter.isalnum() else " " for letter in self.title.lower()).split())


@dataclass(frozen=True)
class Paper:
    """The whole paper."""

    title: str
    subtitle: Text
    facts: tuple[tuple[str, Text], ...]
    sections: tuple[Section, ...] = field(default=())


def plain(text: Text) -> str:
    """Give a text without its marks."""
    return "".join(part.text for part in text)
