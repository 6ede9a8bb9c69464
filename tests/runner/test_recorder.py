"""The recorder: rows on disk within a second, and loud when they can no longer be."""

import asyncio
import os
import signal

import pytest
from test_store import MANIFEST

from soaklib.errors import RecordingError
from soaklib.records import Event, Outcome, Sample
from soaklib.runner.recorder import Recorder
from soaklib.store import DATABASE_NAME, RunWriter, open_read_only


def outcome(slot):
    return Outcome(
        "load", slot, 0, "scraper", "serpapi", "search", slot, slot, slot + 5, 200, "ok", "allow", None, 1, 0, None, "b"
    )


@pytest.fixture
def database(tmp_path):
    writer = RunWriter(tmp_path / DATABASE_NAME)
    writer.begin_run(MANIFEST)
    writer.close()
    return tmp_path / DATABASE_NAME


async def all_acknowledged(recorder):
    """Wait for the other process to say that everything is on disk."""
    async with asyncio.timeout(10):
        while recorder.queued_rows:  # noqa: ASYNC110 - it has no event for what only tests want
            await asyncio.sleep(0.01)


def rows_in(database, table="outcomes"):
    with open_read_only(database) as connection:
        return connection.execute(f"select count(*) from {table}").fetchone()[0]


def test_everything_handed_over_is_on_disk_after_close(database):
    """Outcomes, events and samples, NaN included, are all there, and the count of queued rows is back at 0."""

    async def main():
        recorder = Recorder(database)
        await recorder.start()
        for slot in range(5000):
            recorder.outcome(outcome(slot))
        recorder.event(Event(1, "SOAK_TEST_STARTED", "x", None))
        recorder.samples([Sample(1, "m", (("a", "b"),), float("nan"))])
        assert recorder.queued_rows == 5002
        await recorder.close()
        return recorder

    recorder = asyncio.run(main())
    assert (recorder.queued_rows, recorder.rows_on_disk) == (0, 5002)
    assert (rows_in(database), rows_in(database, "events"), rows_in(database, "samples")) == (5000, 1, 1)


def test_rows_are_acknowledged_while_the_load_goes_on(database):
    """A row handed over is acknowledged as on disk in well under a second, without a close."""

    async def main():
        recorder = Recorder(database)
        await recorder.start()
        streaming = asyncio.create_task(recorder.run())
        recorder.outcome(outcome(1))
        await all_acknowledged(recorder)
        streaming.cancel()
        rows = recorder.rows_on_disk
        await recorder.close()
        return rows

    assert asyncio.run(main()) == 1


def test_acknowledged_rows_survive_the_death_of_the_recorder_and_it_is_told(database):
    """A SIGKILL of the recorder's process ends the run with RecordingError, and every acknowledged row is there."""

    async def main():
        recorder = Recorder(database)
        await recorder.start()
        streaming = asyncio.create_task(recorder.run())
        for slot in range(1000):
            recorder.outcome(outcome(slot))
        await all_acknowledged(recorder)
        os.kill(recorder._process.pid, signal.SIGKILL)
        recorder.outcome(outcome(1000))
        with pytest.raises(RecordingError, match="was killed by SIGKILL, as the kernel does when memory runs out"):
            await asyncio.wait_for(streaming, 10)
        with pytest.raises(RecordingError):
            await recorder.close()
        return recorder.rows_on_disk

    acknowledged = asyncio.run(main())
    assert rows_in(database) == acknowledged == 1000


def test_a_recorder_that_does_not_keep_up_ends_the_run_loudly(database):
    """With its process stopped, the queue reaches its bound and the run ends; nothing is dropped in silence."""

    async def main():
        recorder = Recorder(database, most_queued_rows=500)
        await recorder.start()
        streaming = asyncio.create_task(recorder.run())
        os.kill(recorder._process.pid, signal.SIGSTOP)
        try:
            for slot in range(501):
                recorder.outcome(outcome(slot))
            with pytest.raises(RecordingError, match="the disk does not keep up: 501 rows wait"):
                await asyncio.wait_for(streaming, 10)
        finally:
            os.kill(recorder._process.pid, signal.SIGCONT)
        await recorder.close()

    asyncio.run(main())
    assert rows_in(database) == 501


def test_a_file_that_cannot_be_written_is_told_before_the_load(tmp_path):
    """A database that another process holds is refused at the start, with its name."""
    path = tmp_path / DATABASE_NAME
    path.write_text("not a database " * 1000)

    async def main():
        recorder = Recorder(path)
        with pytest.raises(RecordingError, match=r"cannot write .*run\.duckdb"):
            await recorder.start()
        with pytest.raises(RecordingError):
            await recorder.close()

    asyncio.run(main())
