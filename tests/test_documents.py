"""The documents: every link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "MANUAL.md", "CONTRIBUTING.md", "CHANGELOG.md")
MOST_LINES_OF_THE_FRONT_PAGE = 250


def anchors(document):
    """Give the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / document).read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    """A file that is there, and a heading that is in it; what is elsewhere is a whole address."""
    text = re.sub(r"```.*?```", "", (ROOT / document).read_text("utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"https?://", target):
            continue
        where = path or document
        if not (ROOT / where).exists() or (anchor and anchor not in anchors(where)):
            broken.append(target)
    assert broken == []


def test_the_front_page_is_one():
    """Whoever comes by reads it to its end."""
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= MOST_LINES_OF_THE_FRONT_PAGE
