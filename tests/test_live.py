import json
import os
from contextlib import closing, nullcontext

import pytest
from stored_rows import MANIFEST, outcome

from soaklib import live
from soaklib.errors import RunError
from soaklib.live import Publisher, is_published, open_live
from soaklib.runlock import RunLock
from soaklib.store import DATABASE_NAME, RunWriter, Segment, segment_row


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
    return Publisher(tmp_path, writer.cursor)


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
    publisher = Publisher(tmp_path, writer.cursor)
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
    publisher = Publisher(tmp_path, writer.cursor)
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
