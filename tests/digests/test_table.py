"""A table of three made-up gateways whose truth is known: one adds 20 ms and leaks, one adds nothing."""

import polars as pl
import pytest

import soaklib
from soaklib.digests import measured
from soaklib.errors import SettingsError


def row_of(table, gateway, measure, of=None):
    """Give the one row of a measure."""
    rows = table.filter(gateway=gateway, measure=measure)
    return (rows if of is None else rows.filter(of=of)).row(0, named=True)


@pytest.fixture
def table(kept):
    return soaklib.gateway_table(kept)


@pytest.mark.parametrize("of", ["fast:chat", "fast:stream"])
def test_what_is_added_is_found_within_its_interval(table, of):
    """Twenty milliseconds of the one, none of the other; the direct line itself adds nothing to anything."""
    slow, thin = (row_of(table, name, "added median", of) for name in ("slow", "thin"))
    assert slow["low"] < 20 < slow["high"]
    assert slow["high"] - slow["low"] < 2
    assert thin["low"] < 0 < thin["high"]
    assert table.filter(pl.col("measure").str.starts_with("added"), gateway="direct-openai").is_empty()


def test_the_first_token_is_measured_of_streams_alone(table):
    """Half of the twenty milliseconds lie before it; a chat has none."""
    found = table.filter(gateway="slow", measure="added first token")
    assert found["of"].to_list() == ["fast:stream"]
    assert found["low"].item() < 10 < found["high"].item()


def test_a_leak_is_a_slope_with_its_interval(table):
    """60 MiB an hour are found; what does not leak has an interval around nothing."""
    slow, thin = (row_of(table, name, "memory slope") for name in ("slow", "thin"))
    assert slow["low"] < 60 < slow["high"]
    assert slow["state"] == "drift"
    assert thin["low"] < 0 < thin["high"]
    assert slow["detail"].startswith("from outside, 2 processes")


def test_cpu_sessions_recovery_and_denials_are_counted(table):
    """8 ms of CPU a second, for two calls and some probes; two sessions left; back four seconds after the outage."""
    assert row_of(table, "thin", "cpu")["value"] == pytest.approx(1000 * 0.008 * 2690 / (2 * 2700 + 45), rel=0.01)
    assert (row_of(table, "thin", "sessions left")["value"], row_of(table, "thin", "sessions opened")["value"]) == (
        2,
        40,
    )
    back = row_of(table, "thin", "recovery")
    assert back["low"] < 4 <= back["high"] < 4.6
    assert back["detail"] == "8 calls sent after its end failed"
    assert [row_of(table, "slow", what)["value"] for what in ("denied rightly", "let in wrongly")] == [44, 1]
    assert row_of(table, "thin", "denied rightly")["value"] == row_of(table, "thin", "denied rightly")["n"] == 45


@pytest.mark.parametrize(
    ("during", "after", "said"),
    [
        ([False, True], [True] * 10, (0.0, "", "no calls sent after its end failed")),
        ([True, True], [False] + [True] * 10, (1.0, "", "1 call sent after its end failed")),
        ([True, True], [True] * 10, (None, "no effect", "none of the 2 calls that were sent while it lasted failed")),
        ([], [True] * 10, (None, "no effect", "none of the 0 calls that were sent while it lasted failed")),
        (
            [False],
            [True] * 9,
            (None, "too few calls", "0 of 9 calls after its end failed; ten on end were never served"),
        ),
        ([False], [], (None, "too few calls", "0 of 0 calls after its end failed; ten on end were never served")),
        (
            [False],
            [True] * 9 + [False],
            (None, "not back", "1 of 10 calls after its end failed; ten on end were never served"),
        ),
    ],
    ids=["at once", "after a call", "nothing failed", "no call met it", "too few calls", "no call", "never again"],
)
def test_who_met_no_outage_has_not_recovered(during, after, said):
    """A placebo of an outage, as the real 4Runr's chaos is, is no recovery in no time."""
    before, later = (
        pl.DataFrame({"after_s": [float(n) for n in range(len(ok))], "ok": ok}, schema={"after_s": float, "ok": bool})
        for ok in (during, after)
    )
    row = measured._recovery("chaos", before, later)
    assert (row.value, row.state, row.detail) == said


