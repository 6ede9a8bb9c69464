import json
import os
import time
from contextlib import closing, nullcontext

import duckdb
import pytest
from stored_rows import MANIFEST, outcome

from soaklib.errors import RunError
from soaklib.store import live
from soaklib.store.live import Publisher, is_published, open_live
from soaklib.store.lock import RunLock
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import RunWriter, segment_row


@pytest.fixture
def writer(tmp_path):
    writer = RunWriter(tmp_path / DATABASE_NAME)
    writer.begin_run(MANIFEST)
    writer.append({"segments": [segment_row(Segment(segment=0, started_at_us=0, soak_started_s=0.0), runner_pid=1)]})
    yield writer
    writer.close()


@pytest.fixture
def publisher(writer, tmp_path, monkeypatch):
    """A publisher whose thread is not running: a test does by hand what the thread would do."""
    monkeypatch.setattr(live, "_SEALED_ROWS", 10)
    (tmp_path / "live").mkdir()
    return Publisher(tmp_path, writer.cursor, warn=print)


def spans(publisher):
    return [(part["start"], part["end"]) for part in publisher._parts.get("outcomes", [])]


def test_whole_parts_are_sealed_before_anybody_asks(publisher, writer):
    """Of 25 rows, two parts of ten are written down at once, and the rest waits for a reader."""
    writer.append({"outcomes": [outcome(slot) for slot in range(25)]})
    publisher._seal(writer.cursor())
    assert spans(publisher) == [(0, 10), (10, 20)]


def test_a_small_run_that_nobody_looks_at_writes_nothing(publisher, writer, tmp_path):
    """Nine rows are no part."""
    writer.append({"outcomes": [outcome(slot) for slot in range(9)]})
    publisher._seal(writer.cursor())
    assert list((tmp_path / "live").iterdir()) == []


def test_a_sealed_part_is_never_written_again(publisher, writer, tmp_path):
    """Twenty looks, one row each, merge among themselves and leave the sealed parts' files as they were."""
    writer.append({"outcomes": [outcome(slot) for slot in range(20)]})
    publisher._seal(writer.cursor())
    sealed = {path: path.stat().st_mtime_ns for path in (tmp_path / "live").glob("outcomes-*")}
    for slot in range(20, 40):
        writer.append({"outcomes": [outcome(slot)]})
        publisher._publish(writer.cursor())
    found = spans(publisher)
    assert found[:2] == [(0, 10), (10, 20)]
    assert [start for start, _ in found[1:]] == [end for _, end in found[:-1]], "no row twice, none left out"
    assert found[-1][1] == 40
    assert len(found) < 20
    assert sealed == {path: path.stat().st_mtime_ns for path in sealed}


def test_a_reader_sees_sealed_and_new_rows_once(writer, tmp_path, monkeypatch):
    """Asked through the folder, as from another process."""
    monkeypatch.setattr(live, "_SEALED_ROWS", 10)
    writer.append({"outcomes": [outcome(slot) for slot in range(37)]})
    publisher = Publisher(tmp_path, writer.cursor, warn=print)
    publisher.start()
    with RunLock(tmp_path), closing(open_live(tmp_path)) as connection:
        rows = connection.execute("select slot from outcomes order by slot").fetchall()
        named = json.loads((tmp_path / "live" / "parts.json").read_text())["tables"]["outcomes"]
    publisher.stop()
    assert rows == [(slot,) for slot in range(37)]
    assert [part["end"] for part in named] == [10, 20, 30, 37]
    assert not (tmp_path / "live").exists()


def test_what_a_dead_recorder_has_published_is_not_waited_for(writer, tmp_path):
    """Although the runner still lives and owns the run: it is the recorder that would have to answer."""
    publisher = Publisher(tmp_path, writer.cursor, warn=print)
    publisher.start()
    with RunLock(tmp_path):
        assert is_published(tmp_path)
        os.close(publisher._alive._descriptor)  # as the kernel does when the recorder is killed
        assert (tmp_path / "live").is_dir()
        assert not is_published(tmp_path)
    publisher._alive = nullcontext()
    publisher.stop()


def test_a_recorder_that_does_not_answer_is_said(tmp_path, monkeypatch):
    """The folder is there and nobody looks at it."""
    monkeypatch.setattr(live, "_ANSWER_WITHIN_S", 0.01)
    (tmp_path / "live").mkdir()
    with pytest.raises(RunError, match=r"did not answer within 0\.01 s"):
        open_live(tmp_path)


def test_a_run_that_ends_while_it_is_opened_is_said(tmp_path):
    """The folder is gone between two steps."""
    with pytest.raises(RunError, match="has just ended; open it again"):
        open_live(tmp_path)


def wait_for(condition, within_s=10.0):
    """Wait for a real thread."""
    ends = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (duckdb.IOException("No space left on device"), "IOException: No space left on device"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_publisher_that_fails_tries_again_and_tells_once(writer, tmp_path, monkeypatch, error, told):
    """Three failures, one word of them, and then readers are answered."""
    monkeypatch.setattr(live, "_LOOK_EVERY_S", 0.001)
    failures = iter([error] * 3)

    def connect():
        for failure in failures:
            raise failure
        return writer.cursor()

    writer.append({"outcomes": [outcome(0)]})
    news = []
    publisher = Publisher(tmp_path, connect, warn=news.append)
    publisher.start()
    wait_for(lambda: news)
    with closing(open_live(tmp_path)) as connection:
        assert connection.execute("select count(*) from outcomes").fetchall() == [(1,)]
    assert news == [f"the run cannot be looked at while it goes on, tried again: {told}"]
    publisher.stop()


def test_a_part_that_cannot_be_written_leaves_nothing_and_is_written_later(publisher, writer, tmp_path):
    """Of a full disk: what there is of it takes no room, and no row is left out afterwards."""
    writer.append({"outcomes": [outcome(slot) for slot in range(25)]})
    cursor = writer.cursor()

    class Full:
        """Lets the part be begun, and then says that the disk is full."""

        def execute(self, query):
            if query.startswith("copy"):
                cursor.execute(query).fetchall()
                message = "No space left on device"
                raise duckdb.IOException(message)
            return cursor.execute(query)

    with pytest.raises(duckdb.IOException):
        publisher._seal(Full())
    assert list((tmp_path / "live").iterdir()) == []
    publisher._seal(cursor)
    assert spans(publisher) == [(0, 10), (10, 20)]
