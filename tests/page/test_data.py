"""What the page shows of a run: the public functions' values, bounded, as JSON can hold them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.verdicts.sentence import verdict_sentence, verdict_word
from soaklib.page.data import MOST_POINTS, _plain, _value, board, page_data, window
from soaklib.plan.model import load_plan
from soaklib.records import Event, EventName

_SAMPLE = Path(__file__).parents[2] / "data" / "sample"


@pytest.fixture(scope="module")
def run():
    """The sample run."""
    with soaklib.open_run(_SAMPLE) as opened:
        yield opened


@pytest.fixture(scope="module")
def data(run):
    """What its page shows."""
    return page_data(run)


@pytest.mark.parametrize(
    ("hours", "every"), [(0.01, "1s"), (1, "30s"), (2, "30s"), (5, "1m"), (24, "5m"), (24 * 7, "1h"), (24 * 366, "1d")]
)
def test_the_window_is_the_shortest_that_stays_within_the_points(hours, every):
    """A time axis has at most as many windows as a screen can tell apart, and no fewer than it could have."""
    assert window(3600 * hours) == every


def test_the_success_series_is_that_of_the_public_function(run, data):
    """Success, calls and interval are those of soaklib.success_rate, to the digits that are drawn."""
    frame = soaklib.success_rate(run, every="5m")
    assert data["success"]["soak_s"] == frame["soak_s"].to_list()
    assert data["success"]["n"] == frame["n"].to_list()
    for column, name in {"y": "success_rate", "low": "low", "high": "high"}.items():
        assert data["success"][column] == pytest.approx(frame[name].to_list(), rel=1e-5)


def test_the_latency_series_are_those_of_the_public_function(run, data):
    """Each tool's median of response time is that of soaklib.latency."""
    frame = soaklib.latency(run, every="5m", quantiles=(0.5,)).filter(tool="serpapi", measure="response")
    assert frame["sufficient"].all()
    found = latencies(data)["serpapi", "response", "p50"]
    assert found["y"] == pytest.approx(frame["latency_ms"].to_list(), rel=1e-5)
    assert found["n"] == frame["n"].to_list()


def latencies(data):
    """(tool, measure, percentile) -> its columns, each once."""
    told = {(one["tool"], one["measure"], one["percentile"]): one["columns"] for one in data["latency"]}
    assert len(told) == len(data["latency"])
    return told


def test_a_percentile_of_too_few_calls_is_left_out_as_figures_leave_it_out(run, data):
    """Each value that is drawn is of windows that soaklib.latency calls sufficient, and each of those is drawn."""
    for every, percentile, quantile in (("5m", "p50", 0.5), ("15m", "p90", 0.9)):
        frame = soaklib.latency(run, every=every, quantiles=(quantile,)).filter(tool="http_fetch", measure="service")
        drawn = [value is not None for value in latencies(data)["http_fetch", "service", percentile]["y"]]
        assert drawn == frame["sufficient"].to_list()
    assert set(latencies(data)["gmail_send", "service", "p99"]["y"]) == {None}


def test_what_windows_have_too_few_calls_for_comes_by_longer_ones(run, data):
    """Five minutes of the sample have some 150 calls, and a 99th percentile takes a thousand."""
    lengths = {(one["tool"], one["percentile"]): one["window"] for one in data["latency"]}
    assert [lengths["all tools", percentile] for percentile in ("p50", "p90", "p99")] == ["5m", "5m", "1h"]
    frame = soaklib.latency(run, every="1h", by=(), quantiles=(0.99,)).filter(measure="service")
    found = latencies(data)["all tools", "service", "p99"]
    assert found["y"] == pytest.approx(frame["latency_ms"].to_list(), rel=1e-5)


