"""What is done at an MCP server beside the load: sessions, ContextForge's tokens, and whether it is well."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from soaklib.records import EventName, Trial
from soaklib.targets.admin import AdminError, Health, Missing, Told
from soaklib.targets.base import Identity
from soaklib.targets.idle_admin import IdleAdmin, Secrets
from soaklib.targets.mcp.contextforge import CONTEXTFORGE_ROUTES, ContextForgeTokens, is_healthy
from soaklib.targets.mcp.handshakes import NOT_LET_IN, Handshakes
from soaklib.targets.mcp.options import Era, SessionPolicy
from soaklib.targets.mcp.sessions import Session
from soaklib.targets.own_upstream import routes_beside
from soaklib.targets.trials import TrialNotPossibleError, unless_made

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from types import TracebackType

    from soaklib.plan.model import Plan
    from soaklib.targets.admin import Link
    from soaklib.targets.asking import Reply
    from soaklib.targets.base import Wire
    from soaklib.targets.mcp.options import MCPOptions
    from soaklib.targets.mcp.sessions import Sessions

__all__ = ["McpAdmin"]

_AGAIN_AFTER_S: Final = 1.0
_AT_A_TIME: Final = 8
_MOST_PAGES: Final = 50
"""Of tools: what a server lists beyond them is not looked at."""


class McpAdmin(IdleAdmin):
    """Sessions, tokens and health.

    Parameters
    ----------
    link
        The run, and the way to the gateway.
    options
        The plan's ``[target]`` table.
    sessions
        Gives each call its session.
    environment
        Where tokens stand.
    """

    def __init__(
        self, link: Link, options: MCPOptions, sessions: Sessions, environment: Mapping[str, str] | None = None
    ) -> None:
        told = {} if options.is_upstream else options.routes
        known = CONTEXTFORGE_ROUTES if options.is_contextforge else told
        super().__init__(link, routes_beside(known, is_upstream=options.is_upstream))
        self._options = options
        self._sessions = sessions
        self._secrets = Secrets(options.tokens, options.token, environment)
        self._callers = {operation.role for operation in link.plan.operations}
        self._shared: str | None = None
        self._one_at_a_time = asyncio.Lock()
        self._tokens = ContextForgeTokens(self.asking, options, self._secrets)
        self._handshakes = Handshakes(self.asking, options, sessions, self._tokens)
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._sessions.calls is not None:
            self._keeper = asyncio.create_task(self._keep(), name="mcp-sessions")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop_keeping()
        await super().__aexit__(exc_type, exc, traceback)

    # -- what is asked of it

    async def missing(self, plan: Plan) -> Missing:
        """See that tokens are there, and which of the plan's tools the server lists."""
        self._secrets.check(plan.roles)
        self._tokens.check(plan.roles)
        identity = Identity("check", plan.operations[0].role, await self._someones_secret())
        session = await self._handshakes.open(identity) if self._options.era is Era.SESSIONS else None
        identity.session = session
        try:
            notes = await self._notes(plan, identity)
        finally:
            await self._handshakes.end(session, identity)
        return Missing(self.hindered(plan), notes)

    async def health(self) -> Health:
        """Ask where health is, and ContextForge what it says; a server that tells no path is asked for a session."""
        if self._options.is_contextforge or self._options.health_path is not None:
            return await super().health()
        try:
            return await self._probe()
        except AdminError as exc:
            return Health(fit=False, detail=str(exc))

    async def open(self, role: str, name: str) -> Identity:
        """Give an agent: its token, where it has one of the environment; its session comes when it is renewed."""
        self._shared = None  # who is opened anew has lost what was there
        return Identity(name, role, "" if self._options.has_made_token(role) else self._secrets.next(role))

    async def renew(self, identity: Identity, *, expires_at: dt.datetime) -> Identity:
        """Give an agent a new token where tokens are made, and a session where it has none."""
        del expires_at  # tokens are made for days
        renewed = identity
        if self._options.has_made_token(identity.role):
            renewed = await self._tokens.renew(identity)
            self._handshakes.follow(renewed)
            self._sessions.follow(renewed)
        if self._options.era is not Era.SESSIONS:
            return renewed
        if renewed.session is not None:
            return renewed
        try:
            renewed = replace(renewed, session=await self._session_of(renewed))
        except AdminError as exc:
            if renewed.role in self._callers or exc.status not in NOT_LET_IN:
                raise
            return renewed  # its probes are to be refused, and go without a session
        self._sessions.seat(renewed, renewed.session)
        return renewed

    async def trial_identity(self, trial: Trial, identity: Identity, *, expires_at: dt.datetime) -> Identity:
        """Give an identity with a token that is not good, in a session of its own where it is let into one."""
        del expires_at  # tokens are made for days
        apart = replace(identity, session=None, name=f"{self.link.run_id}-{trial}-{identity.role}")
        if (unmade := unless_made(trial, apart, makes=self._options.make_tokens)) is not None:
            return await self._in_a_session(unmade)
        if trial is Trial.EXPIRED:
            msg = "the gateway makes no token for less than a day"
            raise TrialNotPossibleError(msg)
        if trial is Trial.ROTATED:
            return apart
        apart = await self._tokens.renew(apart)
        if trial is Trial.REVOKED:
            await self._tokens.revoke(apart.name)
            return await self._in_a_session(apart)
        if self._options.era is Era.SESSIONS:
            await self._handshakes.end_all_of(apart.name)  # those of the turns before
            apart = replace(apart, session=await self._handshakes.open(apart))
        return apart

    async def _in_a_session(self, stranger: Identity) -> Identity:
        """Ask for a session as one who must be refused; without one where that is refused already.

        A server that looks at no token would refuse whoever has no session for that, and seem to look. That of the
        turn before may still be called in.
        """
        if self._options.era is not Era.SESSIONS:
            return stranger
        await self._handshakes.end_all_of(stranger.name, but=1)
        try:
            return replace(stranger, session=await self._handshakes.open(stranger))
        except AdminError as exc:
            if exc.is_passing:
                raise
            return stranger

    async def close(self, identity: Identity) -> None:
        """End an agent's sessions, those opened ahead included, and revoke its tokens."""
        self._sessions.leave(identity.name)
        await self._handshakes.end(identity.session, identity)
        await self._handshakes.end_all_of(identity.name)
        await self._tokens.revoke(identity.name)

    async def clear_left(self, known: Mapping[str, str]) -> None:
        """Revoke the tokens that an earlier runner of the run left; its sessions nobody knows."""
        del known
        if not self._options.make_tokens:
            return
        try:
            await self._tokens.revoke_left(self.link.run_id)
        except AdminError as exc:
            self.link.tell(EventName.POLICIES_NOT_REMOVED, f"tokens of an earlier runner are left: {exc}")

    async def clear(self) -> None:
        """End all sessions and revoke all tokens that were made; say how many sessions there were."""
        await self._stop_keeping()
        self._sessions.drain()
        left = []
        for ending in (self._handshakes.end_all, self._tokens.revoke_all):
            try:
                await ending()
            except AdminError as exc:
                left.append(str(exc))
        if left:
            self.link.tell(EventName.POLICIES_NOT_REMOVED, f"sessions or tokens are left: {'; '.join(left)}")
        if book := self._sessions.book:
            said = {name: book[name] for name in ("opened", "closed", "left", "unendable", "lost", "overused")}
            self.link.tell(EventName.SESSIONS_CLOSED, "", data=said)

    # -- sessions

    async def _session_of(self, identity: Identity) -> str | None:
        if self._options.sessions is not SessionPolicy.RUN:
            return await self._handshakes.open(identity)
        async with self._one_at_a_time:
            if self._shared is None:
                self._shared = await self._handshakes.open(identity)
            return self._shared

    async def _keep(self) -> None:
        """Open sessions ahead of the calls that will need them, and end those that have served."""
        sessions = self._sessions
        places = asyncio.Semaphore(_AT_A_TIME)

        async def open_one(owner: Identity) -> None:
            async with places:
                sessions.add(Session(await self._handshakes.open(owner), owner, sessions.calls or 1))

        async def end_one(session: Session) -> None:
            async with places:
                await self._handshakes.end(session.id, session.owner)

        while True:
            await sessions.wanted.wait()
            sessions.wanted.clear()
            work = [*map(open_one, sessions.to_open()), *map(end_one, sessions.to_close())]
            results = await asyncio.gather(*work, return_exceptions=True)
            for problem in (one for one in results if isinstance(one, BaseException)):
                if not isinstance(problem, AdminError):
                    raise problem
                sessions.book["refused"] += 1
            if any(isinstance(one, AdminError) for one in results):
                await asyncio.sleep(_AGAIN_AFTER_S)
                sessions.wanted.set()

    async def _stop_keeping(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        done, _ = await asyncio.wait([keeper])
        for task in done:
            if not task.cancelled() and (problem := task.exception()) is not None:
                raise problem

    # -- requests

    async def _notes(self, plan: Plan, identity: Identity) -> list[str]:
        """Say which tools of the plan the server does not list, however many pages it lists them on."""
        listed: set[object] = set()
        params: dict[str, object] = {}
        for _ in range(_MOST_PAGES):
            reply, message = await self._handshakes.request("tools/list", params, identity)
            result = message.get("result")
            tools = result.get("tools") if isinstance(result, dict) else None
            if not isinstance(result, dict) or not isinstance(tools, list):
                return [f"tools/list was answered with {reply.status}: the plan's tools could not be looked up"]
            listed |= {name for one in tools if isinstance(one, dict) and isinstance(name := one.get("name"), str)}
            cursor = result.get("nextCursor")
            if not isinstance(cursor, str) or not cursor or set(plan.tools) <= listed:
                break
            params = {"cursor": cursor}
        return [f"the server lists no tool {tool!r}" for tool in plan.tools if tool not in listed]

    async def _probe(self) -> Health:
        identity = Identity("health", self.link.plan.operations[0].role, await self._someones_secret())
        if self._options.era is Era.SESSIONS:
            await self._handshakes.end(await self._handshakes.open(identity), identity)
            return Health(fit=True, detail="initialize 200")
        method = "server/discover" if self._options.era is Era.STATELESS else "ping"
        reply, message = await self._handshakes.request(method, {}, identity)
        is_fit = reply.is_success and "result" in message
        return Health(fit=is_fit, detail=f"{method} {reply.status}")

    async def look(self, endpoint: str) -> Told:
        """Read an endpoint; ContextForge shows its metrics to whoever has a token."""
        if self._options.is_contextforge and endpoint == "metrics" and self._options.is_administered:
            return self.judged(endpoint, await self._tokens.ask("GET", self.routes[endpoint]))
        return await super().look(endpoint)

    def is_well(self, endpoint: str, reply: Reply) -> bool:
        """Read what ContextForge says: a 200 may say that it is not well."""
        return not self._options.is_contextforge or endpoint == "metrics" or is_healthy(endpoint, reply.json())

    def metrics_secret(self) -> str | None:
        """Give a token of the plan's."""
        role = self.link.plan.operations[0].role
        return (self._secrets.first(role) or None) if self._options.is_contextforge else None

    async def _someones_secret(self) -> str:
        """Give the secret of one who may ask: the first operation's role, or the admin where its tokens are made."""
        role = self.link.plan.operations[0].role
        return await self._tokens.admin() if self._options.has_made_token(role) else self._secrets.first(role)

    @property
    def removing(self) -> tuple[Wire, ...]:
        """Give the requests that revoke the tokens that were made."""
        return tuple(self.wire("DELETE", f"/tokens/{token}", None) for token in self._tokens.made)

    def admin_secret(self) -> str | None:
        """Give what makes and revokes tokens now; None where none are made, or before the first login."""
        return self._tokens.at_hand if self._options.is_administered else None
