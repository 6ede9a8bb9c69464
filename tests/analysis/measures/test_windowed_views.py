"""The frames behind the charts of latency's spread, the generator's own lag and the gateway's counters."""

from types import SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from soak_hour import write_soak_hour

import soaklib
from soaklib.analysis.measures.budget import error_budget
from soaklib.analysis.measures.generator import measurement_validity
from soaklib.analysis.measures.latency import latency_bins
from soaklib.analysis.measures.meanings import counted_as
from soaklib.analysis.measures.metrics import gauge, gauge_windows, generator_memory, in_soak_time, metered
from soaklib.analysis.measures.windows import every_for
from soaklib.analysis.verdicts.endpoints import ENDPOINTS, endpoint_trends, generator_lag_ms, series_level
from soaklib.errors import SettingsError
from soaklib.targets.base import Meaning, MetricMap, Series


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("r1")
    write_soak_hour(folder)
    with soaklib.open_run(folder) as opened:
        yield opened


def test_every_answered_call_is_in_one_bin(run):
    """Bins are of equal width on a log scale, hold every call of the load once, and each its own latencies."""
    bins = latency_bins(run, "all", bins_per_decade=5, whom="all")
    assert bins["n"].sum() == 3600
    assert (bins["high_ms"] / bins["low_ms"]).to_list() == pytest.approx([10**0.2] * bins.height)
    for row in bins.iter_rows(named=True):
        inside = run.sql(
            "select count(*) from calls where purpose = 'load' and service_us / 1000 >= $low_ms * (1 - 1e-12) "
            "and service_us / 1000 < $high_ms * (1 - 1e-12)",
            {"low_ms": row["low_ms"], "high_ms": row["high_ms"]},
        ).item()
        assert row["n"] == inside


def test_bins_can_be_told_apart_by_tool(run):
    """By tool there are the same calls, each tool's in bins of its own."""
    whole = latency_bins(run, "all").group_by("low_ms").agg(pl.col("n").sum()).sort("low_ms")
    by_tool = latency_bins(run, "all", by=("tool",))
    assert set(by_tool.columns) == {"soak_s", "end_s", "tool", "low_ms", "high_ms", "censored", "n"}
    assert by_tool["tool"].n_unique() > 1
    assert by_tool.group_by("low_ms").agg(pl.col("n").sum()).sort("low_ms").equals(whole)
    assert latency_bins(run, "all", by="tool").equals(by_tool)
    with pytest.raises(SettingsError, match=r"did you mean tool\?"):
        latency_bins(run, "all", by="tol")


def test_response_time_counts_from_the_planned_time(run):
    """Response time, which includes the 40 us that a call waited, lies higher than service time."""
    service, response = (
        latency_bins(run, "all", measure=measure, bins_per_decade=100) for measure in ("service", "response")
    )
    assert service["low_ms"].min() < 0.9 <= service["high_ms"].min()
    assert response["low_ms"].min() < 0.94 <= response["high_ms"].min()


def test_refusals_do_not_make_a_gateway_look_fast(run):
    """40 calls of 20 ms and 60 refusals of half a millisecond have a median of 20 ms, in figures as in verdicts."""
    calls = run.outcomes().filter(pl.col("purpose") == "load").sort("slot", "step").head(100)
    is_ok = pl.int_range(pl.len()) < 40
    calls = calls.with_columns(
        tool=pl.lit("openai"), kind=pl.when(is_ok).then(pl.lit("ok")).otherwise(pl.lit("rate_limited")),
        done_at_us=pl.col("sent_at_us") + pl.when(is_ok).then(20_000).otherwise(500),
    )  # fmt: skip

    def median(**how):
        found = soaklib.latency(calls, "all", quantiles=[0.5], **how).filter(measure="service")
        return found.select("n", "latency_ms").rows()

    assert median() == [(40, 20.0)]
    assert median(whom="all") == [(100, 0.5)]
    assert sorted(median(by="kind")) == [(40, 20.0), (60, 0.5)]
    assert latency_bins(calls, "all")["n"].to_list() == [40]
    with pytest.raises(SettingsError, match="whom='ok' is unknown; pass 'served' or 'all'"):
        soaklib.latency(calls, whom="ok")


def test_calls_that_were_given_up_are_told_apart(run):
    """A timeout is no latency: it has rows of its own."""
    calls = run.outcomes().with_columns(
        kind=pl.when((pl.col("slot") == 0) & (pl.col("purpose") == "load")).then(pl.lit("timeout")).otherwise("kind")
    )
    bins = latency_bins(calls, "all", whom="all")
    assert bins.filter(pl.col("censored"))["n"].to_list() == [1]
    assert bins.filter(~pl.col("censored"))["n"].sum() == 3599


