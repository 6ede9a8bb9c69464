"""What can be asked of a run that is opened: SQL, stretches, verdicts, metrics, files."""

import datetime as dt
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import soaklib
from soaklib.analysis.sources.run import open_foreign_run
from soaklib.errors import RunError, SettingsError

SAMPLE = Path(__file__).parents[3] / "data" / "sample"


@pytest.fixture(scope="module")
def run():
    with soaklib.open_run(SAMPLE) as run:
        yield run


def test_time_has_a_name_that_sql_can_read(run):
    """`at` is one of SQL's words; `at_utc` is the same column, and the error says so."""
    told = run.sql('select min(at_utc) as first, bool_and(at_utc = "at") as same from calls')
    assert told.row(0) == (run.outcomes(["at"])["at"].min(), True)
    with pytest.raises(RunError, match="the column is named at_utc"):
        run.sql("select at from calls")
    assert "at_utc" not in run.outcomes(where="slot = 0").columns


def test_labels_are_read_by_name_in_sql(run):
    """In the view by the map's own brackets, on the table by a macro."""
    by_map = run.sql("select labels['tool'] as tool, sum(value) as n from readings group by 1 order by 1")
    by_macro = run.sql("select label(labels, 'tool') as tool, sum(value) as n from samples group by 1 order by 1")
    assert by_map["tool"].to_list() == ["gmail_send", "http_fetch", "openai", "serpapi", None]
    assert_frame_equal(by_map, by_macro)
    with pytest.raises(RunError, match="labels are by name in the view `readings`"):
        run.sql("select labels['tool'] from samples")


def test_a_frame_of_ones_own_is_joined_by_name(run):
    """It is there for the query, and gone after it; the run's own tables are not overwritten."""
    mine = pl.DataFrame({"tool": ["openai"], "price": [2.0]})
    told = run.sql("select sum(price) from calls join mine using (tool) where slot < 100", tables={"mine": mine})
    openai = run.outcomes(where="slot < 100 and tool = 'openai'").height
    assert told.item() == 2.0 * openai > 0
    with pytest.raises(RunError, match="mine"):
        run.sql("select * from mine")
    for name in ("calls", "outcomes", "no name"):
        with pytest.raises(SettingsError, match="pass another"):
            run.sql("select 1", tables={name: mine})


def test_a_stretch_holds_what_lies_within(run):
    """Every table, frame and function sees the rows from its start to before its end, and no others."""
    stretch = run.between("H+11:50", "H+12:40")
    whole = run.outcomes()
    within = whole.filter(pl.col("soak_s").is_between(42_600, 45_600, closed="left"))
    assert_frame_equal(stretch.outcomes(), within)
    assert_frame_equal(
        soaklib.latency(stretch, "10m"),
        soaklib.latency(run, "10m").filter(pl.col("soak_s").is_between(42_600, 45_600, closed="left")),
    )
    assert stretch.events()["soak_s"].is_between(42_600, 45_600, closed="left").all()
    assert (stretch.start_s, stretch.end_s, stretch.whole) == (42_600.0, 45_600.0, run)
    assert stretch.events().height < run.events().height == run.between(0, run.end_s).events().height


def test_the_edges_of_a_run_belong_to_its_first_and_last_stretch(run):
    """What came before the load and after it is in no stretch twice, and in one of them."""
    parts = [run.between("H+0", "H+10"), run.between("H+10", "H+24")]
    for count in ("outcomes", "samples", "events", "scrapes", "runner_health"):
        query = f"select count(*) from {count}"
        assert sum(part.sql(query).item() for part in parts) == run.sql(query).item()


def test_a_stretch_of_a_stretch_does_not_leave_it(run):
    """Its bounds are those of both."""
    inner = run.between("H+10", "H+12").between("H+11", "H+20")
    assert (inner.start_s, inner.end_s) == (39_600.0, 43_200.0)


def test_a_stretch_knows_the_chaos_that_reaches_into_it(run):
    """It began before, and its windows are left out as in the whole run."""
    stretch = run.between("H+12:10", "H+12:20")
    assert_frame_equal(soaklib.planned_windows(stretch), soaklib.planned_windows(run))
    chaos = "select number, tool, mode, on_us, off_us from chaos_windows"
    assert stretch.sql(chaos).rows() == run.sql(chaos).rows() != []
    shown = soaklib.marks(stretch)
    assert shown.select("start_s", "end_s", "kind", "label").rows() == [(43_800.0, 44_400.0, "phase", "chaos")]


