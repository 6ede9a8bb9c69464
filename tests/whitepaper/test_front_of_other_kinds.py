"""What the front page says of a gateway that cannot tell everything."""

import pytest
from stored_rows import with_plan

from soaklib.plan.model import TargetTable
from soaklib.whitepaper.document import plain
from soaklib.whitepaper.sections.front import _tiles


@pytest.mark.parametrize(
    ("kind", "small"),
    [("openai", "the gateway has no counters that could be compared"), ("4runr", "without a harmless cause, in ")],
)
def test_books_that_nobody_keeps_have_no_differences(ask, kind, small):
    """Without counters there is no number: none is not 0. Where they are missing it is said what differs."""
    tiles = list(_tiles(ask(with_plan(target=TargetTable(kind=kind)), "delete from samples")))
    [books] = [tile for tile in tiles if tile.label == "Differences in the books"]
    assert plain(books.note).startswith(small)
