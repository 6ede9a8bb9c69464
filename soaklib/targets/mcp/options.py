"""What a plan's ``[target]`` table may hold beside ``kind = "mcp"``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from soaklib.targets.own_paths import PathsOptions

__all__ = ["REVISIONS", "Era", "Login", "MCPOptions", "SessionPolicy"]

REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions of the protocol that begin with a handshake: whichever of them the server answers with is spoken."""

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Path = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)+/?$")]


class Era(StrEnum):
    """Which of its forms the protocol is spoken in."""

    SESSIONS = "sessions"  #: ``initialize`` first, ``Mcp-Session-Id`` where the server gives one (until 2025-11-25)
    STATELESS = "stateless"  #: no session: each request carries version and capabilities (from 2026-07-28)
    RPC = "rpc"  #: bare JSON-RPC, as ``POST /rpc`` takes it


class SessionPolicy(StrEnum):
    """How long a session is kept: opening and leaving them is what leaks."""

    RUN = "run"  #: one for all agents, all the time
    AGENT = "agent"  #: one an agent
    CALLS = "calls"  #: a new one every `calls_a_session` calls of an agent
    CALL = "call"  #: one a call


class Login(BaseModel):
    """Environment variables of what one logs in with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email_env: Variable
    password_env: Variable


class MCPOptions(PathsOptions):
    """How an MCP server is spoken to.

    Attributes
    ----------
    path
        Where it listens.
    era
        In which form.
    version
        The protocol's revision; 2025-06-18 by default, which servers of other revisions speak too, and 2026-07-28 in
        the stateless era.
    sessions
        How long a session is kept.
    calls_a_session
        With ``sessions = "calls"``: after how many calls a new one is opened.
    close
        Whether a session that has served is ended by a DELETE; False leaves them to the server.
    tokens
        Role -> environment variables that hold its tokens; agents of the role share them out.
    token
        Environment variable of every other role's token; None where none is needed.
    make_tokens
        Whether each agent of a role that `tokens` does not name gets a token of its own from ``POST /tokens``
        (ContextForge).
    login
        Environment variables of the email and password of who may make tokens (``POST /auth/login``).
    admin_token
        In the place of a login: environment variable of a session's token, good for no longer than that session.
    permissions
        Role -> what its made tokens may do; a role that is not named may do all that its user may.
    server_id
        The virtual server that made tokens are for; None for any.
    is_contextforge
        Whether the gateway is ContextForge: its health, its metrics, and its words for an upstream's broken answers.
    is_upstream
        Whether the load goes straight to the soak's own mock upstream: its health and metrics; a rehearsal says so.
    stall_s
        How long, wall seconds, a stream of events may stand still; None for the call's own limit alone.
    """

    known_by: ClassVar[str] = "is_contextforge"

    path: Path = "/mcp"
    era: Era = Era.SESSIONS
    version: str | None = Field(None, pattern=r"^\d{4}-\d\d-\d\d$")
    sessions: SessionPolicy = SessionPolicy.AGENT
    calls_a_session: int = Field(100, ge=1)
    close: bool = True
    tokens: dict[str, tuple[Variable, ...]] = Field({})
    token: Variable | None = None
    make_tokens: bool = False
    login: Login | None = None
    admin_token: Variable | None = None
    permissions: dict[str, tuple[str, ...]] = Field({})
    server_id: str | None = None
    is_contextforge: bool = False
    is_upstream: bool = False
    stall_s: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.make_tokens and self.login is None and self.admin_token is None:
            msg = "make_tokens needs login or admin_token: environment variables of who may make tokens"
            raise ValueError(msg)
        if self.login is not None and self.admin_token is not None:
            msg = "login and admin_token say twice who may make tokens: leave one out"
            raise ValueError(msg)
        return self

    def has_made_token(self, role: str) -> bool:
        """Say whether a role's agents get tokens that are made for them."""
        return self.make_tokens and role not in self.tokens

    @property
    def is_administered(self) -> bool:
        """Whether there is one who may make tokens."""
        return self.login is not None or self.admin_token is not None

    @property
    def revision(self) -> str:
        """The protocol's revision that is asked for."""
        return self.version or ("2026-07-28" if self.era is Era.STATELESS else "2025-06-18")
