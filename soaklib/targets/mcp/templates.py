"""The requests of the MCP wire: a step's tool is the server's tool, its action ``call``, its params the arguments.

Every request has a JSON-RPC id of its own, never the query's number: a slot may repeat an earlier query, and a server
tells the calls of one session apart by nothing but this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from soaklib.errors import SettingsError
from soaklib.targets.base import Identity, Wire
from soaklib.targets.mcp.options import Era

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from soaklib.plan.model import Step
    from soaklib.records import Reason
    from soaklib.targets.mcp.options import MCPOptions
    from soaklib.targets.mcp.sessions import Session, Sessions

__all__ = ["ACTIONS", "CLIENT", "MCPTemplate", "compile_step", "envelope", "headers_of"]

_NUMBER: Final = b"{n}"
_METHODS: Final = {"call": "tools/call", "list": "tools/list", "ping": "ping"}
ACTIONS: Final = tuple(_METHODS)
"""What a tool can be asked for; ``list`` and ``ping`` are asked of the server, whatever the tool."""

CLIENT: Final = {"name": "soaklib", "version": "1"}


def headers_of(
    options: MCPOptions, identity: Identity, method: str, tool: str | None = None, *, revision: str
) -> dict[str, str]:
    """Give the headers of a request, in the revision that was agreed."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if identity.secret:
        headers["Authorization"] = f"Bearer {identity.secret}"
    if options.era is Era.RPC:
        return headers
    if method != "initialize":
        headers["MCP-Protocol-Version"] = revision
    if options.era is Era.STATELESS:
        headers["Mcp-Method"] = method
        if tool is not None:
            headers["Mcp-Name"] = tool
    elif identity.session is not None:
        headers["Mcp-Session-Id"] = identity.session
    return headers


def envelope(options: MCPOptions, params: Mapping[str, Any]) -> dict[str, Any]:
    """Give the params with what each request of the stateless era says of its sender."""
    if options.era is not Era.STATELESS:
        return dict(params)
    said = {"protocolVersion": options.revision, "clientInfo": CLIENT, "clientCapabilities": {}}
    return dict(params) | {"_meta": {f"io.modelcontextprotocol/{name}": value for name, value in said.items()}}


@dataclass(slots=True)
class MCPTemplate:
    """One call of the plan, compiled.

    Attributes
    ----------
    method, tool
        What is called.
    stall_s
        How long a stream of events may stand still.
    sessions
        Gives each call its session.
    mended
        Reasons that a new token or session of its role would mend.
    seat
        The session of the request that was made last, which its reader gives back.
    sent
        The JSON-RPC id of that request; None before the first.
    has_session
        Whether that request bore a session's id.
    kept
        Whose that session is, and its id, where it is the identity's own.
    """

    method: str
    tool: str | None
    stall_s: float | None
    sessions: Sessions
    _options: MCPOptions
    _pieces: tuple[bytes, ...]
    _head: bytes
    _ids: Iterator[int]
    mended: frozenset[Reason]
    seat: Session | None = None
    sent: int | None = None
    has_session: bool = False
    kept: tuple[str, str] | None = None

    def request(self, identity: Identity, number: int) -> Wire:
        """Give the request of one call."""
        session = self.seat = self.sessions.take(identity)
        headers = headers_of(self._options, identity, self.method, self.tool, revision=self.sessions.revision)
        self.kept = (identity.name, identity.session) if session is None and identity.session is not None else None
        if session is not None and session.id is not None:
            headers["Mcp-Session-Id"] = session.id
        self.has_session = "Mcp-Session-Id" in headers
        self.sent = next(self._ids)
        body = self._head + b"%d," % self.sent + (b"%d" % number).join(self._pieces)
        return Wire("POST", self._options.path, headers, body)


def compile_step(
    step: Step, options: MCPOptions, sessions: Sessions, ids: Iterator[int], mended: frozenset[Reason] = frozenset()
) -> MCPTemplate:
    """Compile a call of the plan.

    Parameters
    ----------
    step
        The call.
    options
        How the server is spoken to.
    sessions
        Gives each call its session.
    ids
        Where the ids of requests come from; shared by all templates of a target.
    mended
        Reasons that a new token or session of the role would mend.

    Raises
    ------
    SettingsError
        The action is none of this wire.
    """
    if step.action not in _METHODS:
        msg = f"the step {step.tool}:{step.action}: an MCP server can be asked for {', '.join(_METHODS)}"
        raise SettingsError(msg)
    method = _METHODS[step.action]
    is_call = step.action == "call"
    params = envelope(options, {"name": step.tool, "arguments": step.params} if is_call else {})
    rest = orjson.dumps({"method": method, "params": params})
    pieces = tuple(rest[1:].split(_NUMBER))
    return MCPTemplate(
        method=method,
        tool=step.tool if is_call else None,
        stall_s=options.stall_s,
        sessions=sessions,
        _options=options,
        _pieces=pieces,
        _head=b'{"jsonrpc":"2.0","id":',
        _ids=ids,
        mended=mended,
    )