def test_a_tool_of_few_calls_has_windows_of_its_own(tmp_path):
    """What is called once where another is called nine times is drawn as well, and takes no detail from the other."""
    engager = {"tool": "gmail_send", "action": "send"}
    times = [dict.fromkeys(("planned_at_us", "sent_at_us", "done_at_us"), n * 1_000_000) for n in range(3600)]
    rows = [outcome(n, **at, **(engager if n % 10 == 0 else {})) for n, at in enumerate(times)]
    written_run(tmp_path, plan=load_plan(), rows=rows)
    with soaklib.open_run(tmp_path) as run:
        told = [one for one in page_data(run)["latency"] if (one["measure"], one["percentile"]) == ("service", "p90")]
    assert {one["tool"]: one["window"] for one in told} == {"all tools": "5m", "gmail_send": "30m", "serpapi": "5m"}
    assert all(None not in one["columns"]["y"] for one in told)


def test_a_percentile_among_calls_that_were_given_up_is_a_bound(tmp_path):
    """Which of a series' values are lower bounds is told, and nothing of a series that has none."""
    lost = {"kind": "timeout", "status": None, "reason": "read_timeout", "done_at_us": 30_000_000}
    rows = [outcome(n, **(lost if n % 10 == 0 else {})) for n in range(1000)]
    written_run(tmp_path, plan=load_plan(), rows=rows)
    with soaklib.open_run(tmp_path) as run:
        told = {
            (one["tool"], one["measure"], one["percentile"]): one["columns"].get("at_least")
            for one in page_data(run)["latency"]
        }
    assert told["all tools", "response", "p50"] is None
    assert told["all tools", "response", "p99"] == told["serpapi", "service", "p99"] == [True]


def test_kinds_add_up_to_the_loads_calls_and_are_nought_where_none_was(run, data):
    """A kind without a call in a window is 0 there, not a line drawn across; all kinds add up to the load."""
    assert sum(sum(columns["n"]) for columns in data["kinds"].values()) == run.outcomes(where="purpose = 'load'").height
    assert {len(columns["n"]) for columns in data["kinds"].values()} == {288}
    assert data["kinds"]["upstream_error"]["n"][0] == 0


def test_the_board_begins_with_what_is_open(data):
    """What failed comes first, then what could not be judged, then the passes."""
    states = [row["state"] for row in data["criteria"]]
    assert states == ["insufficient"] * 2 + ["pass"] * 24 + ["not applicable"] * 10


def test_a_measure_is_said_with_its_unit_and_no_more_digits_than_its_interval_warrants(data):
    """The board says numbers as the paper does; what has no interval has its own digits, what is not known a dash."""
    said = {row["name"]: (row["said"], row["said_interval"]) for row in data["criteria"]}
    assert said["success rate"] == ("99.66\u202f%", "99.55 to 99.75\u202f%")
    assert said["no drift in latency (median)"] == ("\u22120.04\u202fms", "\u22120.21 to 0.14\u202fms")
    assert said["full duration"] == ("24\u202fsoak h", "\u2013")
    assert said["every slot accounted for"] == ("34,560 slots", "\u2013")
    thresholds = {row["name"]: row["threshold"] for row in data["criteria"]}
    assert thresholds["success rate"] == "\u2265 97\u202f%"
    assert said["no drift in errors"][0] == "0 pp"
    assert said["no drift in errors"][1].endswith(" pp")
    assert said["no drift in gateway memory"] == ("\u2013", "\u2013")


def test_calls_that_failed_have_what_finds_them_in_the_gateways_log(run, data):
    """Failures are bounded, the latest first, with their correlation ids; their number is that of all."""
    found = run.outcomes(where="purpose = 'load' and counted and not succeeded")
    assert data["failed"] == found.height
    assert [row["correlation_id"] for row in data["failures"]] == found["correlation_id"].reverse().head(50).to_list()
    slowest = run.sql("select max(response_us) / 1000 as ms from calls where purpose = 'load'").item()
    assert data["slowest"][0]["response_ms"] == pytest.approx(slowest, abs=0.1)


