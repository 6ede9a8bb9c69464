"""ContextForge beside the load: who may make tokens, and the tokens that are made for the run's agents.

Only a session may make them, which a login gives for 20 minutes by default and a day at most; a token of its own may
not. So the soak logs in again before a session ends, and when one is not taken any more. A token's name stays taken
after it was revoked, and a runner that was killed has revoked none: names bear a mark of their runner.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Final

from soaklib.errors import SettingsError
from soaklib.targets.admin import AdminError
from soaklib.targets.asking import refuse_unless_success, secret_of
from soaklib.targets.issued import Issued, is_of_run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from soaklib.targets.asking import Asking, Reply
    from soaklib.targets.base import Identity
    from soaklib.targets.idle_admin import Secrets
    from soaklib.targets.mcp.options import MCPOptions

__all__ = ["CONTEXTFORGE_ROUTES", "ContextForgeTokens", "is_healthy"]

CONTEXTFORGE_ROUTES: Final = {"metrics": "/metrics/prometheus", "health": "/health", "ready": "/ready"}


_DAYS: Final = 1  # the least that a token lives
_USED_SHARE: Final = 0.75  # of a session's life, after which there is a new one
_UNTOLD_S: Final = 300.0  # the shortest life that a session can be set to
_PAGE: Final = 100
_PAUSES_S: Final = (0.05, 0.5, 2.0)


class ContextForgeTokens:
    """Makes tokens, revokes them, and holds a session that may.

    Parameters
    ----------
    asking
        The way to the gateway.
    options
        The plan's ``[target]`` table.
    secrets
        Where the environment's stand.
    """

    def __init__(self, asking: Asking, options: MCPOptions, secrets: Secrets) -> None:
        self._asking = asking
        self._options = options
        self._secrets = secrets
        self._mark = uuid.uuid4().hex[:8]
        self._numbers = count(1)
        self._issued = Issued(self._revoke)
        self._one_at_a_time = asyncio.Lock()
        self._session: str | None = None
        self._good_until_s = 0.0

    def check(self, roles: Mapping[str, object]) -> None:
        """See that what is needed stands in the environment, and that what is said of tokens is of some that are made.

        Raises
        ------
        SettingsError
            It does not, or is not.
        """
        options, login = self._options, self._options.login
        said = ("permissions",) * bool(options.permissions) + ("server_id",) * (options.server_id is not None)
        if said and not options.make_tokens:
            msg = f"the plan's [target] has {' and '.join(said)}, which are of tokens that are made: say make_tokens"
            raise SettingsError(msg)
        if unmade := sorted(role for role in options.permissions if role not in roles or role in options.tokens):
            msg = f"the plan's [target] has permissions of {', '.join(unmade)}, for whom no token is made"
            raise SettingsError(msg)
        if not options.is_administered:
            return
        for variable in (login.email_env, login.password_env) if login else (self._options.admin_token,):
            self._secrets.of(variable or "")

    async def admin(self) -> str:
        """Give a session's token: of the environment, or of a login that holds for a while yet.

        Raises
        ------
        AdminError
            The login is refused, or got no answer.
        """
        login = self._options.login
        if login is None:
            return self._secrets.of(self._options.admin_token or "")
        async with self._one_at_a_time:
            now_s = asyncio.get_running_loop().time()
            if self._session is None or now_s >= self._good_until_s:
                password = self._secrets.of(login.password_env)
                asked = {"email": self._secrets.of(login.email_env), "password": password}
                reply = await self._asking.ask("POST", "/auth/login", json=asked, private=(password,))
                refuse_unless_success("POST", "/auth/login", reply, password)
                said = reply.json()
                secret, lives_s = secret_of(said.get("access_token")), said.get("expires_in")
                if secret is None:
                    msg = f"POST /auth/login was answered with {reply.status}, but without a token"
                    raise AdminError(msg, status=reply.status)
                self._session = secret
                self._good_until_s = now_s + _USED_SHARE * (lives_s if isinstance(lives_s, int) else _UNTOLD_S)
            return self._session

    async def ask(self, method: str, path: str, *, json: object = None) -> Reply:
        """Ask as the admin; once more after a new login where the session is not taken any more."""
        secret = await self.admin()
        reply = await self._asking.ask(method, path, secret=secret, json=json)
        if reply.status == HTTPStatus.UNAUTHORIZED and self._options.login is not None:
            if self._session == secret:
                self._session = None
            reply = await self._asking.ask(method, path, secret=await self.admin(), json=json)
        return reply

    async def need(self, method: str, path: str, *, json: object = None) -> Reply:
        """Ask as the admin for what must succeed.

        Raises
        ------
        AdminError
            It did not, or there was no answer.
        """
        reply = await self.ask(method, path, json=json)
        refuse_unless_success(method, path, reply, await self.admin())
        return reply

    async def renew(self, identity: Identity) -> Identity:
        """Make an agent's next token, and revoke those that are neither it nor in place."""
        scope: dict[str, object] = {}
        if self._options.server_id is not None:
            scope["server_id"] = self._options.server_id
        if permissions := self._options.permissions.get(identity.role):
            scope["permissions"] = list(permissions)
        asked = {"name": f"{identity.name}-{self._mark}-{next(self._numbers)}", "expires_in_days": _DAYS}
        reply = await self.need("POST", "/tokens", json=asked | ({"scope": scope} if scope else {}))
        said = reply.json()
        token, secret = said.get("token"), secret_of(said.get("access_token"))
        id_ = token.get("id") if isinstance(token, dict) else None
        if secret is None or not isinstance(id_, str):
            msg = f"POST /tokens was answered with {reply.status}, but without a token"
            raise AdminError(msg, status=reply.status)
        await self._issued.replace(identity.name, id_, secret, in_place=identity.secret)
        return replace(identity, secret=secret)

    @property
    def made(self) -> tuple[str, ...]:
        """Give the ids of all tokens that were made here and not revoked."""
        return self._issued.ids

    @property
    def at_hand(self) -> str | None:
        """Give what makes tokens now, without a login; None where there was none yet."""
        if self._options.login is not None:
            return self._session
        return self._secrets.of(self._options.admin_token or "")

    async def revoke(self, name: str) -> None:
        """Revoke an agent's tokens."""
        await self._issued.end(name)

    async def revoke_all(self) -> None:
        """Revoke all that were made here."""
        await self._issued.end_all()

    async def revoke_left(self, run_id: str) -> int:
        """Revoke what an earlier runner of the run has left; say how many.

        One that cannot be revoked now keeps no other, and is to be revoked like those that were made here.
        """
        return await self._issued.end_left([id_ async for id_ in self._listed(run_id)])

    async def _listed(self, run_id: str) -> AsyncIterator[str]:
        offset = 0
        seen: set[str] = set()
        while True:
            said = (await self.need("GET", f"/tokens?limit={_PAGE}&offset={offset}")).json()
            page = said.get("tokens")
            tokens = [one for one in page if isinstance(one, dict)] if isinstance(page, list) else []
            new = {str(one.get("id")): str(one.get("name", "")) for one in tokens if str(one.get("id")) not in seen}
            if not new:  # the last page was that before, or it gives the same one for ever
                return
            for id_, name in new.items():
                if is_of_run(name, run_id):
                    yield id_
            seen.update(new)
            offset += len(tokens)

    async def _revoke(self, id_: str) -> None:
        """Revoke a token; one that is not known any more is.

        A 409, "Please try again", is that of two writers at once and is tried again; one that is revoked already gets
        the same, however often it is tried.
        """
        for pause_s in (*_PAUSES_S, None):
            reply = await self.ask("DELETE", f"/tokens/{id_}")
            if reply.status != HTTPStatus.CONFLICT:
                break
            if (await self.ask("GET", f"/tokens/{id_}")).json().get("is_active") is False:
                return
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        if reply.status != HTTPStatus.NOT_FOUND:
            refuse_unless_success("DELETE", "/tokens/{id}", reply, await self.admin())


def is_healthy(endpoint: str, said: Mapping[str, object]) -> bool:
    """Read what /health and /ready say: a 200 may say that it is not well."""
    return said.get("status") == {"health": "healthy", "ready": "ready"}[endpoint]