def test_only_what_differs_is_told_apart(kept):
    """The slow one from both others in every kind of call; the thin one and the direct line are left unranked."""
    pairs = soaklib.told_apart(kept, "median")
    apart = {(row["a"], row["b"]) for row in pairs.filter("told_apart").iter_rows(named=True)}
    assert apart == {("direct-openai", "slow"), ("slow", "thin")}
    assert pairs.height == 6
    assert (pairs["p_adjusted"] >= pairs["p_value"]).all()


def test_slopes_of_memory_are_compared_by_their_difference(kept):
    """The leak is told apart from what does not leak."""
    pairs = soaklib.told_apart(kept, "memory slope")
    apart = {(row["a"], row["b"]) for row in pairs.filter("told_apart").iter_rows(named=True)}
    assert apart == {("direct-openai", "slow"), ("slow", "thin")}


def test_memory_is_compared_outside_the_planned_windows(kept):
    """What an outage does to it is no slope: its windows are left out, as those of latency are."""
    held = kept["thin"].windows
    for measure in ("memory", "median"):
        starts = held.filter(measure=measure)["soak_s"]
        assert starts.filter(starts.is_between(1380, 1500)).is_empty()
        assert starts.max() > 2600


def test_chance_alarms_of_many_pairs_are_allowed_for(kept, monkeypatch):
    """Of six p-values of .02 none is told apart, though each would be alone."""
    found = soaklib.analysis.verdicts.compare.MeanDifference(1.0, 0.1, 1.9, 0.02)
    monkeypatch.setattr("soaklib.digests.table.mean_difference", lambda *_: found)
    pairs = soaklib.told_apart(kept, "median")
    assert pairs["p_value"].to_list() == [0.02] * 6
    assert not pairs["told_apart"].any()


def test_too_few_windows_tell_nothing_apart(kept, monkeypatch):
    """A short soak has values and no intervals, and is not ranked."""
    monkeypatch.setattr("soaklib.digests.table.LEAST_WINDOWS", 1000)
    assert row_of(soaklib.gateway_table(kept), "slow", "added median")["state"] == "too few windows"
    pairs = soaklib.told_apart(kept, "median")
    assert pairs["p_value"].null_count() == pairs.height > 0
    assert not pairs["told_apart"].any()


def test_what_cannot_be_compared_is_told(kept):
    """The near miss is named."""
    with pytest.raises(SettingsError, match="did you mean"):
        soaklib.told_apart(kept, "p98")


def test_the_overview_has_a_row_a_gateway_in_words(kept):
    """How long the soak was, and each cell with its interval."""
    rows = {row["gateway"]: row for row in soaklib.gateway_overview(kept).iter_rows(named=True)}
    assert list(rows) == ["direct-openai", "slow", "thin"]
    assert rows["slow"]["soak"] == "45 min, 5,400 calls at 2/s"
    assert rows["slow"]["sessions"] == "2 left, 0 lost of 40"
    assert rows["slow"]["denials"] == "44 of 45 refused, 1 let in; 0 calls refused wrongly"
    assert " to " in rows["slow"]["memory slope, MiB an hour"]
    assert rows["slow"]["memory slope, MiB an hour"].endswith(", drift")
    assert rows["slow"]["outside the outage"].startswith("100")


def test_of_no_kept_runs_there_is_an_empty_table_each():
    """A folder without digests is told as one; nothing breaks."""
    assert soaklib.gateway_minutes({}).columns == ["gateway", "panel", "line", "soak_s", "value"]
    assert (soaklib.gateway_table({}).height, soaklib.told_apart({}, "median").height) == (0, 0)
