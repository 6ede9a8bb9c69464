"""The paper as PDF."""

import dataclasses
import re
import zlib
from pathlib import Path

import pytest

from soaklib.errors import SoaklibError
from soaklib.records import State
from soaklib.whitepaper.document import (
    Bullets,
    Cell,
    Column,
    Figure,
    Paper,
    Paragraph,
    Section,
    Stated,
    Table,
    Words,
)  # fmt: skip
from soaklib.whitepaper.pdf import pdf_paper
from soaklib.whitepaper.sections import written_paper

_NASTY = '#panic("no") $x$ @nowhere *bold* `raw` // gone \\ \u2028 "'


def _paper(*blocks, title="A title"):
    return Paper(title, (Words("subtitle"),), (("Status", (Stated("ok", "run.status"),)),), (Section("Part", blocks),))


def test_what_a_run_says_is_text():
    """Markup of the compiler in the run's own words is shown and not obeyed."""
    text = (Stated(_NASTY, "run.target"), Words(_NASTY))
    assert pdf_paper(_paper(Paragraph(text), Bullets((text, ())), title=_NASTY), made_s=0).startswith(b"%PDF-")


def test_it_needs_no_fonts_of_the_machine():
    """Its fonts are in the file."""
    pdf = pdf_paper(_paper(Paragraph((Words("Words"),))), made_s=0)
    assert pdf.count(b"/FontFile") >= 1


def _drawn(pdf):
    """Give the characters that a glyph is drawn for: what has none in any font is in no font's map to Unicode."""
    maps = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            maps.append(zlib.decompress(stream).decode("latin-1"))
        except zlib.error:
            continue
    told = " ".join(re.findall(r"beginbf(?:char|range)(.*?)endbf", " ".join(maps), re.DOTALL))
    return {
        chr(int(code[i : i + 4], 16)) for code in re.findall(r"<([0-9A-F]+)>", told) for i in range(0, len(code), 4)
    }


def _said(value):
    """Give every string in a value, however deep."""
    match value:
        case str():
            return value
        case tuple():
            return "".join(map(_said, value))
        case _ if dataclasses.is_dataclass(value):
            return "".join(
                _said(getattr(value, item.name)) for item in dataclasses.fields(value) if item.name != "name"
            )
    return ""


def test_every_character_has_a_glyph(writer):
    """Nothing is an empty box: there is a glyph for all that a paper says, and for the sign of every verdict."""
    states = tuple((Cell((Words("a"),)), Cell((Words(state),), tone=state)) for state in State)
    table = Table((Words("Every state"),), (Column("Criterion"), Column("Verdict")), states)
    written = written_paper(writer, Path("nowhere"))
    paper = dataclasses.replace(written, sections=(*written.sections, Section("States", (table,))))
    drawn = _drawn(pdf_paper(paper, made_s=0))
    needed = set("".join(map(_said, paper.sections)) + "\u25cf\u2715?\u2013")
    assert len(needed) > 80
    assert {letter for letter in needed if letter not in drawn and not letter.isspace()} == set()


def test_a_figure_that_is_no_picture_is_told(tmp_path):
    """A broken figure ends the build with a sentence."""
    broken = tmp_path / "broken.svg"
    broken.write_text("no picture")
    with pytest.raises(SoaklibError, match=r"^whitepaper\.pdf cannot be made: "):
        pdf_paper(_paper(Figure("broken", (), (), broken)), made_s=0)


def test_a_table_of_long_rows_leaves_no_blank_page_behind():
    """Of tables longer than half a page, nine pages if each were whole: what does not fit goes on overleaf, by rows."""
    row = (Cell((Words("name"),)), Cell((Words("as long as what a criterion saw of a day can be, and " * 10),)))
    table = Table((Words("What was asked"),), (Column("Criterion"), Column("Seen")), (row,) * 6)
    pdf = pdf_paper(_paper(*(table,) * 8), made_s=0)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 7
