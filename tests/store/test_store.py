import datetime as dt
import math
import os
import signal
import subprocess
import sys
from threading import Timer

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_rows import ANCHOR, MANIFEST, outcome

from soaklib.errors import RecordingError, RunError, SchemaError
from soaklib.records import Event, HealthTick, Outcome, RunStatus
from soaklib.store.reader import open_read_only
from soaklib.store.tables import (
    DATABASE_NAME,
    NOTHING_SAID,
    OUTCOME_ALWAYS,
    SCHEMA_VERSION,
    TABLES,
    added_between,
    defined_columns,
)
from soaklib.store.views import Segment, soak_seconds_sql
from soaklib.store.writer import RunWriter, segment_row


@pytest.fixture
def path(tmp_path):
    return tmp_path / DATABASE_NAME


@pytest.fixture
def writer(path):
    writer = RunWriter(path)
    writer.begin_run(MANIFEST)
    return writer


def test_what_is_appended_is_read_back_with_its_times(writer, path):
    """Rows come back as written, with `at` in UTC, soak time, service and response time beside them."""
    begun = segment_row(Segment(segment=0, started_at_us=0, soak_started_s=0.0), runner_pid=1)
    assert writer.append({"segments": [begun], "outcomes": [outcome(5), outcome(6, kind="timeout")]}) == 3
    writer.close()
    with open_read_only(path) as connection:
        rows = connection.execute(
            'select "at", soak_s, service_us, response_us, succeeded, counted, correlation_id from calls'
        ).fetchall()
    assert rows[0] == (ANCHOR + dt.timedelta(microseconds=5000), pytest.approx(3.6), 490, 500, True, True, "req_5")
    assert rows[1][4:6] == (False, True)


def test_labels_and_values_of_samples_survive(writer, path):
    """Quotes and commas in labels, no labels, NaN and infinities are read back as they were."""
    labels = (("le", "+Inf"), ("q", 'a"b,c}\\'))
    writer.append({"samples": [(1, "m", labels, 1.5), (2, "n", (), "nan"), (3, "n", (), float("-inf"))]})
    writer.close()
    with open_read_only(path) as connection:
        rows = connection.execute('select labels, "value" from samples order by at_us').fetchall()
    assert rows[0] == ([{"key": "le", "value": "+Inf"}, {"key": "q", "value": 'a"b,c}\\'}], 1.5)
    assert rows[1][0] == []
    assert math.isnan(rows[1][1])
    assert rows[2][1] == float("-inf")


def test_a_bad_row_leaves_nothing_of_its_batch(writer, path):
    """A batch is one transaction: the good rows of a bad batch are not there, and recording can go on."""
    with pytest.raises(RecordingError, match="cannot write"):
        writer.append({"outcomes": [outcome(1), outcome("no number")]})
    writer.append({"outcomes": [outcome(3)]})
    writer.close()
    with open_read_only(path) as connection:
        assert connection.execute("select slot from outcomes").fetchall() == [(3,)]


def test_the_manifest_is_finished_at_the_end(writer, path):
    """Status, end and duration are there after the end, and the segment knows where it ended."""
    segment = Segment(segment=0, started_at_us=10, soak_started_s=0.0, ended_at_us=20, soak_ended_s=0.0072)
    writer.append({"segments": [segment_row(Segment(segment=0, started_at_us=10, soak_started_s=0.0), runner_pid=1)]})
    writer.end_segment(segment)
    writer.end_run(RunStatus.INTERRUPTED, completed_utc=ANCHOR, duration_s=1.5)
    writer.close()
    with open_read_only(path) as connection:
        assert connection.execute("select status, completed_utc, duration_s from run").fetchone() == (
            "interrupted", ANCHOR, 1.5,
        )  # fmt: skip
        assert connection.execute("select ended_at_us, soak_ended_s from segments").fetchone() == (20, 0.0072)


