"""Listening, telling so, and ending cleanly.

Exit codes: 0 stopped by SIGTERM, SIGINT or the end of stdin; 2 bad options; 3 the address cannot be had.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from soaklib.upstream.app import create_app
from soaklib.upstream.settings import UpstreamSettings, parse_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "serve"]

_EXIT_OK: Final = 0
_EXIT_UNUSABLE: Final = 3
_SHUTDOWN_S: Final = 1.0
_READ_BYTES: Final = 4_096
_STDIN: Final = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    settings = parse_settings(sys.argv[1:] if arguments is None else arguments)
    return asyncio.run(serve(settings))


async def serve(settings: UpstreamSettings) -> int:
    """Serve until a signal; return the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        create_app(settings), access_log=None, shutdown_timeout=_SHUTDOWN_S, handler_cancellation=True
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, settings.host, settings.port, backlog=1_024).start()
        _announce(settings, runner)
        if settings.exit_with_parent:
            _stop_at_end_of_stdin(loop, stop)
        await stop.wait()
    except OSError as problem:
        sys.stderr.write(f"Cannot listen on {settings.host}:{settings.port}: {problem.strerror or problem}.\n")
        return _EXIT_UNUSABLE
    finally:
        await runner.cleanup()
    return _EXIT_OK


def _announce(settings: UpstreamSettings, runner: web.AppRunner) -> None:
    port = runner.addresses[0][1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    sys.stdout.write(orjson.dumps({"url": f"http://{host}:{port}", "pid": os.getpid()}).decode() + "\n")
    sys.stdout.flush()


def _stop_at_end_of_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when the other end of stdin is gone, which happens however the parent dies."""

    def wait() -> None:
        with suppress(OSError):  # a stdin that is closed on our side has ended as well
            while os.read(_STDIN, _READ_BYTES):
                pass
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
