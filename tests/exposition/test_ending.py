"""Texts that came whole and texts that were cut short, told by how they end and by the text before."""

from __future__ import annotations

from pathlib import Path

import pytest

from soaklib.exposition.ending import NO_EOF, Endings, Wholeness, ends_in_eof
from soaklib.exposition.text import parse_exposition

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
WHOLE = "# TYPE a counter\na_total 5\n# TYPE b gauge\nb 1\n# TYPE c counter\nc_total 10\n"


def said(*texts):
    """Give what is said of each text in turn."""
    wholeness = Wholeness()
    return [
        tuple(wholeness.judged(data, parse_exposition(data).samples))
        for data in (text if isinstance(text, bytes) else text.encode() for text in texts)
    ]


def cut(*texts):
    return [why for why, _ in said(*texts)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 1\n# EOF\n", True),
        ("a 1\n# EOF", True),
        ("a 1\r\n# EOF\r\n", True),
        ("# EOF\na 1\n", False),
        ("a 1\n", False),
    ],
)
def test_end_of_openmetrics(text, expected):
    """The last line alone tells, in either encoding."""
    assert ends_in_eof(text.encode()) is expected
    assert ends_in_eof(text.encode("utf-16-le")) is expected


def test_openmetrics_without_its_end():
    """A text that is said to be OpenMetrics, or follows one with its end, is cut short without it."""
    endings = Endings()
    assert [endings.cut(b"a 1\n", kind) for kind in (None, OPENMETRICS, None)] == [None, NO_EOF, None]
    assert endings.cut(b"a 1\n# EOF\n") is None
    assert endings.cut(b"a 1\n") == NO_EOF


def test_a_gateway_that_never_writes_the_end():
    """The third text in a row that lacks its end is whole, and so are those after it."""
    endings = Endings()
    assert [endings.cut(b"a 1\n", OPENMETRICS) for _ in range(5)] == [NO_EOF, NO_EOF, None, None, None]


def test_a_last_line_without_its_end():
    """It is a cut where the text before ends in a line feed and its series is known, or series are missing."""
    why = "cut short: its last line does not end, as that of the scrape before does"
    assert cut(WHOLE, WHOLE[:-2]) == [None, why]
    assert cut("s_total 500\n", "s_total 51", "s_total 520\n") == [None, why, None]
    assert cut("a 1\nb 2\nc 3\n", "a 1\nd 2\nc 3\ne 4") == [None, why]
    assert cut("a 1\n", "a 1\nb 2") == [None, None]
    assert cut("# TYPE a gauge\na 1\n", "# TYPE a gauge") == [None, why]
    assert cut("a 1", "a 1", "a 2") == [None, None, None]


def test_the_real_gateway_ends_in_no_line_feed():
    """Its first text ends in blank lines and the others in none: no text of it is cut."""
    texts = [(CAPTURES / f"{name}.prom").read_bytes() for name in ("h0", "h1", "h19")]
    assert cut(*texts) == [None, None, None]


def test_a_text_that_ends_before_families_of_the_one_before():
    """It is cut between two families; a third such text in a row is what the gateway has to say now."""
    short = WHOLE[: WHOLE.index("# TYPE b")]
    why = "cut short: it ends before b, c, which the scrape before has"
    assert cut(WHOLE, short, WHOLE) == [None, why, None]
    assert cut(WHOLE, short, short, short, short) == [None, why, why, None, None]
    assert cut("a 1\nb 2\n", "a 1\n") == [None, "cut short: it ends before b, which the scrape before has"]


def test_a_text_that_lacks_a_family_in_its_middle():
    """It is whole, and what it lacks is said once."""
    lacking = WHOLE.replace("# TYPE b gauge\nb 1\n", "")
    assert said(WHOLE, lacking, lacking) == [(None, None), (None, "lacks b, which the scrape before has"), (None, None)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a_total 5\nc_total 1\n", "a_total 2\n"),
        ("process_start_time_seconds 1\nc 1\n", "process_start_time_seconds 2\n"),
    ],
)
def test_a_gateway_that_began_anew(before, after):
    """It lacks what nothing has counted yet, and is whole."""
    assert said(before, after) == [(None, None), (None, None)]
