"""Increases, raw and as Prometheus extrapolates them, on counters that reset, appear, vanish and are NaN."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from thoroughness import examples

from soaklib.analysis.measures.counters import INCREASE_SCHEMA, RATE_SCHEMA, increase, prometheus_increase, rate
from soaklib.analysis.sources.samples import SAMPLES_SCHEMA, read_exposition
from soaklib.errors import SettingsError

START = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)


def at(minute):
    return START + dt.timedelta(minutes=minute)


def scraped(*texts, every_min=1):
    """Read one text a minute; an empty one is a failed scrape."""
    frames = [read_exposition(text, at=at(n * every_min)) for n, text in enumerate(texts) if text]
    return pl.concat([pl.DataFrame(schema=SAMPLES_SCHEMA), *frames])


def rows(frame):
    """Give (minute, metric, first label's value, number) a row."""
    return [
        ((row[0] - START) / dt.timedelta(minutes=1), row[1], row[2][0]["value"] if row[2] else None, row[3])
        for row in frame.rows()
    ]


def test_increase():
    """The increase is the difference to the previous scrape, series by series; the first scrape has no row."""
    samples = scraped('a_total{t="x"} 5\na_total{t="y"} 1\n', 'a_total{t="y"} 4\na_total{t="x"} 7\n')
    assert rows(increase(samples)) == [(1, "a_total", "x", 2.0), (1, "a_total", "y", 3.0)]
    assert increase(samples).schema == INCREASE_SCHEMA


def test_reset():
    """A drop is a reset, and the increase is the new value; an unchanged value is no reset."""
    samples = scraped("a_total 5\n", "a_total 5\n", "a_total 2\n", "a_total 6\n", "a_total 0\n")
    assert [row[3] for row in rows(increase(samples))] == [0.0, 2.0, 4.0, 0.0]


def test_appearance():
    """A series absent from the previous successful scrape starts at 0, however it got absent."""
    samples = scraped("up 1\n", "up 1\na_total 5\n", "up 1\n", "up 1\na_total 7\n")
    assert rows(increase(samples).filter(pl.col("metric") == "a_total")) == [
        (1, "a_total", None, 5.0),
        (3, "a_total", None, 7.0),
    ]


def test_failed_scrape():
    """A failed scrape is a gap: the next scrape's increase covers it, and the series did not vanish."""
    samples = scraped("a_total 5\n", "", "", "a_total 8\n")
    assert rows(increase(samples)) == [(3, "a_total", None, 3.0)]
    assert rate(samples)["rate_per_s"].to_list() == [3.0 / 180]


def test_filtered():
    """In a filtered frame the other scrapes are unknown, unless they are passed: then the first value counts."""
    samples = scraped("up 1\n", "up 1\na_total 5\n", "up 1\na_total 7\n")
    only = samples.filter(pl.col("metric") == "a_total")
    assert rows(increase(only)) == [(2, "a_total", None, 2.0)]
    assert rows(increase(only, scrapes=samples["at"])) == [(1, "a_total", None, 5.0), (2, "a_total", None, 2.0)]


def test_health_is_no_scrape():
    """Figures of /health between two scrapes of /metrics do not make the counters vanish."""
    metrics = scraped("a_total 5\n", "", "a_total 8\n")
    health = read_exposition("health_memory_used_bytes 5\n", at=at(1))
    assert rows(increase(pl.concat([metrics, health]))) == [(2, "a_total", None, 3.0)]


def test_nan():
    """A NaN is neither a value nor a reset: its own and the next increase are null."""
    samples = scraped("a_total 5\n", "a_total NaN\n", "a_total 8\n", "a_total 9\n")
    assert [row[3] for row in rows(increase(samples))] == [None, None, 1.0]


def test_order_of_rows():
    """Rows may come in any order."""
    samples = scraped("a_total 5\n", "a_total 6\n", "a_total 8\n", "b_total 8\n")
    assert_frame_equal(increase(samples.reverse()), increase(samples))


def test_rate():
    """The rate is the increase over the seconds since the scrape before, and the first value's too."""
    samples = scraped("up 1\n", "up 1\na_total 30\n", "up 1\na_total 90\n", every_min=2)
    result = rate(samples).filter(pl.col("metric") == "a_total")
    assert result["rate_per_s"].to_list() == [0.25, 0.5]
    assert result.schema == RATE_SCHEMA


@pytest.mark.parametrize("texts", [(), ("a_total 5\n",)])
def test_nothing_to_compare(texts):
    """Of no scrape or a single one there is nothing to tell: an empty frame with its types."""
    assert_frame_equal(increase(scraped(*texts)), pl.DataFrame(schema=INCREASE_SCHEMA))
    assert_frame_equal(rate(scraped(*texts)), pl.DataFrame(schema=RATE_SCHEMA))


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (pl.DataFrame({"at": [START]}), "lacks metric, labels, value"),
        (pl.DataFrame({"at": [START], "metric": ["a"], "labels": ["x"], "value": [1.0]}), "its types"),
        (read_exposition("a 1\n"), "without a time"),
        (pl.concat([scraped("a 1\n"), scraped("a 1\n")]), "two samples at one time"),
    ],
)
def test_bad_frames(samples, sentence):
    """A frame that is no samples frame, has no times, or has a scrape twice, is refused with what to pass."""
    with pytest.raises(SettingsError, match=sentence):
        increase(samples)