@pytest.mark.slow
def test_rows_of_a_returned_append_survive_a_kill(path):
    """A writer killed with SIGKILL right after append() leaves every row."""
    script = (
        "import sys, time; sys.path.insert(0, 'tests'); from pathlib import Path\n"
        "from stored_rows import MANIFEST, outcome; from soaklib.store.writer import RunWriter\n"
        f"writer = RunWriter(Path({str(path)!r})); writer.begin_run(MANIFEST)\n"
        "writer.append({'outcomes': [outcome(n) for n in range(5000)]}); print('done', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "done\n"
        os.kill(process.pid, signal.SIGKILL)
    with open_read_only(path) as connection:
        assert connection.execute("select count(*), count(distinct slot) from outcomes").fetchone() == (5000, 5000)


def test_a_file_that_is_no_run_is_refused(tmp_path):
    """Nothing there, no database, another database and another schema: each is told in a sentence."""
    with pytest.raises(RunError, match="does not exist: pass the folder of a run"):
        open_read_only(tmp_path / DATABASE_NAME)
    text = tmp_path / "text.duckdb"
    text.write_text("not a database " * 1000)
    with pytest.raises(RunError, match="cannot be opened as a run"):
        open_read_only(text)
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("create table t (a integer)").fetchall()
    with pytest.raises(RunError, match="is not a soaklib run: it has no table 'events'"):
        open_read_only(other)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("update run set schema_version = 99", "has schema version 99, this soaklib reads 1 to 3"),
        ("alter table outcomes drop column phase", "table 'outcomes' has columns"),
    ],
)
def test_a_run_of_another_schema_is_refused(writer, path, statement, message):
    """A newer schema version or other columns are refused, naming the difference."""
    writer.close()
    with duckdb.connect(str(path)) as connection:
        connection.execute(statement).fetchall()
    with pytest.raises(SchemaError, match=message):
        open_read_only(path)


