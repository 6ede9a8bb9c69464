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

from soaklib.errors import SettingsError, TargetError
from soaklib.records import EventName, Trial
from soaklib.targets.admin import AdminError, Health, Missing
from soaklib.targets.asking import is_unsupported, refuse_unless_success, secret_of
from soaklib.targets.base import Identity
from soaklib.targets.idle_admin import IdleAdmin, Secrets
from soaklib.targets.issued import Issued
from soaklib.targets.own_upstream import routes_beside
from soaklib.targets.trials import unless_made

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soaklib.plan.model import Plan
    from soaklib.targets.admin import Link
    from soaklib.targets.asking import Reply
    from soaklib.targets.openai.options import OpenAIOptions

__all__ = ["OpenAIAdmin"]

_LITELLM_ROUTES: Final = {"metrics": "/metrics/", "health": "/health/liveliness", "ready": "/health/readiness"}
_WELL: Final = ("healthy", "connected")  # no set: what a gateway says may be of any type

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
        known = _LITELLM_ROUTES if options.is_litellm else None
        super().__init__(link, routes_beside(known, is_upstream=options.is_upstream))
        self._options = options
        self._secrets = Secrets(options.keys, None if options.make_keys else options.key, environment)
        self._issued = Issued(lambda key: self._delete([key]))
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
        """Ask whether it is alive and ready; an endpoint that is not LiteLLM is asked for its models."""
        if self._options.is_litellm:
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
        key = await self._generate(identity.name, expires_at)
        await self._issued.replace(identity.name, key, key, in_place=identity.secret)
        return self._with(identity, key)

    async def trial_identity(self, trial: Trial, identity: Identity, *, expires_at: dt.datetime) -> Identity:
        """Give an identity with a key that is not good; but for an unknown one it takes a gateway that makes keys."""
        if (unmade := unless_made(trial, identity, makes=self._options.make_keys)) is not None:
            return self._with(unmade, unmade.secret)
        if trial is Trial.ROTATED:
            return identity
        name = f"{self.link.run_id}-{trial}-{identity.role}"
        late = expires_at + _REVOKED_LIVES if trial is Trial.REVOKED else expires_at
        key = await self._generate(name, late)
        self._issued.add(name, key, key)
        if trial is Trial.REVOKED:
            await self._issued.end(name)  # what cannot be deleted now is owed
        return self._with(identity, key)

    def _with(self, identity: Identity, secret: str) -> Identity:
        """Give an identity with another key, and by what LiteLLM's metrics call that."""
        named = secret and (self._options.is_litellm or self._options.make_keys)
        key_id = hashlib.sha256(secret.encode()).hexdigest()[:_KEY_ID_DIGITS] if named else None
        return replace(identity, secret=secret, key_id=key_id)

    async def _generate(self, name: str, expires_at: dt.datetime) -> str:
        """Make a key with an alias that no other has, which begins with a name."""
        life_s = max(_LEAST_LIFE_S, round((expires_at - dt.datetime.now(dt.UTC)).total_seconds()))
        asked: dict[str, object] = {
            "key_alias": f"{name}-{self._mark}-{next(self._numbers)}",
            "duration": f"{life_s}s",
            "metadata": {"soaklib_run": self.link.run_id},
            **self._options.key_limits,
        }
        reply = await self.asking.need("POST", "/key/generate", secret=self._admin_key(), json=asked)
        if (key := secret_of(reply.json().get("key"))) is None:
            msg = f"POST /key/generate was answered with {reply.status}, but without a key"
            raise AdminError(msg, status=reply.status)
        return key

    async def close(self, identity: Identity) -> None:
        """Delete the keys of an agent that were made."""
        await self._issued.end(identity.name)

    async def clear(self) -> None:
        """Delete all keys that were made; one that cannot be deleted ends by itself."""
        keys = list(self._issued.ids)
        try:
            await self._delete(keys)
            self._issued.forget()
        except AdminError as exc:
            self.link.tell(
                EventName.POLICIES_NOT_REMOVED, f"{len(keys)} keys were not deleted, and end by themselves: {exc}"
            )

    async def _delete(self, keys: list[str]) -> None:
        """Delete keys; of those that are gone already LiteLLM says that it finds none."""
        if not keys:
            return
        reply = await self.asking.ask(
            "POST", "/key/delete", secret=self._admin_key(), json={"keys": keys}, private=keys
        )
        if reply.status != HTTPStatus.NOT_FOUND:
            refuse_unless_success("POST", "/key/delete", reply, self._admin_key())

    def metrics_secret(self) -> str | None:
        """Give the admin's key, where there is one: LiteLLM shows its metrics to whoever asks only if it is told to."""
        admin_key = self._options.admin_key if self._options.is_litellm else None
        return None if admin_key is None else self._secrets.of(admin_key)

    def is_well(self, endpoint: str, reply: Reply) -> bool:
        """Read what LiteLLM's readiness says."""
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
