"""Reads a gateway's metrics and health on a clock of its own; hourly metrics are kept verbatim; failures are rows too.

What costs time is done elsewhere, for the loop keeps the schedule: the recorder's process reads the text of /metrics, a
thread writes the snapshots.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.exposition.ending import Endings, Wholeness
from soaklib.exposition.glance import glance_at
from soaklib.records import EventName, Sample, Scrape
from soaklib.store.whole import whole_file
from soaklib.targets.admin import AdminError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pydantic import JsonValue

    from soaklib.runner.clock import RunClock, SoakClock
    from soaklib.runner.events import EventLog
    from soaklib.runner.recorder import Recorder
    from soaklib.targets.admin import Admin, Told

__all__ = ["Scraper"]

METRICS: Final = "metrics"
_LEAST_PAUSE_S: Final = 1.0
_MOST_WORDS: Final = 200
_SNAPSHOT_WITHIN_S: Final = 300.0
_LEAST_WITHIN_S: Final = 1.0
_COUNTED_WITHIN_S: Final = 5.0
"""For how long the upstream is waited for, which is our own and answers at once: the metrics come after it."""
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
    admin
        Reads the gateway's endpoints.
    clock, soak_clock
        The run's clocks.
    recorder
        Takes samples and scrapes.
    events
        Takes the hourly snapshots' events.
    folder
        The run's folder.
    upstream
        Asks the soak's own mock upstream what it counted, with each snapshot; gives None where there is none.
    """

    def __init__(
        self,
        admin: Admin,
        *,
        clock: RunClock,
        soak_clock: SoakClock,
        recorder: Recorder,
        events: EventLog,
        folder: Path,
        upstream: Callable[[], Awaitable[dict[str, JsonValue] | None]] | None = None,
    ) -> None:
        self._admin = admin
        self._clock = clock
        self._soak_clock = soak_clock
        self._recorder = recorder
        self._events = events
        self._folder = folder
        self._upstream = upstream
        self._endings = Endings()
        self._snapshots = Wholeness()

    async def run(self, every_s: float) -> None:
        """Scrape every `every_s` soak seconds, but at most once a wall second, until cancelled."""
        period_s = max(every_s / self._soak_clock.speed, _LEAST_PAUSE_S)
        loop = asyncio.get_running_loop()
        due = loop.time()
        await self._count_upstream()
        while True:
            for endpoint in self._admin.endpoints:
                if endpoint == METRICS:
                    await self._read_metrics()
                else:
                    await self._read(endpoint)
            due = max(due + period_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def snapshot(self, name: str, *, key: str | None, within_s: float = _SNAPSHOT_WITHIN_S) -> None:
        """Keep the metrics verbatim in the run's folder; an event says so, or why not when it was tried long enough.

        A text that is no exposition, or that lacks its end, is tried again; one that ends before families that the
        snapshot before has is kept where no time is left to try again: half of it is more than none. A gateway that has
        none is asked for none, and no event says so.

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
        await self._count_upstream()
        if METRICS not in self._admin.endpoints:
            return
        loop = asyncio.get_running_loop()
        ends = loop.time() + min(max(within_s, _LEAST_WITHIN_S), _SNAPSHOT_WITHIN_S)
        pause_s = _FIRST_PAUSE_S
        try:
            why = f"nothing within {within_s:g} s"
            async with asyncio.timeout_at(ends):
                while (kept := await self._try_snapshot(name, is_last=loop.time() + pause_s >= ends)).size is None:
                    why = kept.why
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        except TimeoutError:
            self._events.write(EventName.METRICS_SNAPSHOT_FAILED, f"{name} {why}", key=key)
        else:
            self._events.write(EventName.METRICS_SNAPSHOT, f"{name} {kept.size} bytes", key=key)

    def say_missed(self, name: str, why: str, *, key: str) -> None:
        """Write down that a snapshot was not taken, as :meth:`snapshot` does when it gives up."""
        if METRICS in self._admin.endpoints:
            self._events.write(EventName.METRICS_SNAPSHOT_FAILED, f"{name} {why}", key=key)

    async def _count_upstream(self) -> None:
        """Write down what the upstream counted, and from when to when it was asked."""
        asked_us, counts = self._clock.now_us(), None
        with suppress(TimeoutError):
            async with asyncio.timeout(_COUNTED_WITHIN_S):
                counts = None if self._upstream is None else await self._upstream()
        if counts is None:
            return
        detail = f"{counts.get('requests')} requests, late {counts.get('late')}"
        self._events.write(EventName.UPSTREAM_COUNTED, detail, data={"asked_us": asked_us} | counts)

    async def _try_snapshot(self, name: str, *, is_last: bool) -> _Tried:
        reply, cut = await self._read_metrics()
        if reply is None:
            return _Tried(None, cut or "no answer")
        if reply.status != HTTPStatus.OK or not reply.body:
            return _Tried(None, f"status {reply.status}, {len(reply.body)} bytes")
        if cut is not None:
            return _Tried(None, cut)
        seen = await asyncio.to_thread(glance_at, reply.body, self._snapshots)
        if seen.refused is not None or (seen.cut is not None and not is_last):
            return _Tried(None, (seen.refused or seen.cut or "")[:_MOST_WORDS])
        try:
            await asyncio.to_thread(_keep, self._folder / name, reply.body)
        except OSError as exc:
            return _Tried(None, exc.strerror or str(exc))
        return _Tried(len(reply.body))

    async def _read_metrics(self) -> tuple[Told | None, str | None]:
        """Read /metrics; give its answer, and why there is none, or why it is cut short: then it is a failed scrape."""
        reply, scrape = await self._get(METRICS)
        if reply is None:
            return None, scrape.detail
        cut = (
            self._endings.cut(reply.body, reply.content_type) if reply.status == HTTPStatus.OK and reply.body else None
        )
        if reply.status == HTTPStatus.OK and cut is None:
            self._recorder.metrics(scrape, reply.body)
        else:
            self._recorder.scrape(scrape if cut is None else scrape._replace(detail=cut))
        return reply, cut

    async def _read(self, endpoint: str) -> None:
        """Read an endpoint that tells how the gateway is doing."""
        told, scrape = await self._get(endpoint)
        if told is None:
            return
        self._recorder.scrape(scrape._replace(ok=told.ok, detail=told.detail))
        self._recorder.samples([Sample(scrape.at_us, metric, (), value) for metric, value in told.samples])

    async def _get(self, endpoint: str) -> tuple[Told | None, Scrape]:
        """GET an endpoint; without an answer the failed scrape is recorded here."""
        started_us = self._clock.now_us()
        try:
            reply = await self._admin.look(endpoint)
        except AdminError as exc:
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
    with whole_file(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # before it has its name: a machine that goes down leaves no empty snapshot
