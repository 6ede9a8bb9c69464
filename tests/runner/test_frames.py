"""Frames between the runner and its recorder: whatever is handed over arrives, however the pipe cuts it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soaklib.records import Scrape
from soaklib.runner.frames import FrameReader, dump, rows_frame, scrape_header

SCRAPE = Scrape(1, "metrics", 200, ok=False, duration_us=2, size_bytes=3, detail=None)

anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.binary(max_size=5),
    st.text(st.characters(), max_size=8), st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3),
)  # fmt: skip
values = st.one_of(anything, st.lists(st.tuples(anything, anything), max_size=3))
batches = st.dictionaries(
    st.sampled_from(["outcomes", "events", "samples"]), st.lists(st.tuples(values, values), min_size=1, max_size=6)
)


def is_json(value):
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def cut(data, sizes):
    """Give data in chunks of these sizes, and then what is left of it."""
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


def read(data, sizes=()):
    reader = FrameReader()
    return [frame for chunk in cut(data, sizes) for frame in reader.feed(chunk)]


@given(batches)
def test_every_row_arrives_whatever_is_in_it(batch):
    """A row that JSON can hold comes as it is; of any other, what it can hold is as it is, and the rest is text."""
    [frame] = read(rows_frame(batch))
    assert {table: len(rows) for table, rows in frame.rows.items()} == {
        table: len(rows) for table, rows in batch.items()
    }
    for table, rows in batch.items():
        for sent, came in zip(rows, frame.rows[table], strict=True):
            for value, arrived in zip(sent, came, strict=True):
                if is_json(value):
                    assert arrived == orjson.loads(orjson.dumps(value))
                elif isinstance(value, list):
                    assert len(arrived) == len(value)
                else:
                    assert isinstance(arrived, str)


def test_a_lone_surrogate_is_escaped():
    """What it was can still be seen."""
    assert orjson.loads(dump(["req_\udcff", 1, ("a", "\ud800")])) == ["req_\\udcff", 1, ["a", "\\ud800"]]


class _Unshown:
    """What has no words."""

    def __str__(self):
        raise RuntimeError


def _nested(levels, value):
    for _ in range(levels):
        value = [value]
    return value


def _cyclic():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", [_Unshown(), _nested(5000, 1), _nested(300, "\ud800"), _cyclic(), {1: {2: _cyclic()}}]
)
def test_a_value_that_nothing_can_write_is_text_and_the_row_beside_it_whole(value):
    """Without words, or deeper than anything that is meant, itself included."""
    [frame] = read(rows_frame({"events": [(1, "A", value, None), (2, "B", "d", None)]}))
    first, second = frame.rows["events"]
    assert (first[:2], second) == ([1, "A"], [2, "B", "d", None])


@given(st.lists(st.one_of(st.binary(max_size=40), batches), max_size=5), st.lists(st.integers(0, 30)))
def test_frames_are_put_together_however_they_were_cut(sent, sizes):
    """Rows and texts, newlines and braces in them included, come out as they went in."""
    data = b"".join(scrape_header(SCRAPE, one) + one if isinstance(one, bytes) else rows_frame(one) for one in sent)
    frames = read(data, sizes)
    assert frames == read(data)
    assert [frame.text for frame in frames if frame.scrape == SCRAPE] == [one for one in sent if isinstance(one, bytes)]
    assert len(frames) == len(sent)


def test_a_frame_that_never_became_whole_is_not_given():
    """The runner was killed as it wrote: what is there of the frame is not taken for rows."""
    assert read(rows_frame({"events": [(1,)]})[:-1]) == []
