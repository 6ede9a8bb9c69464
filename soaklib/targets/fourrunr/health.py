"""The health gate: is the gateway fit for a change? Tells "a breaker is open" from "down"."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from soaklib.records import HEALTH_METRIC_PREFIX
from soaklib.safety.foreign_json import json_of
from soaklib.safety.foreign_text import plain_text
from soaklib.targets.admin import Health
from soaklib.targets.fourrunr.api import ApiError

if TYPE_CHECKING:
    from soaklib.targets.fourrunr.api import GatewayApi, Reply

__all__ = ["answer_object", "health_gate", "is_healthy", "memory_figures", "open_breakers"]

_MOST_BYTES: Final = 64 << 10
"""Of an answer that is looked into by the loop that keeps the schedule; a gateway's own are a hundredth of it."""


_MOST_TOOL: Final = 64


def is_healthy(reply: Reply) -> bool:
    """Say whether an answer of /health is a healthy one: 200 and ``ok`` true."""
    return reply.status == HTTPStatus.OK and answer_object(reply.body).get("ok") is True


def open_breakers(reply: Reply) -> list[str] | None:
    """Give the tools whose open breaker explains an answer of /ready that is not 200.

    Returns
    -------
    list of str or None
        The tools; None when something else is not ready, or the body does not say.
    """
    checks = answer_object(reply.body).get("checks")
    if not isinstance(checks, dict):
        return None
    breakers = checks.get("circuitBreakers")
    others = [name for name, ok in checks.items() if name != "circuitBreakers" and ok is not True]
    if not isinstance(breakers, dict) or others:
        return None
    return sorted(plain_text(tool, most=_MOST_TOOL) for tool, closed in breakers.items() if closed is not True) or None


async def health_gate(api: GatewayApi) -> Health:
    """GET /health and /ready and judge them: an open breaker is no reason to stop, anything else is."""
    try:
        health = await api.get("/health")
        if not is_healthy(health):
            return Health(fit=False, detail=f"/health answered {health.status} and is not ok")
        ready = await api.get("/ready")
    except ApiError as exc:
        return Health(fit=False, detail=str(exc))
    if ready.status == HTTPStatus.OK:
        return Health(fit=True, detail="healthy and ready")
    if ready.status == HTTPStatus.NOT_FOUND:
        return Health(fit=True, detail="healthy; the gateway has no /ready")
    if tools := open_breakers(ready):
        return Health(
            fit=True, detail=plain_text(f"healthy; breaker open: {', '.join(tools)}"), open_breakers=tuple(tools)
        )
    return Health(fit=False, detail=f"/ready answered {ready.status} and no open breaker explains it")


def memory_figures(body: bytes) -> tuple[tuple[str, float], ...]:
    """Give /health's memory figures as metrics, in bytes."""
    memory = answer_object(body).get("memory")
    if not isinstance(memory, dict):
        return ()
    return tuple(
        (f"{HEALTH_METRIC_PREFIX}memory_{name}_bytes", float(value))
        for name, value in sorted(memory.items())
        if isinstance(value, int | float) and not isinstance(value, bool)
    )


def answer_object(body: bytes) -> dict[str, object]:
    """Give the JSON object of an answer of /health or /ready; an empty one for everything else."""
    return (json_of(body) if len(body) <= _MOST_BYTES else None) or {}
