"""Reading request bodies, and the errors of the framework of the real gateway (Fastify).

A framework error is raised as an aiohttp HTTP exception with the JSON body of the real one; aiohttp sends it.
"""

from typing import NoReturn

import orjson
from aiohttp import web

MAX_BODY_BYTES = 1024 * 1024
_JSON = "application/json"
_TEXT = "text/plain"
_SURELY_FLAT = 200  # brackets; orjson writes 254 levels and reads 1,024


def _error(kind: type[web.HTTPError], code: str, error: str, message: str) -> web.HTTPError:
    body = {"statusCode": kind.status_code, "code": code, "error": error, "message": message}
    return kind(text=orjson.dumps(body).decode(), content_type=_JSON)


def refuse_invalid(message: str) -> NoReturn:
    """Raise the 400 of the framework for a body or a query that does not fit its schema."""
    code = "FST_ERR_VALIDATION"
    raise _bad_request(code, message)


def _bad_request(code: str, message: str) -> web.HTTPError:
    return _error(web.HTTPBadRequest, code, "Bad Request", message)


def _too_large() -> web.HTTPError:
    body = {
        "statusCode": 413,
        "code": "FST_ERR_CTP_BODY_TOO_LARGE",
        "error": "Payload Too Large",
        "message": "Request body is too large",
    }
    return web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, text=orjson.dumps(body).decode(), content_type=_JSON)


async def read_body(request: web.Request) -> bytes:
    """Return the body.

    Raises
    ------
    aiohttp.web.HTTPRequestEntityTooLarge
        With the body of the real gateway, when it is over 1 MiB.
    """
    length = request.content_length
    if length is not None and length > MAX_BODY_BYTES:
        raise _too_large()
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as problem:
        raise _too_large() from problem


async def read_json(request: web.Request) -> object:
    """Return the JSON body; None when there is neither a body nor a content type, text for ``text/plain``.

    Raises
    ------
    aiohttp.web.HTTPError
        The 400, 413 or 415 of the framework.
    """
    content_type = request.headers.get("Content-Type")
    body = await read_body(request)
    if content_type is None:
        if body:
            kind = "undefined"  # the word of the real one
            raise _unsupported(kind)
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _TEXT:
        return body.decode(errors="replace")
    if kind != _JSON:
        raise _unsupported(content_type)
    return _parse(body)


async def refuse_empty_json(request: web.Request) -> None:
    """Refuse what the framework refuses before a handler without a body: an announced JSON body that is not there."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == _JSON:
        _parse(await read_body(request))


def _parse(body: bytes) -> object:
    if not body:
        code, message = (
            "FST_ERR_CTP_EMPTY_JSON_BODY",
            "Body cannot be empty when content-type is set to 'application/json'",
        )
        raise _bad_request(code, message)
    try:
        value = orjson.loads(body)
        if body.count(b"[") + body.count(b"{") > _SURELY_FLAT:
            orjson.dumps(value)  # what is nested so deep that it cannot be written again is refused here, once
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as problem:
        code = "FST_ERR_CTP_INVALID_JSON_BODY"
        message = f"Body is not valid JSON but content-type is set to 'application/json': {problem}"
        raise _bad_request(code, message) from problem
    return value


def _unsupported(content_type: str) -> web.HTTPError:
    message = f"Unsupported Media Type: {content_type}"
    return _error(web.HTTPUnsupportedMediaType, "FST_ERR_CTP_INVALID_MEDIA_TYPE", "Unsupported Media Type", message)


def body_object(body: object) -> dict[str, object]:
    """Return a JSON body that is an object; anything else has no fields."""
    return body if isinstance(body, dict) else {}


def required_text(body: dict[str, object], name: str) -> str:
    """Return a field that has to be a text.

    Raises
    ------
    aiohttp.web.HTTPError
        The 400 of the framework.
    """
    if name not in body:
        refuse_invalid(f"body must have required property '{name}'")
    value = body[name]
    if not isinstance(value, str):
        refuse_invalid(f"body/{name} must be string")
    return value


def query_count(request: web.Request, name: str) -> int | None:
    """Return a whole number from the query, at most 10^9; None when it is absent or no such number."""
    text = request.query.get(name, "")
    return int(text[:10]) if text.isascii() and text.isdigit() else None
