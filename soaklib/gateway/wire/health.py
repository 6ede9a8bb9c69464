"""GET /health, /ready and /metrics.

The memory figures of ``/health`` describe this CPython process:

========  ==============================================================================================
field     meaning
========  ==============================================================================================
used      resident anonymous memory: CPython's heap, its arenas and stacks (RssAnon)
total     resident memory in all (VmRSS)
external  resident pages of files and shared memory: the interpreter and its libraries (RssFile + RssShmem)
========  ==============================================================================================

Without ``/proc`` used and total are the peak resident size, all that the operating system tells, and external is 0.
"""

import os
import platform
import resource
import sys
from pathlib import Path
from typing import TypedDict

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from soaklib.gateway.breaker import BreakerState
from soaklib.gateway.clock import iso_utc
from soaklib.gateway.state import Gateway
from soaklib.gateway.wire.answers import json_answer

_STATUS = Path("/proc/self/status")


class MemoryFigures(TypedDict):
    """Bytes; see the module."""

    used: int
    total: int
    external: int


def memory_figures() -> MemoryFigures:
    """Return the memory figures of this process."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        unit_bytes = 1 if sys.platform == "darwin" else 1024
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes
        return {"used": peak_bytes, "total": peak_bytes, "external": 0}
    fields = dict(line.split(":", 1) for line in lines)
    bytes_of = {name: int(fields.get(name, "0 kB").split()[0]) * 1024 for name in ("RssAnon", "RssFile", "RssShmem")}
    external = bytes_of["RssFile"] + bytes_of["RssShmem"]
    return {"used": bytes_of["RssAnon"], "total": bytes_of["RssAnon"] + external, "external": external}


class HealthRoutes:
    """The health of one gateway.

    Parameters
    ----------
    gateway
        What it works on.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def health(self, _: web.Request) -> web.Response:
        """Tell that the process is alive."""
        body = {
            "ok": True,
            "timestamp": iso_utc(self._gateway.clock.wall()),
            "uptime": int(self._gateway.uptime_s() * 1000.0),
            "memory": memory_figures(),
            "process": {"pid": os.getpid(), "version": f"v{platform.python_version()}", "platform": sys.platform},
        }
        return json_answer(body)

    async def ready(self, _: web.Request) -> web.Response:
        """Tell whether calls can be expected to work: no breaker is open and the database is there."""
        breakers = self._gateway.state.breakers
        closed = {tool: breaker.state is not BreakerState.OPEN for tool, breaker in breakers.items()}
        problem = self._gateway.request_log.problem
        ready = problem is None and all(closed.values())
        details = {
            tool: "OK" if closed[tool] else f"OPEN ({breaker.failures} failures)" for tool, breaker in breakers.items()
        }
        body = {
            "ready": ready,
            "timestamp": iso_utc(self._gateway.clock.wall()),
            "checks": {"database": problem is None, "circuitBreakers": closed, "cache": True},
            "details": {
                "database": "OK" if problem is None else "ERROR (rows wait)",
                "circuitBreakers": details,
                "cache": "OK",
            },
        }
        return json_answer(body, 200 if ready else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        """Return the exposition."""
        body = self._gateway.state.metrics.render()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
