"""Calls counted in cells of soak time: what is counted of them is what is counted of the calls themselves."""

import random
from contextlib import closing
from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from stored_rows import MANIFEST, outcome

import soaklib
from soaklib.analysis.measures import windows
from soaklib.analysis.measures.rates import success_by_phase
from soaklib.analysis.measures.windows import OF_CALLS, OF_PARTIALS, counting
from soaklib.analysis.verdicts import endpoints
from soaklib.analysis.verdicts.criteria.traffic import success_outside, success_overall
from soaklib.analysis.verdicts.endpoints import ENDPOINTS, endpoint_query, endpoint_series, generator_lag_ms
from soaklib.analysis.verdicts.summary import summary
from soaklib.plan.model import load_plan
from soaklib.records import Event, HealthTick, RunStatus
from soaklib.store.partials import CELL_S
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import RunWriter, segment_row

START_US = 300_000
GAP_US = (40_000_000, 55_000_000)
END_US = 120_000_000
KINDS = ("ok",) * 6 + ("denied", "timeout", "rate_limited", "skipped", "upstream_error", "fast_fail")
TOOLS = ("serpapi", "openai")


def made_calls(speed):
    """Calls of all sorts at any time, and three around each edge of a cell, to the microsecond."""
    draw = random.Random(7)  # noqa: S311 - of no secret
    edges = [START_US + round(number * CELL_S / speed * 1e6) + off for number in range(200) for off in (-1, 0, 1)]
    times = [us for us in edges if START_US <= us < END_US] + [draw.randrange(START_US, END_US) for _ in range(1200)]
    for slot, planned_us in enumerate(us for us in times if not GAP_US[0] <= us < GAP_US[1]):
        kind = draw.choice(KINDS)
        tried = kind != "skipped"
        yield outcome(
            slot, kind=kind, planned_at_us=planned_us, sent_at_us=planned_us + draw.randrange(900) if tried else None,
            done_at_us=planned_us + draw.randrange(1_000, 4_000_000) if tried and draw.random() < 0.99 else None,
            reason={"denied": draw.choice(["quota", "scope"]), "upstream_error": "upstream"}.get(kind),
            expected=draw.choice(["allow", "allow", "either", "deny"]), attempts=int(tried), tool=draw.choice(TOOLS),
            purpose=draw.choice(["load"] * 8 + ["probe", "trial"]), role=draw.choice(["scraper", "enricher"]),
            phase=draw.choice(["baseline", "chaos"]), lane=draw.choice([None, 0, 1]), identity=f"a-{slot % 3}",
        )  # fmt: skip


def write(folder, *, speed, late=True, calls=made_calls):
    """Write a run of two segments, whose lanes were late at other times, with a limit that is known."""
    segments = [
        Segment(segment=0, started_at_us=START_US, soak_started_s=0.0, ended_at_us=GAP_US[0],
                soak_ended_s=(GAP_US[0] - START_US) / 1e6 * speed),
        Segment(segment=1, started_at_us=GAP_US[1], soak_started_s=(GAP_US[0] - START_US) / 1e6 * speed,
                ended_at_us=END_US, soak_ended_s=(END_US - START_US - GAP_US[1] + GAP_US[0]) / 1e6 * speed),
    ]  # fmt: skip
    late_us = {None: 12_300_000, 0: 70_300_000, 1: 100_300_000} if late else {}
    ticks = [
        HealthTick(us, 1, 1, 1, 0, 0, 400_000 if us == late_us.get(lane) else 0, 0, 0, 0, 0.0, 0, 0, 0, lane=lane)
        for us in range(START_US + 1_000_000, END_US, 1_000_000)
        for lane in (None, 0, 1)
    ]
    with closing(RunWriter(folder / DATABASE_NAME)) as writer:
        writer.begin_run(replace(MANIFEST, speed=speed, plan=load_plan().model_dump_json()))
        limit = Event(1, "RATE_LIMITED", "calls are", None, data='{"calls": 40, "window_s": 10}')
        rows = {"outcomes": [tuple(row) for row in calls(speed)], "runner_health": [tuple(tick) for tick in ticks]}
        writer.append(
            {
                "segments": [segment_row(segment, runner_pid=1) for segment in segments],
                "events": [tuple(limit)],
                **{table: found for table, found in rows.items() if found},
            }
        )
        writer.end_run(RunStatus.COMPLETED, completed_utc=MANIFEST.anchor_utc, duration_s=600.0)
    return folder


