import shutil
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

import soaklib
from soaklib.analysis.verdicts.compare import (
    COMPARISON_SCHEMA,
    MeanDifference,
    compare_tools,
    mean_difference,
    with_spread,
    worst_tools,
)
from soaklib.store.tables import DATABASE_NAME

SAMPLE = Path(__file__).parents[3] / "data" / "sample"


# a busy machine makes a rehearsal noisy, late and short of answers, and then what is compared here is the machine
STEADY = """
    update outcomes set sent_at_us = planned_at_us + 40 where sent_at_us is not null;
    update outcomes set done_at_us = sent_at_us + 1200 + hash(slot * 3 + step) % 700 where done_at_us is not null;
    update outcomes set kind = 'ok', reason = null where purpose = 'load' and kind <> 'denied' and phase <> 'chaos';
    update runner_health set schedule_lag_max_us = 1000, loop_lag_max_us = 1000"""


@pytest.fixture
def changed(rehearsal, tmp_path):
    """Give a function that opens a copy of the rehearsal, as of a quiet machine, with SQL applied to it."""
    opened = []

    def change(statement=""):
        folder = tmp_path / f"changed-{len(opened)}"
        folder.mkdir()
        shutil.copy(rehearsal.folder / DATABASE_NAME, folder)
        with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
            connection.execute(f"{STEADY}; {statement}").fetchall()
        opened.append(soaklib.open_run(folder))
        return opened[-1]

    yield change
    for run in opened:
        run.close()


def states(frame):
    return dict(frame.select("endpoint", "state").iter_rows())


def test_a_run_is_the_same_as_itself(rehearsal):
    """A against A: no endpoint is different, and every difference is zero."""
    with soaklib.open_run(rehearsal.folder) as run:
        frame = soaklib.compare(run, run)
    assert frame.schema == COMPARISON_SCHEMA
    assert "different" not in states(frame).values()
    assert frame["difference"].to_list() == [0.0, 0.0, 0.0]


def test_a_whole_day_on_a_quiet_machine_is_the_same_as_itself():
    """With enough windows the interval of no difference lies within every margin."""
    with soaklib.open_run(SAMPLE) as run:
        assert set(states(soaklib.compare(run, run)).values()) == {"same"}


@pytest.mark.parametrize(
    ("statement", "endpoint", "difference"),
    [
        ("update outcomes set done_at_us = done_at_us + 20000", "latency (median)", 20),
        ("update outcomes set kind = 'timeout' where kind = 'ok' and slot % 20 = 1", "errors", 5),
    ],
)
def test_a_change_beyond_the_margin_is_different(changed, statement, endpoint, difference):
    """A later run that is 20 ms slower, or fails in one call of twenty, is found, with the size of the change."""
    frame = soaklib.compare(changed(), changed(statement))
    assert states(frame)[endpoint] == "different"
    row = frame.filter(endpoint=endpoint).row(0, named=True)
    assert row["difference"] == pytest.approx(difference, rel=0.3)
    assert row["low"] <= row["difference"] <= row["high"]


def test_a_change_within_the_margin_is_the_same(changed):
    """Half a millisecond more, where a millisecond never matters."""
    frame = soaklib.compare(changed(), changed("update outcomes set done_at_us = done_at_us + 500"))
    assert states(frame)["latency (median)"] == "same"
    assert frame["difference"][0] == pytest.approx(0.5, abs=1e-6)


def test_a_quantile_is_that_of_the_calls_compared(rehearsal):
    """Not a mean of the windows' quantiles, which lies far from it where some minutes are slower than others."""
    with soaklib.open_run(rehearsal.folder) as run:
        [(start_s, end_s)] = soaklib.planned_windows(run).select("start_s", "end_s").rows()
        minute = "floor(soak_s / 60) * 60"
        found = soaklib.compare(run, run).select("a", "tool").rows()
        for level, (value, tool) in zip((0.5, 0.99), found, strict=False):
            assert value == pytest.approx(
                run.sql(
                    f"""select quantile_disc(service_us, {level}) / 1000 from valid_calls
                    where purpose = 'load' and kind = 'ok' and tool = '{tool}'
                      and not ({minute} < {end_s} and {minute} + 60 > {start_s})"""
                ).item()
            )