def test_what_lies_outside_of_a_run_is_refused(run):
    """The text says from when to when there is something; what came after the load is there."""
    with pytest.raises(SettingsError, match=r"H\+25 to H\+26 lies outside of the run, which goes from H\+0 to H\+24$"):
        run.between("H+25", "H+26")
    with pytest.raises(SettingsError, match=r"outside of the stretch, which goes from H\+1 to H\+2$"):
        run.between("H+1", "H+2").between("H+3", "H+4")
    after = run.between(run.end_s + 0.5, "H+25").events()["name"].to_list()
    assert after == ["METRICS_SNAPSHOT", "POLICIES_REMOVED", "SOAK_TEST_COMPLETED"]


@pytest.mark.parametrize(
    ("start", "end"), [("H+2", "H+1"), (-5, 10), ("noon", "H+3"), ("H+1:75", "H+3"), (float("nan"), 4)]
)
def test_what_is_no_stretch_is_refused(run, start, end):
    """The text says what to pass."""
    with pytest.raises(SettingsError, match="pass"):
        run.between(start, end)


@pytest.mark.parametrize(
    "when", ["H+11:50", "h+11:50:00", 42_600, dt.timedelta(hours=11, minutes=50), "H+11.833333333333334"]
)
def test_a_moment_is_said_in_several_ways(run, when):
    """As H+ with minutes, as soak seconds, as a time since the start."""
    assert run.between(when, "H+20").start_s == pytest.approx(42_600.0)


def test_a_verdict_is_asked_for_by_name(run):
    """It is the row that was written; an unknown name is told the nearest."""
    row = run.verdicts().filter(name="no false-allow").row(0)
    assert run.verdict("no false-allow") == row
    assert run.verdict("no false-allow").state == "pass"
    with pytest.raises(SettingsError, match=r"no criterion 'no false allow': did you mean no false-allow\?"):
        run.verdict("no false allow")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_run_is_written_to_files(run, tmp_path, form):
    """Each table once, as many rows as it has, read back with what any reader of the format brings."""
    files = run.export(tmp_path / "out", form)
    assert [path.name for path in files] == [
        f"{name}.{form}"
        for name in ("outcomes", "samples", "scrapes", "events", "health", "verdicts", "run", "segments")
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in files)
    read = pl.read_csv if form == "csv" else pl.read_parquet
    outcomes, samples = read(files[0]), read(files[1])
    assert outcomes.height == run.outcomes(["slot"]).height
    assert outcomes["service_us"].sum() == run.outcomes(["service_us"])["service_us"].sum()
    assert samples["value"].fill_nan(0).sum() == pytest.approx(run.samples()["value"].fill_nan(0).sum())
    events, segments = read(files[3]), read(files[7])
    assert events.height == run.events().height
    assert events.columns[2:] == run.events().columns[2:]
    assert read(files[6])["run_id"].to_list() == [run.info.run_id]
    assert segments["soak_ended_s"].to_list() == [segment.soak_ended_s for segment in run.info.segments]
    if form == "csv":
        assert {"tool": "openai"} in [json.loads(labels) for labels in samples["labels"].unique()]
        assert outcomes["at_utc"][0].endswith("Z")


def test_an_unknown_format_is_refused(run, tmp_path):
    """With the nearest that is known, and before anything is written."""
    with pytest.raises(SettingsError, match="did you mean parquet"):
        run.export(tmp_path / "out", "parqet")
    assert not (tmp_path / "out").exists()


def test_frames_go_to_pandas_and_arrow(run):
    """With what the extra `all` installs, labels and times included."""
    samples = run.samples("gateway_breaker_state")
    pandas, arrow = samples.to_pandas(), samples.to_arrow()
    assert (len(pandas), arrow.num_rows) == (samples.height, samples.height)
    assert pandas["value"].sum() == samples["value"].sum()
    assert str(pandas["at"].dtype).endswith("UTC]")


def test_a_run_of_somebody_else_stays_sealed_off(tmp_path):
    """A stretch of it, a lent frame and an export work, and its queries still reach no other file."""
    shutil.copy(SAMPLE / "run.duckdb", tmp_path)
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with open_foreign_run(tmp_path) as run:
        stretch = run.between("H+1", "H+2")
        assert stretch.outcomes(["slot"]).height == 1929
        assert run.sql("select sum(a) from mine", tables={"mine": pl.DataFrame({"a": [1, 2]})}).item() == 3
        outside = tmp_path.with_name("elsewhere.csv")
        outside.write_text("a\n1\n")
        for asked in (run, stretch):
            with pytest.raises(RunError):
                asked.sql(f"select * from read_csv('{outside}')")
        assert len(run.export(tmp_path.with_name("tables"), "csv")) == 8
