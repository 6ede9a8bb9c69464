"""What is done at an endpoint of OpenAI's wire beside the load: keys, and whether it is well.

LiteLLM's ``/health`` calls every model and costs money: it is never asked. Liveliness and readiness know nothing of
upstreams, and cost nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from dataclasses import replace
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Final

import orjson

from soaklib.errors import SettingsError, TargetError
from soaklib.records import EventName, Trial
from soaklib.targets.admin import AdminError, Health, Missing
from soaklib.targets.asking import is_unsupported, refuse_unless_success, secret_of
from soaklib.targets.base import Identity
from soaklib.targets.idle_admin import IdleAdmin, Secrets
from soaklib.targets.issued import Issued, is_of_run
from soaklib.targets.own_upstream import routes_beside
from soaklib.targets.trials import unless_made

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from soaklib.plan.model import Plan
    from soaklib.targets.admin import Link
    from soaklib.targets.asking import Reply
    from soaklib.targets.base import Wire
    from soaklib.targets.openai.options import OpenAIOptions

__all__ = ["OpenAIAdmin"]

_LITELLM_ROUTES: Final = {"metrics": "/metrics/", "health": "/health/liveliness", "ready": "/health/readiness"}
_WELL: Final = ("healthy", "connected")  # no set: what a gateway says may be of any type

_DELETING: Final = "/key/delete"
_PAGE: Final = 100
"""Of the list of keys: the most that one may have."""
_LEAST_LIFE_S: Final = 1
_KEY_ID_DIGITS: Final = 16
"""Of the SHA-256 of a key, which is what LiteLLM calls it by: enough to tell keys apart, too few to be one."""
_REVOKED_LIVES: Final = dt.timedelta(days=1)
"""Of a key that is deleted: it must be refused for that, and not because it has expired."""


class OpenAIAdmin(IdleAdmin):
    """Keys and health.

    Parameters
    ----------
    link
        The run, and the way to the gateway.
    options
        The plan's ``[target]`` table.
    environment
        Where keys stand.
    """

    def __init__(self, link: Link, options: OpenAIOptions, environment: Mapping[str, str] | None = None) -> None:
        told = {} if options.is_upstream else options.routes
        known = _LITELLM_ROUTES if options.is_litellm else told
        super().__init__(link, routes_beside(known, is_upstream=options.is_upstream))
        self._options = options
        self._secrets = Secrets(options.keys, None if options.make_keys else options.key, environment)
        self._issued = Issued(lambda alias: self._delete([alias]))
        self._mark = uuid.uuid4().hex[:8]  # an alias is taken for good, also by a runner of the run that was killed
        self._numbers = count(1)

    async def missing(self, plan: Plan) -> Missing:
        """See that keys are there, that keys can be made where the plan asks for it, and which models are known."""
        self._secrets.check(plan.roles)
        if self._options.admin_key is not None:
            self._secrets.of(self._options.admin_key)
        if self._options.make_keys:
            if not any(map(self._options.has_made_key, plan.roles)):
                msg = "the plan's [target] says make_keys, but its keys name every role: take some out of them"
                raise SettingsError(msg)
            reply = await self.asking.ask("GET", "/key/list", secret=self._admin_key())
            if is_unsupported(reply):
                msg = "the plan's [target] says make_keys, but the gateway cannot make keys: it has no database"
                raise TargetError(msg)
            refuse_unless_success("GET", "/key/list", reply, self._admin_key())
        elif self._options.key_limits:
            msg = "the plan's [target] has key_limits, which are of keys that are made: say make_keys"
            raise SettingsError(msg)
        return Missing(self.hindered(plan), await self._notes(plan))

    async def health(self) -> Health:
        """Ask whether it is alive and ready; an endpoint that tells no path is asked for its models."""
        if self._options.is_litellm or self._options.health_path is not None:
            return await super().health()
        path = f"{self._options.prefix}/models"
        try:
            reply = await self.asking.ask("GET", path, secret=self._key_of(self.link.plan.operations[0].role))
        except AdminError as exc:
            return Health(fit=False, detail=str(exc))
        is_fit = reply.status < HTTPStatus.INTERNAL_SERVER_ERROR and reply.status != HTTPStatus.UNAUTHORIZED
        return Health(fit=is_fit, detail=f"GET {path} {reply.status}")

    async def open(self, role: str, name: str) -> Identity:
        """Give an agent: with a key of the environment, or without one until it is renewed."""
        secret = "" if self._options.has_made_key(role) else self._secrets.next(role)
        return self._with(Identity(name, role, ""), secret)

    async def renew(self, identity: Identity, *, expires_at: dt.datetime) -> Identity:
        """Make a new key, and delete those that are neither it nor in place."""
        if not self._options.has_made_key(identity.role):
            return identity
        alias, key = await self._generate(identity.name, expires_at)
        await self._issued.replace(identity.name, alias, key, in_place=identity.secret)
        return self._with(identity, key)

    async def trial_identity(self, trial: Trial, identity: Identity, *, expires_at: dt.datetime) -> Identity:
        """Give an identity with a key that is not good; but for an unknown one it takes a gateway that makes keys."""
        if (unmade := unless_made(trial, identity, makes=self._options.make_keys)) is not None:
            return self._with(unmade, unmade.secret)
        if trial is Trial.ROTATED:
            return identity
        name = f"{self.link.run_id}-{trial}-{identity.role}"
        late = expires_at + _REVOKED_LIVES if trial is Trial.REVOKED else expires_at
        alias, key = await self._generate(name, late)
        self._issued.add(name, alias, key)
        if trial is Trial.REVOKED:
            await self._issued.end(name)  # what cannot be deleted now is owed
        return self._with(identity, key)

    def _with(self, identity: Identity, secret: str) -> Identity:
        """Give an identity with another key, and by what LiteLLM's metrics call that."""
        named = secret and (self._options.is_litellm or self._options.make_keys)
        key_id = hashlib.sha256(secret.encode()).hexdigest()[:_KEY_ID_DIGITS] if named else None
        return replace(identity, secret=secret, key_id=key_id)

    async def _generate(self, name: str, expires_at: dt.datetime) -> tuple[str, str]:
        """Make a key with an alias that no other has, which begins with a name; give both."""
        life_s = max(_LEAST_LIFE_S, round((expires_at - dt.datetime.now(dt.UTC)).total_seconds()))
        alias = f"{name}-{self._mark}-{next(self._numbers)}"
        asked: dict[str, object] = {
            "key_alias": alias,
            "duration": f"{life_s}s",
            "metadata": {"soaklib_run": self.link.run_id},
            **self._options.key_limits,
        }
        reply = await self.asking.need("POST", "/key/generate", secret=self._admin_key(), json=asked)
        if (key := secret_of(reply.json().get("key"))) is None:
            msg = f"POST /key/generate was answered with {reply.status}, but without a key"
            raise AdminError(msg, status=reply.status)
        return alias, key

    async def close(self, identity: Identity) -> None:
        """Delete the keys of an agent that were made."""
        await self._issued.end(identity.name)

    async def clear_left(self, known: Mapping[str, str]) -> None:
        """Delete the keys that an earlier runner of the run left: they live until they expire, and are listed after."""
        del known
        if not self._options.make_keys:
            return
        try:
            await self._issued.end_left([alias async for alias in self._left()])
        except AdminError as exc:
            self.link.tell(EventName.POLICIES_NOT_REMOVED, f"keys of an earlier runner are left: {exc}")

    async def _left(self) -> AsyncIterator[str]:
        """Give the aliases of the run's keys, page by page."""
        seen: set[str] = set()
        for page in count(1):
            path = f"/key/list?page={page}&size={_PAGE}&return_full_object=true"
            listed = (await self.asking.need("GET", path, secret=self._admin_key())).json().get("keys")
            keys = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
            new = {str(one.get("token")): one.get("key_alias") for one in keys if str(one.get("token")) not in seen}
            if not new:  # the last page was that before, or it gives the same one for ever
                return
            for alias in new.values():
                if isinstance(alias, str) and is_of_run(alias, self.link.run_id):
                    yield alias
            seen.update(new)

    async def clear(self) -> None:
        """Delete all keys that were made; one that cannot be deleted ends by itself."""
        aliases = list(self._issued.ids)
        try:
            await self._delete(aliases)
            self._issued.forget()
        except AdminError as exc:
            self.link.tell(
                EventName.POLICIES_NOT_REMOVED, f"{len(aliases)} keys were not deleted, and end by themselves: {exc}"
            )

    async def _delete(self, aliases: list[str]) -> None:
        """Delete keys; of those that are gone already LiteLLM says that it finds none."""
        if not aliases:
            return
        reply = await self.asking.ask("POST", _DELETING, secret=self._admin_key(), json={"key_aliases": aliases})
        if reply.status != HTTPStatus.NOT_FOUND:
            refuse_unless_success("POST", _DELETING, reply, self._admin_key())

    @property
    def removing(self) -> tuple[Wire, ...]:
        """Give the requests that delete the keys that were made: by alias, which is no secret."""
        return tuple(self.wire("POST", _DELETING, orjson.dumps({"key_aliases": [alias]})) for alias in self._issued.ids)

    def admin_secret(self) -> str | None:
        """Give what makes and deletes keys; None where none are made."""
        return self._admin_key() if self._options.make_keys else None

    def metrics_secret(self) -> str | None:
        """Give the admin's key, where there is one: LiteLLM shows its metrics to whoever asks only if it is told to."""
        admin_key = self._options.admin_key if self._options.is_litellm else None
        return None if admin_key is None else self._secrets.of(admin_key)

    def is_well(self, endpoint: str, reply: Reply) -> bool:
        """Read what LiteLLM's readiness says; of others their status is their word."""
        return endpoint != "ready" or reply.json().get("status") in _WELL

    async def _notes(self, plan: Plan) -> list[str]:
        """Say which models of the plan the endpoint does not list: to each key those that its role calls."""
        path = f"{self._options.prefix}/models"
        called: dict[str | None, dict[str, None]] = {}
        for operation in plan.operations:
            models = called.setdefault(self._key_of(operation.role), {})
            models |= dict.fromkeys(step.tool for step in operation.steps)
        notes: dict[str, None] = {}
        for key, models in called.items():
            reply = await self.asking.ask("GET", path, secret=key)
            data = reply.json().get("data")
            if not reply.is_success or not isinstance(data, list):
                notes[f"GET {path} was answered with {reply.status}: the plan's models could not be looked up"] = None
                continue
            listed = [one.get("id") for one in data if isinstance(one, dict)]
            unlisted = [tool for tool in models if tool not in listed and "*" not in listed]
            notes |= dict.fromkeys(f"the endpoint lists no model {tool!r}" for tool in unlisted)
        return list(notes)

    def _admin_key(self) -> str | None:
        return self.link.secret if self._options.admin_key is None else self._secrets.of(self._options.admin_key)

    def _key_of(self, role: str) -> str | None:
        return self._admin_key() if self._options.has_made_key(role) else self._secrets.first(role) or None
