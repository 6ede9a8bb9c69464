"""What a paper is made of, whatever it is printed with: sections of paragraphs, lists, tables, figures and queries.

Text is a row of runs: words that somebody wrote, and what a claim says. Nothing else can be put into a paper, so a
number in it is a claim's, and both renderers show the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = [
    "Block", "Bullets", "Cell", "Code", "Column", "Figure", "Inline", "Link", "Paper", "Paragraph", "References",
    "Section", "Stated", "Table", "Text", "Tile", "Tiles", "Words", "figure_numbers", "plain",
    "reference_numbers",
]  # fmt: skip


class Words(NamedTuple):
    """Words as they were written: no number is among them, but where a number word is marked as meant."""

    text: str
    is_marked: bool = False


class Stated(NamedTuple):
    """What a claim says, and its name."""

    text: str
    claim: str


class Link(NamedTuple):
    """A way to a figure, a reference (both are told by their number) or a file beside the paper.

    Attributes
    ----------
    text
        What is said; of a figure and a reference, what stands before the number.
    target
        Name of the figure, key of the reference, or name of the file.
    kind
        Which of them it is.
    """

    text: str
    target: str
    kind: Literal["figure", "reference", "file"]


Inline: TypeAlias = Words | Stated | Link
Text: TypeAlias = tuple[Inline, ...]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; `tone` sets one apart that sums up: by its size the headline, in the verdict's colour."""

    text: Text
    tone: Literal["", "lead", "pass", "open", "fail", "none"] = ""


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


class Tile(NamedTuple):
    """One number that is seen first: what it is, how much, and what belongs to it; `tone` as of a cell."""

    label: str
    value: Text
    note: Text
    tone: str = ""


@dataclass(frozen=True)
class Tiles:
    """Some numbers side by side."""

    items: tuple[Tile, ...]


@dataclass(frozen=True)
class References:
    """Works that the text points at, by key; the only place where a number may stand that nobody measured."""

    items: tuple[tuple[str, str], ...]

    @property
    def numbers(self) -> dict[str, int]:
        """Key -> its number in the list."""
        return {key: place for place, (key, _) in enumerate(self.items, 1)}


@dataclass(frozen=True)
class Code:
    """A query, with what is asked by it."""

    title: str
    text: str
    language: Literal["sql", "python"]


_Kind = TypeVar("_Kind")

Block: TypeAlias = "Paragraph | Bullets | Table | Figure | Tiles | References | Code | Section"


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


def figure_numbers(paper: Paper) -> dict[str, int]:
    """Give each figure's number, in the order in which they stand."""
    return {figure.name: place for place, figure in enumerate(_of(Figure, paper.sections), 1)}


def reference_numbers(paper: Paper) -> dict[str, int]:
    """Give each reference's number."""
    return {key: number for block in _of(References, paper.sections) for key, number in block.numbers.items()}


def _of(kind: type[_Kind], blocks: Iterable[Block]) -> Iterator[_Kind]:
    for block in blocks:
        if isinstance(block, kind):
            yield block
        elif isinstance(block, Section):
            yield from _of(kind, block.blocks)
