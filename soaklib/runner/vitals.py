"""How the generator itself is doing: counts and lags of each wall second, so that it can be shown fit to measure."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil

from soaklib.records import HealthTick

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.runner.client import Client
    from soaklib.runner.clock import RunClock
    from soaklib.runner.recorder import Recorder

__all__ = ["Vitals", "watch_vitals"]

_TICK_S: Final = 1.0
_PROBE_S: Final = 0.05
_RECENT_CALLS: Final = 4096


@dataclass
class Vitals:
    """Counters of the load as it runs.

    Attributes
    ----------
    kinds
        Outcomes so far, by kind.
    in_flight
        Operations under way.
    planned, sent, done
        Calls of the current wall second.
    schedule_lag_max_us, loop_lag_max_us
        Of the current wall second.
    recent_service_us
        Service times of the latest calls.
    """

    kinds: Counter[str] = field(default_factory=Counter)
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

    def saw_sending(self, lag_us: int) -> None:
        """Count a call that left `lag_us` after its planned time."""
        self.planned += 1
        self.sent += 1
        self.schedule_lag_max_us = max(self.schedule_lag_max_us, lag_us)

    def saw_answer(self, kind: str, service_us: int) -> None:
        """Count an answer."""
        self.done += 1
        self.kinds[kind] += 1
        self.recent_service_us.append(service_us)

    def saw_unsent(self, kind: str) -> None:
        """Count a planned call that was not sent."""
        self.planned += 1
        self.kinds[kind] += 1

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


async def watch_vitals(vitals: Vitals, *, clock: RunClock, recorder: Recorder, client: Client, folder: Path) -> None:
    """Record a :class:`~soaklib.records.HealthTick` each wall second until cancelled."""
    process = psutil.Process()
    loop = asyncio.get_running_loop()
    second_ends = loop.time() + _TICK_S
    while True:
        due = min(loop.time() + _PROBE_S, second_ends)
        await asyncio.sleep(due - loop.time())
        now = loop.time()
        vitals.loop_lag_max_us = max(vitals.loop_lag_max_us, round((now - due) * 1e6))
        if now < second_ends:
            continue
        elapsed_s = now - second_ends + _TICK_S
        second_ends = now + _TICK_S
        planned, sent, done, schedule_lag_us, loop_lag_us = vitals.take_second()
        vitals.sent_per_s = sent / elapsed_s
        with process.oneshot():
            cpu = process.cpu_times()
            recorder.health_tick(
                HealthTick(
                    at_us=clock.now_us(), planned=planned, sent=sent, done=done, in_flight=vitals.in_flight,
                    queue_rows=recorder.queued_rows, schedule_lag_max_us=schedule_lag_us,
                    loop_lag_max_us=loop_lag_us, connect_wait_max_us=client.take_longest_wait_us(),
                    rss_bytes=process.memory_info().rss, cpu_s=cpu.user + cpu.system, open_files=process.num_fds(),
                    disk_free_bytes=shutil.disk_usage(folder).free, clock_offset_us=clock.offset_us(),
                )
            )  # fmt: skip
