"""A whole fleet on virtual time: conductor, lanes and gateway are objects on one loop, and their files are real."""

import asyncio
import contextlib
import datetime as dt
from collections import Counter

import duckdb
from virtual_gateway import VirtualApi, VirtualClient, VirtualGateway
from virtual_soak import ANCHOR, MemoryRecorder, World, _Virtual

import soaklib.fleet.conductor
import soaklib.fleet.launch
import soaklib.fleet.offset
import soaklib.fleet.sender
import soaklib.runner.vitals
from soaklib.errors import TargetError
from soaklib.fleet.desk import ClockOffset
from soaklib.fleet.job import JOB_NAME, LaneJob, lane_folder
from soaklib.fleet.lane_run import begin_or_resume, end_lane
from soaklib.fleet.lanes import Lane
from soaklib.fleet.launch import bring_together, fleeted
from soaklib.fleet.report import LaneReport
from soaklib.fleet.sender import Sender
from soaklib.records import RunStatus
from soaklib.runner.clock import RunClock
from soaklib.runner.job import SoakJob
from soaklib.runner.recovery import Past, recover
from soaklib.runner.soak import Soak
from soaklib.runner.surroundings import Surroundings
from soaklib.store.lock import RunLock
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter
from soaklib.targets.fourrunr.admin import FourRunrAdmin

_ON_THE_WAY_S = 0.0005


class CountingGateway(VirtualGateway):
    """Counts what it answers, as a real one does."""

    def __init__(self, now):
        super().__init__(now)
        self.counts = Counter()

    def answer(self, token, tool):
        status, kind, reason = super().answer(token, tool)
        if status in (200, 502):
            self.counts[f'gateway_requests_total{{tool="{tool}",action="x",code="{status}"}}'] += 1
        elif kind == "denied":
            self.counts[f'gateway_policy_denials_total{{kind="{reason}"}}'] += 1
        return status, kind, reason

    def _do(self, method, path, body):
        if path.endswith("/metrics"):
            return 200, "".join(f"{name} {count}\n" for name, count in sorted(self.counts.items())).encode()
        return super()._do(method, path, body)


class DriftingClock(RunClock):
    """A clock that is ahead of the world's by `ahead_us(seconds)`; its wall clock was set ahead by `set_s()`."""

    def __init__(self, world, ahead_us, set_s, *, not_before_us):
        super().__init__(
            ANCHOR, not_before_us=not_before_us, monotonic_ns=world.loop.monotonic_ns,
            utc_now=lambda: world.utc_now() + dt.timedelta(seconds=set_s()),
        )  # fmt: skip
        self._world, self._ahead_us = world, ahead_us

    def now_us(self):
        return super().now_us() + round(self._ahead_us(self._world.loop.time()))

    async def sleep_until(self, at_us):
        while (left_us := at_us - self.now_us()) > 0:  # noqa: ASYNC110 - time itself is what is waited for
            await asyncio.sleep(max(left_us, 1) / 1e6)


class _Recorder(MemoryRecorder):
    def health_tick(self, row):
        self._take("runner_health", tuple(row))


class _Watched(_Virtual):
    """As a soak's, but that the generator is watched as a real one is."""

    watch = Surroundings.watch


class _OfLane(_Watched):
    def __init__(self, world, recorder, lane, is_alive):
        super().__init__(world)
        self._recorder, self._lane, self._is_alive = recorder, lane, is_alive

    def recorder(self, folder, *, on_warning):
        del folder, on_warning
        return self._recorder

    def clock(self, anchor_utc, *, not_before_us):
        del anchor_utc
        world, lane = self._world, self._lane
        return DriftingClock(
            world, world.ahead_us.get(lane, lambda _: 0), lambda: world.set_s.get(lane, 0), not_before_us=not_before_us
        )

    def admin(self, target, link):
        del target
        return FourRunrAdmin(link, VirtualApi(self._world.gateway, self._is_alive))

    def client(self, clock):
        return VirtualClient(self._world.gateway, clock, self._is_alive)


class VirtualDesk:
    """The conductor's desk, with the wire taken out; ``is_cut`` says whether it can be reached."""

    by_address = {}  # noqa: RUF012 - one at a time, where lanes look for it

    def __init__(self, run_id, now_us, *, host="there"):
        del run_id, host
        self.now_us, self.ready, self.address, self.is_cut = now_us, set(), "there:1", False
        self.start_us = asyncio.get_running_loop().create_future()

    async def __aenter__(self):
        self.by_address[self.address] = self
        return self

    async def __aexit__(self, *_):
        del self.by_address[self.address]
        self.start_us.cancel()

    @classmethod
    def at(cls, address):
        desk = cls.by_address.get(address)
        if desk is None or desk.is_cut:
            msg = "the conductor's desk cannot be reached"
            raise TargetError(msg)
        return desk


async def _measure(address, _, now_us):
    desk = VirtualDesk.at(address)
    asked_us = now_us()
    await asyncio.sleep(_ON_THE_WAY_S)
    said_us = desk.now_us()
    await asyncio.sleep(_ON_THE_WAY_S)
    return ClockOffset.of(asked_us, said_us, now_us())


async def _ask(address, _, lane):
    desk = VirtualDesk.at(address)
    desk.ready.add(lane)
    return await asyncio.shield(desk.start_us)


