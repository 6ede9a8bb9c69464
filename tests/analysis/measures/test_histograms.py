"""Quantiles of a histogram as the bucket that holds them."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from thoroughness import examples

from soaklib.analysis.measures.counters import increase
from soaklib.analysis.measures.histograms import QUANTILE_SCHEMA, histogram_quantile
from soaklib.analysis.sources.samples import read_exposition
from soaklib.errors import SettingsError

CAPTURES = Path(__file__).parents[2] / "data" / "captures"
AT = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
WHOLE = 'h_bucket{le="1"} 10\nh_bucket{le="2"} 20\nh_bucket{le="+Inf"} 30\n'
NO_INF = 'h_bucket{le="1"} 10\nh_bucket{le="2"} 20\n'


def quantile(text, q):
    return histogram_quantile(read_exposition(text, at=AT), q).select("low", "high", "n").rows()


@pytest.mark.parametrize(
    ("text", "q", "expected"),
    [
        (WHOLE, 0.0, (0.0, 1.0, 30.0)),
        (WHOLE, 1 / 3, (0.0, 1.0, 30.0)),
        (WHOLE, 0.34, (1.0, 2.0, 30.0)),
        (WHOLE, 2 / 3, (1.0, 2.0, 30.0)),
        (WHOLE, 0.67, (2.0, math.inf, 30.0)),
        (WHOLE, 1.0, (2.0, math.inf, 30.0)),
        # without +Inf the count says how many there are, and those beyond the last bucket are beyond it
        (NO_INF + "h_count 20\n", 0.5, (0.0, 1.0, 20.0)),
        (NO_INF + "h_count 20\n", 1.0, (1.0, 2.0, 20.0)),
        (NO_INF + "h_count 30\n", 1.0, (2.0, math.inf, 30.0)),
        # without both there may be any number above: only the lower end is known
        (NO_INF, 0.5, (0.0, math.inf, None)),
        (NO_INF, 0.51, (1.0, math.inf, None)),
        # the order of lines is of no account, nor are other metrics
        ('h_bucket{le="+Inf"} 30\nup 1\nh_bucket{le="2"} 20\nh_bucket{le="1"} 10\n', 0.5, (1.0, 2.0, 30.0)),
        # ten is more than nine: bounds are numbers
        ('h_bucket{le="10"} 5\nh_bucket{le="9"} 4\nh_bucket{le="+Inf"} 5\n', 1.0, (9.0, 10.0, 5.0)),
        # a first bucket that ends at or below zero has no lower end
        ('h_bucket{le="-1"} 5\nh_bucket{le="+Inf"} 5\n', 0.5, (-math.inf, -1.0, 5.0)),
        # empty buckets hold no quantile
        ('h_bucket{le="1"} 0\nh_bucket{le="2"} 4\nh_bucket{le="+Inf"} 4\n', 0.0, (1.0, 2.0, 4.0)),
        # no observations
        ('h_bucket{le="1"} 0\nh_bucket{le="+Inf"} 0\n', 0.5, (None, None, 0.0)),
        ('h_bucket{le="1"} 0\n', 0.5, (None, None, None)),
    ],
)
def test_quantile(text, q, expected):
    """The interval is the bucket that holds the quantile, and is no narrower than what is known."""
    assert quantile(text, q) == [expected]


def test_groups():
    """Each time and each set of other labels is a histogram of its own, named without suffix and ``le``."""
    text = 'h_bucket{le="1",tool="a"} 1\nh_bucket{le="+Inf",tool="a"} 1\nh_bucket{le="1",tool="b"} 0\n'
    text += 'h_bucket{le="+Inf",tool="b"} 1\n'
    frames = [read_exposition(text, at=AT + dt.timedelta(hours=hour)) for hour in (0, 1)]
    result = histogram_quantile(pl.concat(frames), 0.5)
    assert result.schema == QUANTILE_SCHEMA
    assert [(row[0].hour, row[1], row[2], row[3], row[4]) for row in result.rows()] == [
        (hour, "h", [{"key": "tool", "value": tool}], low, high)
        for hour in (8, 9)
        for tool, low, high in (("a", 0.0, 1.0), ("b", 1.0, math.inf))
    ]


def test_of_increases():
    """Of increases it is the quantile of what was observed since the scrape before."""
    later = 'h_bucket{le="1"} 10\nh_bucket{le="2"} 24\nh_bucket{le="+Inf"} 34\n'
    samples = pl.concat([read_exposition(WHOLE, at=AT), read_exposition(later, at=AT + dt.timedelta(minutes=1))])
    assert histogram_quantile(increase(samples), 0.5).select("low", "high", "n").rows() == [(1.0, 2.0, 4.0)]


def test_real_gateway():
    """The real gateway has no +Inf bucket; its counts tell the number of calls, all of them under 25 ms."""
    frame = read_exposition(CAPTURES / "h19.prom", at=AT, canonical=True)
    result = histogram_quantile(frame, 0.99).select("low", "high", "n")
    assert result.rows() == [(0.0, 25.0, n) for n in (1048.0, 310.0, 313.0, 294.0)]


def test_empty():
    """Samples without a histogram give an empty frame with its types."""
    empty = pl.DataFrame(schema=QUANTILE_SCHEMA)
    assert_frame_equal(histogram_quantile(read_exposition("up 1\n", at=AT), 0.5), empty)
    assert_frame_equal(histogram_quantile(read_exposition('h_bucket{le="x"} 1\n', at=AT), 0.5), empty)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, 99])
def test_bad_quantile(q):
    """A number that is no share is refused."""
    with pytest.raises(SettingsError, match="between 0 and 1"):
        histogram_quantile(read_exposition(WHOLE, at=AT), q)


@settings(deadline=None, derandomize=True, max_examples=examples(60))
@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(1, 100))
def test_holds_the_quantile(observations, percent):
    """The interval holds the empirical quantile of whatever was observed."""
    q = percent / 100
    bounds = [5, 10, 20, math.inf]
    text = "".join(f'h_bucket{{le="{bound}"}} {sum(x <= bound for x in observations)}\n' for bound in bounds)
    true = sorted(observations)[math.ceil(q * len(observations) * (1 - 1e-12)) - 1]
    ((low, high, n),) = quantile(text, q)
    assert n == len(observations)
    assert low < true <= high or (low == 0.0 == true)