def test_slow_minutes_weigh_as_their_calls_do(changed):
    """One minute of ten a second slower: the p99 of all calls is a second, the mean of the minutes' a tenth of one."""
    run = changed(
        "update outcomes set done_at_us = sent_at_us + 1000000 + hash(slot) % 90000"
        " where kind = 'ok' and slot // 60 % 10 = 1"
    )
    tail = soaklib.compare(run, run).filter(endpoint="latency (p99)").row(0, named=True)
    assert tail["a"] == pytest.approx(1080, rel=0.05)
    assert tail["high"] - tail["low"] > 0


@pytest.mark.parametrize("hours", [2, 12, 168])
def test_chaos_is_left_out_whatever_the_length_of_a_window(changed, hours):
    """A window that reaches into chaos is not compared, be it a minute long or an hour."""
    run = changed(f"update run set hours = {hours}")
    errors = soaklib.compare(run, run).filter(endpoint="errors").row(0, named=True)
    assert errors["a"] == 0.0


@pytest.mark.parametrize("windows", [1, 2, 3])
def test_calls_that_lie_in_one_or_two_windows_are_inconclusive(changed, windows):
    """Whatever they are: a run that broke off after minutes has no windows to judge by."""
    minute_us = 60_000_000 / 240
    run = changed(f"delete from outcomes where planned_at_us >= {windows * minute_us}")
    assert set(states(soaklib.compare(run, run)).values()) == {"inconclusive"}


def test_each_tool_has_a_row_of_its_own(rehearsal):
    """By endpoint and tool, the worst of which is the endpoint's."""
    with soaklib.open_run(rehearsal.folder) as run:
        found = compare_tools(run, run)
        tools = sorted(run.sql("select distinct tool from outcomes where purpose = 'load'")["tool"])
        worst = soaklib.compare(run, run)
    assert found.schema == COMPARISON_SCHEMA
    assert found.group_by("endpoint", maintain_order=True).agg("tool")["tool"].to_list() == [tools] * 3
    assert worst_tools(found).equals(worst)


@pytest.mark.parametrize(
    ("told", "tool"),
    [
        ([("fast", -10.0, "different"), ("slow", 6.0, "different")], "slow"),
        ([("fast", -10.0, "different"), ("open", 9.0, "inconclusive")], "fast"),
        ([("one", -1.5, "same"), ("another", 1.0, "same")], "another"),
    ],
)
def test_no_gain_hides_what_another_tool_lost(told, tool):
    """The worst tool is one that got worse, whatever another gained; then the one that lost most, or gained least."""
    rows = [
        ("latency (median)", "ms", 20.0, 20.0 + size, size, size - 0.5, size + 0.5, 2.0, 99, 99, state, name)
        for name, size, state in told
    ]
    assert worst_tools(pl.DataFrame(rows, schema=COMPARISON_SCHEMA, orient="row"))["tool"].to_list() == [tool]


@pytest.mark.parametrize(("size", "state"), [(0.8, "inconclusive"), (1.5, "different"), (-1.5, "different")])
def test_a_certain_change_is_different_where_it_lies_beyond_the_margin(rehearsal, monkeypatch, size, state):
    """Of a margin of 2 ms, .8 of it most likely does not matter, although the interval reaches beyond it."""
    found = MeanDifference(2 * size, 2 * size - 1, 2 * size + 1, 0.001)
    monkeypatch.setattr("soaklib.analysis.verdicts.compare.mean_difference", lambda *_: found)
    monkeypatch.setattr("soaklib.analysis.verdicts.endpoints.Endpoint.margin", lambda *_: 2.0)
    with soaklib.open_run(rehearsal.folder) as run:
        assert states(soaklib.compare(run, run))["latency (median)"] == state


def test_failures_in_one_window_of_a_day_have_an_interval():
    """Most resamples of a day with one failure have none at all: they are not infinitely certain."""
    quiet, once = np.zeros(143), np.zeros(143)
    once[40] = 2.0
    found = mean_difference(quiet, once)
    assert found.difference == pytest.approx(2 / 143)
    assert found.high - found.low < 0.5
    assert found.p_value > 0.1


