"""Streams of events, taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soaklib.targets.sse import MOST_EVENT_BYTES, EventStream

LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
EVENTS = st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=6)


@given(EVENTS, st.sampled_from([b"\n", b"\r", b"\r\n"]), st.data())
def test_what_was_sent_comes_out(events, line_end, data):
    """Whatever lines end in, and wherever a chunk is cut, also within a character, each event comes out once."""
    sent = b"".join(
        b": a comment" + line_end + b"event: x" + line_end
        + b"".join(b"data: " + line.encode() + line_end for line in lines) + line_end
        for lines in events
    )  # fmt: skip
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    stream = EventStream()
    edges = [0, *cuts, len(sent)]
    came = [one for start, end in zip(edges, edges[1:], strict=False) for one in stream.feed(sent[start:end])]  # noqa: RUF007 - edges may be equal
    assert came == [("\n".join(lines).encode(), "x") for lines in events]
    assert stream.rest() is None


def test_a_mark_at_the_beginning_is_no_part_of_a_field():
    """A byte order mark is passed over; a field without a colon or of another name bears no data."""
    stream = EventStream()
    assert stream.feed(b"\xef\xbb\xbfdata:a\n\ndata\n\nid: 7\n\n") == [(b"a", ""), (b"", "")]


def test_a_name_is_that_of_one_event():
    """Wherever among its lines it stands; one that comes without data names no other."""
    stream = EventStream()
    sent = b"data: a\nevent: ping\n\nevent: gone\n\ndata: b\n\nevent:\xff\ndata: c\n\n"
    assert stream.feed(sent) == [(b"a", "ping"), (b"b", ""), (b"c", "\ufffd")]


def test_an_event_without_its_blank_line_is_what_is_left():
    """Lines that are whole are given when the stream ends; a line that was cut is not."""
    stream = EventStream()
    assert stream.feed(b"data: a\ndata: b\ndata: cut") == []
    assert stream.rest() == (b"a\nb", "")


@pytest.mark.parametrize(
    "piece",
    [b"data: " + b"x" * 65_536, b"data: " + b"x" * 65_536 + b"\n", b"data:\n" * 100_000],
    ids=["line", "lines", "empty lines"],
)
def test_an_event_without_end_is_refused(piece):
    """One line, or one event of many, that grows past what it may is refused, and takes no more memory."""
    stream = EventStream()
    said, fed = max(piece.count(b"x"), piece.count(b"\n")), 0
    while not stream.is_too_large and fed <= MOST_EVENT_BYTES + said:
        stream.feed(piece)
        fed += said
    assert stream.is_too_large
    assert stream.feed(b"\n\n") == []
