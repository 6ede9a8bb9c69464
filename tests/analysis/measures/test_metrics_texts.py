"""Metrics texts from public bug reports, each read and counted to its right value."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest

import soaklib
from soaklib.analysis.measures.counters import increase, increase_doubts, rate
from soaklib.analysis.measures.histograms import histogram_quantile
from soaklib.analysis.measures.lineage import IN_TURN
from soaklib.analysis.measures.pairing import Doubt

CASES = json.loads((Path(__file__).parents[2] / "data" / "cases" / "metrics_texts.json").read_text())
START = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)


def scraped(texts):
    return pl.concat(
        [soaklib.read_exposition(text, at=START + dt.timedelta(minutes=minute)) for minute, text in enumerate(texts)]
    )


def counted(frame):
    """Give the increase of each metric over all scrapes."""
    sums = increase(frame).group_by("metric").agg(pl.col("increase").sum())
    return {metric: number for metric, number in sums.iter_rows() if "start_time" not in metric}


def doubts(frame, metric):
    return increase_doubts(frame).filter(pl.col("metric") == metric)["doubt"].to_list()


def case(name):
    return scraped(CASES[name]["scrapes"])


def repairs(text):
    return soaklib.exposition_repairs(text).select("line", "what").rows()


def test_a_page_cut_off_in_the_middle():
    """A series whose family one scrape lacks is unknown there, not zero, and the text is said to be cut short."""
    frame = case("cut-page")
    assert counted(frame) == {"r_total": 20.0, "s_total": 20.0}
    assert (doubts(frame, "r_total"), doubts(frame, "s_total")) == ([], [Doubt.CUT_SCRAPE])
    assert [repairs(text) for text in CASES["cut-page"]["scrapes"]] == [[], [(2, "no_eof")], []]


def test_a_page_cut_off_within_a_number():
    """The first digits of a number are no reset: the increase is unknown there, and the next one covers it."""
    frame = case("cut-number")
    assert increase(frame)["increase"].to_list() == [None, 20.0]
    assert doubts(frame, "s_total") == [Doubt.CUT_NUMBER]


@pytest.mark.parametrize("texts", [("s_total 500\n", "s_total 7\n", "s_total 520\n"), ("a 500\nb 1\n",) * 2])
def test_a_reset_is_no_number_cut_short(texts):
    """A fall to a value with which nothing that was due begins is a reset."""
    frame = scraped(texts)
    expected = [7.0, 513.0] if "s_total" in texts[0] else [0.0, 0.0]
    assert increase(frame)["increase"].to_list() == expected


def test_workers_in_turn():
    """Each of several processes is counted for itself, one sentence says so, and there is no rate."""
    frame = case("workers-in-turn")
    of_x = increase(frame).filter(pl.col("metric") == "x_total")
    assert of_x["increase"].to_list() == [None, 0.0, 0.0, 0.0, 0.0, 0.0]
    said = increase_doubts(frame).filter(pl.col("metric") == "x_total")
    assert set(said["detail"]) == {IN_TURN}
    assert rate(frame)["rate_per_s"].null_count() == rate(frame).height


def test_workers_in_turn_without_start_times():
    """Counters that go back and forth are said to be of several processes; what they sum up to is doubted."""
    frame = case("workers-in-turn").filter(pl.col("metric") == "x_total")
    assert set(doubts(frame, "x_total")) == {Doubt.SEVERAL_PROCESSES}


def test_two_resets_are_no_workers_in_turn():
    """A process that was started anew twice begins near zero each time."""
    frame = scraped(f"x_total {value}\n" for value in (100, 5, 50, 7, 60))
    assert doubts(frame, "x_total") == [Doubt.RESET, Doubt.RESET]
    assert counted(frame) == {"x_total": 5.0 + 45 + 7 + 53}


def test_many_restarts_at_like_intervals_are_no_workers_in_turn():
    """Each counts about as far as the one before: the calls are real."""
    frame = scraped(f"x_total {value}\n" for value in (90, 50, 150, 50, 140, 60, 150))
    assert doubts(frame, "x_total") == [Doubt.RESET] * 3


def test_busy_workers_in_turn_without_start_times():
    """They count on, each for itself, and the falls between them are no resets."""
    frame = scraped(f"x_total {value}\n" for value in (1000, 400, 1010, 410, 1020, 420))
    assert doubts(frame, "x_total")[0] == Doubt.SEVERAL_PROCESSES


def test_labels_that_one_worker_has():
    """A label set that another process does not have is not away while that one answers."""
    assert counted(case("workers-labels"))["x_total"] == 5.0


def test_a_worker_that_ran_beside_the_other():
    """A start time from long before the last scrape is no restart, however late it is first seen."""
    begun = START.timestamp() - 7_200
    texts = [f"process_start_time_seconds {begun + late}\nx_total {value}\n" for late, value in ((0, 50), (90, 40))]
    assert increase(scraped(texts)).filter(pl.col("metric") == "x_total")["increase"].to_list() == [None]
    now = START.timestamp() + 30
    texts[1] = f"process_start_time_seconds {now}\nx_total 40\n"
    assert counted(scraped(texts)) == {"x_total": 40.0}


def test_le_respelt():
    """A bucket is told by the value of its bound, however it is spelt."""
    frame = case("le-respelt")
    rising = increase(frame)
    first = pl.col("labels").list.first().struct.field("value")
    assert rising.filter(first == "1")["increase"].to_list() == [5.0]
    assert histogram_quantile(rising, 0.99).select("n", "low", "high").rows() == [(6.0, 1.0, float("inf"))]


def test_quantile_respelt():
    """So is a quantile of a summary; a label of another name is its text."""
    texts = [f's{{quantile="{word}"}} {n}\nt{{code="{word}"}} {n}\n' for word, n in (("0.5", 3), ("0.50", 7))]
    rising = increase(scraped(texts)).select("metric", "increase").rows()
    assert rising == [("s", 4.0), ("t", 7.0)]


def test_two_spellings_in_one_scrape_are_one_series():
    """A bucket that comes twice in a text, spelt in two ways, is counted once."""
    text = 'h_bucket{{le="1"}} {0}\nh_bucket{{le="1.0"}} {0}\n'
    assert increase(scraped([text.format(3), text.format(8)]))["increase"].to_list() == [5.0]


def test_milliseconds_in_openmetrics():
    """No value is lost for its timestamp: it is read without one, and a repair says so."""
    (text,) = CASES["om-types-ms-times"]["scrapes"]
    frame = soaklib.read_exposition(text)
    assert frame.select("metric", "value").rows() == [
        ("process_start_time_seconds", 778.0),
        ("dovecot_build_info", 1.0),
    ]
    assert frame["at"].to_list() == [None, None]
    assert repairs(text) == [(2, "timestamp_unit"), (4, "timestamp_unit")]


def test_seconds_in_the_prometheus_format():
    """A time that would be in 1970 is the scrape's, and a repair says so."""
    (text,) = CASES["seconds-times"]["scrapes"]
    assert soaklib.read_exposition(text, at=START).rows() == [(START, "http_requests_total", [], 3.0)]
    assert repairs(text) == [(1, "timestamp_unit")]


