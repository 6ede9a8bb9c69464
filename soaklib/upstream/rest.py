"""Tools as plain HTTP, which a gateway makes tools of: ``POST /rest/<tool>`` with arguments as JSON says them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from soaklib.upstream.conduct import Conduct

if TYPE_CHECKING:
    from soaklib.upstream.conduct import Upstream

__all__ = ["RESTWire"]

_WIRE: Final = "rest"


class RESTWire:
    """The handler of the wire's route.

    Parameters
    ----------
    upstream
        What all requests share.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def routes(self) -> list[web.RouteDef]:
        """Give the route."""
        return [web.post("/rest/{tool}", self._tool)]

    async def _tool(self, request: web.Request) -> web.StreamResponse:
        tool = request.match_info["tool"]
        conduct = Conduct(self._upstream, request, _WIRE, tool)
        with conduct.counted():
            if conduct.is_limited:
                return web.json_response({"error": "Rate limit exceeded"}, status=429)
            try:
                arguments = orjson.loads(await request.read())
            except orjson.JSONDecodeError:
                conduct.outcome = "refused"
                return web.json_response({"error": "no JSON"}, status=400)
            await conduct.wait()
            if (misbehaved := await conduct.misbehave({"error": f"mock {conduct.mode}"})) is not None:
                return misbehaved
            if conduct.mode == "error-frame":
                return web.json_response({"error": "mock error"})
            conduct.spare_from("forget-session", "tool-error")
            return await conduct.whole(orjson.dumps({"tool": tool, "arguments": arguments}))
