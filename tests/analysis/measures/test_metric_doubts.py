"""What a run's scrapes do not tell of a counter is not told of it: processes in turn, resets that pass a value over."""

import json
from pathlib import Path

import polars as pl
import pytest
from bookkeeping_runs import SECOND, write_run

import soaklib
from soaklib.analysis.measures.meanings import counted_as
from soaklib.analysis.measures.metrics import metered
from soaklib.errors import SettingsError
from soaklib.exposition.text import parse_exposition

CASES = json.loads((Path(__file__).parents[2] / "data" / "cases" / "metrics_texts.json").read_text())
IN_TURN = CASES["workers-in-turn"]["scrapes"]
UNTOLD = [f"x_total {value}\nother 5\n" for value in (1000, 400, 1010, 410, 1020, 420)]


@pytest.fixture
def run_of(tmp_path):
    """Give a function that makes a run of texts, scraped a minute apart."""
    opened = []

    def make(texts, health=()):
        samples = [
            (minute * 60 * SECOND, sample.metric, sample.labels, sample.value)
            for minute, text in enumerate(texts, 1)
            for sample in parse_exposition(text).samples
        ]
        samples += [(minute * 60 * SECOND + 7, "health_memory_used_bytes", (), value) for minute, value in health]
        scrapes = [(minute * 60 * SECOND, "metrics", 200, True, 1000, 1, None) for minute in range(1, len(texts) + 1)]
        opened.append(write_run(tmp_path / str(len(opened)), [], samples, scrapes))
        return opened[-1]

    yield make
    for run in opened:
        run.close()


@pytest.mark.parametrize(("name", "metric"), [("reset-created", "c_total"), ("reset-process", "c_total")])
def test_a_reset_that_a_start_tells_is_counted_as_such(run_of, name, metric):
    """As soaklib.increase counts it, by every door."""
    run = run_of(CASES[name]["scrapes"])
    assert run.metric(metric)["value"].to_list() == [150.0]
    assert metered(run, metric, "all", by=())["n"].to_list() == [150.0]


def test_created_of_a_counter_without_its_ending_and_of_buckets(run_of):
    """One ``_created`` stands for what a family has."""
    text = 'h_bucket{{le="+Inf"}} {0}\nh_count {0}\nh_created {1}\n'
    run = run_of([text.format(100, 1000), text.format(150, 2000)])
    assert [run.metric(name)["value"].item() for name in ("h_bucket", "h_count")] == [150.0, 150.0]


def test_processes_that_start_times_tell_apart_are_counted_each_by_itself_and_have_no_rate(run_of):
    """The first sight of each tells nothing; and no distance between two scrapes is the time that one counted in."""
    run = run_of(IN_TURN)
    counted = run.metric("x_total")["value"]
    assert counted.to_list() == [None, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert run.metric("x_total", how="rate")["value"].null_count() == len(counted)
    assert run.metric("x_total", every="all", how="rate")["value"].to_list() == [None]
    assert metered(run, "x_total", "all", by=())["n"].to_list() == [0.0]


def test_processes_that_nothing_tells_apart_have_no_increase(run_of):
    """The falls between them are no resets: a sum of those would be a number that nobody counted."""
    run = run_of(UNTOLD)
    assert run.metric("x_total")["value"].null_count() == len(UNTOLD) - 1
    assert run.metric("x_total", every="1h")["value"].to_list() == [None]
    assert metered(run, "x_total", "1h", by=())["n"].to_list() == [None]
    assert run.metric("x_total", how="value")["value"][0] == 1000.0


def test_a_meaning_that_nobody_knows_is_null(run_of):
    """Also where it is a part of what a counter counts."""
    run = run_of([text.replace("x_total", "gateway_retries_total") for text in UNTOLD])
    assert counted_as(run, "retries")["n"].to_list() == [None]


def test_a_fall_in_the_middle_of_a_text_is_a_reset_whatever_its_digits(run_of):
    """Only the last number of a text can be cut short; what a run holds of the others says which was the last."""
    values = (20, 100, 10, 110)
    run = run_of([f"x_total {value}\nlast 1\n" for value in values])
    assert run.metric("x_total")["value"].to_list() == [80.0, 10.0, 100.0]
    cut = run_of([f"last 1\nx_total {value}\n" for value in values])
    assert cut.metric("x_total")["value"].to_list() == [80.0, None, 10.0]


@pytest.mark.parametrize("how", ["rate", "increase"])
def test_a_gauge_has_no_rate(run_of, how):
    """It is said of one of /health, and of one that its TYPE calls so; a counter without an ending is counted."""
    run = run_of(["heat 5\nx 1\n", "heat 3\nx 4\n"], health=[(1, 5.0), (2, 7.0)])
    (run.folder / "soak-h0.prom").write_text("# TYPE heat gauge\nheat 5\nx 1\n")
    with pytest.raises(SettingsError, match=f"used_bytes is a gauge, read from /health, and has no {how}"):
        run.metric("health_memory_used_bytes", how=how, every="1h")
    with pytest.raises(SettingsError, match=f"heat is a gauge by its TYPE, and has no {how}; pass how='value'"):
        run.metric("heat", how=how)
    assert run.metric("x", how="increase")["value"].to_list() == [3.0]


def test_what_is_known_of_a_window_counts(run_of):
    """A number that is none leaves out its own increase, and the window has that of the others."""
    run = run_of(["x_total 1\n", "x_total NaN\n", "x_total 5\n", "x_total 9\n"])
    assert run.metric("x_total")["value"].to_list() == [None, None, 4.0]
    assert soaklib.metered(run, "x_total", "all", by=())["n"].to_list() == [4.0]
    assert run.metric("x_total", every="1h")["value"].dtype == pl.Float64