@pytest.mark.parametrize("stamp", ["1721816153000000", "1721816153000000000"])
def test_times_in_smaller_units(stamp):
    """Micro- and nanoseconds are told likewise."""
    assert soaklib.read_exposition(f"a 3 {stamp}\n", at=START).rows() == [(START, "a", [], 3.0)]
    assert repairs(f"a 3 {stamp}\n") == [(1, "timestamp_unit")]


def test_a_number_that_is_no_time():
    """It costs the time, and not the value."""
    assert soaklib.read_exposition("a 3 99999999999999999999\n", at=START).rows() == [(START, "a", [], 3.0)]
    assert repairs("a 3 99999999999999999999\n") == [(1, "bad_timestamp")]


def test_openmetrics_2():
    """Start timestamps are read as ``_created``, composite values as the samples that OpenMetrics 1.0 has for them."""
    (text,) = CASES["om2"]["scrapes"]
    frame = soaklib.read_exposition(text)
    at = dt.datetime(2018, 3, 12, 18, 33, 27, 789_000, tzinfo=dt.UTC)
    rows = [
        (when, name, [tuple(label.values()) for label in labels], value) for when, name, labels, value in frame.rows()
    ]
    early = dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)
    assert rows == [
        (at, "c", [], 17.0),
        (at, "c_created", [], 1520430000.123),
        (None, "c", [("a", "b")], 3.0),
        (None, "c_created", [("a", "b")], 1520430000.0),
        (early, "foo_count", [], 17.0),
        (early, "foo_sum", [], 324789.3),
        (early, "foo_bucket", [("le", "0.1")], 8.0),
        (early, "foo_bucket", [("le", "0.25")], 10.0),
        (early, "foo_bucket", [("le", "0.5")], 11.0),
        (early, "foo_bucket", [("le", "1.0")], 14.0),
        (early, "foo_bucket", [("le", "+Inf")], 17.0),
        (early, "foo_created", [], 0.5),
    ]
    assert repairs(text) == [
        (2, "start_timestamp"), (3, "start_timestamp"), (4, "composite_value"), (4, "start_timestamp"),
    ]  # fmt: skip


def test_composite_values_of_other_kinds():
    """Summaries, gauge histograms and native histograms are read as far as classic samples go."""
    text = (
        's{a="b"} {count:2,sum:3.5,quantile:[0.5:1,0.9:2]} # {trace_id="x"} 1 2\n'
        "g {gcount:2,gsum:3.5,bucket:[+Inf:2]}\n"
        "n {count:2,sum:3.5,schema:3,zero_threshold:1e-4,zero_count:0,positive_spans:[0:2],positive_buckets:[1,1]}\n"
        "# EOF\n"
    )
    frame = soaklib.read_exposition(text)
    assert frame.select("metric", "value").rows() == [
        ("s_count", 2.0), ("s_sum", 3.5), ("s", 1.0), ("s", 2.0), ("g_gcount", 2.0), ("g_gsum", 3.5), ("g_bucket", 2.0),
        ("n_count", 2.0), ("n_sum", 3.5),
    ]  # fmt: skip
    assert [what for _, what in repairs(text)] == [*["composite_value"] * 3, "native_histogram"]


