"""What the front page says of a gateway that cannot tell everything."""

import pytest
from stored_rows import with_plan

from soaklib.plan.model import TargetTable
from soaklib.whitepaper.document import plain
from soaklib.whitepaper.sections.front import _done, _tiles


@pytest.mark.parametrize(
    ("kind", "small"),
    [("openai", "the gateway has no counters that could be compared"), ("4runr", "without a harmless cause, in ")],
)
def test_books_that_nobody_keeps_have_no_differences(ask, kind, small):
    """Without counters there is no number: none is not 0. Where they are missing it is said what differs."""
    tiles = list(_tiles(ask(with_plan(target=TargetTable(kind=kind)), "delete from samples")))
    [books] = [tile for tile in tiles if tile.label == "Differences in the books"]
    assert plain(books.note).startswith(small)


@pytest.mark.parametrize(
    ("made", "is_told"),
    [
        ((), True),
        (("delete from events where event_key like 'change:%'",), True),
        (("delete from events where name = 'TOKENS_ROTATED'",), True),
        (("delete from events where event_key like 'change:%' or name = 'TOKENS_ROTATED'",), False),
    ],
    ids=["both", "tokens", "changes", "neither"],
)
def test_what_was_not_changed_is_not_said_to_have_been(ask, made, is_told):
    """A plan without changes, and a gateway that takes none, are soaked as they are."""
    assert ("changed things under it on schedule" in plain(_done(ask(*made)))) is is_told


def test_a_tail_among_calls_that_were_given_up_is_a_bound(ask):
    """How long they would have taken nobody knows: the first page says no more than the table."""
    lost = "update outcomes set kind = 'timeout', status = null, reason = 'read_timeout' where slot % 20 = 0"
    for statements, begins in (((lost,), True), ((), False)):
        [tail] = [tile for tile in _tiles(ask(*statements)) if tile.label == "Response time"]
        assert plain(tail.value).startswith("at least ") is begins