@pytest.mark.parametrize("bad", [{"measure": "wall"}, {"bins_per_decade": 0}])
def test_bins_that_cannot_be_are_refused(run, bad):
    """An unknown measure and no bins at all are refused."""
    with pytest.raises(SettingsError, match="pass"):
        latency_bins(run, **bad)


def test_the_generators_seconds_fall_into_their_windows(run):
    """Each wall second is 720 soak seconds here, and belongs to the window in which it ended."""
    frame = measurement_validity(run, "30m")
    assert frame["soak_s"].to_list() == [0.0, 1800.0]
    assert frame["seconds"].to_list() == [2, 3]
    assert frame.row(0, named=True) == {
        "soak_s": 0.0, "end_s": 1800.0, "planned_per_s": 720.0, "sent_per_s": 720.0, "schedule_lag_max_ms": 3.0,
        "loop_lag_max_ms": 1.0, "seconds": 2,
    }  # fmt: skip


def test_a_counter_is_summed_by_label_and_window(run):
    """An increase is spread over the time between its scrapes, and all add up to last less first value."""
    hits = metered(run, "gateway_cache_hits_total", "30m")
    assert hits.filter(tool="openai").select("soak_s", "n").rows() == [
        (0.0, pytest.approx(59.0)), (1800.0, pytest.approx(59.0)),
    ]  # fmt: skip
    finely = metered(run, "gateway_cache_hits_total", "15s").filter(tool="openai")
    # scrapes are a soak-minute apart, from H+0:00:30 on, and each finds 2 hits
    assert finely["soak_s"].to_list() == [30.0 + 15 * number for number in range(4 * 59)]
    assert finely["n"].to_list() == pytest.approx([0.5] * (4 * 59), abs=1e-3)
    assert metered(run, "gateway_cache_hits_total", "all")["n"].to_list() == [pytest.approx(118.0)] * 4


def test_a_counter_is_found_by_its_meaning(run, monkeypatch):
    """The counter of a meaning is the one that the kind of gateway names for it, with the labels that it names."""
    expected = metered(run, "gateway_cache_hits_total", "30m")
    assert_frame_equal(counted_as(run, "cache hits", "30m"), expected)
    with pytest.raises(SettingsError, match="no meaning 'cache hit': did you mean cache hits"):
        counted_as(run, "cache hit")
    map_of_another = MetricMap(
        meanings={Meaning.DENIALS: Series("gateway_cache_hits_total", {"tool": "openai"})}  # as LiteLLM's are found
    )
    another = SimpleNamespace(metrics=map_of_another)
    monkeypatch.setattr("soaklib.analysis.measures.meanings.load_target", lambda _: another)
    assert counted_as(run, "denials", "all", by="kind").select("kind", "n").rows() == [("", pytest.approx(118.0))]
    expected = metered(run, "gateway_cache_hits_total", "all").filter(pl.col("tool").is_in(["openai", "http_fetch"]))
    several = Series("gateway_cache_hits_total", {"tool": ("openai", "http_fetch", "none")})
    another.metrics = MetricMap(meanings={Meaning.DENIALS: several})
    assert counted_as(run, "denials", "all", by="kind")["n"].to_list() == [pytest.approx(expected["n"].sum())]
    assert expected.height == 2
    none = counted_as(run, "retries", "30m")
    assert none.is_empty()
    assert none.columns == expected.columns


def test_a_counter_whose_name_says_total_twice_is_found(run):
    """The real gateway's names are found by their documented ones."""
    assert metered(run, "gateway_retries_total", "all")["n"].to_list() == [0.0] * 4


def test_a_counter_that_is_not_exposed_has_no_rows(run):
    """A gateway without the counter gives an empty frame, not zeros."""
    assert metered(run, "gateway_nothing_total").is_empty()


def test_a_gauge_adds_up_its_series(run):
    """The four tools' breaker states, 0 or 2 each, add up at every scrape."""
    states = gauge(run, "gateway_breaker_state")
    assert states.columns == ["soak_s", "at", "value"]
    assert states.filter(pl.col("value") > 0)["soak_s"].to_list() == pytest.approx([1830.0, 1890.0], abs=1e-3)
    assert gauge(run, "no_such_gauge").is_empty()


def test_a_gauge_over_windows_has_median_and_range(run):
    """A window has the median of its readings, and the least and the largest."""
    whole = gauge(run, "gateway_breaker_state")
    [window] = gauge_windows(run, "gateway_breaker_state", "1d").to_dicts()
    assert window == {
        "soak_s": 0.0, "end_s": 86_400.0, "value": 0.0, "low": 0.0, "high": whole["value"].max(),
        "n": whole.height,
    }  # fmt: skip
    memory = generator_memory(run, "30m")
    assert memory["n"].sum() == run.health().height
    assert memory["low"].min() == run.health()["rss_bytes"].min()


