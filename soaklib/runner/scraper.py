"""Reads /metrics, /health and /ready on a clock of its own; hourly /metrics is kept verbatim; failures are rows too."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson

from soaklib.errors import ExpositionError
from soaklib.exposition import parse_exposition
from soaklib.records import HEALTH_METRIC_PREFIX, EventName, Sample, Scrape
from soaklib.runner.api import ApiError
from soaklib.runner.gate import is_healthy, open_breakers

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.runner.api import GatewayApi, Reply
    from soaklib.runner.clock import RunClock, SoakClock
    from soaklib.runner.events import EventLog
    from soaklib.runner.recorder import Recorder

__all__ = ["Scraper"]

_LEAST_PAUSE_S: Final = 1.0


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

    async def snapshot(self, name: str, *, key: str | None) -> None:
        """Keep /metrics verbatim in the run's folder; an event says so, or says why not."""
        reply = await self._read_metrics()
        if reply is None or reply.status != HTTPStatus.OK or not reply.body:
            why = "no answer" if reply is None else f"status {reply.status}, {len(reply.body)} bytes"
            self._events.write(EventName.METRICS_SNAPSHOT_FAILED, f"{name} {why}", key=key)
            return
        part = self._folder / f".{name}.part"
        try:
            part.write_bytes(reply.body)
            part.replace(self._folder / name)
        except OSError as exc:
            self._events.write(EventName.METRICS_SNAPSHOT_FAILED, f"{name} {exc.strerror}", key=key)
            return
        self._events.write(EventName.METRICS_SNAPSHOT, f"{name} {len(reply.body)} bytes", key=key)

    async def _read_metrics(self) -> Reply | None:
        reply, scrape = await self._get("metrics")
        if reply is None:
            return None
        if reply.status == HTTPStatus.OK:
            try:
                exposed = parse_exposition(reply.body).samples
            except ExpositionError as exc:
                scrape = scrape._replace(ok=False, detail=str(exc))
            else:
                self._recorder.samples(
                    [Sample(scrape.at_us, sample.metric, sample.labels, sample.value) for sample in exposed]
                )
                scrape = scrape._replace(ok=bool(exposed), detail=None if exposed else "no samples")
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
        detail = f"breaker open: {', '.join(tools)}" if tools else scrape.detail
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


def _memory_samples(at_us: int, body: bytes) -> list[Sample]:
    """Give /health's memory figures as samples, in bytes."""
    try:
        memory = orjson.loads(body).get("memory")
    except (orjson.JSONDecodeError, AttributeError):
        return []
    if not isinstance(memory, dict):
        return []
    return [
        Sample(at_us, f"{HEALTH_METRIC_PREFIX}memory_{name}_bytes", (), float(value))
        for name, value in sorted(memory.items())
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