@pytest.mark.slow
def test_a_file_that_a_writer_holds_says_so(writer, path):
    """Another process that opens it while it is written is told that it is locked."""
    script = (
        "from pathlib import Path; from soaklib.store.reader import open_read_only; "
        f"open_read_only(Path({str(path)!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    writer.close()
    assert "is held by the process that writes it: look again in a moment" in ended.stderr
    assert "lock" in ended.stderr


@pytest.fixture(scope="module")
def empty():
    """Give a database in memory that nobody changes."""
    with duckdb.connect() as connection:
        yield connection


@given(at_us=st.integers(-1000, 10_000_000))
def test_soak_time_stands_still_between_segments(empty, at_us):
    """Within a segment soak time runs at its speed; after its end it waits for the next one to begin."""
    segments = [
        Segment(segment=0, started_at_us=1_000_000, soak_started_s=0.0, ended_at_us=3_000_000, soak_ended_s=1440.0),
        Segment(segment=1, started_at_us=6_000_000, soak_started_s=1440.0),
    ]
    sql = soak_seconds_sql(segments, 720.0)
    soak_s = empty.execute(f"select {sql} from (select {at_us} as us)").fetchone()[0]
    if at_us <= 3_000_000:
        expected = (at_us - 1_000_000) * 720 / 1e6
    elif at_us <= 6_000_000:
        expected = 1440.0
    else:
        expected = 1440.0 + (at_us - 6_000_000) * 720 / 1e6
    assert soak_s == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_a_writer_waits_for_a_reader_that_leaves(writer, path):
    """Another process that has the file open for a moment does not end a run."""
    writer.close()
    script = (
        "import sys; from pathlib import Path; from soaklib.store.reader import open_read_only\n"
        f"open_read_only(Path({str(path)!r})); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout.readline() == "open\n"
        Timer(0.3, reader.stdin.close).start()
        RunWriter(path).close()


@pytest.mark.slow
def test_a_reader_that_stays_is_an_error(writer, path):
    """A writer does not wait for ever; its error has DuckDB's words, which name the process."""
    script = f"from pathlib import Path; from soaklib.store.writer import RunWriter; RunWriter(Path({str(path)!r}))"
    script = f"import soaklib.store.writer; soaklib.store.writer.READERS_LEAVE_S = 0.2; {script}"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    writer.close()
    assert "RecordingError: cannot write" in ended.stderr
    assert f"PID {os.getpid()}" in ended.stderr


def of_version(path, version):
    """Turn a run's file into what an earlier version of the schema left."""
    with duckdb.connect(str(path)) as connection:
        for table, added in added_between(version, SCHEMA_VERSION).items():
            for name, _ in defined_columns(added):
                connection.execute(f'alter table {table} drop column "{name}"').fetchall()
        connection.execute("update run set schema_version = ?", [version]).fetchall()


def test_a_run_of_version_1_opens_and_what_it_lacks_is_null(writer, path):
    """Its tables have the later columns for whoever reads them, by name and by `select *`, and the view `calls` too."""
    writer.append({"outcomes": [outcome(1)], "events": [Event(1, "A", "d", "k")]})
    writer.close()
    of_version(path, 1)
    with open_read_only(path) as connection:
        assert connection.execute('select slot, lane, identity, "limit" from outcomes').fetchall() == [
            (1, None, None, None)
        ]
        assert connection.execute("select * from events").fetchall() == [(1, "A", "d", "k", None, None, None)]
        assert (
            connection.execute("select slot, gateway_us, connections_open from calls, runner_health").fetchall() == []
        )
        assert connection.execute("select soak_s, first_token_at_us from calls").fetchall() == [(0.72, None)]


def test_a_run_of_version_2_opens_and_lacks_only_what_came_after_it(writer, path):
    """What it has is as it was; cost and key are NULL."""
    writer.append({"outcomes": [outcome(1, identity="scraper-0", cost_usd=0.5)]})
    writer.close()
    of_version(path, 2)
    with open_read_only(path) as connection:
        columns = "identity, remaining, cost_usd, key_id"
        assert connection.execute(f"select {columns} from outcomes").fetchall() == [("scraper-0", None, None, None)]
        assert connection.execute("select * from events").fetchall() == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_of_an_earlier_version_that_goes_on_becomes_one_of_this_version(writer, path, version):
    """The writer adds what it lacked, so that new rows have it; nothing of the old ones changes."""
    writer.append({"outcomes": [outcome(1)]})
    writer.close()
    of_version(path, version)
    resumed = RunWriter(path)
    resumed.append({"outcomes": [outcome(2, identity="scraper-0", limit="tokens")]})
    resumed.close()
    with open_read_only(path) as connection:
        assert connection.execute('select slot, identity, "limit", phase from outcomes order by slot').fetchall() == [
            (1, None, None, "baseline"), (2, "scraper-0", "tokens", "baseline"),
        ]  # fmt: skip
        assert connection.execute("select schema_version from run").fetchall() == [(SCHEMA_VERSION,)]


def test_the_columns_of_a_table_are_the_fields_of_its_record():
    """In their order, since rows go in by their place."""
    for table, record in (("outcomes", Outcome), ("events", Event), ("runner_health", HealthTick)):
        names = [name for name, _ in defined_columns(TABLES[table])]
        assert names == [{"key": "event_key"}.get(field, field) for field in record._fields]


def test_outcomes_of_which_a_gateway_says_nothing_may_be_short(writer, path):
    """Alone or beside whole ones: what is left out is NULL, and every row is where it was handed over."""
    short = [tuple(outcome(slot, identity="a", lane=3))[:OUTCOME_ALWAYS] for slot in range(4)]
    writer.append({"outcomes": short[:2]})
    writer.append({"outcomes": [short[2], outcome(9, identity="b", remaining=7, key_id="k"), short[3]]})
    writer.append({"outcomes": [outcome(10)]})
    writer.close()
    with open_read_only(path) as connection:
        told = connection.execute(
            "select slot, lane, identity, chunks, remaining, cost_usd, key_id from outcomes order by rowid"
        ).fetchall()
    of_short = [(slot, 3, "a", None, None, None, None) for slot in range(4)]
    assert told == [
        *of_short[:3], (9, None, "b", None, 7, None, "k"), of_short[3], (10, None, None, None, None, None, None),
    ]  # fmt: skip


def test_a_short_row_that_is_refused_takes_none_beside_it(writer, path):
    """As of whole rows: the batch is as if it never came, and the next is stored."""
    bad = list(tuple(outcome(1))[:OUTCOME_ALWAYS])
    bad[1] = "no number"
    with pytest.raises(RecordingError):
        writer.append({"outcomes": [tuple(outcome(0))[:OUTCOME_ALWAYS], bad]})
    writer.append({"outcomes": [tuple(outcome(2))[:OUTCOME_ALWAYS]]})
    writer.close()
    with open_read_only(path) as connection:
        assert connection.execute("select slot from outcomes").fetchall() == [(2,)]


def test_a_short_row_ends_with_the_identity():
    """What is behind it is what a gateway says beside its answer; whoever adds a column puts it there."""
    columns = [name for name, _ in defined_columns(TABLES["outcomes"])]
    assert columns[OUTCOME_ALWAYS - 1 : OUTCOME_ALWAYS + 1] == ["identity", "first_byte_at_us"]
    assert tuple(Outcome._fields) == tuple(columns)
    assert len(NOTHING_SAID) == len(columns) - OUTCOME_ALWAYS