def test_incomplete_scrapes():
    """Times of scrapes that lack those of the samples are refused, as samples would be lost silently."""
    samples = scraped("a_total 5\n", "a_total 6\n")
    with pytest.raises(SettingsError, match="lacks times"):
        increase(samples, scrapes=samples["at"].head(1))


@settings(deadline=None, derandomize=True, max_examples=examples(60))
@given(st.lists(st.lists(st.none() | st.integers(0, 9), min_size=3, max_size=3), max_size=8))
def test_against_plain_python(table):
    """On any pattern of values, absences and failed scrapes, the increases are those of a plain loop."""
    texts = ["".join(f's_total{{n="{n}"}} {v}\n' for n, v in enumerate(row) if v is not None) for row in table]
    expected = []
    previous = None
    for minute, row in enumerate(table):
        if all(value is None for value in row):
            continue
        if previous is not None:
            for n, value in enumerate(row):
                if value is not None:
                    before = previous[n] if previous[n] is not None and previous[n] <= value else 0
                    expected.append((minute, "s_total", str(n), float(value - before)))
        previous = row
    assert sorted(rows(increase(scraped(*texts)))) == expected


def extrapolated(values, end_s, **version):
    samples = pl.concat(
        [read_exposition(f"a_total {v}\n", at=START + dt.timedelta(seconds=second)) for second, v in values],
    )
    result = prometheus_increase(samples, START, START + dt.timedelta(seconds=end_s), **version)
    return result["increase"].to_list()


@pytest.mark.parametrize(
    ("values", "end_s", "expected"),
    [
        # samples 10 s apart from 5 s to 25 s, edges 5 s away: stretched from 20 s to 30 s
        ([(5, 100), (15, 110), (25, 120)], 30, 30.0),
        # the edges are 25 s away, more than 1.1 x 10 s: half a distance on either side
        ([(25, 100), (35, 110), (45, 120)], 70, 30.0),
        # the counter was at zero 2 s before the first sample: not beyond it
        ([(5, 2), (15, 12), (25, 22)], 30, 27.0),
        # a reset adds the value before it: 15 - 100 + 110 = 25 over 20 s, stretched to 30 s
        ([(5, 100), (15, 110), (25, 15)], 30, 37.5),
        # one sample is none
        ([(5, 100)], 30, []),
        # nothing counted
        ([(5, 7), (25, 7)], 30, [0.0]),
    ],
)
def test_extrapolation(values, end_s, expected):
    """The increase is stretched as the server does it, by hand-computed examples."""
    expected = expected if isinstance(expected, list) else [expected]
    assert extrapolated(values, end_s) == pytest.approx(expected, abs=1e-9)


def test_left_edge():
    """A sample on the range's start is in the range of Prometheus 2 and not in that of Prometheus 3."""
    values = [(0, 100), (10, 110), (20, 130)]
    assert extrapolated(values, 20, server_version=(2, 55)) == pytest.approx([30.0], abs=1e-9)
    assert extrapolated(values, 20, server_version=(3, 0)) == pytest.approx([40.0], abs=1e-9)


def test_zero_between_half_and_whole_distance():
    """A zero 8 s before the first sample, of samples 10 s apart: Prometheus went to it before 2.52, half-way since."""
    values = [(25, 8), (35, 18), (45, 28)]
    assert extrapolated(values, 45, server_version=(2, 42)) == pytest.approx([28.0], abs=1e-9)
    assert extrapolated(values, 45, server_version=(2, 52)) == pytest.approx([25.0], abs=1e-9)


@pytest.mark.parametrize(
    ("start", "end", "sentence"),
    [(at(1), at(1), "is empty"), (at(2), at(1), "is empty"), (at(1).replace(tzinfo=None), at(2), "no time zone")],
)
def test_bad_range(start, end, sentence):
    """A range without length, or without time zone, is refused."""
    with pytest.raises(SettingsError, match=sentence):
        prometheus_increase(scraped("a_total 1\n"), start, end)


def test_infinite_values():
    """Infinite counters stay what they are and are no error."""
    values = increase(scraped("a_total 5\n", "a_total +Inf\n", "a_total 3\n"))["increase"].to_list()
    assert values == [math.inf, 3.0]
