"""The paper as PDF."""

import pytest

from soaklib.errors import SoaklibError
from soaklib.whitepaper.document import Bullets, Figure, Paper, Paragraph, Section, Stated, Words
from soaklib.whitepaper.pdf import pdf_paper

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


def test_a_figure_that_is_no_picture_is_told(tmp_path):
    """A broken figure ends the build with a sentence."""
    broken = tmp_path / "broken.svg"
    broken.write_text("no picture")
    with pytest.raises(SoaklibError, match=r"^whitepaper\.pdf cannot be made: "):
        pdf_paper(_paper(Figure("broken", (), (), broken)), made_s=0)
