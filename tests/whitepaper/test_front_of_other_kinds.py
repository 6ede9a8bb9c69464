"""What the front page says of a gateway that cannot tell everything."""

import pytest
from stored_rows import with_plan

import soaklib
from soaklib.plan.model import TargetTable
from soaklib.whitepaper.document import plain
from soaklib.whitepaper.ledger import Ledger
from soaklib.whitepaper.prose import Writer
from soaklib.whitepaper.sections.front import _tiles


@pytest.mark.parametrize(
    ("kind", "small"),
    [("openai", "the gateway has no counters that could be compared"), ("4runr", "without a harmless cause, in ")],
)
def test_books_that_nobody_keeps_have_no_differences(copy_sample, kind, small):
    """Without counters there is no number: none is not 0. Where they are missing it is said what differs."""
    folder = copy_sample(with_plan(target=TargetTable(kind=kind)), "delete from samples")
    with soaklib.open_run(folder) as run:
        tiles = list(_tiles(Writer(Ledger(run))))
    [books] = [tile for tile in tiles if tile.label == "Differences in the books"]
    assert plain(books.note).startswith(small)