@pytest.mark.parametrize(
    ("hours", "rps", "settings", "every"),
    [
        (24.0, 1.0, {}, "5m"), (24.0, 10.0, {"most": 100}, "15m"), (0.5, 1.0, {}, "30s"), (0.05, 5.0, {}, "2s"),
        (168.0, 1.0, {}, "1h"), (0.5, 1.0, {"most": 100, "least": 6, "calls": 300}, "5m"),
        (0.5, 1.0, {"at_least_s": 360.0}, "10m"), (24.0 * 9999, 1.0, {}, "1d"),
    ],
)  # fmt: skip
def test_a_window_fits_the_length_of_the_run(hours, rps, settings, every):
    """From three minutes to a week a run has some 60 to 300 windows, of round lengths, with calls in them."""
    run = SimpleNamespace(start_s=0.0, end_s=hours * 3600, info=SimpleNamespace(rps=rps))
    assert every_for(run, **settings) == every


def test_the_trends_of_an_endpoint_are_those_of_its_series(run):
    """Each tool's trend is that of its own series with the criterion's margin, outside planned and invalid windows."""
    series, trends = endpoint_trends(run, ENDPOINTS[0])
    assert list(trends) == sorted(trends) == series["tool"].unique().sort().to_list()
    mask = in_soak_time(soaklib.planned_windows(run))
    part = series.filter(tool="openai")
    margin = ENDPOINTS[0].margin(run.thresholds, series_level(part), generator_lag_ms(run, ENDPOINTS[0]))
    assert trends["openai"] == soaklib.drift(part, margin=margin, mask=mask)


def test_soak_time_takes_the_place_of_wall_time():
    """An hour of the new `at` is a soak-hour."""
    frame = in_soak_time(pl.DataFrame({"soak_s": [0.0, 3600.0], "at": [None, None]}))
    assert (frame["at"][1] - frame["at"][0]).total_seconds() == 3600.0
    with pytest.raises(SettingsError, match="neither soak_s nor"):
        in_soak_time(frame.drop("soak_s"))


def test_windows_in_soak_time_are_a_mask():
    """What starts and ends in soak seconds starts and ends on the clock of a series in soak time."""
    series = in_soak_time(pl.DataFrame({"soak_s": [60.0, 90.0]}))
    mask = in_soak_time(pl.DataFrame({"start_s": [60.0], "end_s": [90.0]}))
    assert mask.select("start", "end").row(0) == tuple(series["at"])


def test_the_budget_is_used_by_the_errors_so_far(run):
    """19 failures of 3,540 calls use 19 / (3 % of 3,540) of the budget, all of it by the end of chaos."""
    budget = error_budget(run)
    used = budget.unique("soak_s", keep="first", maintain_order=True)
    assert used.filter(pl.col("soak_s") == 1500.0)["used_ratio"].item() == 0.0
    assert used["used_ratio"][-1] == pytest.approx(19 / (0.03 * 3540))
    assert budget["threshold"].unique().to_list() == [1.0]  # of an hour's budget; 30 days' are those of the pager


def test_planned_windows_can_be_left_out_of_the_budget(run):
    """All 19 failures lie in chaos: without the rows that it reaches into nothing burns, and fewer calls count."""
    budget = error_budget(run, leave_out=soaklib.planned_windows(run))
    assert budget["used_ratio"].max() == 0.0
    assert budget["long_rate"].drop_nulls().max() == 0.0
    aside = pl.DataFrame({"start_s": [0.0], "end_s": [600.0]})  # the share of the rest: 19 failures of fewer calls
    used = error_budget(run, leave_out=aside)["used_ratio"].max()
    assert used == pytest.approx(19 / (0.03 * (3540 - 590)), rel=0.01)
    with pytest.raises(SettingsError, match="pass"):
        error_budget(run, leave_out=pl.DataFrame({"begin": [1.0]}))


def test_a_run_that_may_not_fail_has_no_budget(run):
    """With an objective of 1 the first failure uses infinitely much; before it nothing is used."""
    used = error_budget(run, objective=1.0).unique("soak_s", maintain_order=True)["used_ratio"]
    assert (used[0], used[-1]) == (0.0, float("inf"))
    assert not used.is_nan().any()


def test_burn_windows_are_of_soak_time(run):
    """The hour's burn rate at the end of a soak-hour is that of the whole hour, whatever the speed."""
    last = error_budget(run).filter(pl.col("window") == "60m/5m").row(-1, named=True)
    assert last["long_rate"] == pytest.approx(19 / 3540 / 0.03)
