"""A whole soak on virtual time: gateway, recorder and guard are objects, and whatever fails does so on cue."""

import asyncio
import datetime as dt
import tempfile
from pathlib import Path

from virtual_gateway import TIMEOUT_S, VirtualApi, VirtualClient, VirtualGateway
from virtual_time import VirtualTimeLoop

from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.records import RunStatus
from soaklib.runner.clock import RunClock
from soaklib.runner.job import SoakJob
from soaklib.runner.recovery import Past, recover
from soaklib.runner.scraped import read_scrape
from soaklib.runner.soak import Soak
from soaklib.runner.surroundings import Surroundings
from soaklib.store.cuts import may_be_cut_sql
from soaklib.store.writer import Manifest, RunWriter, segment_row
from soaklib.targets.admin import Link
from soaklib.targets.fourrunr.admin import FourRunrAdmin

ANCHOR = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
FOUR_HOURS = ("--hours", "4", "--speed", "60", "--rps", "0.05")
CHAOS_S, CHAOS_LASTS_S, CUT_S = 120.0, 5.0, 160.0  # of four hours at speed 60, wall seconds
_COMMIT_S = 0.02
_FLUSH_S = 0.1


class MemoryRecorder:
    """Takes rows: they are in its hands when flushed, and on disk a moment after that."""

    def __init__(self, loop):
        self._loop = loop
        self._pending, self._handed_over = [], []
        self.is_alive, self.queued_rows, self.lag_s = True, 0, 0.0

    async def start(self):
        """Start at once."""

    async def run(self):
        """Flush now and then."""
        while True:
            await asyncio.sleep(_FLUSH_S)
            self._flush()

    async def close(self):
        """Write what is left."""
        self._flush()

    async def is_written_down(self):
        """Wait until it is on disk."""
        self._flush()
        await asyncio.sleep(_COMMIT_S)
        return True

    def _take(self, table, row):
        if self.is_alive:
            self._pending.append((table, row))

    def _flush(self):
        if self._pending and self.is_alive:
            self._handed_over.append((self._loop.time(), self._pending))
            self._pending = []

    def outcome(self, row):
        self._take("outcomes", tuple(row))

    def event(self, row):
        self._take("events", tuple(row))
        self._flush()

    def scrape(self, row):
        self._take("scrapes", tuple(row))

    def metrics(self, row, text):
        read = read_scrape(row, text)
        self.scrape(read.scrape)
        self.samples(read.samples)

    def samples(self, rows):
        for row in rows:
            self._take("samples", tuple(row))

    def segment(self, segment, runner_pid):
        self._take("segments", segment_row(segment, runner_pid=runner_pid))

    def take_rows(self, *, outlives_runner):
        """Give what is on disk when the runner is dead: what was handed over, or what a dead recorder had committed."""
        now = self._loop.time()
        tables = {}
        for at, rows in self._handed_over:
            if outlives_runner or at + _COMMIT_S <= now:
                for table, row in rows:
                    tables.setdefault(table, []).append(row)
        return tables


class MemoryGuard:
    """Clears chaos when the runner is dead, unless it was killed too."""

    def __init__(self, is_alive):
        self._is_alive, self.urls, self.took_over = is_alive, [], False

    async def watch(self, undoing):
        if self._is_alive():
            self.urls.append(undoing.path)

    async def dismiss(self, undoing=None):
        if self._is_alive():
            self.urls = [one for one in self.urls if undoing is not None and one != undoing.path]

    def revive(self):
        """It never dies by itself."""

    async def hand_over(self):
        if self._is_alive():
            self.took_over = True


class _Virtual(Surroundings):
    """Everything a soak works with, as objects."""

    def __init__(self, world):
        self._world = world

    def utc_now(self):
        return self._world.utc_now()

    async def upstream_counts(self, plan):
        del plan  # it knows of no upstream

    def clock(self, anchor_utc, *, not_before_us):
        world = self._world
        return RunClock(
            anchor_utc, not_before_us=not_before_us, monotonic_ns=world.loop.monotonic_ns, utc_now=world.utc_now
        )

    def recorder(self, folder, *, on_warning):
        del folder, on_warning
        return self._world.recorder

    def link(self, plan, *, run_id, tell):
        return Link(base_url="http://gateway", timeout_s=TIMEOUT_S, plan=plan, run_id=run_id,
                    rps=self._world.settings.rps, tell=tell)  # fmt: skip

    def admin(self, target, link):
        del target
        return FourRunrAdmin(link, VirtualApi(self._world.gateway, lambda: self._world.is_alive))

    def client(self, clock):
        return VirtualClient(self._world.gateway, clock, lambda: self._world.is_alive)

    def guard(self, journal=None):
        del journal
        self._world.guard = MemoryGuard(lambda: self._world.is_alive)
        return self._world.guard

    async def watch(self, vitals, *, clock, recorder, client, folder, warn):
        del vitals, clock, recorder, client, folder, warn
        await asyncio.Event().wait()


