"""Scraped metrics by the one door, and windows that can be joined."""

from pathlib import Path

import polars as pl
import pytest
from known_files import changed_copy

import soaklib
from soaklib.errors import SettingsError

SAMPLE = Path(__file__).parents[3] / "data" / "sample"
HITS = "gateway_cache_hits_total"


@pytest.fixture(scope="module")
def run():
    with soaklib.open_run(SAMPLE) as run:
        yield run


def test_windows_of_latency_and_of_a_gauge_can_be_joined(run):
    """Both bear start and end of their windows, the same to the last bit."""
    for every in ("433.3s", "7m", "15m"):
        latency = soaklib.latency(run, every, by=(), quantiles=[0.5]).filter(measure="service")
        memory = run.metric("health_memory_used_bytes", every=every)
        joined = latency.join(memory, on=["soak_s", "end_s"])
        assert joined.height == memory.height >= 96
        assert set(memory["soak_s"][1:]) <= set(memory["end_s"])


@pytest.mark.parametrize(
    "windows",
    [
        lambda run: soaklib.success_rate(run, "30m", by="tool"), lambda run: soaklib.denials(run, "30m", by="role"),
        lambda run: soaklib.outcome_counts(run, "30m", by="role"), lambda run: soaklib.tool_usage(run, "30m"),
        lambda run: soaklib.latency(run, "30m"), lambda run: soaklib.latency_bins(run, "30m"),
        lambda run: soaklib.fast_fails(run, "30m"), lambda run: soaklib.metered(run, HITS, "30m"),
        lambda run: soaklib.measurement_validity(run, "30m"), lambda run: soaklib.error_budget(run, "5m"),
        lambda run: run.metric("health_memory_used_bytes", every="30m"),
    ],
)  # fmt: skip
def test_every_windowed_frame_says_when_its_windows_end(run, windows):
    """Beside the start, in the second column; a window's end is the next one's start."""
    frame = windows(run)
    assert frame.columns[:2] == ["soak_s", "end_s"]
    lengths = (frame["end_s"] - frame["soak_s"]).round(6).unique().to_list()
    assert lengths in ([1800.0], [300.0])


def test_rates_are_told_apart_by_columns(run):
    """The counts of the groups add up to those of all; each group has every window."""
    whole = soaklib.success_rate(run, "1h")
    by_tool = soaklib.success_rate(run, "1h", by="tool")
    assert by_tool.columns[2] == "tool"
    assert by_tool.group_by("tool").len()["len"].to_list() == [24] * 4
    summed = by_tool.group_by("soak_s", maintain_order=True).agg(pl.col("n", "successes").sum())
    assert summed.select("n", "successes").rows() == whole.select("n", "successes").rows()
    denied = soaklib.denials(run, "all", by=["tool", "role"])
    assert denied.filter(reason="quota").select("tool", "role", "n", "calls").rows() == [
        ("openai", "enricher", *run.sql(
            "select count(*) filter (kind = 'denied'), count(*) from calls where tool = 'openai' and purpose = 'load'"
        ).row(0))
    ]  # fmt: skip
    counts = soaklib.outcome_counts(run, "all", by="phase")
    assert counts["n"].sum() == run.outcomes(["slot"]).height
    assert counts.columns == ["soak_s", "end_s", "phase", "purpose", "kind", "n"]


@pytest.mark.parametrize("function", [soaklib.success_rate, soaklib.denials, soaklib.outcome_counts, soaklib.latency])
def test_an_unknown_column_is_told_the_nearest(run, function):
    """The same sentence from each function."""
    with pytest.raises(SettingsError, match=r"cannot group by tols: did you mean tool\?; pass some of action"):
        function(run, "1h", by="tols")


def test_denials_are_of_one_kind(run):
    """To tell them apart by kind is refused with what to do instead."""
    with pytest.raises(SettingsError, match="group by reason"):
        soaklib.denials(run, by="kind")