def test_rare_failures_alike_are_seldom_different_and_covered():
    """Of two days with a failure in one window of 50, the 90 % interval covers no difference in nine of ten."""
    rng = np.random.default_rng(5)
    found = [mean_difference(*(rng.random((2, 144)) < 0.02).astype(np.float64)) for _ in range(100)]
    assert sum(one.low <= 0 <= one.high for one in found) >= 88
    assert sum(one.p_value <= 0.05 for one in found) <= 8


def test_too_few_windows_are_inconclusive(changed):
    """A run of which ten minutes are left says nothing."""
    frame = soaklib.compare(changed(), changed("delete from outcomes where slot > 600"))
    assert set(states(frame).values()) == {"inconclusive"}
    assert frame["low"].to_list() == [None, None, None]


def test_the_spread_from_run_to_run_is_no_difference():
    """What lies within what kept good runs differ by themselves is not different; what lies far beyond it is."""
    kept = np.array([10.0, 10.6, 9.5, 10.2])
    near, far = (MeanDifference(size, size - 0.1, size + 0.1, 0.001) for size in (0.8, 5.0))
    assert with_spread(near, kept).p_value > 0.2
    assert with_spread(near, kept).low < 0 < with_spread(near, kept).high
    assert with_spread(far, kept).p_value < 0.01
    assert with_spread(near, kept[:2]) == near


def test_what_creeps_from_run_to_run_is_no_scatter():
    """Five runs on a line, each worse than the one before, do not hide a step as large as that; times may be uneven."""
    step = MeanDifference(2.0, 1.9, 2.1, 0.001)
    at = np.array([0.0, 1.0, 2.0, 3.0, 8.0])
    noise = np.array([0.05, -0.05, 0.0, 0.05, -0.05])
    assert with_spread(step, 10 + 2 * at + noise, at).low > 0
    assert with_spread(step, 10 + 2 * np.arange(5) + noise).low > 0
    assert with_spread(step, 10 + 2 * at[:4] + noise[:4], at[:4]).low < 0  # four tell no line
    assert with_spread(step, 10 + 2 * at + noise, np.zeros(5)).low < 0


def test_kept_runs_widen_what_two_runs_differ(changed):
    """By their own spread, from three of them on; runs that are compared count where they are among them."""
    later = (
        "",
        "update outcomes set done_at_us = done_at_us + 3000",
        "update outcomes set done_at_us = sent_at_us + 900",
    )
    runs = [changed(statement) for statement in later]

    def median(*, kept):
        return soaklib.compare(runs[0], runs[1], kept=kept).row(0, named=True)

    alone, two, three = median(kept=()), median(kept=runs[:2]), median(kept=runs)
    assert two == alone
    assert alone["low"] > 0 > three["low"]
    means = [soaklib.compare(runs[0], run).row(0, named=True)["b"] for run in runs]
    assert three["high"] - three["difference"] == pytest.approx(2.92 * 2**0.5 * np.std(means, ddof=1), rel=0.01)


def test_false_alarms_between_runs_that_differ_by_themselves_are_rare():
    """With a spread between runs of half that of a window, one pair of 20 is different with kept runs, most without."""
    rng = np.random.default_rng(4)
    alarms = {True: 0, False: 0}
    for _ in range(200):
        runs = 0.5 * rng.standard_normal(7)
        difference = float(runs[1] - runs[0])
        found = MeanDifference(difference, difference - 0.2, difference + 0.2, float(abs(difference) < 0.24))
        for is_kept in alarms:
            alarms[is_kept] += with_spread(found, runs[2:] if is_kept else runs[:0]).p_value <= 0.05
    assert alarms[True] / 200 <= 0.07
    assert alarms[False] / 200 >= 0.5


def test_a_tool_that_fails_makes_no_other_faster(changed):
    """Where every slow tool's call fails the median of all falls, and that of no tool does."""
    slow = "update outcomes set done_at_us = sent_at_us + 200000 + hash(slot) % 9000 where tool = 'openai'"
    failing = f"{slow}; update outcomes set kind = 'timeout' where tool = 'openai' and slot % 4 > 0"
    before, after = changed(slow), changed(failing)
    assert states(soaklib.compare(before, after))["latency (median)"] == "same"
