"""The paper as PDF, by typst: no TeX, no network, and the same bytes for the same paper.

What the paper says reaches typst as data, not as markup: nothing in it can be taken for a command.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from soaklib.errors import SettingsError, SoaklibError
from soaklib.whitepaper.document import (
    Bullets,
    Code,
    Figure,
    Link,
    Paragraph,
    References,
    Section,
    Stated,
    Table,
    Tiles,
    figure_numbers,
    reference_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soaklib.whitepaper.document import Block, Inline, Paper, Text

__all__ = ["PDF_NAME", "pdf_paper"]

PDF_NAME: Final = "whitepaper.pdf"
_DATE_VARIABLE: Final = "SOURCE_DATE_EPOCH"


def pdf_paper(paper: Paper, *, made_s: float) -> bytes:
    """Give the paper as PDF.

    Parameters
    ----------
    paper
        The paper.
    made_s
        When it is said to be made, seconds since 1970 UTC; the environment variable SOURCE_DATE_EPOCH wins.

    Raises
    ------
    SettingsError
        What renders it is not installed, or SOURCE_DATE_EPOCH is no whole number.
    SoaklibError
        The compiler refuses it.
    """
    try:
        import typst  # noqa: PLC0415 - only for a report
    except ModuleNotFoundError as exc:
        msg = "whitepaper.pdf needs typst, which is not installed: pip install 'soaklib[whitepaper]'"
        raise SettingsError(msg) from exc
    with tempfile.TemporaryDirectory(prefix="soaklib-paper-") as work:
        root = Path(work)
        with as_file(files("soaklib.whitepaper") / "templates" / "paper.typ") as template:
            shutil.copyfile(template, root / "paper.typ")
        (root / "paper.json").write_text(json.dumps(_told(paper, root), ensure_ascii=False), "utf-8")
        try:
            pdf = typst.compile(
                str(root / "paper.typ"), root=work, format="pdf", ignore_system_fonts=True, timestamp=_date(made_s)
            )
        except typst.TypstError as exc:
            msg = f"{PDF_NAME} cannot be made: {' '.join(str(exc).split())}"
            raise SoaklibError(msg) from exc
    return bytes(pdf)


def _date(made_s: float) -> int:
    said = os.environ.get(_DATE_VARIABLE)
    if said is None:
        return int(made_s)
    try:
        return int(said)
    except ValueError as exc:
        msg = f"{_DATE_VARIABLE}={said!r} is no whole number of seconds since 1970"
        raise SettingsError(msg) from exc


def _told(paper: Paper, root: Path) -> dict[str, Any]:
    """Give the paper as JSON, its figures copied to where the compiler may read them."""
    told = _Told(root, {**figure_numbers(paper), **reference_numbers(paper)})
    return {
        "title": paper.title,
        "subtitle": told.text(paper.subtitle),
        "facts": [[name, told.text(text)] for name, text in paper.facts],
        "sections": [told.block(section) for section in paper.sections],
    }


class _Told(NamedTuple):
    """Tells blocks as JSON; `numbers` are those of figures and references."""

    root: Path
    numbers: Mapping[str, int]

    def text(self, text: Text) -> list[dict[str, str]]:
        return [self._inline(part) for part in text]

    def _inline(self, part: Inline) -> dict[str, str]:
        match part:
            case Stated():
                return {"text": part.text, "claim": part.claim, "to": ""}
            case Link(kind="file"):
                return {"text": part.text, "claim": "", "to": ""}
            case Link(kind="figure"):
                return {"text": f"Figure {self.numbers[part.target]}", "claim": "", "to": f"figure-{part.target}"}
            case Link():
                return {"text": f"[{self.numbers[part.target]}]", "claim": "", "to": f"reference-{part.target}"}
        return {"text": part.text, "claim": "", "to": ""}

    def block(self, block: Block) -> dict[str, Any]:  # noqa: PLR0911 - a case for each kind of block
        match block:
            case Section():
                return {
                    "kind": "section", "title": block.title, "numbered": block.is_numbered,
                    "blocks": [self.block(inner) for inner in block.blocks],
                }  # fmt: skip
            case Paragraph():
                return {"kind": "paragraph", "text": self.text(block.text), "tone": block.tone}
            case Bullets():
                return {"kind": "bullets", "items": [self.text(item) for item in block.items]}
            case Table():
                return {
                    "kind": "table", "caption": self.text(block.caption),
                    "columns": [
                        {"title": column.title, "number": column.is_number, "share": column.share}
                        for column in block.columns
                    ],
                    "rows": [
                        [{"text": self.text(cell.text), "tone": cell.tone} for cell in row] for row in block.rows
                    ],
                }  # fmt: skip
            case Tiles():
                return {
                    "kind": "tiles",
                    "items": [
                        {"label": tile.label, "value": self.text(tile.value), "note": self.text(tile.note),
                         "tone": tile.tone}
                        for tile in block.items
                    ],
                }  # fmt: skip
            case References():
                return {"kind": "references", "items": [[f"reference-{key}", text] for key, text in block.items]}
            case Code():
                return {"kind": "code", "title": block.title, "text": block.text, "language": block.language}
            case Figure():
                if block.svg is not None:
                    shutil.copyfile(block.svg, self.root / block.svg.name)
                return {
                    "kind": "figure", "caption": self.text(block.caption), "alt": self.text(block.alt),
                    "file": None if block.svg is None else block.svg.name, "name": f"figure-{block.name}",
                }  # fmt: skip
