"""Changes that any gateway takes: literal requests to it, or to the control route of a mock upstream behind it.

==================== ================================= ==============================
``do``               make                              undo
==================== ================================= ==============================
``http``             the plan's own request            the plan's own request
``upstream``         PUT what it is to behave like     DELETE, it behaves as at first
==================== ================================= ==============================

A request that got 2xx has been done; one that got another answer below 500 has not; without an answer, or with one of a
server's own failure, it may have been.
"""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import aiohttp
import orjson
from yarl import URL

from soaklib.errors import SettingsError
from soaklib.plan.changes import Change, HttpChange, UpstreamChange
from soaklib.safety.foreign_text import plain_text
from soaklib.safety.reaching import refuse_bad_header
from soaklib.safety.redaction import mask_url
from soaklib.targets.admin import AdminError, Made
from soaklib.targets.base import Wire
from soaklib.targets.transport import TimedConnector, open_session, read_bounded, why_no_answer

if TYPE_CHECKING:
    from pydantic import JsonValue

    from soaklib.plan.changes import LiteralRequest
    from soaklib.plan.model import Plan
    from soaklib.targets.admin import Link

__all__ = ["CONTROL_VARIABLE", "LiteralChanges", "is_literal", "upstream_counts"]

CONTROL_VARIABLE: Final = "SOAK_UPSTREAM_CONTROL"
_MOST_BYTES: Final = 64 << 10
_MISSING: Final = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})


def is_literal(change: Change) -> bool:
    """Say whether a change is no target's own."""
    return isinstance(change, HttpChange | UpstreamChange)


class LiteralChanges:
    """Makes changes by literal requests, and takes them back.

    Parameters
    ----------
    link
        The way to the gateway.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def refuse_what_cannot_be_sent(self, change: Change) -> None:
        """Refuse a change that cannot be made as it stands, before anything is sent.

        Raises
        ------
        SettingsError
            A variable that it needs is not set, or holds what no header can; the text names it.
        """
        self._making(change)
        self.undoing(change)

    async def make(self, change: Change) -> Made:
        """Send the request that makes a change.

        Raises
        ------
        AdminError
            It did not come about, or is not known to have.
        """
        wire = self._making(change)
        status = await self.send(wire)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise _refused(wire, status)
        return Made(change.subject, {"name": change.subject, "request": f"{wire.method} {wire.path}", "status": status})

    def undoing(self, change: Change) -> Wire | None:
        """Give the request that takes a change back."""
        match change:
            case HttpChange():
                return _wire(change.undo, f"the change {change.name}")
            case UpstreamChange():
                return Wire("DELETE", _control(change), {}, None)
        return None

    async def undo(self, change: Change) -> None:
        """Send that request; a thing that is not there any more is taken back too.

        Raises
        ------
        AdminError
            It is not known to be taken back.
        """
        wire = self.undoing(change)
        if wire is None:
            return
        status = await self.send(wire)
        if not (HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.NOT_FOUND):
            raise _refused(wire, status)

    def _making(self, change: Change) -> Wire:
        match change:
            case HttpChange():
                return _wire(change.make, f"the change {change.name}")
            case UpstreamChange():
                headers = {"Content-Type": "application/json"}
                return Wire("PUT", _control(change), headers, orjson.dumps(change.behave))
        msg = f"{change.do} is no change by literal requests"
        raise SettingsError(msg)

    async def send(self, wire: Wire) -> int:
        """Send a request and give the status of its answer; to another place without the headers that let calls in.

        Raises
        ------
        AdminError
            There was none.
        """
        link = self._link
        is_elsewhere = not wire.path.startswith("/")
        url = wire.path if is_elsewhere else link.base_url + wire.path
        headers = dict(wire.headers) if is_elsewhere else dict(link.headers) | dict(wire.headers)
        try:
            connector = TimedConnector(url, limit=1, ca_file=link.ca_file)
            async with (
                asyncio.timeout(link.timeout_s),
                open_session(connector, timeout_s=link.timeout_s, headers=headers) as session,
                session.request(wire.method, URL(url), data=wire.body, allow_redirects=False) as response,
            ):
                await read_bounded(response.content, _MOST_BYTES)
                return response.status
        except TimeoutError as exc:
            raise _unanswered(wire, f"nothing within {link.timeout_s:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise _unanswered(wire, plain_text(why_no_answer(exc))) from exc
        except SettingsError as exc:  # hours after it was looked at: the authorities' file is gone, for example
            raise _unanswered(wire, str(exc)) from exc


def _wire(request: LiteralRequest, where: str) -> Wire:
    headers = dict(request.headers)
    for name, variable in request.header_env.items():
        if variable not in os.environ:
            msg = f"--plan: {where}: the environment variable {variable} of its header {name} is not set"
            raise SettingsError(msg)
        refuse_bad_header(name, os.environ[variable])
        headers[name] = os.environ[variable]
    if request.body is None:
        return Wire(request.method, request.path, headers, None)
    return Wire(
        request.method, request.path, {"Content-Type": "application/json"} | headers, orjson.dumps(request.body)
    )


async def upstream_counts(plan: Plan, timeout_s: float) -> dict[str, JsonValue] | None:
    """Ask the mock upstream that a plan knows of what it counted; None where there is none, or no such answer."""
    told = [change.control for change in plan.changes if isinstance(change, UpstreamChange) and change.control]
    control = next(iter(told), None) or os.environ.get(CONTROL_VARIABLE)
    if control is None or not _is_url(control):
        return None
    url = f"{control.rstrip('/')}/counts"
    try:
        async with (
            asyncio.timeout(timeout_s),
            open_session(TimedConnector(url, limit=1, ca_file=None), timeout_s=timeout_s, headers={}) as session,
            session.get(URL(url), allow_redirects=False) as response,
        ):
            said = orjson.loads(await read_bounded(response.content, _MOST_BYTES) or b"")  # None: it is too long
    except (TimeoutError, aiohttp.ClientError, OSError, orjson.JSONDecodeError):
        return None
    return said if response.status == HTTPStatus.OK and isinstance(said, dict) and "each" in said else None


def _control(change: UpstreamChange) -> str:
    control = change.control or os.environ.get(CONTROL_VARIABLE)
    if control is None:
        msg = f"--plan: the change {change.name} has no `control`: say there, or in {CONTROL_VARIABLE}, where it is"
        raise SettingsError(msg)
    if not _is_url(control):
        where = f"its `control` {control}" if change.control else f"{CONTROL_VARIABLE} {mask_url(control)}"
        msg = f"--plan: the change {change.name}: {where} is no URL such as http://127.0.0.1:4010/control"
        raise SettingsError(msg)
    return control


def _is_url(text: str) -> bool:
    try:
        url = URL(text)
    except ValueError:  # a bracket that is not closed, a port that is no number or beyond 65535
        return False
    return url.scheme in {"http", "https"} and bool(url.host)


def _unanswered(wire: Wire, why: str) -> AdminError:
    return AdminError(f"{wire.method} {wire.path} got no answer: {why}")


def _refused(wire: Wire, status: int) -> AdminError:
    text = f"{wire.method} {wire.path} was answered with {status}"
    return AdminError(
        text, status=status, is_missing=status in _MISSING, is_refusal=status < HTTPStatus.INTERNAL_SERVER_ERROR
    )
