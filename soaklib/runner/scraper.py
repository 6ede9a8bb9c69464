"""Reads /metrics, /health and /ready on a clock of its own; hourly /metrics is kept verbatim; failures are rows too.

What costs time is done elsewhere, for the loop keeps the schedule: the recorder's process reads the text of /metrics, a
thread writes the snapshots.
"""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.records import HEALTH_METRIC_PREFIX, EventName, Sample, Scrape
from soaklib.targets.fourrunr.api import ApiError
from soaklib.targets.fourrunr.health import answer_object, is_healthy, open_breakers

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.runner.clock import RunClock, SoakClock
    from soaklib.runner.events import EventLog
    from soaklib.runner.recorder import Recorder
    from soaklib.targets.fourrunr.api import GatewayApi, Reply

__all__ = ["Scraper"]

_LEAST_PAUSE_S: Final = 1.0
_MOST_WORDS: Final = 200
_SNAPSHOT_WITHIN_S: Final = 300.0
_LEAST_WITHIN_S: Final = 1.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 15.0


class _Tried(NamedTuple):
    """A try of a snapshot: how many bytes were kept, or why none were."""

    size: int | None
    why: str = ""


class Scraper:
    """Scrapes one gateway.

    Parameters
    ----------
    api
        The gateway's routes.
    clock, soak_clock
        The run's clocks.
    recorder
        Takes samples and scrapes.
    events
        Takes the hourly snapshots' events.
    folder
        The run's folder.
    """

    def __init__(
        self,
        api: GatewayApi,
        *,
        clock: RunClock,
        soak_clock: SoakClock,
        recorder: Recorder,
        events: EventLog,
        folder: Path,
    ) -> None:
        self._api = api
        self._clock = clock
        self._soak_clock = soak_clock
        self._recorder = recorder
        self._events = events
        self._folder = folder

    async def run(self, every_s: float) -> None:
        """Scrape every `every_s` soak seconds, but at most once a wall second, until cancelled."""
        period_s = max(every_s / self._soak_clock.speed, _LEAST_PAUSE_S)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._read_metrics()
            await self._read_health()
            await self._read_ready()
            due = max(due + period_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def snapshot(self, name: str, *, key: str | None, within_s: float = _SNAPSHOT_WITHIN_S) -> None:
        """Keep /metrics verbatim in the run's folder; an event says so, or why not when it was tried for long enough.

        Parameters
        ----------
        name
            Of the file.
        key
            The event's key.
        within_s
            For how long it is tried, in wall seconds; no longer than some minutes, after which it would be another
            hour's.
        """
        ends = asyncio.get_running_loop().time() + min(max(within_s, _LEAST_WITHIN_S), _SNAPSHOT_WITHIN_S)
        pause_s = _FIRST_PAUSE_S
        try:
            why = f"nothing within {within_s:g} s"
            async with asyncio.timeout_at(ends):
                while (kept := await self._try_snapshot(name)).size is None:
                    why = kept.why
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        except TimeoutError:
            self._events.write(EventName.METRICS_SNAPSHOT_FAILED, f"{name} {why}", key=key)
        else:
            self._events.write(EventName.METRICS_SNAPSHOT, f"{name} {kept.size} bytes", key=key)

    async def _try_snapshot(self, name: str) -> _Tried:
        reply = await self._read_metrics()
        if reply is None:
            return _Tried(None, "no answer")
        if reply.status != HTTPStatus.OK or not reply.body:
            return _Tried(None, f"status {reply.status}, {len(reply.body)} bytes")
        try:
            await asyncio.to_thread(_keep, self._folder / name, reply.body)
        except OSError as exc:
            return _Tried(None, exc.strerror or str(exc))
        return _Tried(len(reply.body))

    async def _read_metrics(self) -> Reply | None:
        reply, scrape = await self._get("metrics")
        if reply is None:
            return None
        if reply.status == HTTPStatus.OK:
            self._recorder.metrics(scrape, reply.body)
        else:
            self._recorder.scrape(scrape)
        return reply

    async def _read_health(self) -> None:
        reply, scrape = await self._get("health")
        if reply is None:
            return
        scrape = scrape._replace(ok=is_healthy(reply), detail=None)
        self._recorder.scrape(scrape)
        if reply.status == HTTPStatus.OK:
            self._recorder.samples(_memory_samples(scrape.at_us, reply.body))

    async def _read_ready(self) -> None:
        reply, scrape = await self._get("ready")
        if reply is None:
            return
        tools = None if reply.status == HTTPStatus.OK else open_breakers(reply)
        detail = f"breaker open: {', '.join(tools)}"[:_MOST_WORDS] if tools else scrape.detail
        self._recorder.scrape(scrape._replace(ok=reply.status == HTTPStatus.OK, detail=detail))

    async def _get(self, endpoint: str) -> tuple[Reply | None, Scrape]:
        """GET an endpoint; without an answer the failed scrape is recorded here."""
        started_us = self._clock.now_us()
        try:
            reply = await self._api.get(f"/{endpoint}")
        except ApiError as exc:
            now_us = self._clock.now_us()
            scrape = Scrape(
                now_us, endpoint, None, ok=False, duration_us=now_us - started_us, size_bytes=0, detail=str(exc)
            )
            self._recorder.scrape(scrape)
            return None, scrape
        now_us = self._clock.now_us()
        detail = None if reply.status == HTTPStatus.OK else f"status {reply.status}"
        return reply, Scrape(
            now_us, endpoint, reply.status, ok=False, duration_us=now_us - started_us,
            size_bytes=len(reply.body), detail=detail,
        )  # fmt: skip


def _keep(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, whatever becomes of the machine."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before it has its name: a machine that goes down leaves no empty snapshot
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _memory_samples(at_us: int, body: bytes) -> list[Sample]:
    """Give /health's memory figures as samples, in bytes."""
    memory = answer_object(body).get("memory")
    if not isinstance(memory, dict):
        return []
    return [
        Sample(at_us, f"{HEALTH_METRIC_PREFIX}memory_{name}_bytes", (), float(value))
        for name, value in sorted(memory.items())
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
