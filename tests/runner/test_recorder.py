"""The recorder: rows on disk within a second, and loud when they can no longer be."""

import asyncio
import os
import resource
import signal
import time

import psutil
import pytest
from stored_rows import MANIFEST, all_acknowledged, outcome

from soaklib.errors import RecordingError
from soaklib.records import Event, Sample, Scrape
from soaklib.runner import recorder as recorder_module
from soaklib.runner.frames import scrape_header
from soaklib.runner.recorder import Recorder
from soaklib.runner.recorder_process import Voice, record
from soaklib.runner.scraped import Scraped
from soaklib.store.reader import open_read_only
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path):
    writer = RunWriter(tmp_path / DATABASE_NAME)
    writer.begin_run(MANIFEST)
    writer.close()
    return tmp_path / DATABASE_NAME


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


def test_an_interrupt_at_the_terminal_does_not_reach_the_process(database):
    """It goes to the runner's process group, whose the process is not, so that it cannot be killed while it starts."""

    async def main():
        recorder = Recorder(database)
        await recorder.start()
        group = os.getpgid(recorder._process.pid)
        await recorder.close()
        return group

    assert asyncio.run(main()) != os.getpgrp()


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


def test_a_recorder_that_gets_no_more_memory_ends_the_run_and_what_it_acknowledged_stays(database):
    """Given its address space and not a page more, it stops with a sentence on memory before it has used it all up."""

    async def main():
        recorder = Recorder(database)
        await recorder.start()
        streaming = asyncio.create_task(recorder.run())
        recorder.outcome(outcome(0))
        await all_acknowledged(recorder)
        have = psutil.Process(recorder._process.pid).memory_info().vms
        resource.prlimit(recorder._process.pid, resource.RLIMIT_AS, (have, have))
        for first in range(1, 2_000_000, 20_000):  # many more than it has room for: rows wait in pieces of megabytes
            for slot in range(first, first + 20_000):
                recorder.outcome(outcome(slot))
            await asyncio.wait([streaming], timeout=0.1)
            if streaming.done():
                break
        with pytest.raises(RecordingError, match="emory"):
            await asyncio.wait_for(streaming, 30)
        with pytest.raises(RecordingError):
            await recorder.close()
        return recorder.rows_on_disk

    acknowledged = asyncio.run(main())
    assert 1 <= acknowledged <= rows_in(database) < 2_000_000


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


SCRAPE = Scrape(5, "metrics", 200, ok=False, duration_us=1, size_bytes=1, detail=None)
SERIES = 20_000
TEXT = b"".join(
    b'gateway_requests_total{agent="agent-%06d",tool="serpapi",zone="eu"} %d\n' % (n, n) for n in range(SERIES)
)


def read_rows(database, query):
    with open_read_only(database) as connection:
        return connection.execute(query).fetchall()


def test_the_text_of_a_scrape_is_read_by_the_other_process(database):
    """Its samples and its row come at once, the row says what came of it, and what is queued goes back to nothing."""

    async def main():
        recorder = Recorder(database)
        await recorder.start()
        recorder.metrics(SCRAPE, b'a{b="c"} 1\nd NaN\n')
        recorder.metrics(SCRAPE._replace(at_us=6), b"<html>")
        recorder.metrics(SCRAPE._replace(at_us=7), b"")
        assert recorder.queued_rows == 3
        assert await recorder.is_written_down()
        assert (recorder.queued_rows, recorder.rows_on_disk, recorder.lag_s) == (0, 5, 0.0)
        await recorder.close()

    asyncio.run(main())
    assert read_rows(database, "select at_us, metric, labels, value::varchar from samples") == [
        (5, "a", [{"key": "b", "value": "c"}], "1.0"), (5, "d", [], "nan"),
    ]  # fmt: skip
    scrapes = read_rows(database, "select at_us, ok, detail from scrapes order by at_us")
    assert scrapes[0] == (5, True, None)
    assert [row[:2] for row in scrapes[1:]] == [(6, False), (7, False)]
    assert ["page of markup" in scrapes[1][2], "is empty" in scrapes[2][2]] == [True, True]


def test_some_megabytes_are_handed_over_without_a_wait(database):
    """20,000 series cost the loop milliseconds and the other process some memory; everything of them is stored."""
    took, rss_mb = [], []

    async def main():
        recorder = Recorder(database)
        await recorder.start()
        process = psutil.Process(recorder._process.pid)
        for number in range(5):
            rss_mb.append(process.memory_info().rss >> 20)
            began = time.thread_time()
            recorder.metrics(SCRAPE._replace(at_us=number), TEXT)
            took.append(time.thread_time() - began)
            assert await recorder.is_written_down()
        await recorder.close()

    asyncio.run(main())
    assert min(took) < 0.02
    assert max(rss_mb) < rss_mb[0] + 150
    assert read_rows(database, "select count(*) from samples") == [(5 * SERIES,)]


