"""Opening runs, and aggregating them in DuckDB and as frames alike."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import soaklib
from soaklib.errors import RunError, SettingsError
from soaklib.store.tables import DATABASE_NAME

SAMPLE = Path(__file__).parents[3] / "data" / "sample"


@pytest.fixture
def run(rehearsal):
    with soaklib.open_run(rehearsal.folder) as run:
        yield run


@pytest.mark.parametrize(
    ("function", "every"),
    [
        (soaklib.success_rate, "1m"), (soaklib.success_rate, "15m"), (soaklib.success_rate, "all"),
        (soaklib.denials, "10m"), (soaklib.outcome_counts, "1h"), (soaklib.tool_usage, "30m"),
        (lambda source, every: soaklib.success_rate(source, every, by=("tool", "role")), "1h"),
        (lambda source, every: soaklib.outcome_counts(source, every, by="phase"), "1h"),
        (soaklib.latency, "20m"), (soaklib.latency, "all"), (soaklib.fast_fails, "5m"),
    ],
)  # fmt: skip
def test_a_run_and_a_frame_of_its_outcomes_give_the_same(run, function, every):
    """What is aggregated inside DuckDB is what the frame gives, which knows no plan, and takes chaos for a burst.

    That burst may come again at any time, as far as the frame knows: without chaos its intervals are the run's.
    """
    own, of_frame = function(run, every), function(run.outcomes(), every)
    if "method" in own.columns:
        on_s = run.sql("select soak_seconds(on_us) from chaos_windows").item()
        before = run.between("H+0", on_s)
        assert_frame_equal(function(before, every), function(before.outcomes(), every))
        [rate] = [name for name in own.columns if name.endswith("_rate")]
        for frame in (own, of_frame):
            assert frame.filter(pl.col(rate).is_not_null()).select(pl.col(rate).is_between("low", "high").all()).item()
        own, of_frame = own.drop("low", "high", "method"), of_frame.drop("low", "high", "method")
    assert_frame_equal(own, of_frame)


def test_outcomes_have_their_times_and_can_be_narrowed(run):
    """All columns of the record, UTC and soak time beside them; columns and a condition narrow it down."""
    frame = run.outcomes()
    assert frame.schema["at"] == pl.Datetime("us", "UTC")
    assert frame.columns[:4] == ["at", "soak_s", "purpose", "slot"]
    assert frame["planned_at_us"].is_sorted()
    first = frame.filter(purpose="load", slot=100, step=0).row(0, named=True)
    assert first["soak_s"] == pytest.approx(100, abs=0.01)
    assert first["at"] == run.info.started_utc + (first["at"] - run.info.started_utc)
    narrowed = run.outcomes(columns=["slot", "kind"], where="purpose = 'probe'")
    assert (narrowed.columns, narrowed.height) == (["slot", "kind"], 120)


def test_samples_events_and_health_are_in_order_with_utc_times(run):
    """Typed, sorted frames; a metric can be asked for by its name."""
    samples = run.samples("gateway_requests_total")
    assert samples.schema == pl.Schema(
        {
            "at": pl.Datetime("us", "UTC"), "metric": pl.String(),
            "labels": pl.List(pl.Struct({"key": pl.String(), "value": pl.String()})), "value": pl.Float64(),
        }
    )  # fmt: skip
    assert samples["metric"].unique().to_list() == ["gateway_requests_total"]
    for frame in (samples, run.events(), run.health()):
        assert frame["at"].is_sorted()
        assert frame.height > 0
    assert run.events().columns == [
        "at", "soak_s", "name", "detail", "change", "subject", "data", "event_key",
    ]  # fmt: skip
    chaos = run.events().filter(name="CHAOS_MODE_ON").row(0, named=True)
    assert (chaos["change"], chaos["subject"], json.loads(chaos["data"])["tool"]) == ("chaos", "openai", "openai")
    assert chaos["event_key"] is not None
    assert run.verdicts().height == len(soaklib.criteria(run))


def test_memory_from_health_is_a_sample(run):
    """`memory.used` of /health is there in bytes."""
    used = run.samples("health_memory_used_bytes")
    assert used.height > 5
    assert used["value"].min() > 1e6


def test_a_run_is_found_by_path_file_id_and_latest(rehearsal, tmp_path, monkeypatch):
    """Also from a directory below the one that holds data/runs, as notebooks are."""
    runs = tmp_path / "data" / "runs"
    runs.mkdir(parents=True)
    shutil.copytree(rehearsal.folder, runs / "r1")
    (runs / "latest").symlink_to("r1")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    for name in ("r1", "latest", str(runs / "r1"), runs / "r1" / DATABASE_NAME):
        with soaklib.open_run(name) as run:
            assert run.folder == (runs / "r1").resolve()


def test_a_run_that_is_not_there_is_a_sentence(tmp_path, monkeypatch):
    """It says what to pass."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"there is no run 'r9'; pass its folder, its id .*, or 'latest'"):
        soaklib.open_run("r9")
    (tmp_path / "data" / "runs" / "20261124T204100Z-7033").mkdir(parents=True)
    with pytest.raises(RunError, match=r"no run '20261124T204100-7033': did you mean 20261124T204100Z-7033\?"):
        soaklib.open_run("20261124T204100-7033")


