"""The paper as one HTML file that opens without a network: style and figures are in it."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from importlib.resources import files
from itertools import count
from typing import TYPE_CHECKING, Final

from soaklib.errors import SettingsError
from soaklib.whitepaper.document import (
    Bullets,
    Code,
    Figure,
    Link,
    Paragraph,
    References,
    Section,
    Table,
    Tiles,
    figure_numbers,
    reference_numbers,
)
from soaklib.whitepaper.ledger import ClaimError
from soaklib.whitepaper.prose import refuse_digits, refuse_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from soaklib.whitepaper.document import Paper

__all__ = ["HTML_NAME", "html_paper", "stated_in"]

HTML_NAME: Final = "whitepaper.html"
_KINDS: Final = {
    Paragraph: "paragraph", Bullets: "bullets", Table: "table", Figure: "figure", Code: "code", Section: "section",
    Tiles: "tiles", References: "references",
}  # fmt: skip


def html_paper(paper: Paper) -> str:
    """Give the paper as HTML.

    Raises
    ------
    SettingsError
        What renders it is not installed.
    ClaimError
        A number stands in its text that no claim makes.
    """
    try:
        import jinja2  # noqa: PLC0415 - only for a report
    except ModuleNotFoundError as exc:
        msg = "whitepaper.html needs jinja2, which is not installed: pip install 'soaklib[whitepaper]'"
        raise SettingsError(msg) from exc
    folder = files("soaklib.whitepaper") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["kind"] = lambda block: _KINDS[type(block)]
    environment.filters["data_uri"] = _data_uri
    environment.filters["next"] = next
    environment.tests["link"] = lambda part: isinstance(part, Link)
    numbers = {"figure": count(1), "table": count(1), "of": {**figure_numbers(paper), **reference_numbers(paper)}}
    style = (folder / "paper.css").read_text("utf-8")
    text = environment.get_template("paper.html.j2").render(paper=paper, style=style, numbers=numbers)
    stated_in(text)
    return text


def _data_uri(path: Path) -> str:
    """Give a file as a URI that holds it: an image of its own, so that no name in it meets one of another figure."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def stated_in(text: str) -> list[tuple[str, str]]:
    """Read a finished paper; give each claim in it, and how it is said.

    Raises
    ------
    ClaimError
        A number stands anywhere but in a claim, a query, or the number of a figure or table.
    """
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.stated


class _Reader(HTMLParser):
    """Collects claims, and looks at every text outside of the elements that may hold numbers."""

    _VOID: Final = frozenset({"meta", "img", "br", "hr", "link", "col", "wbr"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stated: list[tuple[str, str]] = []
        self._open: list[tuple[str, bool, str | None, bool]] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Note whether a claim, a query, a number of the paper's own order, or the style begins."""
        if tag in self._VOID:
            return
        own = dict(attrs)
        claim = own.get("data-claim")
        may = tag in {"style", "title", "pre"} or claim is not None or own.get("class") in {"own-number", "references"}
        self._open.append((tag, may, claim, own.get("class") == "marked"))
        if claim is not None:
            self.stated.append((claim, ""))

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Take down what a claim says; refuse a number that is nobody's."""
        claim = self._open[-1][2] if self._open else None
        if claim is not None:
            self.stated[-1] = (claim, self.stated[-1][1] + data)  # it comes in pieces where it may break
        elif not any(may for _, may, _, _ in self._open):
            try:
                (refuse_digits if self._open and self._open[-1][3] else refuse_numbers)(data)
            except ClaimError as exc:
                msg = f"{HTML_NAME} holds a number that no claim makes: {exc}"
                raise ClaimError(msg) from exc
