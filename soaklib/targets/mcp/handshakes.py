"""Sessions at the server: each opened by a handshake, with the revision that is agreed in it, and ended once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Final

from soaklib.safety.foreign_json import objects_of
from soaklib.safety.foreign_text import plain_text
from soaklib.targets.admin import AdminError
from soaklib.targets.asking import refuse_unless_success, secret_of
from soaklib.targets.mcp.messages import answer_among, is_answer
from soaklib.targets.mcp.options import REVISIONS
from soaklib.targets.mcp.templates import CLIENT, envelope, headers_of
from soaklib.targets.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soaklib.targets.asking import Asking, Reply
    from soaklib.targets.base import Identity
    from soaklib.targets.mcp.contextforge import ContextForgeTokens
    from soaklib.targets.mcp.options import MCPOptions
    from soaklib.targets.mcp.sessions import Sessions
    from soaklib.targets.sse import Event

__all__ = ["NOT_LET_IN", "Handshakes"]

NOT_LET_IN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_CANNOT_END: Final = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
"""A server need not let its clients end sessions (MCP 2025-06-18, Transports, Session Management)."""
_MOST_CHARACTERS: Final = 40


class Handshakes:
    """Asks a server beside the load, opens sessions and ends them.

    Parameters
    ----------
    asking
        The way to the server.
    options
        The plan's ``[target]`` table.
    sessions
        Their book, and the revision that calls speak.
    tokens
        Give the admin's, who may end what a token of ContextForge's may not.
    """

    def __init__(self, asking: Asking, options: MCPOptions, sessions: Sessions, tokens: ContextForgeTokens) -> None:
        self._asking = asking
        self._options = options
        self._sessions = sessions
        self._tokens = tokens
        self._ids = count(1)
        self._open: dict[str, Identity] = {}  # session id -> as whom it was opened
        self._asked_in_vain: set[str] = set()  # to be ended: they may have been
        self._latest: dict[str, Identity] = {}  # name -> with the token that is good

    def follow(self, identity: Identity) -> None:
        """Take an agent's new token: its sessions are ended with it from now on."""
        self._latest[identity.name] = identity

    async def request(
        self, method: str, params: Mapping[str, object], identity: Identity
    ) -> tuple[Reply, dict[str, object]]:
        """Ask the server; give its answer, and the JSON-RPC message in it."""
        message = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": envelope(self._options, params)}
        reply = await self._asking.ask(
            "POST", self._options.path, secret=identity.secret or None, headers=self._headers(identity, method),
            json=message, is_whole=_Listener().hears_answer, private=_session_of(identity),
        )  # fmt: skip
        return reply, _message_of(reply)

    async def open(self, identity: Identity) -> str | None:
        """Open a session; None where the server keeps none.

        Raises
        ------
        AdminError
            The server opens none, or speaks a revision that is none of ours.
        """
        fresh = replace(identity, session=None)
        params = {"protocolVersion": self._options.revision, "capabilities": {}, "clientInfo": CLIENT}
        reply, message = await self.request("initialize", params, fresh)
        result = message.get("result")
        if not isinstance(result, dict):
            refuse_unless_success("initialize by POST", self._options.path, reply, identity.secret)
            msg = f"initialize was answered with {reply.status}, but without a result"
            raise AdminError(msg, status=reply.status)
        session = reply.headers.get("Mcp-Session-Id")
        if session is not None:
            if secret_of(session) is None:
                msg = "initialize was answered with an Mcp-Session-Id that no header can bear back"
                raise AdminError(msg, status=reply.status)
            self._sessions.book["opened"] += 1
            self._open[session] = fresh
        try:
            self._sessions.revision = self._agreed(result, reply.status)
            if session is not None:
                await self._begin(replace(fresh, session=session))
        except AdminError as exc:
            if exc.status is not None:  # who gives no answer is asked to end it when the run is over
                with suppress(AdminError):
                    await self.end(session, fresh)
            raise
        return session

    async def _begin(self, speaker: Identity) -> None:
        """Say that a session may begin, which no server needs to answer calls before."""
        headers = self._headers(speaker, "notifications/initialized")
        note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await self._asking.need(
            "POST", self._options.path, secret=speaker.secret or None, headers=headers, json=note,
            private=_session_of(speaker),
        )  # fmt: skip

    async def end(self, session: str | None, identity: Identity) -> None:
        """End a session once; what became of it stands in the book.

        Raises
        ------
        AdminError
            There was no answer: it is ended at the end of the run.
        """
        if session is None or (opened := self._open.pop(session, None)) is None or session in self._sessions.lost:
            return
        book = self._sessions.book
        if not self._options.close:
            book["left"] += 1
            return
        was_asked = session in self._asked_in_vain
        speaker = replace(self._latest.get(identity.name, identity), session=session)
        try:
            reply = await self._delete(speaker)
            is_unknown = reply.status == HTTPStatus.NOT_FOUND and not was_asked
            is_alive = is_unknown and (await self.request("ping", {}, speaker))[0].is_success
        except (AdminError, asyncio.CancelledError):
            self._open[session] = opened
            self._asked_in_vain.add(session)
            raise
        self._asked_in_vain.discard(session)
        if is_unknown and not is_alive:  # it was forgotten while it was ours
            book["lost"] += 1
        elif reply.is_success or (reply.status == HTTPStatus.NOT_FOUND and was_asked):
            book["closed"] += 1
        else:
            book["left"] += 1
            book["unendable"] += is_alive or reply.status in _CANNOT_END

    async def _delete(self, speaker: Identity) -> Reply:
        headers = self._headers(speaker, "delete")
        private = _session_of(speaker)
        reply = await self._asking.ask(
            "DELETE", self._options.path, secret=speaker.secret or None, headers=headers, private=private
        )
        if reply.status in NOT_LET_IN and self._options.is_administered:
            # at ContextForge a token that may call no tool may open a session, and not end it; one revoked may nothing
            headers = self._headers(replace(speaker, secret=await self._tokens.admin()), "delete")
            reply = await self._asking.ask("DELETE", self._options.path, headers=headers, private=private)
        return reply

    async def end_all_of(self, name: str, *, but: int = 0) -> None:
        """End the sessions that were opened under a name, but for the newest few."""
        theirs = [(session, identity) for session, identity in self._open.items() if identity.name == name]
        for session, identity in theirs[: len(theirs) - but]:
            await self.end(session, identity)

    async def end_all(self) -> None:
        """End all sessions side by side; those that nobody could be asked to end are left.

        Raises
        ------
        AdminError
            The first of those got no answer.
        """
        ends = (self.end(session, identity) for session, identity in list(self._open.items()))
        failed = [one for one in await asyncio.gather(*ends, return_exceptions=True) if isinstance(one, BaseException)]
        if self._open:
            self._sessions.book["left"] += len(self._open)
            self._open.clear()
        for problem in failed:
            raise problem

    def _headers(self, speaker: Identity, method: str) -> dict[str, str]:
        return headers_of(self._options, speaker, method, revision=self._sessions.revision)

    def _agreed(self, result: Mapping[str, object], status: int) -> str:
        """Give the revision that the server will speak; one that says none speaks what it was asked for."""
        agreed, asked = result.get("protocolVersion", self._options.revision), self._options.revision
        if isinstance(agreed, str) and (agreed == asked or agreed in REVISIONS):
            return agreed
        said = plain_text(str(agreed), most=_MOST_CHARACTERS)
        msg = f"initialize was answered with revision {said} of the protocol, which is none of {', '.join(REVISIONS)}"
        raise AdminError(msg, status=status)


