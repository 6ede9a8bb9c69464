"""The paper as HTML: one file, open to everybody, and without a number that no claim makes."""

import dataclasses
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from soaklib.whitepaper.html import html_paper, stated_in
from soaklib.whitepaper.ledger import ClaimError
from soaklib.whitepaper.sections import written_paper


@pytest.fixture(scope="module")
def page(sample_ledger, tmp_path_factory):
    """The sample's paper, with one figure."""
    from soaklib.whitepaper.prose import Writer  # noqa: PLC0415 - module scope

    figures = tmp_path_factory.mktemp("figures")
    (figures / "success-rate.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    return html_paper(written_paper(Writer(sample_ledger), figures))


class _Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def _elements(page, tag):
    reader = _Elements()
    reader.feed(page)
    return [attributes for name, attributes in reader.found if name == tag]


def test_it_is_one_file(page):
    """Nothing is fetched: no script, no style sheet, no image or font from elsewhere."""
    assert _elements(page, "script") == _elements(page, "link") == []
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in _elements(page, "img"))
    assert "url(" not in page
    assert "@import" not in page


def test_it_is_open_to_everybody(page):
    """Language, alternative texts, headings of rows and columns, and a way past the contents are there."""
    assert _elements(page, "html") == [{"lang": "en"}]
    images = _elements(page, "img")
    assert images
    assert all(len(image["alt"]) > 40 for image in images)
    assert {head.get("scope") for head in _elements(page, "th")} == {"row", "col"}
    assert all(caption is not None for caption in _elements(page, "caption"))
    levels = [int(tag[1]) for tag in re.findall(r"<(h\d)", page)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_its_contents_lead_somewhere(page):
    """Every link has its place, and no two places have one name; the only way out is to the file of the claims."""
    places = re.findall(r'id="([^"]+)"', page)
    links = [link["href"] for link in _elements(page, "a")]
    assert len(links) > 20
    assert {link for link in links if not link.startswith("#")} == {"claims.json"}
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(places)
    assert len(set(places)) == len(places)


def test_a_figure_that_was_not_drawn_is_said_to_be_missing(page):
    """A figure without a file keeps its caption, and says so."""
    assert page.count("This figure was not drawn") == page.count("<figure") - 1


def test_every_number_is_a_claims(page, sample_ledger):
    """All that the finished page states is what the ledger says of that claim, word for word."""
    stated = stated_in(page)
    assert len(stated) > 300
    for place, said in stated:
        name, _, part = place.rpartition(":") if place not in sample_ledger.claims else (place, "", "value")
        assert sample_ledger[name].worded(part) == said


@pytest.mark.parametrize("typed", ["about 99 percent", "three calls"])
def test_a_number_that_was_typed_into_the_page_is_found(page, typed):
    """A number that got into the page past the writer is refused all the same."""
    with pytest.raises(ClaimError, match=r"whitepaper\.html holds a number that no claim makes"):
        stated_in(page.replace("<p>", f"<p>{typed} ", 1))


def test_a_marked_number_word_may_stand_and_a_marked_digit_not(page):
    """The page says where a number word was meant; nobody gets a digit in that way."""
    assert '<span class="marked">one</span>' in page
    with pytest.raises(ClaimError, match="state a number"):
        stated_in(page.replace('<span class="marked">one</span>', '<span class="marked">99</span>', 1))


def test_what_a_run_says_is_text(sample_ledger, tmp_path):
    """Markup in the run's own words is shown and not obeyed."""
    from soaklib.whitepaper.prose import Writer  # noqa: PLC0415 - only here

    nasty = "<script>alert('x')</script><img src=//example.com onerror=y>"
    claim = dataclasses.replace(sample_ledger["run.run_id"], value=nasty, text=nasty)
    sample_ledger.claims["run.run_id"], kept = claim, sample_ledger["run.run_id"]
    try:
        page = html_paper(written_paper(Writer(sample_ledger), tmp_path))
    finally:
        sample_ledger.claims["run.run_id"] = kept
    assert "&lt;script&gt;" in page
    assert _elements(page, "script") == []
    assert ("run.run_id", nasty) in stated_in(page)


def test_a_long_name_breaks_behind_an_underscore(page):
    """A name of an event may break between its words; what is read back of the page is the claim all the same."""
    assert "CREDENTIALS_<wbr>ROTATED_<wbr>SUCCESSFULLY" in page
    assert "CREDENTIALS_ROTATED_SUCCESSFULLY" in {said for _, said in stated_in(page)}
