"""The aiohttp application: the wires, ``/control``, ``/control/counts``, ``/metrics``, ``/health``.

======== ================== ================================================================================
method   path               what
======== ================== ================================================================================
GET      /control           the behaviour in force
PUT      /control           another one; what is left out is as at the start. 400 with a sentence if it is none
DELETE   /control           as at the start
GET      /control/counts    what was asked and done, and how late the upstream was itself
GET      /metrics           the same for Prometheus
GET      /health            200
======== ================== ================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from soaklib.upstream.behaviour import Behaviour, BehaviourError
from soaklib.upstream.conduct import Upstream
from soaklib.upstream.mcp import MCPWire
from soaklib.upstream.openai import OpenAIWire
from soaklib.upstream.rest import RESTWire

if TYPE_CHECKING:
    from soaklib.upstream.settings import UpstreamSettings

__all__ = ["create_app"]

_MOST_BODY_BYTES: Final = 64 << 20
_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def create_app(settings: UpstreamSettings) -> web.Application:
    """Give the application."""
    upstream = Upstream(settings.behaviour, settings.seed)
    app = web.Application(client_max_size=_MOST_BODY_BYTES)
    app.add_routes(OpenAIWire(upstream).routes())
    app.add_routes(MCPWire(upstream, settings.tools).routes())
    app.add_routes(RESTWire(upstream).routes())
    app.add_routes(_Control(upstream).routes())
    return app


class _Control:
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control", self._get),
            web.put("/control", self._put),
            web.delete("/control", self._delete),
            web.get("/control/counts", self._counts),
            web.get("/metrics", self._metrics),
            web.get("/health", self._health),
        ]

    async def _get(self, _: web.Request) -> web.Response:
        return web.json_response(self._upstream.behaviour.as_json())

    async def _put(self, request: web.Request) -> web.Response:
        try:
            self._upstream.behaviour = Behaviour.read(orjson.loads(await request.read()), self._upstream.start)
        except orjson.JSONDecodeError as problem:
            return web.json_response({"error": f"no JSON: {problem}"}, status=400)
        except BehaviourError as problem:
            return web.json_response({"error": str(problem)}, status=400)
        return await self._get(request)

    async def _delete(self, request: web.Request) -> web.Response:
        self._upstream.behaviour = self._upstream.start
        return await self._get(request)

    async def _counts(self, _: web.Request) -> web.Response:
        return web.json_response(self._upstream.book.counts())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._upstream.book.exposition(), headers={"Content-Type": _CONTENT_TYPE})

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})
