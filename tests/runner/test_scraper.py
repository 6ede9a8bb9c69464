"""The scraper on virtual time: what it records of each endpoint, and how hard it tries for a snapshot."""

import asyncio
import datetime as dt
import os
import threading

import orjson
import pytest
from virtual_soak import World
from virtual_time import run_virtually

from soaklib.plan.model import load_plan
from soaklib.records import Sample, Scrape
from soaklib.runner.clock import RunClock, SoakClock
from soaklib.runner.scraper import Scraper
from soaklib.store.views import Segment
from soaklib.targets.admin import Link
from soaklib.targets.fourrunr.admin import FourRunrAdmin
from soaklib.targets.fourrunr.api import ApiError, Reply

ANCHOR = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
HEALTHY = Reply(200, b'{"ok":true}')
METRICS = Reply(200, b"up 1\n")


class Api:
    """Answers after 10 ms what `answers` has for a path: a reply, or a call that gives one, or raises."""

    def __init__(self, **answers):
        self.answers = {"metrics": METRICS, "health": HEALTHY, "ready": HEALTHY, **answers}
        self.asked = []

    async def get(self, path):
        """GET it."""
        self.asked.append((asyncio.get_running_loop().time(), path))
        await asyncio.sleep(0.01)
        answer = self.answers[path.removeprefix("/")]
        if callable(answer):
            answer = await answer()
        return answer


class Rows:
    """Takes what the recorder would."""

    def __init__(self):
        self.scrapes, self.texts, self.rows = [], [], []

    def scrape(self, row):
        self.scrapes.append(row)

    def metrics(self, row, text):
        self.texts.append((row, text))

    def samples(self, rows):
        self.rows += rows


class Events:
    """Takes events."""

    def __init__(self):
        self.written, self.data = [], None

    def write(self, name, detail, *, key=None, data=None):
        self.written.append((name, detail, key))
        self.data = data or self.data


class Parts:
    """A scraper and all that it works with; `folder` may be missing."""

    def __init__(self, loop, folder, speed=1.0, upstream=None, **answers):
        self.api, self.rows, self.events, self.folder, self.loop = Api(**answers), Rows(), Events(), folder, loop
        clock = RunClock(
            ANCHOR, monotonic_ns=loop.monotonic_ns, utc_now=lambda: ANCHOR + dt.timedelta(seconds=loop.time())
        )
        soak_clock = SoakClock(Segment(segment=0, started_at_us=0, soak_started_s=0.0), speed)
        link = Link(base_url="", timeout_s=1.0, plan=load_plan(), run_id="r1", rps=1.0, tell=None)
        self.scraper = Scraper(
            FourRunrAdmin(link, self.api),
            clock=clock,
            soak_clock=soak_clock,
            recorder=self.rows,
            events=self.events,
            folder=folder,
            upstream=upstream,
        )

    async def run_for(self, seconds, every_s=15.0):
        """Let it scrape."""
        running = asyncio.create_task(self.scraper.run(every_s))
        await asyncio.sleep(seconds)
        running.cancel()


def scraping(tmp_path, seconds=1.0, **parts):
    """Give a scraper's parts when it has scraped for some virtual seconds."""

    async def main(loop):
        made = Parts(loop, tmp_path, **parts)
        await made.run_for(seconds)
        return made

    return run_virtually(main)


def snapshot(tmp_path, *, within_s=300.0, **answers):
    """Give a scraper's parts when it has taken a snapshot, or tried to, and how long it took."""

    async def main(loop):
        made = Parts(loop, tmp_path, **answers)
        await made.scraper.snapshot("soak-h3.prom", key="snapshot:3", within_s=within_s)
        return made, loop.time()

    return run_virtually(main)


def failing(times, then=METRICS, reply=None):
    """Give what fails some times, without an answer or with `reply`."""
    left = iter(range(times))

    async def answer():
        if next(left, None) is None:
            return then
        if reply is None:
            msg = "GET /metrics"
            raise ApiError(msg, None, "cannot connect")
        return reply

    return answer


@pytest.mark.parametrize(("speed", "every_s", "apart_s"), [(1.0, 15.0, 15.0), (5.0, 15.0, 3.0), (720.0, 15.0, 1.0)])
def test_scrapes_come_by_soak_time_and_at_most_once_a_second(tmp_path, speed, every_s, apart_s):
    """Three endpoints one after the other, again when their time has come, however long the answers took."""

    async def main(loop):
        made = Parts(loop, tmp_path, speed)
        await made.run_for(2.5 * apart_s, every_s)
        return [(at, path) for at, path in made.api.asked]

    asked = run_virtually(main)
    assert [path for _, path in asked] == ["/metrics", "/health", "/ready"] * 3
    assert [at for at, path in asked if path == "/metrics"] == pytest.approx([0.0, apart_s, 2 * apart_s])


