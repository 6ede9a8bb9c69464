"""Listening, telling so, and ending cleanly.

Exit codes: 0 stopped by SIGTERM, SIGINT or the end of stdin; 2 bad options; 3 the address or the database cannot
be had.
"""

import asyncio
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import orjson
from aiohttp import web

from soaklib.gateway.app import GATEWAY, create_app
from soaklib.gateway.database import DatabaseError
from soaklib.gateway.settings import GatewaySettings, parse_settings

EXIT_OK = 0
EXIT_UNUSABLE = 3

_SHUTDOWN_S = 2.0
_READ_BYTES = 4_096
_STDIN = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = parse_settings(sys.argv[1:] if arguments is None else arguments, os.environ)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(serve(settings))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes an event loop: uvloop's when it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - optional, absent on Windows
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def serve(settings: GatewaySettings) -> int:
    """Serve until a signal; return the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(create_app(settings), access_log=None, shutdown_timeout=_SHUTDOWN_S)
    try:
        await runner.setup()
        site = web.TCPSite(runner, settings.host, settings.port, backlog=1_024)
        await site.start()
        _announce(settings, runner)
        if settings.exit_with_parent:
            _stop_at_end_of_stdin(loop, stop)
        await stop.wait()
    except DatabaseError as problem:
        _say(f"The database cannot be opened: {' '.join(str(problem).split())}")
        return EXIT_UNUSABLE
    except OSError as problem:
        _say(_address_sentence(settings, problem))
        return EXIT_UNUSABLE
    finally:
        await runner.cleanup()
    return EXIT_OK


def _announce(settings: GatewaySettings, runner: web.AppRunner) -> None:
    port = runner.addresses[0][1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    path = runner.app[GATEWAY].request_log.path
    said = {"url": f"http://{host}:{port}", "pid": os.getpid(), "sqlite_file": None if path is None else str(path)}
    sys.stdout.write(orjson.dumps(said).decode() + "\n")
    sys.stdout.flush()


def _address_sentence(settings: GatewaySettings, problem: OSError) -> str:
    if problem.errno == errno.EADDRINUSE:
        return f"Port {settings.port} on {settings.host} is in use. Choose another one; --port 0 takes a free one."
    return f"Cannot listen on {settings.host}:{settings.port}: {problem.strerror or problem}."


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def _stop_at_end_of_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when the other end of stdin is gone, which happens however the parent dies."""

    def wait() -> None:
        with suppress(OSError):  # a stdin that is closed on our side has ended as well
            while os.read(_STDIN, _READ_BYTES):
                pass
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