@pytest.fixture(scope="module", params=[720.0, 1.0, 7.3], ids=["speed 720", "speed 1", "speed 7.3"])
def run(request, tmp_path_factory):
    with soaklib.open_run(write(tmp_path_factory.mktemp("r"), speed=request.param)) as opened:
        yield opened


@pytest.fixture(scope="module")
def stretch(run):
    """A stretch of the run; all that is asked of it once is asked of one."""
    return run.between(run.end_s * 0.0003, run.end_s * 0.0011)


COUNTED = {
    "success rate": soaklib.success_rate,
    "by tool and phase": lambda source, every: soaklib.success_rate(source, every, by=("tool", "phase")),
    "denials": soaklib.denials,
    "denials by role": lambda source, every: soaklib.denials(source, every, by="role"),
    "outcomes": lambda source, every: soaklib.outcome_counts(source, every, by=("expected", "reason", "action")),
    "usage": soaklib.tool_usage,
    "fast fails": soaklib.fast_fails,
    "latency": lambda source, every: soaklib.latency(source, every, by=("tool", "kind")),
}


@pytest.mark.parametrize("name", COUNTED)
def test_counts_of_partials_are_those_of_the_calls(run, stretch, monkeypatch, name):
    """To the last digit, of a whole run and of a stretch: with gaps, lanes, trials, limits and late windows."""
    for source, every in [(run, "all"), (run, "1m"), (run, "7m"), (run, "1h"), (stretch, "all"), (stretch, "15m")]:
        assert counting(source, every) is OF_PARTIALS
        of_partials = COUNTED[name](source, every)
        with monkeypatch.context() as patch:
            patch.setattr(windows, "has_whole_cells", lambda _: False)
            assert counting(source, every) is OF_CALLS
            of_calls = COUNTED[name](source, every)
        assert_frame_equal(of_partials, of_calls, check_exact=True)
        assert of_calls.height


def test_what_is_not_made_of_whole_cells_asks_the_calls(run):
    """Another length, another column, or a frame: none of these is told by partials."""
    assert counting(run, "30s") is counting(run, "90s") is counting(run, "1.01m") is OF_CALLS
    assert counting(run, "1m", ["identity"]) is OF_CALLS
    assert counting(run.outcomes(), "1m") is OF_CALLS


def test_partials_hold_each_call_once(run):
    """They add up to the calls, by whether these count, succeeded, were sent and are valid; trials are none."""
    told = "succeeded, counted, {sent}, {valid}, {n}::BIGINT as n from {rows} group by all order by all"
    of_partials = told.format(sent="is_sent", valid="is_valid", n="sum(n)", rows="call_partials")
    of_calls = told.format(
        sent="sent_at_us is not null as is_sent", valid="is_valid", n="count(*)", rows="judged_calls"
    )
    assert_frame_equal(run.sql(f"select {of_partials}"), run.sql(f"select {of_calls}"))
    valid = run.sql("select sum(n) filter (is_valid), sum(n) from call_partials").row(0)
    assert 0 < valid[0] < valid[1]
    assert valid[0] == run.sql("select count(*) from valid_calls").item()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
@pytest.mark.parametrize("chunk", [4_000_000, 100], ids=["one chunk", "many chunks"])
def test_an_endpoints_series_is_that_of_its_query(run, monkeypatch, endpoint, chunk):
    """What a criterion is judged on is what the query that it shows gives, and so is the generator's lag."""
    monkeypatch.setattr(endpoints, "_CHUNK_CALLS", chunk)
    series = endpoint_series(run, endpoint).select("tool", "soak_s", "n", "value")
    assert_frame_equal(series, run.sql(endpoint_query(run, endpoint)), check_exact=True)
    assert series["value"].drop_nulls().len() > 1
    if endpoint.quantile is not None:
        lag = f"quantile_disc(sent_at_us - planned_at_us, {endpoint.quantile}) / 1000"
        query = f"select {lag} from valid_calls where purpose = 'load' and attempts > 0"
        assert generator_lag_ms(run, endpoint) == run.sql(query).item() > 0


