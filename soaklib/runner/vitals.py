"""How the generator itself is doing: counts and lags of each wall second, so that it can be shown fit to measure."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import psutil

from soaklib.records import HealthTick, Kind, Purpose
from soaklib.runner.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from soaklib.records import Outcome
    from soaklib.runner.client import Client
    from soaklib.runner.clock import RunClock
    from soaklib.runner.recorder import Recorder

__all__ = ["Vitals", "watch_vitals"]

_TICK_S: Final = 1.0
_PROBE_S: Final = 0.05
_DISK_ANSWERS_WITHIN_S: Final = 0.02
_DISK_IS_SLOW_S: Final = 10.0
_RECENT_CALLS: Final = 4096
_NEVER_SENT: Final = frozenset({Kind.DROPPED, Kind.SKIPPED, Kind.MISSED})
_LAG_BOUNDS_US: Final = (
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000,
)  # fmt: skip
_SERVICE_BOUNDS_US: Final = (
    1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000, 30_000_000,
)  # fmt: skip


def _service_histogram() -> Histogram:
    return Histogram(_SERVICE_BOUNDS_US)


@dataclass
class Vitals:
    """Counters of the load as it runs.

    Attributes
    ----------
    outcomes
        Rows of ``outcomes`` so far, by (purpose, tool, kind).
    earlier
        Of the outcomes, those that a lane of a fleet had behind it when it was first heard: counted, and no news.
    sent_calls
        Calls put on the wire so far, by (purpose, tool); some have no row yet.
    in_flight
        Operations under way.
    planned, sent, done
        Calls of the current wall second.
    schedule_lag_max_us, loop_lag_max_us
        Of the current wall second.
    recent_service_us
        Service times of the latest calls.
    schedule_lag, loop_lag
        Lags of all calls sent, and of the event loop's timer.
    service
        Service times of all answered calls, by tool.
    """

    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    earlier: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    sent_calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    in_flight: int = 0
    slots_passed: int = 0
    planned: int = 0
    sent: int = 0
    done: int = 0
    schedule_lag_max_us: int = 0
    loop_lag_max_us: int = 0
    recent_service_us: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT_CALLS))
    sent_per_s: float = 0.0
    last_schedule_lag_us: int = 0
    schedule_lag: Histogram = field(default_factory=lambda: Histogram(_LAG_BOUNDS_US))
    loop_lag: Histogram = field(default_factory=lambda: Histogram(_LAG_BOUNDS_US))
    service: defaultdict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(_SERVICE_BOUNDS_US))
    )

    @property
    def kinds(self) -> Counter[str]:
        """Rows of ``outcomes`` so far, by kind, but for trials: those count in no total."""
        return _kinds(self.outcomes)

    @property
    def seen_kinds(self) -> Counter[str]:
        """The same of what was seen as it happened, without what was there before."""
        kinds = self.kinds
        kinds.subtract(_kinds(self.earlier))
        return kinds

    @property
    def planned_calls(self) -> Counter[tuple[str, str]]:
        """Calls whose planned time has come, by (purpose, tool): those sent, and those that never were."""
        planned = self.sent_calls.copy()
        for (purpose, tool, kind), count in self.outcomes.items():
            if kind in _NEVER_SENT:
                planned[purpose, tool] += count
        return planned

    def saw_sending(self, purpose: str, tool: str, lag_us: int) -> None:
        """Count a call that left `lag_us` after its planned time."""
        self.planned += 1
        self.sent += 1
        self.sent_calls[purpose, tool] += 1
        self.schedule_lag_max_us = max(self.schedule_lag_max_us, lag_us)
        self.schedule_lag.observe(lag_us)

    def saw_outcome(self, row: Outcome) -> None:
        """Count a call that has its row: one that was answered or failed, was cut off by the stop, or never left."""
        self.outcomes[row.purpose, row.tool, row.kind] += 1
        if row.sent_at_us is None:
            self.planned += 1
        elif row.done_at_us is not None:
            service_us = row.done_at_us - row.sent_at_us
            self.done += 1
            self.recent_service_us.append(service_us)
            self.service[row.tool].observe(service_us)

    def saw_loop_lag(self, lag_us: int) -> None:
        """Count a look at how late the event loop's timer is."""
        self.loop_lag_max_us = max(self.loop_lag_max_us, lag_us)
        self.loop_lag.observe(lag_us)

    def service_quantiles_us(self, *levels: float) -> list[int | None]:
        """Give quantiles of the recent service times, for the eye; evidence comes from the data."""
        if not self.recent_service_us:
            return [None for _ in levels]
        ordered = sorted(self.recent_service_us)
        return [ordered[min(len(ordered) - 1, int(level * len(ordered)))] for level in levels]

    def take_second(self) -> tuple[int, int, int, int, int]:
        """Give and reset planned, sent, done and the two largest lags."""
        taken = (self.planned, self.sent, self.done, self.schedule_lag_max_us, self.loop_lag_max_us)
        self.planned = self.sent = self.done = self.schedule_lag_max_us = self.loop_lag_max_us = 0
        self.last_schedule_lag_us = taken[3]
        return taken