def test_a_scrape_that_took_longer_than_its_period_is_followed_at_once_by_one(tmp_path):
    """Those that were due meanwhile are not made up for."""

    async def slow():
        await asyncio.sleep(40)
        return METRICS

    made = scraping(tmp_path, 100.0, metrics=slow)
    assert [round(at) for at, path in made.api.asked if path == "/metrics"] == [0, 40, 80]


def test_the_text_of_metrics_goes_to_the_recorder_as_it_came(tmp_path):
    """With a row that says nothing of what is in it; that is for the reader of it."""
    made = scraping(tmp_path, metrics=Reply(200, b"\xff not looked into"))
    row = Scrape(10_000, "metrics", 200, ok=False, duration_us=10_000, size_bytes=17, detail=None)
    assert made.rows.texts == [(row, b"\xff not looked into")]
    assert "metrics" not in [scrape.endpoint for scrape in made.rows.scrapes]


@pytest.mark.parametrize("status", [301, 404, 503])
def test_metrics_of_another_status_are_a_failed_scrape(tmp_path, status):
    """Its text is none of the gateway's numbers."""
    made = scraping(tmp_path, metrics=Reply(status, b"up 1\n"))
    assert made.rows.texts == []
    assert made.rows.scrapes[0] == Scrape(
        10_000, "metrics", status, ok=False, duration_us=10_000, size_bytes=5, detail=f"status {status}"
    )


def test_no_answer_is_a_failed_scrape_of_each_endpoint_and_the_others_are_asked(tmp_path):
    """A row each, with the words of what went wrong."""
    nothing = {name: failing(9) for name in ("metrics", "health", "ready")}
    made = scraping(tmp_path, **nothing)
    assert [(row.endpoint, row.status, row.ok, row.size_bytes) for row in made.rows.scrapes] == [
        ("metrics", None, False, 0), ("health", None, False, 0), ("ready", None, False, 0),
    ]  # fmt: skip
    assert {row.detail for row in made.rows.scrapes} == {"GET /metrics got no answer: cannot connect"}


@pytest.mark.parametrize(
    ("health", "ready", "said"),
    [
        (HEALTHY, HEALTHY, [(True, None), (True, None)]),
        (Reply(200, b'{"ok":false}'), Reply(200, b""), [(False, None), (True, None)]),
        (
            Reply(503, b""),
            Reply(503, b'{"checks":{"circuitBreakers":{"openai":false,"serpapi":true}}}'),
            [(False, None), (False, "breaker open: openai")],
        ),
        (Reply(200, b"<html>"), Reply(503, b"<html>"), [(False, None), (False, "status 503")]),
    ],
)
def test_health_and_readiness_are_what_the_gateway_says(tmp_path, health, ready, said):
    """Healthy, not healthy, a breaker that is open, and a page."""
    made = scraping(tmp_path, health=health, ready=ready)
    assert [(row.ok, row.detail) for row in made.rows.scrapes] == said


@pytest.mark.parametrize(
    ("memory", "samples"),
    [
        ({"used": 5, "total": 7.5}, [("health_memory_total_bytes", 7.5), ("health_memory_used_bytes", 5.0)]),
        ({"used": True, "free": None, "text": "5"}, []),
        ([1], []),
        (None, []),
    ],
)
def test_the_memory_of_health_is_samples(tmp_path, memory, samples):
    """Numbers only."""
    made = scraping(tmp_path, health=Reply(200, orjson.dumps({"ok": True, "memory": memory})))
    assert made.rows.rows == [Sample(20_000, name, (), value) for name, value in samples]