class World:
    """A run, its gateway, and the time: runners live and die in it.

    Attributes
    ----------
    loop
        Its virtual time goes on from one runner to the next, and stands still while the machine sleeps.
    writer
        The run's database, in memory.
    """

    def __init__(self, *arguments):
        self.settings = load_settings(
            ["--gateway-url", "http://127.0.0.1:1", "--drain-s", "1", "--http-timeout-ms", str(int(TIMEOUT_S * 1000)),
             *arguments]
        )  # fmt: skip
        self.plan = load_plan()
        self.loop = VirtualTimeLoop()
        self._slept_s = 0.0
        self.gateway = VirtualGateway(self.utc_now)
        self._folder = tempfile.TemporaryDirectory(prefix="soaklib-virtual-")
        self.folder = Path(self._folder.name)
        self.writer = RunWriter(self._database())
        self.writer.begin_run(
            Manifest(
                run_id="r1", soaklib_version="0", anchor_utc=ANCHOR, speed=self.settings.speed, rps=self.settings.rps,
                hours=self.settings.hours, seed=self.settings.seed, target="http://gateway", embedded=False,
                settings=self.settings.public_json(), plan=self.plan.model_dump_json(), environment="{}",
            )
        )  # fmt: skip
        self.is_alive, self.soak, self._task, self._stop = False, None, None, None
        self.results, self.guard = [], None

    def _database(self):
        return Path(":memory:")

    def utc_now(self):
        return ANCHOR + dt.timedelta(seconds=self.loop.time() + self._slept_s)

    def close(self):
        """Let go of everything."""
        if self.is_alive:
            self.kill(everything=True)
        self.loop.close()
        self._folder.cleanup()

    # -- a runner's life

    def start(self):
        """Start a runner, or resume the run."""
        past = recover(self.writer, self.settings, self.plan) if self.results or self.soak else Past()
        self.recorder = MemoryRecorder(self.loop)
        self.is_alive = True
        job = SoakJob(
            run_id="r1", folder=self.folder, settings=self.settings, plan=self.plan, target="http://gateway",
            anchor_utc=ANCHOR, past=past,
        )  # fmt: skip
        self.soak = Soak(job, _Virtual(self))
        self._stop = asyncio.Event()
        self._task = self.loop.create_task(self.soak.run(self._stop))

    def live(self, seconds):
        """Let time pass; the runner may come to its end in it."""
        self.loop.run_until_complete(asyncio.wait({self._task}, timeout=seconds))
        if self._task.done():
            self._ended()

    def finish(self):
        """Let the runner come to its end."""
        self.loop.run_until_complete(asyncio.wait({self._task}))
        self._ended()

    def stop(self):
        """Stop it in order, as SIGTERM does."""
        self._stop.set()
        self.finish()

    def kill(self, *, everything):
        """Kill the runner; `everything`: the recorder and the guard with it."""
        self.is_alive = self.recorder.is_alive = False
        self._write_down(self.recorder.take_rows(outlives_runner=not everything))
        if not everything:
            self._guard_clears()
        self._task.cancel()
        self.loop.run_until_complete(asyncio.wait({self._task}))

    def sleep(self, seconds):
        """Let the machine sleep: the wall clock goes on, and nothing else."""
        self._slept_s += seconds

    def _guard_clears(self):
        if self.gateway.fault is None:
            for url in self.guard.urls:
                route, _, name = url.rpartition("/")
                if route == "/api/policies":
                    self.gateway.policies.pop(name, None)
                else:
                    self.gateway.chaos.discard(name)

    def _ended(self):
        self.is_alive = False
        result = self._task.result()
        self.results.append(result)
        self._write_down(self.recorder.take_rows(outlives_runner=True))
        for segment in result.segments:
            self.writer.end_segment(segment)
        if self.guard is not None and self.guard.took_over:
            self._guard_clears()
        self.writer.end_run(result.status, completed_utc=self.utc_now(), duration_s=0.0)

    def _write_down(self, tables):
        self.writer.append(tables)

    # -- what came of it

    @property
    def is_completed(self):
        return bool(self.results) and self.results[-1].status == RunStatus.COMPLETED

    def events(self, *names):
        """Give (name, detail, key) of the events, in order."""
        rows = self.writer.read("select name, detail, event_key from events order by at_us, rowid")
        return [row for row in rows if not names or row[0] in names]


def may_be_denied(run):
    """Give how many calls a quota that was cut may deny."""
    [(calls,)] = run.writer.read(f"select count(*) from outcomes where {may_be_cut_sql(run.writer._connection)}")
    return calls


def assert_clean(world):
    """Nothing of the run is left at the gateway, and everything planned is there once."""
    assert world.gateway.chaos == set()
    assert world.gateway.policies == {}
    keys = [key for *_, key in world.events() if key is not None]
    assert sorted(keys) == sorted(set(keys))
    [(rows, distinct)] = world.writer.read("select count(*), count(distinct (purpose, slot, step)) from outcomes")
    assert rows == distinct
    [(slots, most)] = world.writer.read("select count(distinct slot), max(slot) from outcomes where purpose = 'load'")
    assert (slots, most + 1) == (world.settings.total_slots, world.settings.total_slots)
    [(probes,)] = world.writer.read("select count(*) from outcomes where purpose = 'probe'")
    assert probes == world.settings.hours * 60