@pytest.mark.parametrize("criterion", [success_overall, success_outside])
@pytest.mark.parametrize("late", [True, False], ids=["late", "on time"])
def test_a_success_rate_is_that_of_its_query(tmp_path, criterion, late):
    """The calls behind a verdict are those of the query that it shows, and the rest is told of those that it leaves."""
    with soaklib.open_run(write(tmp_path, speed=720.0, late=late)) as run:
        verdict = criterion(run)
        minutes = run.sql(verdict.query)
        n, limited = run.sql(
            "select count(*) filter (counted), count(*) filter (kind = 'rate_limited' and expected = 'either')"
            " from calls where purpose = 'load'"
        ).row(0)
    assert verdict.n == minutes["n"].sum() > 0
    assert verdict.measure == pytest.approx(100 * minutes["successes"].sum() / minutes["n"].sum())
    assert f"{limited:,} more were refused" in verdict.detail
    assert (verdict.n < n) is late
    assert ("in which the generator was late" in verdict.detail) is late


def test_a_summary_and_phases_count_all_calls(run):
    """What is told in one number is the sum over the calls."""
    n, counted, won = run.sql(
        "select count(*), count(*) filter (counted), count(*) filter (counted and succeeded) from calls"
    ).row(0)
    told = summary(run, [])
    assert told["totals"]["total"] == sum(told["kinds"].values()) == n
    assert told["success_rate"] == pytest.approx(100 * won / counted, abs=0.01)
    phases = success_by_phase(run)
    firsts = run.sql("select phase, min(soak_s) as soak_s from calls where purpose = 'load' group by 1 order by 2")
    assert_frame_equal(phases.select("phase", "soak_s"), firsts, check_exact=True)
    assert phases["n"].sum() == counted


def test_a_run_without_calls_has_no_partials(tmp_path):
    """Nothing is counted then, and nothing fails."""
    with soaklib.open_run(write(tmp_path, speed=720.0, calls=lambda _: [])) as run:
        assert run.sql("select count(*) from call_partials").item() == 0
        assert soaklib.success_rate(run, "all")["n"].to_list() == [0]
        assert soaklib.denials(run).height == soaklib.outcome_counts(run).height == 0
        assert all(endpoint_series(run, endpoint).height == 0 for endpoint in ENDPOINTS)
        assert generator_lag_ms(run, ENDPOINTS[0]) == 0.0
        assert summary(run, [])["totals"]["total"] == 0


def test_what_was_asked_once_is_not_asked_again(run):
    """An answer is kept by its query and its values, and whoever changes the frame that was given changes no other."""
    first = run.asked("select random() as drawn, $value as value", {"value": 1})
    drawn = first["drawn"][0]
    first[0, "drawn"] = 2.0
    assert run.asked("select random() as drawn, $value as value", {"value": 1})["drawn"][0] == drawn
    assert run.asked("select random() as drawn, $value as value", {"value": 2})["drawn"][0] != drawn
    n = "select count(*) as n from calls"
    stretch = run.between(0, run.end_s * 0.0005)
    assert 0 < stretch.asked(n)["n"][0] < run.asked(n)["n"][0]


def test_a_frame_is_counted_as_its_run_is(run):
    """A run's outcomes as a frame, which have no partials, give the same counts."""
    calls = run.outcomes()
    assert soaklib.tool_usage(calls, "1h").equals(soaklib.tool_usage(run, "1h"))
    assert soaklib.fast_fails(calls, "15m").equals(soaklib.fast_fails(run, "15m"))
    assert calls.filter(pl.col("purpose") == "trial").height > 0