def _kinds(outcomes: Counter[tuple[str, str, str]]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for (purpose, _, kind), count in outcomes.items():
        if purpose != Purpose.TRIAL:
            kinds[kind] += count
    return kinds


class _Figures:
    """What the system says of this process and its disk; a figure that cannot be had now is the last one that could.

    The kernel answers for a process at once. A disk may be a server that is away: it is asked by a thread.

    Parameters
    ----------
    folder
        Is on the disk.
    warn
        Takes a line when a figure begins to be missing.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._warn = warn
        self._last: dict[str, float] = {}
        self._missing: set[str] = set()
        self._asking: asyncio.Task[int] | None = None
        self._asked_at_s = 0.0

    def rss_bytes(self) -> int:
        """Give the resident memory."""
        return int(self._read("rss_bytes", lambda: self._process.memory_info().rss))

    def cpu_s(self) -> float:
        """Give the CPU time used so far."""
        return self._read("cpu_s", lambda: sum(self._process.cpu_times()[:2]))

    def open_files(self) -> int:
        """Give the number of open files."""
        return int(self._read("open_files", lambda: self._process.num_fds()))  # noqa: PLW0108 - `_process` may raise

    async def disk_free_bytes(self) -> int:
        """Give the room left on the disk; one that does not answer at once is not waited for."""
        now_s = asyncio.get_running_loop().time()
        if self._asking is None:
            self._asking, self._asked_at_s = asyncio.create_task(asyncio.to_thread(_free_bytes, self._folder)), now_s
        await asyncio.wait({self._asking}, timeout=_DISK_ANSWERS_WITHIN_S)
        if self._asking.done():
            asked, self._asking = self._asking, None
            return int(self._read("disk_free_bytes", asked.result))
        if now_s - self._asked_at_s > _DISK_IS_SLOW_S:
            self._miss("disk_free_bytes", f"no answer within {_DISK_IS_SLOW_S:g} s")
        return int(self._last.get("disk_free_bytes", 0))

    @cached_property
    def _process(self) -> psutil.Process:
        return psutil.Process()

    def _read(self, name: str, read: Callable[[], float]) -> float:
        try:
            self._last[name] = read()
        except Exception as exc:  # noqa: BLE001 - psutil raises what /proc of the day makes it; no figure is worth a run
            self._miss(name, str(exc))
        else:
            self._missing.discard(name)
        return self._last.get(name, 0)

    def _miss(self, name: str, why: str) -> None:
        if name not in self._missing:
            self._missing.add(name)
            self._warn(f"{name} cannot be read, runner_health repeats its last value: {why}")


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


async def watch_vitals(
    vitals: Vitals, *, clock: RunClock, recorder: Recorder, client: Client, folder: Path, warn: Callable[[str], None]
) -> None:
    """Record a :class:`~soaklib.records.HealthTick` each wall second until cancelled.

    What the system cannot say at the moment, `warn` is told once; the run goes on.
    """
    figures = _Figures(folder, warn)
    loop = asyncio.get_running_loop()
    second_ends = loop.time() + _TICK_S
    while True:
        due = min(loop.time() + _PROBE_S, second_ends)
        await asyncio.sleep(due - loop.time())
        now = loop.time()
        vitals.saw_loop_lag(round((now - due) * 1e6))
        if now < second_ends:
            continue
        elapsed_s = now - second_ends + _TICK_S
        second_ends = now + _TICK_S
        planned, sent, done, schedule_lag_us, loop_lag_us = vitals.take_second()
        vitals.sent_per_s = sent / elapsed_s
        at_us, disk_free_bytes = clock.now_us(), await figures.disk_free_bytes()
        connections = client.take_connections()
        recorder.health_tick(
            HealthTick(
                at_us=at_us, planned=planned, sent=sent, done=done, in_flight=vitals.in_flight,
                queue_rows=recorder.queued_rows, schedule_lag_max_us=schedule_lag_us, loop_lag_max_us=loop_lag_us,
                connect_wait_max_us=client.take_longest_wait_us(), rss_bytes=figures.rss_bytes(),
                cpu_s=figures.cpu_s(), open_files=figures.open_files(), disk_free_bytes=disk_free_bytes,
                clock_offset_us=clock.offset_us(), connections_open=connections.open,
                connections_opened=connections.opened, connections_lost=connections.lost,
            )
        )  # fmt: skip