def test_what_is_too_long_for_health_is_not_looked_into(tmp_path):
    """Megabytes of JSON would hold up the load: such an answer is none of a healthy gateway's."""
    long = Reply(200, orjson.dumps({"ok": True, "memory": {f"m{number}": 1 for number in range(20_000)}}))
    breakers = {"checks": {"circuitBreakers": {f"tool{number:04}": False for number in range(1000)}}}
    made = scraping(tmp_path, health=long, ready=Reply(503, orjson.dumps(breakers)))
    assert made.rows.rows == []
    assert [(row.endpoint, row.ok, row.size_bytes) for row in made.rows.scrapes] == [
        ("health", False, len(long.body)), ("ready", False, len(orjson.dumps(breakers))),
    ]  # fmt: skip
    assert made.rows.scrapes[1].detail.startswith("breaker open: tool0000, tool0001, ")
    assert len(made.rows.scrapes[1].detail) == 200


def test_a_snapshot_has_its_name_when_it_is_on_the_disk(tmp_path, monkeypatch):
    """A machine that goes down at any moment leaves a whole one or none."""
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append([path.name for path in tmp_path.iterdir()]))
    snapshot(tmp_path)
    assert seen == [[".soak-h3.prom.part"]]
    assert [path.name for path in tmp_path.iterdir()] == ["soak-h3.prom"]


def test_a_snapshot_is_the_text_as_it_came_and_an_event(tmp_path):
    """Its samples and its scrape are recorded too, and no part of a file is left."""
    made, _ = snapshot(tmp_path, metrics=Reply(200, b"up 1\n\xff\n"))
    assert made.events.written == [("METRICS_SNAPSHOT", "soak-h3.prom 7 bytes", "snapshot:3")]
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("soak-h3.prom", b"up 1\n\xff\n")]
    assert len(made.rows.texts) == 1


@pytest.mark.parametrize(
    "reply", [None, Reply(503, b""), Reply(200, b""), Reply(200, b"<html>starting</html>"), Reply(200, b"not up yet\n")]
)
def test_a_snapshot_that_fails_is_tried_again(tmp_path, reply):
    """Half a minute without an answer loses no hour: one event, and every failed scrape is a row."""
    made, took_s = snapshot(tmp_path, metrics=failing(6, reply=reply))
    assert made.events.written == [("METRICS_SNAPSHOT", "soak-h3.prom 5 bytes", "snapshot:3")]
    assert (tmp_path / "soak-h3.prom").read_bytes() == b"up 1\n"
    assert took_s == pytest.approx(0.5 + 1 + 2 + 4 + 8 + 15, abs=0.1)
    assert len(made.rows.scrapes) + len(made.rows.texts) == 7


@pytest.mark.parametrize(("within_s", "tried_s"), [(20.0, 20.0), (3600.0, 300.0), (0.0, 1.0)])
@pytest.mark.parametrize(
    ("reply", "why"),
    [(None, "GET /metrics got no answer: cannot connect"), (Reply(503, b"no"), "status 503, 2 bytes")],
)
def test_a_snapshot_is_given_up_when_its_time_is_over(tmp_path, reply, why, within_s, tried_s):
    """Not past what it is given, nor past five minutes; the event says what the last try met with."""
    made, took_s = snapshot(tmp_path, within_s=within_s, metrics=failing(10**6, reply=reply))
    assert made.events.written == [("METRICS_SNAPSHOT_FAILED", f"soak-h3.prom {why}", "snapshot:3")]
    assert took_s == pytest.approx(tried_s)
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_waits_for_no_answer_longer_than_its_time(tmp_path):
    """A gateway that hangs."""

    async def hang():
        await asyncio.sleep(10**6)

    made, took_s = snapshot(tmp_path, within_s=20.0, metrics=hang)
    assert took_s == pytest.approx(20.0)
    assert made.events.written == [("METRICS_SNAPSHOT_FAILED", "soak-h3.prom nothing within 20 s", "snapshot:3")]


def test_a_snapshot_that_the_disk_does_not_take_is_tried_again(tmp_path):
    """The folder comes back after a while; until then the error is the disk's."""
    folder = tmp_path / "mounted later"
    made, _ = snapshot(folder, within_s=5.0)
    assert made.events.written == [("METRICS_SNAPSHOT_FAILED", "soak-h3.prom No such file or directory", "snapshot:3")]

    async def main(loop):
        made = Parts(loop, folder)
        loop.call_later(10, folder.mkdir)
        await made.scraper.snapshot("soak-h3.prom", key=None)
        return made.events.written

    assert run_virtually(main) == [("METRICS_SNAPSHOT", "soak-h3.prom 5 bytes", None)]