def test_a_text_for_which_there_is_no_room_is_left_out_and_its_row_says_so(database):
    """The recorder does not keep up: what waits stays bounded, and no scrape goes by without a row."""

    async def main():
        recorder = Recorder(database, most_queued_text_bytes=3000)
        await recorder.start()
        os.kill(recorder._process.pid, signal.SIGSTOP)
        for at_us in range(4):
            recorder.metrics(SCRAPE._replace(at_us=at_us), b"a 1\n" * 300)
        assert recorder.queued_rows == 4
        os.kill(recorder._process.pid, signal.SIGCONT)
        assert await recorder.is_written_down()
        recorder.metrics(SCRAPE._replace(at_us=4), b"a 1\n" * 300)
        await recorder.close()

    asyncio.run(main())
    scrapes = read_rows(database, "select ok, detail from scrapes order by at_us")
    left_out = "1200 bytes left out: 2400 bytes of earlier scrapes wait to be read (at most 3000 may)"
    assert scrapes == [(True, None), (True, None), (False, left_out), (False, left_out), (True, None)]


def test_a_value_that_json_cannot_hold_costs_no_row(database):
    """An id with a lone surrogate is kept, escaped, and everything beside it as it is."""

    async def main():
        recorder = Recorder(database)
        await recorder.start()
        recorder.outcome(outcome(1))
        recorder.outcome(outcome(2)._replace(correlation_id="req_\udcff"))
        recorder.event(Event(1, "CHANGE_FAILED", "\ud800", None))
        await recorder.close()

    asyncio.run(main())
    assert read_rows(database, "select slot, correlation_id from outcomes order by slot") == [
        (1, outcome(1).correlation_id), (2, "req_\\udcff"),
    ]  # fmt: skip
    assert read_rows(database, "select detail from events") == [("\\ud800",)]


def test_a_row_that_is_refused_ends_the_run_when_all_others_are_stored(database):
    """The run is told table and reason; rows before, beside and after it are there."""

    async def main():
        recorder = Recorder(database)
        await recorder.start()
        streaming = asyncio.create_task(recorder.run())
        for slot in range(100):
            recorder.outcome(outcome(slot))
        recorder.outcome(outcome(100)._replace(kind=None))
        with pytest.raises(RecordingError, match=r"1 rows could not be written to .*: outcomes: .*NOT NULL .*kind"):
            await asyncio.wait_for(streaming, 10)
        assert not await recorder.is_written_down()
        for slot in range(101, 200):
            recorder.outcome(outcome(slot))
        with pytest.raises(RecordingError, match="1 rows could not be written"):
            await recorder.close()
        return recorder.rows_on_disk

    assert asyncio.run(main()) == 199
    assert rows_in(database) == 199


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("x")])
def test_whatever_is_raised_as_rows_are_handed_over_they_stay_and_the_run_ends_by_it(database, monkeypatch, error):
    """In a sentence; what stayed is written as soon as it can be, at the latest at the end."""
    frame = recorder_module.rows_frame

    def fail(_):
        raise error

    async def main():
        recorder = Recorder(database)
        await recorder.start()
        recorder.outcome(outcome(1))
        monkeypatch.setattr(recorder_module, "rows_frame", fail)
        recorder.event(Event(1, "CHAOS_MODE_ON", "x", None))
        said = rf"2 rows cannot be handed to the recorder of .*run\.duckdb: {type(error).__name__}\("
        with pytest.raises(RecordingError, match=said):
            await asyncio.wait_for(recorder.run(), 3)
        assert recorder.queued_rows == 2
        monkeypatch.setattr(recorder_module, "rows_frame", frame)
        with pytest.raises(RecordingError, match=said):
            await recorder.close()
        assert recorder.queued_rows == 0

    asyncio.run(main())
    assert (rows_in(database), rows_in(database, "events")) == (1, 1)


def test_a_fault_of_the_parser_is_warned_of_once(tmp_path, monkeypatch, capfdbinary):
    """The recorder's own part of it: the scrapes' rows say it each time, the warning once."""
    monkeypatch.setattr("soaklib.runner.recorder_process.read_scrape", lambda scrape, _: Scraped(scrape, [], "bad"))
    writer = RunWriter(tmp_path / DATABASE_NAME)
    read_end, write_end = os.pipe()
    frame = scrape_header(SCRAPE, b"up 1\n") + b"up 1\n"
    os.write(write_end, frame + frame)
    os.close(write_end)
    monkeypatch.setattr("soaklib.runner.recorder_process._STDIN", read_end)
    record(writer, Voice())
    os.close(read_end)
    assert capfdbinary.readouterr().out.splitlines() == [
        b'{"frames":0,"rows":0}', b'{"warning":"bad"}', b'{"frames":2,"rows":2}',
    ]  # fmt: skip


def test_what_a_text_has_that_is_not_recorded_is_warned_of_once_a_kind(tmp_path, monkeypatch, capfdbinary):
    """The first of it with its line; every scrape has the same again."""
    writer = RunWriter(tmp_path / DATABASE_NAME)
    read_end, write_end = os.pipe()
    for text in (b"a 1\nb{ 2\n", b"a 1\nc 1\nb{ 3\n"):
        os.write(write_end, scrape_header(SCRAPE, text) + text)
    os.close(write_end)
    monkeypatch.setattr("soaklib.runner.recorder_process._STDIN", read_end)
    record(writer, Voice())
    os.close(read_end)
    warnings = [line for line in capfdbinary.readouterr().out.splitlines() if b"warning" in line]
    assert warnings == [b'{"warning":"/metrics, line 2: left out (bad labels); this kind is not said again"}']