def test_of_calls_that_are_as_slow_the_latest_are_shown(tmp_path):
    """Not those that a thread came by first: the page of a run is the same each time."""
    written_run(tmp_path, plan=load_plan(), rows=[outcome(7 * n % 4001) for n in range(4001)])
    with soaklib.open_run(tmp_path) as run:
        shown = page_data(run)["slowest"]
    assert [row["correlation_id"] for row in shown] == [f"req_{n}" for n in range(4000, 3950, -1)]


@pytest.mark.parametrize("value", [99.99967, 99.9999997, 100.0, 99.9, 0.0001234567])
def test_a_share_that_is_not_whole_is_not_told_as_whole(value):
    """One failure in a window of a million calls is there; no more digits than it takes are."""
    told = _value(value)
    assert (told == 100) is (value == 100)
    assert told == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("first", ["Without", "selected", "the"])
def test_what_a_stranger_says_is_bounded_whatever_it_begins_with(tmp_path, first):
    """Only the queries of criteria are told whole, for they can be asked again."""
    said = Event(0, EventName.CHANGE_FAILED, f"{first} {'x' * 5000}", None)
    written_run(tmp_path, plan=load_plan(), rows=[outcome(0)], events=[said])
    long = {"name": "healthy", "state": "pass", "query": f"select {'1 + ' * 500} 1"}
    with soaklib.open_run(tmp_path) as run:
        [event] = page_data(run, [])["events"]
    assert len(event["detail"]) == 401
    assert _plain(long) == long


def test_the_data_are_strict_json_and_bounded(data):
    """No series has more points than its bound, and there is no infinity in it."""
    json.dumps(data, allow_nan=False)
    lengths = [len(one["columns"]["y"]) for one in data["latency"]] + [len(data["success"]["y"])]
    assert max(lengths) <= MOST_POINTS


def test_a_run_that_goes_on_has_no_verdict_yet(run):
    """While a run goes on, its sentence says how far it is and what succeeded, and judges nothing."""
    seen = page_data(run, [], goes_on=True)
    assert seen["verdict"] == {
        "word": "none",
        "sentence": "Running: H+23:59:58 of H+24; 99.66 % of 43,306 calls succeeded so far "
        "(99.27 to 100.00, whenever it is looked at)",
    }
    assert seen["criteria"] == []


@pytest.mark.parametrize(
    ("states", "word", "sentence"),
    [
        ("", "none", "Not judged yet"),
        ("pp-", "pass", "PASS: all 2 criteria that apply pass"),
        ("pi", "open", "PASS with 1 open question: b; 1 of 1 judged criterion passes"),
        ("pii", "open", "PASS with 2 open questions: b, c; 1 of 1 judged criterion passes"),
        ("p-", "pass", "PASS: the criterion that applies passes"),
        ("f-", "fail", "FAIL: 1 of 1 criterion fails: a"),
        ("pf", "fail", "FAIL: 1 of 2 criteria fails: b"),
        ("ffffi", "fail", "FAIL: 4 of 4 criteria fail: a, b, c and 1 more; 1 open question: e"),
    ],
)
def test_the_verdict_in_a_sentence(states, word, sentence):
    """A failure outweighs what is open, and what is open outweighs the passes."""
    long = {"p": "pass", "f": "fail", "i": "insufficient", "-": "not applicable"}
    rows = [{"name": name, "state": long[state]} for name, state in zip("abcde", states, strict=False)]
    assert (verdict_word(rows), verdict_sentence(rows)) == (word, sentence)


def test_the_board_of_a_run_without_verdicts_is_judged_now(run, monkeypatch):
    """A run that recorded no verdict, cut off as it was, is judged when it is looked at."""
    recorded = run.verdicts()
    monkeypatch.setattr(type(run), "verdicts", lambda _: recorded.clear())
    monkeypatch.setattr("soaklib.analysis.verdicts.criteria.criteria", lambda _: recorded.head(1))
    assert [row["name"] for row in board(run)] == ["full duration"]
