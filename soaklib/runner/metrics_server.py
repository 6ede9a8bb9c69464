"""Serves the runner's own metrics on the loopback, by the loop that makes the load.

A scrape is rendered in one go by that loop, which takes about 1 ms and needs no lock around what it reads. A thread was
no better for the schedule: the two share the interpreter lock. Whatever a client sends is
between it and the server: the run does not end by it, nor has a stranger's bytes on its terminal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web
from prometheus_client import generate_latest

from soaklib.errors import SettingsError
from soaklib.runner.metrics import metrics_registry

if TYPE_CHECKING:
    from soaklib.runner.soak import Soak

__all__ = ["MetricsServer", "listen_for_scrapes"]

_LOOPBACK: Final = "127.0.0.1"
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"  # the form that costs least; every Prometheus reads it
_CLOSE_WITHIN_S: Final = 1.0
_LAST_SCRAPE_WITHIN_S: Final = 60.0
_LOG: Final = logging.getLogger(__name__)
_CLIENTS_FAULTS: Final = logging.getLogger(f"{__name__}.clients")  # what is no HTTP: the client is told, with a 400
_CLIENTS_FAULTS.disabled = True
_MOST_WORDS: Final = 200
_LATE_SHARE: Final = 1.5  # a scrape may come this much later than the last two came apart


def listen_for_scrapes(port: int) -> socket.socket:
    """Give a socket that listens on a port of the loopback, 0 for any that is free.

    Raises
    ------
    SettingsError
        The port is taken, or may not be had.
    """
    try:
        return socket.create_server((_LOOPBACK, port))
    except OSError as exc:
        why = os.strerror(exc.errno or 0).lower()
        msg = f"--metrics-port {port}: cannot listen on {_LOOPBACK}: {why}; pass another port, or 0 for a free one"
        raise SettingsError(msg) from exc


class MetricsServer:
    """GET /metrics of a soak, on entering until leaving.

    Parameters
    ----------
    soak
        The soak under way; what it counts is read when it is asked for.
    listener
        Where to listen, from :func:`listen_for_scrapes`; closed on leaving.
    """

    def __init__(self, soak: Soak, listener: socket.socket) -> None:
        self._registry = metrics_registry(soak)
        self._listener = listener
        self._scraped = asyncio.Event()
        self._scraped_at_s: float | None = None
        self._interval_s: float | None = None
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(app, access_log=None, logger=_CLIENTS_FAULTS, shutdown_timeout=_CLOSE_WITHIN_S)
        self._failed: str | None = None

    @property
    def url(self) -> str:
        """Where the metrics are."""
        return f"http://{_LOOPBACK}:{self._listener.getsockname()[1]}/metrics"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def wait_for_last_scrape(self, stop: asyncio.Event) -> None:
        """Wait for the scrape that carries the final numbers, when scrapes have been coming.

        It is waited for as long as they came apart and half of that again, a minute at most; `stop` ends the wait.
        """
        if self._interval_s is None or stop.is_set():
            return
        self._scraped.clear()
        waits = [asyncio.create_task(self._scraped.wait()), asyncio.create_task(stop.wait())]
        within_s = min(_LATE_SHARE * self._interval_s, _LAST_SCRAPE_WITHIN_S)
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
            with suppress(asyncio.CancelledError):
                await wait

    async def _answer(self, _: web.Request) -> web.Response:
        now_s = asyncio.get_running_loop().time()
        if self._scraped_at_s is not None:
            self._interval_s = now_s - self._scraped_at_s
        self._scraped_at_s = now_s
        try:
            body = generate_latest(self._registry)
        except Exception as exc:  # noqa: BLE001 - a number that cannot be shown is no reason for anything but to say so
            return self._refuse(f"the metrics cannot be shown: {exc!a}"[:_MOST_WORDS])
        self._scraped.set()
        return web.Response(body=body, headers={"Content-Type": _TEXT})

    def _refuse(self, why: str) -> web.Response:
        """Answer that there are no metrics; the same reason is said once."""
        if why != self._failed:
            self._failed = why
            _LOG.warning(why)
        return web.Response(status=500, text=why)