def test_latest_is_no_other_run_where_there_is_none(tmp_path, monkeypatch):
    """The sample beside it is not opened in silence; the sentence says how to get a run."""
    shutil.copytree(SAMPLE, tmp_path / "data" / "sample")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"no run yet in data/runs.*'soaklib run'.*'sample'"):
        soaklib.open_run()
    with soaklib.open_run("sample") as run:
        assert run.folder == tmp_path / "data" / "sample"


def test_a_bad_query_is_our_own_error(run):
    """With DuckDB's words in it."""
    with pytest.raises(RunError, match=r"the query cannot be run: .*no_such"):
        run.sql("select no_such from outcomes")


def test_a_run_shows_itself_as_a_card(run):
    """Its id, status and outcomes are in the HTML; markup in names is escaped."""
    card = run._repr_html_()
    assert run.info.run_id in card
    assert "completed" in card
    assert "embedded reference gateway" in card


@pytest.mark.parametrize("every", ["", "5", "m", "0s", "-1m", "1 week"])
def test_a_window_that_is_no_length_of_time_is_refused(run, every):
    """The text says what to pass."""
    with pytest.raises(SettingsError, match='pass for example "1m"'):
        soaklib.success_rate(run, every)


def test_a_frame_without_the_columns_is_refused(run):
    """Naming what it lacks."""
    with pytest.raises(SettingsError, match="the frame has no column reason"):
        soaklib.success_rate(run.outcomes().drop("reason"))
    with pytest.raises(SettingsError, match=r"the frame does not have what is asked of it: .*tool"):
        soaklib.tool_usage(run.outcomes().drop("tool"))


def outcomes(kinds, *, seconds=1.0, service_us=1000):
    """Make a frame of load calls, one every `seconds`, with the given kinds (None: a gap)."""
    rows = [
        {
            "soak_s": number * seconds, "purpose": "load", "kind": kind, "expected": "allow",
            "reason": None if kind == "ok" else "upstream", "tool": "openai", "action": "chat",
            "planned_at_us": number * 1_000_000, "sent_at_us": number * 1_000_000,
            "done_at_us": number * 1_000_000 + (service_us(number) if callable(service_us) else service_us),
        }
        for number, kind in enumerate(kinds)
        if kind is not None
    ]  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(
        at=pl.from_epoch(pl.col("planned_at_us"), time_unit="us").dt.replace_time_zone("UTC"),
        reason=pl.col("reason").cast(pl.String),
    )


def test_a_window_without_calls_is_a_gap_and_not_a_zero():
    """It is there with n = 0 and nulls."""
    rates = soaklib.success_rate(outcomes(["ok"] * 60 + [None] * 60 + ["ok"] * 60), "1m")
    assert rates["n"].to_list() == [60, 0, 60]
    assert rates["success_rate"].to_list() == [100.0, None, 100.0]
    assert rates["low"].to_list()[1] is None


