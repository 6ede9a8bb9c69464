"""The runner's own metrics: what they say, and how they are served."""

import asyncio
import socket
from collections import Counter
from contextlib import suppress
from types import SimpleNamespace

import aiohttp
import pytest
from outcome_rows import answered, cut_off, unsent
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from soaklib.errors import SettingsError
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.runner.metrics import metrics_registry
from soaklib.runner.metrics_server import MetricsServer, listen_for_scrapes
from soaklib.runner.vitals import Vitals


def _soak(soak_s=0.0):
    """A soak of a day in which nothing has happened yet."""
    job = SimpleNamespace(
        senders=None,
        run_id="r1",
        target="http://127.0.0.1:1",
        settings=load_settings(["--max-in-flight", "9", "--speed", "720"]),
        plan=load_plan(),
    )
    recorder = SimpleNamespace(queued_rows=3, rows_on_disk=40, lag_s=0.25)
    return SimpleNamespace(job=job, vitals=Vitals(), recorder=recorder, soak_s=soak_s)


def _samples(soak):
    families = text_string_to_metric_families(generate_latest(metrics_registry(soak)).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_call_is_counted_once_by_purpose_tool_and_kind():
    """Planned are those sent and those that never were; a call cut off was sent."""
    soak = _soak()
    soak.vitals.saw_sending("load", "openai", 700)
    soak.vitals.saw_outcome(answered("load", "openai", "ok", 40_000))
    soak.vitals.saw_sending("load", "openai", 3_000_000)
    soak.vitals.saw_outcome(cut_off("load", "openai"))
    soak.vitals.saw_outcome(unsent("load", "openai", "dropped"))
    soak.vitals.saw_sending("probe", "gmail_send", 0)
    samples = _samples(soak)

    def of(metric, **labels):
        return samples[metric, tuple(sorted(labels.items()))]

    load = {"purpose": "load", "tool": "openai"}
    assert of("soaklib_calls_planned_total", **load) == 3
    assert of("soaklib_calls_sent_total", **load) == 2
    assert [of("soaklib_outcomes_total", **load, kind=kind) for kind in ("ok", "interrupted", "dropped")] == [1, 1, 1]
    assert of("soaklib_calls_planned_total", purpose="probe", tool="gmail_send") == 1
    assert of("soaklib_schedule_lag_seconds_count") == 3
    assert of("soaklib_schedule_lag_seconds_bucket", le="0.001") == 2
    assert of("soaklib_service_time_seconds_bucket", le="0.05", tool="openai") == 1
    assert of("soaklib_service_time_seconds_sum", tool="openai") == pytest.approx(0.04)


def test_the_calls_of_a_second_count_one_that_was_cut_off_once():
    """It was planned when it was sent, not again when the run stopped."""
    vitals = Vitals()
    vitals.saw_sending("load", "openai", 0)
    vitals.saw_outcome(cut_off("load", "openai"))
    assert vitals.take_second() == (1, 1, 0, 0, 0)


def test_a_resumed_run_goes_on_counting_where_it_left_off():
    """Its missed calls were planned and never sent."""
    soak = _soak()
    soak.vitals = Vitals(
        outcomes=Counter({("load", "openai", "ok"): 10, ("load", "openai", "missed"): 4}),
        sent_calls=Counter({("load", "openai"): 10}),
    )
    samples = _samples(soak)
    key = (("purpose", "load"), ("tool", "openai"))
    assert samples["soaklib_calls_planned_total", key] == 14
    assert samples["soaklib_calls_sent_total", key] == 10
    assert soak.vitals.kinds == {"ok": 10, "missed": 4}


@pytest.mark.parametrize(
    ("soak_s", "phase"),
    [(0.0, "baseline"), (28_800.0, "credentials rotated"), (43_500.0, "chaos"), (86_400.0, "quota cut")],
)
def test_one_phase_is_current_and_the_others_are_not(soak_s, phase):
    """As the plan's times say."""
    samples = _samples(_soak(soak_s))
    phases = {dict(labels)["phase"]: value for (name, labels), value in samples.items() if name == "soaklib_phase"}
    assert {name for name, value in phases.items() if value == 1} == {phase}
    assert len(phases) == 5
    assert samples["soaklib_soak_time_seconds", ()] == soak_s


def test_the_run_and_its_recorder_are_told():
    """Run id as a label of the info metric; queue, lag and acknowledged rows of the recorder; memory."""
    samples = _samples(_soak())
    [labels] = [dict(labels) for name, labels in samples if name == "soaklib_run_info"]
    assert labels["run_id"] == "r1"
    assert samples["soaklib_recorder_queue_rows", ()] == 3
    assert samples["soaklib_recorder_rows_acknowledged_total", ()] == 40
    assert samples["soaklib_recorder_lag_seconds", ()] == 0.25
    assert samples["soaklib_operations_in_flight_limit", ()] == 9
    assert samples["process_resident_memory_bytes", ()] > 1 << 20


def test_a_port_that_is_taken_is_one_sentence():
    """And says what to pass."""
    with listen_for_scrapes(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"--metrics-port {port}: cannot listen on 127.0.0.1: address already"):
            listen_for_scrapes(port)


def _serving(check):
    """Run `check(server, session)` on a server of its own."""

    async def main():
        async with MetricsServer(_soak(), listen_for_scrapes(0)) as server, aiohttp.ClientSession() as session:
            return await check(server, session)

    return asyncio.run(main())


def test_metrics_are_served_on_the_loopback_alone():
    """GET /metrics, as text; no other path."""

    async def check(server, session):
        assert server._listener.getsockname()[0] == "127.0.0.1"
        async with session.get(server.url) as answer:
            told = answer.headers["Content-Type"], await answer.text()
        async with session.get(server.url.replace("/metrics", "/")) as answer:
            return *told, answer.status

    content_type, text, elsewhere = _serving(check)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert 'soaklib_run_info{run_id="r1"' in text
    assert elsewhere == 404


def test_the_port_is_free_again_afterwards():
    """The next run may have it."""

    async def check(server, _session):
        return server._listener.getsockname()[1]

    port = _serving(check)
    with socket.create_server(("127.0.0.1", port)) as again:
        assert again.getsockname()[1] == port


def test_the_end_waits_for_the_scrape_that_carries_the_final_numbers():
    """When scrapes have been coming; the scrape that was under way before does not count."""

    async def check(server, session):
        async with session.get(server.url) as answer:
            await answer.read()
        server._interval_s = 40.0
        waiting = asyncio.create_task(server.wait_for_last_scrape(asyncio.Event()))
        for _ in range(10):
            await asyncio.sleep(0)
        before = waiting.done()
        async with session.get(server.url) as answer:
            await answer.read()
        await waiting
        return before

    assert _serving(check) is False


def test_a_stop_or_no_scraper_ends_the_wait_at_once():
    """Nobody waits for a scrape that never comes."""

    async def check(server, _session):
        await server.wait_for_last_scrape(asyncio.Event())  # nothing has scraped it: would wait for ever otherwise
        server._interval_s = 40.0
        stop = asyncio.Event()
        waiting = asyncio.create_task(server.wait_for_last_scrape(stop))
        await asyncio.sleep(0)
        assert not waiting.done()
        stop.set()
        await waiting
        return True

    assert _serving(check)


async def _exchange(server, request):
    """Send bytes and give the beginning of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server._listener.getsockname()[1])
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(16), 10)
    writer.close()
    with suppress(ConnectionResetError):  # it has closed before all was read
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\xff\xfe\x00\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: \x00\x1b[2J\r\n\r\n",
        b"GET /\xff\x1b[2J HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    ],
)
def test_what_is_no_request_is_refused_and_leaves_nothing_on_the_terminal(caplog, request_bytes):
    """A stranger's bytes are told to the stranger alone, and the next scrape is answered."""

    async def check(server, session):
        refused = await _exchange(server, request_bytes)
        async with session.get(server.url) as answer:
            return refused, answer.status

    assert _serving(check) == (b"HTTP/1.0 400 Bad", 200)
    assert caplog.records == []


def test_metrics_that_cannot_be_shown_are_said_once_and_are_there_when_they_can_be(caplog):
    """A label that is no text is an answer of 500, not a traceback a scrape; it is no scrape that the end waits for."""
    soak = _soak()
    soak.vitals.outcomes["load", "tool\udcff", "ok"] = 1

    async def main():
        async with MetricsServer(soak, listen_for_scrapes(0)) as server, aiohttp.ClientSession() as session:
            answers = []
            for _ in range(2):
                async with session.get(server.url) as answer:
                    answers.append((answer.status, await answer.text()))
            was_scraped = server._scraped.is_set()
            soak.vitals.outcomes.clear()
            async with session.get(server.url) as answer:
                return answers, was_scraped, answer.status

    answers, was_scraped, then = asyncio.run(main())
    assert [status for status, _ in answers] == [500, 500]
    assert answers[0][1].startswith("the metrics cannot be shown: UnicodeEncodeError('utf-8', ")
    assert [record.getMessage() for record in caplog.records] == [answers[0][1]]
    assert len(answers[0][1]) <= 200
    assert (was_scraped, then) == (False, 200)
