"""The admin of a gateway that can be asked for no change of its own: what it does not need is done here, once.

A kind of gateway of another package derives its own from it and writes what is different: who calls with which secret
(:meth:`IdleAdmin.open`, :meth:`IdleAdmin.renew`, :meth:`IdleAdmin.close`), and whether the gateway is well
(:meth:`IdleAdmin.is_well`, :meth:`IdleAdmin.health`).
"""

from __future__ import annotations

import os
from http import HTTPStatus
from itertools import cycle
from typing import TYPE_CHECKING, Final, Self

from soaklib.errors import SettingsError
from soaklib.targets.admin import AdminError, Health, Missing, Told
from soaklib.targets.asking import Asking
from soaklib.targets.base import Identity, Wire

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from soaklib.plan.changes import Change
    from soaklib.plan.model import Plan
    from soaklib.targets.admin import Link, Made, Owe
    from soaklib.targets.asking import Reply

__all__ = ["IdleAdmin", "Secrets"]

_OWN_CHANGES: Final = frozenset({"rotate-credentials", "chaos", "update-policy"})
"""Changes that only a kind of gateway with routes for them can be asked for."""


class Secrets:
    """Keys or tokens from the environment, shared out among the agents of each role.

    Parameters
    ----------
    by_role
        Role -> variables.
    others
        The variable of every other role; None for no secret.
    environment
        Where they stand.
    """

    def __init__(
        self, by_role: Mapping[str, tuple[str, ...]], others: str | None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._by_role = by_role
        self._others = (others,) if others is not None else ()
        self._environment = os.environ if environment is None else environment
        self._turns: dict[str, Iterator[str]] = {}

    def next(self, role: str) -> str:
        """Give the secret of the role's next agent; an empty text where none is needed.

        Raises
        ------
        SettingsError
            The variable is not set.
        """
        variables = self._by_role.get(role) or self._others
        if not variables:
            return ""
        return self.of(next(self._turns.setdefault(role, cycle(variables))))

    def first(self, role: str) -> str:
        """Give the first secret of a role, without taking a turn."""
        variables = self._by_role.get(role) or self._others
        return self.of(variables[0]) if variables else ""

    def of(self, variable: str) -> str:
        """Give what a variable holds.

        Raises
        ------
        SettingsError
            It is not set.
        """
        if not (secret := self._environment.get(variable, "").strip()):
            msg = f"the plan's [target] needs the environment variable {variable}: it is not set"
            raise SettingsError(msg)
        return secret

    def check(self, roles: Mapping[str, object]) -> None:
        """See that all are there, and that no role is misspelt.

        Raises
        ------
        SettingsError
            One is not.
        """
        if unknown := sorted(set(self._by_role) - set(roles)):
            msg = f"the plan's [target] names {', '.join(unknown)}, which is no role of the plan: {', '.join(roles)}"
            raise SettingsError(msg)
        for role in roles:
            for variable in self._by_role.get(role) or self._others:
                self.of(variable)


class IdleAdmin:
    """What all kinds share whose own changes are none: agents without a secret, at a gateway that is looked at.

    Parameters
    ----------
    link
        The run, and the way to the gateway.
    routes
        What there is to look at (``metrics``, ``health``, ``ready``), and where; nothing by default.
    """

    capabilities: frozenset[str] = frozenset()

    def __init__(self, link: Link, routes: Mapping[str, str] = {}) -> None:
        self.link = link
        self.routes = dict(routes)
        self.asking = Asking(link, self.routes.get("metrics"))

    async def __aenter__(self) -> Self:
        await self.asking.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.asking.__aexit__(exc_type, exc, traceback)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Give what there is to look at."""
        return tuple(self.routes)

    async def look(self, endpoint: str) -> Told:
        """Read an endpoint, and judge it."""
        secret = self.metrics_secret() if endpoint == "metrics" else None
        return self.judged(endpoint, await self.asking.ask("GET", self.routes[endpoint], secret=secret))

    def judged(self, endpoint: str, reply: Reply) -> Told:
        """Judge what an endpoint answered."""
        ok = reply.is_success and self.is_well(endpoint, reply)
        detail = None if reply.is_success else f"status {reply.status}"
        return Told(reply.status, reply.body, ok, detail, (), reply.headers.get("Content-Type"))

    def metrics_secret(self) -> str | None:
        """Give what lets one see the metrics; None where nothing is needed."""
        return None

    def is_well(self, endpoint: str, reply: Reply) -> bool:
        """Say whether a successful answer says that all is well."""
        del endpoint, reply
        return True

    def hindered(self, plan: Plan) -> dict[int, str]:
        """Say which changes of a plan this kind of gateway has no route for."""
        return {
            place: f"a gateway of kind {plan.target.kind!r} cannot be asked for {change.do}"
            for place, change in enumerate(plan.changes)
            if change.do in _OWN_CHANGES
        }

    async def missing(self, plan: Plan) -> Missing:
        """Say which changes of a plan the gateway has no route for; nothing is asked."""
        return Missing(self.hindered(plan), [])

    async def health(self) -> Health:
        """Look at /health and /ready, which may answer 200 when it is not well; without either it is taken to be."""
        looked_at = [endpoint for endpoint in ("health", "ready") if endpoint in self.routes]
        for endpoint in looked_at:
            try:
                told = await self.look(endpoint)
            except AdminError as exc:
                return Health(fit=False, detail=str(exc))
            if not told.ok:
                is_limited = told.status == HTTPStatus.TOO_MANY_REQUESTS
                why = " (this address is limited or locked out)" if is_limited else ", and not well"
                return Health(fit=False, detail=f"GET {self.routes[endpoint]} {told.status}{why}")
        routes = ", ".join(self.routes[endpoint] for endpoint in looked_at)
        return Health(fit=True, detail=f"{routes}: well" if routes else "its health is not asked for")

    async def open(self, role: str, name: str) -> Identity:
        """Give an agent that needs no secret."""
        return Identity(name, role, "")

    async def renew(self, identity: Identity, *, expires_at: dt.datetime) -> Identity:
        """Give it as it is: it has nothing that ends."""
        del expires_at
        return identity

    async def close(self, identity: Identity) -> None:
        """Let an identity go."""

    async def prepare(self, *, anew: bool = False) -> None:
        """Make nothing: nobody has to be let in."""

    async def clear_left(self, known: Mapping[str, str]) -> None:
        """Remove nothing."""

    async def clear(self) -> None:
        """Remove nothing."""

    async def make(self, change: Change) -> Made:
        """Refuse: there is no change of this kind of gateway's own."""
        msg = f"a gateway of kind {self.link.plan.target.kind!r} cannot be asked for {change.do}"
        raise AdminError(msg, is_missing=True, is_refusal=True)

    def undoing(self, change: Change) -> Wire | None:
        """Give none."""
        del change
        return None

    async def undo(self, change: Change) -> None:
        """Take nothing back."""

    async def resume(self, change: Change, *, gateway_is_new: bool) -> None:
        """Take up nothing."""

    async def is_in_force(self, change: Change) -> bool | None:
        """Know nothing."""
        del change
        return None

    @property
    def removing(self) -> tuple[Wire, ...]:
        """Give none."""
        return ()

    async def trial(self, change: Change, owe: Owe) -> None:
        """Refuse: there is no change of this kind of gateway's own."""
        del owe
        await self.make(change)

    def wire(self, method: str, path: str, body: bytes | None) -> Wire:
        """Give a request with what lets admin calls in, where there is such a thing."""
        secret = self.admin_secret()
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        return Wire(method, path, headers if body is None else {"Content-Type": "application/json"} | headers, body)

    def admin_secret(self) -> str | None:
        """Give what lets one make and remove keys or tokens; None where nothing is made."""
        return None