def test_a_window_in_which_all_failed_is_zero_with_an_interval():
    """0 %, with an upper bound from the rule of three."""
    rate = soaklib.success_rate(outcomes(["upstream_error"] * 60), "1m").row(0, named=True)
    assert (rate["success_rate"], rate["low"]) == (0.0, 0.0)
    assert rate["high"] == pytest.approx(100 * (1 - 0.05 ** (1 / 60)))


def test_bursts_widen_the_interval():
    """Ten failures in a row say less than ten that are spread out."""
    spread = ["upstream_error" if number % 96 == 5 else "ok" for number in range(960)]
    burst = ["upstream_error"] * 10 + ["ok"] * 950
    widths = [
        (frame["high"] - frame["low"]).item()
        for frame in (soaklib.success_rate(outcomes(kinds), "16m") for kinds in (spread, burst))
    ]
    assert widths[1] > 1.5 * widths[0]


def test_quantiles_are_exact():
    """Of 1 to 100 ms the median is 50 ms and the 99th percentile 99 ms; the tail of the latter is insufficient."""
    frame = outcomes(["ok"] * 100, service_us=lambda number: (number + 1) * 1000)
    quantiles = soaklib.latency(frame, "all", by=(), quantiles=(0.5, 0.99)).filter(measure="service")
    assert quantiles["latency_ms"].to_list() == [50.0, 99.0]
    assert quantiles["sufficient"].to_list() == [True, False]


def test_what_never_came_back_is_a_lower_bound_and_not_left_out():
    """With 5 % timeouts at 30 s the median is known, the 99th percentile is at least 30 s, and says so."""
    kinds = ["timeout" if number % 20 == 0 else "ok" for number in range(200)]
    frame = outcomes(kinds, service_us=lambda number: 30_000_000 if number % 20 == 0 else 1000)
    quantiles = soaklib.latency(frame, "all", by=(), quantiles=(0.5, 0.99)).filter(measure="service")
    assert quantiles["latency_ms"].to_list() == [1.0, 30_000.0]
    assert quantiles["at_least"].to_list() == [False, True]


def test_a_transport_error_that_came_at_once_counts_as_slow_and_not_as_fast():
    """A connection refused after 0.1 ms says nothing about how fast an answer would have been."""
    kinds = ["transport_error"] * 60 + ["ok"] * 40
    frame = outcomes(kinds, service_us=lambda number: 100 if number < 60 else 1000)
    quantiles = soaklib.latency(frame, "all", by=(), quantiles=(0.3, 0.5)).filter(measure="service")
    assert quantiles["latency_ms"].to_list() == [1.0, 0.1]
    assert quantiles["at_least"].to_list() == [False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"quantiles": (1.0,)}, "must lie between 0 and 1"), ({"quantiles": ()}, "must lie between"),
     ({"by": ("slot; drop table x",)}, "cannot group by")],
)  # fmt: skip
def test_levels_and_groups_that_make_no_sense_are_refused(run, options, message):
    """With a sentence that says what to pass."""
    with pytest.raises(SettingsError, match=message):
        soaklib.latency(run, **options)


def test_marks_name_phases_and_the_changes_that_were_made(run):
    """Five phases from start to end, and four moments in their order."""
    marks = soaklib.marks(run)
    phases = marks.filter(kind="phase")
    assert phases["label"].to_list() == ["baseline", "credentials rotated", "chaos", "after chaos", "quota cut"]
    assert phases["start_s"].to_list() == pytest.approx([0, 2400, 3600, 3750, 4800])
    assert marks.filter(kind="change")["label"].to_list() == [
        "credentials rotated: openai", "chaos on: openai 500, 50 %", "chaos off", "quota cut: openai:chat",
    ]  # fmt: skip
    [window] = soaklib.planned_windows(run).rows()
    assert window[0] == pytest.approx(3600, abs=180)
    assert window[1] == pytest.approx(3750 + 120, abs=360)