def test_a_counter_is_an_increase_and_a_gauge_a_value(run):
    """By the ending of its name, unless it is said; by label, by window and by scrape alike."""
    counted = run.metric(HITS, every="6h", by="tool")
    metered = soaklib.metered(run, HITS, "6h")
    assert counted.rename({"value": "n"}).rows() == metered.rows()
    assert run.metric(HITS)["value"].sum() == pytest.approx(metered["n"].sum())
    rate = run.metric(HITS, every="6h", how="rate")
    first_s = run.sql("select min(soak_s) from readings where metric = 'gateway_cache_hits_total'").item()
    [first, *others] = metered.group_by("soak_s", maintain_order=True).agg(pl.col("n").sum())["n"]
    assert rate["value"][0] == pytest.approx(first / (21_600 - first_s))
    assert (rate["value"] * 21_600)[1:].to_list() == pytest.approx(others)
    read = run.metric(HITS, how="value")
    assert read["value"].to_list() == [
        total
        for (total,) in run.samples(HITS)
        .group_by("at", maintain_order=True)
        .agg(pl.col("value").sum())
        .select("value")
        .iter_rows()
    ]
    states = run.metric("gateway_breaker_state", every="1h", by="tool")
    assert states.columns == ["soak_s", "end_s", "tool", "value", "low", "high", "n"]
    assert states.filter(pl.col("high") > 0).select("soak_s", "tool").rows() == [(43_200.0, "openai")]


def test_a_rate_is_of_the_time_that_scrapes_tell_of(run):
    """Of a stretch it is that of the stretch, in one window or several; of a run that broke off, of what there is."""
    hour = run.between("H+12", "H+13")
    counted = hour.metric(HITS)["value"].sum()
    assert hour.metric(HITS, every="all", how="rate")["value"].item() == pytest.approx(counted / 3600)
    late = run.between("H+12:30", "H+14")
    [first, whole] = late.metric(HITS, every="1h", how="rate")["value"]
    assert first == pytest.approx(run.between("H+12:30", "H+13").metric(HITS)["value"].sum() / 1800)
    assert whole == pytest.approx(run.between("H+13", "H+14").metric(HITS)["value"].sum() / 3600)


def test_a_run_that_goes_on_has_its_rate_up_to_its_last_scrape(tmp_path):
    """The time that is still to come is none that anything was counted in."""
    cut = ["delete from samples where at_us > 10000000", "delete from scrapes where at_us > 10000000"]
    with soaklib.open_run(changed_copy(SAMPLE, tmp_path / "cut", *cut)) as run:
        told = run.metric(HITS)
        rate = run.metric(HITS, every="all", how="rate")["value"].item()
    assert rate == pytest.approx(told["value"].sum() / (told["end_s"].max() - told["soak_s"].min()))


def test_a_counter_is_found_without_its_ending(run):
    """It is counted, and read, as by its whole name; labels too."""
    for how in (None, "value", "rate"):
        short = run.metric("gateway_cache_hits", every="6h", by="tool", how=how)
        assert short.equals(run.metric(HITS, every="6h", by="tool", how=how))
        assert short.height


def test_a_stretch_has_its_share_of_what_was_counted(run):
    """Two stretches side by side add up to what both are, though a scrape fell into neither edge."""
    parts = [run.between("H+3", "H+3:10").metric(HITS), run.between("H+3:10", "H+4").metric(HITS)]
    both = run.between("H+3", "H+4").metric(HITS)["value"].sum()
    assert sum(part["value"].sum() for part in parts) == pytest.approx(both)
    assert both == pytest.approx(run.metric(HITS, every="1h").filter(soak_s=10_800.0)["value"].item())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "gateway_cache_hit_total"}, "did you mean gateway_cache_hits_total"),
        ({"name": HITS, "by": "tol"}, r"no label 'tol': did you mean tool"),
        ({"name": HITS, "how": "incresae"}, "did you mean increase"),
        ({"name": HITS, "every": "5 min"}, "no length of time"),
    ],
)
def test_what_was_never_scraped_is_refused(run, asked, said):
    """An empty frame would be taken for a gateway that counted nothing."""
    with pytest.raises(SettingsError, match=said):
        run.metric(**asked)