def test_exemplars_in_a_text_that_is_not_openmetrics():
    """They are left out, once said for the text; OpenMetrics has them by right."""
    line = 'a_total 3 # {trace_id="x"} 1\n'
    assert repairs(line * 1 + "b_total 2\n") == [(1, "exemplar"), (2, "no_eof")]
    assert repairs(f"{line}# EOF\n") == []


@pytest.mark.parametrize(
    ("name", "before", "after"), [("reset-created", "2000", "1000"), ("reset-process", " 2\n", " 1\n")]
)
def test_resets_hidden_by_a_fast_restart(name, before, after):
    """A start time that moves is a reset, though the counter stands higher than before; one that stays is none."""
    frame = case(name)
    assert counted(frame)["c_total"] == 150.0
    assert doubts(frame, "c_total") == [Doubt.RESTART]
    first, second = CASES[name]["scrapes"]
    steady = scraped([first, second.replace(before, after)])
    assert counted(steady)["c_total"] == 50.0
    assert doubts(steady, "c_total") == []


def test_created_of_a_histogram():
    """A histogram has one ``_created`` for its buckets, count and sum, and each label set its own."""
    text = (
        'h_bucket{{a="{0}",le="1"}} {1}\nh_bucket{{a="{0}",le="+Inf"}} {1}\nh_count{{a="{0}"}} {1}\n'
        'h_created{{a="{0}"}} {2}\n'
    )
    scrapes = [text.format("x", 5, 100) + text.format("y", 5, 100), text.format("x", 9, 100) + text.format("y", 9, 200)]
    rising = increase(scraped(scrapes)).filter(~pl.col("metric").str.ends_with("_created"))
    by_label = rising.group_by(pl.col("labels").list.first().struct.field("value").alias("a"), maintain_order=True)
    assert by_label.agg("increase").rows() == [("x", [4.0] * 3), ("y", [9.0] * 3)]


def test_a_fall_by_rounding_is_no_reset():
    """A sum that comes out a last digit lower counts 0, one that falls by more begins anew."""
    values = scraped(f"took_sum {value!r}\n" for value in (1000.1, 1000.0999999999999, 1001.1, 1000.0))
    assert increase(values)["increase"].to_list() == pytest.approx([0.0, 1.0, 1000.0])


def test_a_family_that_comes_and_goes():
    """A family that was not there from the first is away when it is away: it begins at 0, and a doubt says so."""
    frame = scraped(["up 1\n", "up 1\n", "up 1\na_total 5\n", "up 1\n", "up 1\na_total 7\n"])
    assert counted(frame)["a_total"] == 12.0
    assert doubts(frame, "a_total") == [Doubt.ABSENT]


def test_a_first_scrape_that_may_be_cut():
    """What the first scrape lacks begins at 0 at the second one, and a doubt says that it may not."""
    assert doubts(scraped(["up 1\n", "up 1\na_total 5\n"]), "a_total") == [Doubt.BEGIN_UNKNOWN]


def test_a_counter_beside_one_that_falls():
    """It may have begun anew as well: the difference is the least, and doubted; a gauge that falls says nothing."""
    frame = scraped(
        ["a_total 5\nb_total 1\nheat 9\n", "a_total 2\nb_total 4\nheat 9\n", "a_total 3\nb_total 5\nheat 1\n"]
    )
    assert doubts(frame, "b_total") == [Doubt.OTHERS_FELL]
    assert counted(frame)["b_total"] == 4.0


def test_a_first_number_that_may_be_cut_short():
    """The last number of the first scrape is doubted where the next one goes on from its digits."""
    assert doubts(scraped(["s_total 51", "s_total 520\n", "s_total 530\n"]), "s_total") == [Doubt.CUT_NUMBER]
    assert doubts(scraped(["s_total 51", "s_total 480\n"]), "s_total") == []


def test_created_that_one_scrape_lacks():
    """It is held against the last that was told: a text without it hides no reset."""
    texts = ["c_total 100\nc_created 1000\n", "c_total 120\n", "c_total 150\nc_created 2000\n"]
    frame = scraped(texts)
    assert increase(frame).filter(metric="c_total")["increase"].to_list() == [20.0, 150.0]
    assert doubts(frame, "c_total") == [Doubt.RESTART]
    steady = scraped([*texts[:2], "c_total 150\nc_created 1000\n"])
    assert increase(steady).filter(metric="c_total")["increase"].to_list() == [20.0, 30.0]


@pytest.mark.parametrize(("late_s", "increases"), [(30, [120.0, 30.0]), (90, [20.0, 150.0])])
def test_created_told_late_is_of_the_scrape_that_came_after_it(late_s, increases):
    """A time of day tells between which scrapes the process began anew."""
    began = [START.timestamp() - 60, START.timestamp() + late_s]
    frame = scraped([f"c_total 100\nc_created {began[0]}\n", "c_total 120\n", f"c_total 150\nc_created {began[1]}\n"])
    assert increase(frame).filter(metric="c_total")["increase"].to_list() == increases
