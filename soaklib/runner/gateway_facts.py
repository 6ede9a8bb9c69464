"""What the gateway says of itself that stays the same, asked while the run has its gateway, and kept in the run.

Its version, platform and settings, as its /health tells them. They go into the run's ``environment``, under
``gateway``: ``begin`` as the run began, ``end`` as it ended. What is made of the run later, by anyone, asks no gateway.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final, TypedDict

import orjson

from soaklib.plan.named import named_secrets
from soaklib.plan.settings import ADMIN_TOKEN_VARIABLE
from soaklib.safety.foreign_text import MOST_NAME, plain_text
from soaklib.safety.redaction import redacted
from soaklib.targets import load_target
from soaklib.targets.admin import AdminError, Link

if TYPE_CHECKING:
    from pydantic import JsonValue

    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings

__all__ = ["GatewaySaid", "ask_gateway", "facts_of"]

_ANSWER_WITHIN_S: Final = 3.0
_MOST_ANSWER_BYTES: Final = 64 << 10
_MOST_FACTS: Final = 200
_DEEPEST: Final = 5
_CHANGING: Final = frozenset({"ok", "timestamp", "uptime", "memory", "pid"})


class GatewaySaid(TypedDict):
    """What was told, members of inner objects as ``outer.inner``, and one sentence on it."""

    facts: dict[str, JsonValue]
    detail: str


def ask_gateway(settings: SoakSettings, plan: Plan, url: str) -> GatewaySaid:
    """Ask a gateway's health what it says of itself; that it says nothing is an answer too.

    Parameters
    ----------
    settings
        What lets the call in, and what TLS is verified by.
    plan
        Says which kind of gateway it is.
    url
        The gateway's base URL.
    """

    async def ask() -> bytes:
        link = Link(
            base_url=url, timeout_s=min(_ANSWER_WITHIN_S, settings.http_timeout_ms / 1000), headers=settings.headers(),
            ca_file=settings.ca_file, plan=plan, run_id="", rps=settings.rps, tell=lambda *_, **__: None,
        )  # fmt: skip
        async with load_target(plan.target).admin(link) as admin:
            return (await admin.look("health")).body if "health" in admin.endpoints else b"{}"

    secrets = [*named_secrets(settings.header_env, plan), os.environ.get(ADMIN_TOKEN_VARIABLE, "")]
    try:
        facts = facts_of(asyncio.run(ask()), secrets=secrets)
    except AdminError as exc:
        return {"facts": {}, "detail": f"its /health told nothing: {exc}"}
    except ValueError as exc:
        return {"facts": {}, "detail": plain_text(f"its /health told nothing: {exc}")}
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    detail = f"as its /health says: {told}" if told else "its /health says nothing of its version or settings"
    return {"facts": facts, "detail": detail}


def facts_of(body: bytes, *, secrets: list[str]) -> dict[str, JsonValue]:
    """Give the members of an answer of /health that do not change by the second.

    Raises
    ------
    ValueError
        It is no JSON, or longer than any.
    """
    if len(body) > _MOST_ANSWER_BYTES:
        msg = f"its answer is over {_MOST_ANSWER_BYTES} bytes"
        raise ValueError(msg)
    answer = orjson.loads(body)
    facts = _unchanging(answer, "", secrets, _DEEPEST) if isinstance(answer, dict) else {}
    return dict(list(facts.items())[:_MOST_FACTS])


def _unchanging(answer: dict[str, JsonValue], prefix: str, secrets: list[str], deepest: int) -> dict[str, JsonValue]:
    facts: dict[str, JsonValue] = {}
    for name, value in answer.items():
        if name in _CHANGING:
            continue
        path = plain_text(prefix + name, most=MOST_NAME)
        if isinstance(value, dict) and deepest:
            facts |= _unchanging(value, f"{prefix}{name}.", secrets, deepest - 1)
        elif value is None or isinstance(value, bool | int | float):
            facts[path] = value
        else:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            facts[path] = plain_text(redacted(text, secrets))
    return facts
