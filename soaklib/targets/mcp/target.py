"""The target of the MCP wire."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, ClassVar, Final, cast

from soaklib.records import Reason
from soaklib.targets.mcp.admin import McpAdmin
from soaklib.targets.mcp.meanings import CONTEXTFORGE_METRICS
from soaklib.targets.mcp.options import Era, MCPOptions
from soaklib.targets.mcp.readers import MCPReader
from soaklib.targets.mcp.sessions import Sessions
from soaklib.targets.mcp.templates import MCPTemplate, compile_step
from soaklib.targets.own_upstream import UPSTREAM_METRICS

if TYPE_CHECKING:
    from soaklib.plan.model import Step
    from soaklib.targets.admin import Admin, Link
    from soaklib.targets.base import MetricMap, Reader, Template
    from soaklib.targets.mcp.sessions import Session

__all__ = ["McpTarget"]

_MENDED: Final = frozenset({Reason.SESSION_LOST})
"""What a new session mends, where it is kept; where each serves a few calls only, the next is opened anyway."""

_MENDED_BY_TOKENS: Final = frozenset({Reason.TOKEN_REVOKED, Reason.AGENT_NOT_FOUND})
"""What a token that is made anew mends; those of the environment stay what they are."""


class McpTarget:
    """Tools behind streamable HTTP.

    Parameters
    ----------
    options
        The rest of the plan's ``[target]`` table.
    """

    kind: ClassVar[str] = "mcp"
    options: ClassVar[type[MCPOptions]] = MCPOptions
    agent_limit: ClassVar[str | None] = None

    def __init__(self, options: MCPOptions | None = None) -> None:
        self._options = options or MCPOptions()
        self._ids = count(1)
        self._sessions = Sessions(self._options)
        ours = UPSTREAM_METRICS if self._options.is_upstream else self._options.metric_map
        self.metrics: MetricMap = CONTEXTFORGE_METRICS if self._options.is_contextforge else ours

    def compile(self, step: Step, role: str) -> Template:
        """Compile a call of the plan."""
        is_kept = self._options.era is Era.SESSIONS and self._sessions.calls is None
        mended = _MENDED if is_kept else frozenset()
        if self._options.has_made_token(role):
            mended |= _MENDED_BY_TOKENS
        return compile_step(step, self._options, self._sessions, self._ids, mended)

    def reader(self, template: Template) -> Reader:
        """Give the reader of one call's answer: of the request that the template made last."""
        compiled = cast("MCPTemplate", template)
        session, compiled.seat = compiled.seat, None
        done = None
        if session is not None:
            done = partial(_give_back, self._sessions, session)
        elif compiled.kept is not None:
            done = partial(_keep_or_lose, self._sessions, *compiled.kept)
        return MCPReader(
            compiled.mended, is_call=compiled.tool is not None, sent=compiled.sent,
            has_session=compiled.has_session, is_contextforge=self._options.is_contextforge, done=done,
        )  # fmt: skip

    def admin(self, link: Link) -> Admin:
        """Give the way to do what is done beside the load."""
        return McpAdmin(link, self._options, self._sessions)


def _give_back(sessions: Sessions, session: Session, reason: Reason | None) -> None:
    sessions.give_back(session, is_lost=reason is Reason.SESSION_LOST)


def _keep_or_lose(sessions: Sessions, name: str, id_: str, reason: Reason | None) -> None:
    if reason is Reason.SESSION_LOST:
        sessions.lose(name, id_)