def _session_of(speaker: Identity) -> tuple[str, ...]:
    """Give the id of the session that is spoken in, where there is one: whoever knows it may speak in it, too."""
    return () if speaker.session is None else (speaker.session,)


def _message_of(reply: Reply) -> dict[str, object]:
    """Give the JSON-RPC answer of a reply, also where it came as a stream of events."""
    if not reply.headers.get("Content-Type", "").lower().startswith("text/event-stream"):
        return answer_among(objects_of(reply.body)) or {}
    return _answer_among(reply.body)


def _answer_among(body: bytes) -> dict[str, object]:
    """Give the JSON-RPC answer among events; an empty object where it is not among them."""
    stream = EventStream()
    events = stream.feed(body)
    if (rest := stream.rest()) is not None:
        events.append(rest)
    return next(filter(None, map(_answer_of, events)), {})


def _answer_of(event: Event) -> dict[str, object] | None:
    """Give the answer that an event bears; None where it bears none."""
    message = answer_among(objects_of(event.data))
    return message if message is not None and is_answer(message) else None


class _Listener:
    """Hears a stream of events, each once however it grows: a server may say much before it answers."""

    def __init__(self) -> None:
        self._stream = EventStream()
        self._heard_bytes = 0

    def hears_answer(self, body: bytes | bytearray) -> bool:
        """Say whether the answer is in what has come since this was asked last."""
        new = bytes(body[self._heard_bytes :])
        self._heard_bytes = len(body)
        return any(_answer_of(event) is not None for event in self._stream.feed(new))
