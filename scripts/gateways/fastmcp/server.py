"""An MCP server of two tools, as FastMCP makes one: run in its own environment by `start`.

Environment: UPSTREAM, the mock upstream that the tools call; TOKENS, a JSON file of tokens, read again when it changes:
``{"<token>": {"client_id": "...", "expires_at": <seconds or null>}}``. ``PUT /soak/limits/<client>`` with
``{"per_second": 1, "burst": 5}`` sets FastMCP's own limit on a client, ``DELETE`` takes it away.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import httpx2 as httpx
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.auth import AccessToken, TokenVerifier
from fastmcp.server.dependencies import get_access_token
from fastmcp.server.middleware import Middleware
from fastmcp.server.middleware.rate_limiting import RateLimitingMiddleware
from starlette.responses import JSONResponse

TIMEOUT_S = 5.0


class FileVerifier(TokenVerifier):
    """Knows the tokens of a file: one that is taken out of it is revoked at the next call."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._read_at = 0
        self._tokens: dict[str, dict] = {}

    async def verify_token(self, token: str) -> AccessToken | None:
        """Give whose token it is; FastMCP itself refuses one that has expired."""
        if (changed_at := self._path.stat().st_mtime_ns) != self._read_at:
            self._tokens, self._read_at = json.loads(self._path.read_text()), changed_at
        known = self._tokens.get(token)
        if known is None:
            return None
        return AccessToken(token=token, client_id=known["client_id"], scopes=[], expires_at=known.get("expires_at"))


class Limits(Middleware):
    """FastMCP's own limit, on those clients alone that have one."""

    def __init__(self) -> None:
        self.of_client: dict[str, RateLimitingMiddleware] = {}

    async def on_request(self, context, call_next):
        """Let a request through, or by its client's limit."""
        token = get_access_token()
        limit = self.of_client.get(token.client_id) if token else None
        return await (call_next(context) if limit is None else limit.on_request(context, call_next))

    async def change(self, request):
        """Set a client's limit, or take it away; both may be sent twice."""
        client = request.path_params["client"]
        asked = await request.json() if request.method == "PUT" else None
        if asked is None:
            self.of_client.pop(client, None)
        else:
            self.of_client[client] = RateLimitingMiddleware(asked["per_second"], asked["burst"])
        return JSONResponse({"client": client, "limit": asked})


def server() -> FastMCP:
    """Give the server."""
    tokens = os.environ.get("TOKENS")
    mcp = FastMCP("soak", auth=FileVerifier(Path(tokens)) if tokens else None)
    limits = Limits()
    mcp.add_middleware(limits)
    mcp.custom_route("/soak/limits/{client}", methods=["PUT", "DELETE"])(limits.change)
    client = httpx.AsyncClient(base_url=os.environ["UPSTREAM"], timeout=TIMEOUT_S)

    async def ask(tool: str, text: str) -> str:
        try:
            answer = await client.post(f"/rest/{tool}", json={"text": text})
            answer.raise_for_status()
            return answer.json()["arguments"]["text"]
        except (httpx.HTTPError, ValueError, KeyError) as problem:
            message = f"the upstream failed: {type(problem).__name__}"
            raise ToolError(message) from problem

    @mcp.tool(name="upstream-echo")
    async def echo(text: str) -> str:
        """Say a text again."""
        return await ask("echo", text)

    @mcp.tool(name="rest-post")
    async def post(text: str) -> str:
        """Post a text."""
        return await ask("post", text)

    return mcp


if __name__ == "__main__":
    server().run(
        transport="http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="warning",
        stateless_http=os.environ.get("STATELESS") == "1", json_response=os.environ.get("JSON_RESPONSE") == "1",
    )  # fmt: skip