class VirtualPlace:
    """A lane's sender: a task on the world's loop."""

    def __init__(self, world, job, lane, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = RunLock(folder)
        self.lock.__enter__()
        self._folder, self._world, self._how, self._is_live, self._is_still = folder, world, None, True, False
        self.recorder = _Recorder(world.loop)
        self.sender = Sender(
            job=LaneJob.read(job), lane=lane, folder=folder,
            past=begin_or_resume(LaneJob.read(job), lane, folder),
            surroundings=_OfLane(world, self.recorder, lane.number, lambda: self._is_live),
        )  # fmt: skip
        self._stop = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._live())

    async def _live(self):
        result = await self.sender.run(self._stop)
        self._write_down()
        end_lane(self._folder, result)
        self.lock.__exit__(None, None, None)
        self._how = str(result.error) if result.error else ""

    def _write_down(self):
        writer = RunWriter(self._folder / DATABASE_NAME)
        writer.append(self.recorder.take_rows(outlives_runner=True))
        writer.close()

    def report(self):
        return LaneReport.of(self.sender)

    def ended(self):
        return self._how

    async def stop(self):
        self._stop.set()

    async def stand_still(self):
        """Let it stand still for good: it neither goes on nor ends, until it is killed."""
        self._is_still = True
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def kill(self):
        """Kill it: what it had handed over is written, and nothing else."""
        if self.task.done() and not self._is_still:
            return
        self._is_live = self.recorder.is_alive = False
        self._how = "killed by SIGKILL"
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self._write_down()
        self.lock.__exit__(None, None, None)


class FleetWorld(World):
    """A run of one sender, or of several where `arguments` say so.

    Attributes
    ----------
    places
        The lanes that were started, by their numbers; of a lane that was started again its last life.
    started
        Numbers of the lanes in the order in which they were started.
    ahead_us
        By lane, how far its clock is ahead at a second of the world's time.
    set_s
        By lane, by how many seconds somebody has set its wall clock ahead.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.gateway = CountingGateway(self.utc_now)
        self.places, self.started, self.ahead_us, self.set_s = {}, [], {}, {}
        self._held = contextlib.ExitStack()

    def _database(self):
        return self.folder / DATABASE_NAME

    def close(self):
        self._held.close()
        super().close()

    @contextlib.contextmanager
    def patched(self, monkeypatch):
        """Let lanes be placed here, and find this world's desk."""
        with monkeypatch.context() as patch:
            patch.setattr(soaklib.fleet.launch, "Children", lambda: _Placing(self))
            patch.setattr(soaklib.fleet.conductor, "Desk", VirtualDesk)
            patch.setattr(soaklib.fleet.offset, "measure_offset", _measure)
            patch.setattr(soaklib.fleet.sender, "ask_start", _ask)
            patch.setattr(soaklib.runner.vitals, "_PROBE_S", 1.0)  # nothing is late here that a second would hide
            yield self

    # -- as what places lanes

    def start_lane(self, job, lane, folder):
        self.started.append(lane.number)
        self.places[lane.number] = VirtualPlace(self, job, lane, folder)
        return self.places[lane.number]

    # -- a conductor's life

    def begin(self):
        """Start a conductor, or resume the run."""
        slots = None if self.settings.senders is None else range(0)
        is_first = not self.results and self.soak is None
        past = Past() if is_first else recover(self.writer, self.settings, self.plan, slots=slots)
        self.recorder = _Recorder(self.loop)
        self.is_alive = True
        job = SoakJob(
            run_id="r1", folder=self.folder, settings=self.settings, plan=self.plan, target="http://gateway",
            anchor_utc=ANCHOR, past=past,
        )  # fmt: skip
        self.job = fleeted(job)
        if self.job.senders is not None:  # a lane's lock is this process's, which nobody is to stop
            self.job.senders.pid_of = lambda _: None
        self.soak = Soak(self.job, _Watched(self))
        self._stop = asyncio.Event()
        self._task = self.loop.create_task(self.soak.run(self._stop))

    def kill_conductor(self):
        """Kill it: the lanes are told nothing."""
        self.job.senders.lanes.clear()
        self.kill(everything=False)

    def kill_lane(self, number):
        self.loop.run_until_complete(self.places[number].kill())

    def start_by_hand(self, number):
        """Start a lane as somebody else would, of whom the conductor knows nothing."""
        folder = lane_folder(self.folder, number)
        placed = _Placing(self).start(self.folder / JOB_NAME, Lane(number, self.settings.senders), folder)
        self.loop.run_until_complete(placed)

    def let_lanes_end(self):
        """Let lanes whose conductor is gone come to their end."""
        self.loop.run_until_complete(asyncio.wait([place.task for place in self.places.values()]))

    def gather(self):
        """Let the run come to its end, and bring its files together."""
        self.finish()
        self.writer.close()
        if self.job.senders is not None:
            bring_together(self.job.senders)
        assert self.results[-1].error is None, self.results[-1].error
        assert self.results[-1].status == RunStatus.COMPLETED
        # whoever reads it shares one database; each would open its own, if none were open
        self._held.enter_context(duckdb.connect(str(self._database()), read_only=True))
        return self.folder


class _Placing:
    def __init__(self, world):
        self._world = world

    async def start(self, job, lane, folder):
        return self._world.start_lane(job, lane, folder)

    async def close(self):
        """Hold nothing."""