def test_a_snapshot_is_written_by_another_thread(tmp_path, monkeypatch):
    """However slow the disk is, the loop goes on."""
    writers = []
    monkeypatch.setattr("soaklib.runner.scraper._keep", lambda *_: writers.append(threading.current_thread()))

    async def main():
        loop = asyncio.get_running_loop()
        loop.monotonic_ns = lambda: 0
        await Parts(loop, tmp_path).scraper.snapshot("soak-h3.prom", key=None)

    asyncio.run(main())
    assert len(writers) == 1
    assert writers[0] is not threading.main_thread()


def soak_with_metrics_down(from_s, for_s):
    """Give the snapshots' events of a soak of four hours, a minute each, with /metrics down for a while."""
    world = World("--hours", "4", "--speed", "60", "--rps", "0.05")
    try:
        world.start()
        world.live(from_s)
        world.gateway.fault, world.gateway.hits = "down", "GET /metrics"
        world.live(for_s)
        world.gateway.fault = None
        if world.is_alive:
            world.finish()
        assert world.is_completed
        names = world.events("METRICS_SNAPSHOT", "METRICS_SNAPSHOT_FAILED", "CHANGE_FAILED")
        return [(name.removeprefix("METRICS_SNAPSHOT"), key) for name, _, key in names]
    finally:
        world.close()


def test_a_stretch_without_metrics_loses_the_snapshots_that_fall_into_it_whole():
    """One that ends before the next is due loses none; the next is never waited past."""
    taken = [("", f"snapshot:{number}") for number in (0, 1, 2, 3, "final")]
    assert soak_with_metrics_down(115, 35) == taken
    assert soak_with_metrics_down(115, 67) == [*taken[:2], ("_FAILED", "snapshot:2"), *taken[3:]]


def test_the_last_snapshot_is_given_up_before_the_clean_up_is():
    """What failed is said by its own event, and the run ends."""
    assert soak_with_metrics_down(238, 60)[-1] == ("_FAILED", "snapshot:final")


def test_openmetrics_without_its_end_is_a_failed_scrape(tmp_path):
    """Its row says why, nothing is read of it, and no snapshot is kept of it."""
    cut = Reply(200, b"a 1\n", content_type="application/openmetrics-text; version=1.0.0")
    made, _ = snapshot(tmp_path, metrics=failing(1, then=cut._replace(body=b"a 1\n# EOF\n"), reply=cut))
    (row,) = made.rows.scrapes
    assert (row.ok, row.status, row.detail) == (False, 200, "cut short: OpenMetrics without # EOF")
    assert [text for _, text in made.rows.texts] == [b"a 1\n# EOF\n"]
    assert (tmp_path / "soak-h3.prom").read_bytes() == b"a 1\n# EOF\n"


@pytest.mark.parametrize(
    ("cut_times", "within_s", "kept"), [(1, 300.0, b"a 1\nb 2\n"), (9, 300.0, b"a 1\n"), (9, 1.0, b"a 1\n")]
)
def test_a_snapshot_that_ends_early_is_tried_again(tmp_path, cut_times, within_s, kept):
    """The third that does is how the gateway writes now; and where no time is left, half a text is more than none."""
    whole, cut = METRICS._replace(body=b"a 1\nb 2\n"), METRICS._replace(body=b"a 1\n")

    async def main(loop):
        made = Parts(loop, tmp_path, metrics=whole)
        await made.scraper.snapshot("soak-h2.prom", key=None)
        made.api.answers["metrics"] = failing(cut_times, then=whole, reply=cut)
        await made.scraper.snapshot("soak-h3.prom", key=None, within_s=within_s)

    run_virtually(main)
    assert (tmp_path / "soak-h3.prom").read_bytes() == kept


def test_what_the_upstream_counted_is_an_event_at_the_start_and_with_each_snapshot(tmp_path):
    """With all that it said, and when it was asked; of one that gives no answer there is none."""
    said = [{"requests": 4, "late": {"count": 0}, "each": {}}, None]

    async def upstream():
        await asyncio.sleep(0.5)
        return said.pop(0)

    async def main(loop):
        made = Parts(loop, tmp_path, upstream=upstream)
        await made.run_for(2.0)
        await made.scraper.snapshot("soak-h0.prom", key="snapshot:0")
        return made.events

    events = run_virtually(main)
    assert [name for name, _, _ in events.written] == ["UPSTREAM_COUNTED", "METRICS_SNAPSHOT"]
    assert events.written[0][1:] == ("4 requests, late {'count': 0}", None)
    assert events.data == {"asked_us": 0, "requests": 4, "late": {"count": 0}, "each": {}}
    assert not said
