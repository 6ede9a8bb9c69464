"""Serves the page of a run on the loopback, live while the run goes on and final after it.

The run is opened for each look and closed after it, so that nobody who is to write it finds it held; looks are made
when a page asks, one for all that ask at the same time. So a run that nobody looks at does not notice the server. The
address has a token, since others may share the machine: without it there is nothing, not even a hint of a page.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from soaklib.analysis.sources.run import is_being_written, open_run
from soaklib.errors import BusyError, RunError, SettingsError, first_line
from soaklib.page.data import page_data
from soaklib.page.html import as_json, html_page
from soaklib.store.tables import DATABASE_NAME

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PageServer", "look"]

_LOOPBACK: Final = "127.0.0.1"
_FRESH_S: Final = 1.0
_IDLE_LOOK_S: Final = 1.0
_CLOSE_WITHIN_S: Final = 1.0
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def look(folder: Path) -> dict[str, Any]:
    """Look at a run once: give what its page shows, without verdicts while the run goes on.

    Raises
    ------
    RunError
        There is no run, or its process has the file to itself for now.
    """
    goes_on = is_being_written(folder)
    with open_run(folder) as run:
        return page_data(run, [] if goes_on else None, goes_on=goes_on)


class PageServer:
    """The page of one run, on entering until leaving.

    Parameters
    ----------
    folder
        The run's folder.
    port
        Port of the loopback; 0 for one that is free.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self._folder = folder
        self._port = port
        self._token = secrets.token_urlsafe(24)
        self._lock = asyncio.Lock()
        self._data: dict[str, Any] | None = None
        self._looked_at_s = -_FRESH_S
        self._stamp: float | None = None
        self._asked_at_s = time.monotonic()
        app = web.Application()
        app.router.add_get("/{token}/", self._page)
        app.router.add_get("/{token}/data.json", self._json)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_WITHIN_S)

    @property
    def url(self) -> str:
        """Where the page is, token included."""
        return f"http://{_LOOPBACK}:{self._port}/{self._token}/"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, _LOOPBACK, self._port).start()
        except OSError as exc:
            await self._runner.cleanup()
            msg = f"--port {self._port}: cannot listen on {_LOOPBACK}: {exc.strerror}; pass another port, or 0"
            raise SettingsError(msg) from exc
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def wait_until_idle(self, idle_s: float) -> None:
        """Wait until the run has ended and no page has asked for this many seconds."""
        while is_being_written(self._folder) or time.monotonic() - self._asked_at_s < idle_s:  # noqa: ASYNC110 - files and a clock, no event
            await asyncio.sleep(_IDLE_LOOK_S)

    def _refuse_strangers(self, request: web.Request) -> None:
        given = request.match_info["token"].encode("utf-8", "replace")
        if not hmac.compare_digest(given, self._token.encode()):
            raise web.HTTPNotFound
        self._asked_at_s = time.monotonic()

    async def _page(self, request: web.Request) -> web.Response:
        self._refuse_strangers(request)
        try:
            data = await self._newest()
        except RunError as exc:
            return web.Response(status=503, text=f"{first_line(exc)}\n", headers={"Retry-After": "1", **_HEADERS})
        text = await asyncio.to_thread(html_page, [data], live=True)
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def _json(self, request: web.Request) -> web.Response:
        self._refuse_strangers(request)
        try:
            data = await self._newest()
        except RunError as exc:
            return web.Response(status=503, text=f"{first_line(exc)}\n", headers=_HEADERS)
        return web.Response(text=as_json({"pages": [data]}), content_type="application/json", headers=_HEADERS)

    async def _newest(self) -> dict[str, Any]:
        """Give what the page shows, looked up anew when it is old: what cannot change any more is not."""
        async with self._lock:
            is_old = time.monotonic() - self._looked_at_s >= _FRESH_S
            if self._data is None or (is_old and (self._data["run"]["goes_on"] or self._changed() != self._stamp)):
                stamp = self._changed()
                try:
                    self._data = await asyncio.to_thread(look, self._folder)
                except BusyError:
                    if self._data is None:
                        raise
                    return self._data  # it is being judged: what was seen last stays, with its time
                self._stamp = stamp
                self._looked_at_s = time.monotonic()
            return self._data

    def _changed(self) -> float | None:
        try:
            return (self._folder / DATABASE_NAME).stat().st_mtime
        except FileNotFoundError:
            return None
