"""Writing answers."""

from collections.abc import Mapping

import orjson
from aiohttp import web

JSON_TYPE = "application/json; charset=utf-8"


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    merged = {"Content-Type": JSON_TYPE}
    if headers:
        merged.update(headers)
    return web.Response(body=orjson.dumps(body), status=status, headers=merged)


def error_answer(status: int, error: str) -> web.Response:
    """Return an answer whose body is an error."""
    return json_answer({"error": error}, status)


async def route_not_found(request: web.Request) -> web.Response:
    """Answer what no route answers, a known path with another method included."""
    message = f"Route {request.method}:{request.path_qs} not found"
    return json_answer({"message": message, "error": "Not Found", "statusCode": 404}, 404)
