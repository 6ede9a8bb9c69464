import asyncio
import json

import pytest

from soaklib.targets.fourrunr.api import ApiError, Reply
from soaklib.targets.fourrunr.health import health_gate, open_breakers

HEALTHY = Reply(200, b'{"ok":true}')
READY = Reply(200, b'{"ready":true}')


def not_ready(database=True, **breakers):
    checks = {"database": database, "circuitBreakers": breakers, "cache": True}
    return Reply(503, json.dumps({"ready": False, "checks": checks}).encode())


class FakeApi:
    """Answers /health and /ready as told."""

    def __init__(self, health, ready):
        self._replies = {"/health": health, "/ready": ready}

    async def get(self, path):
        reply = self._replies[path]
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.mark.parametrize(
    ("health", "ready", "passed", "detail"),
    [
        (HEALTHY, READY, True, "healthy and ready"),
        (HEALTHY, not_ready(openai=False, serpapi=True), True, "healthy; breaker open: openai"),
        (
            HEALTHY,
            not_ready(database=False, openai=False),
            False,
            "/ready answered 503 and no open breaker explains it",
        ),
        (HEALTHY, not_ready(openai=True), False, "/ready answered 503 and no open breaker explains it"),
        (HEALTHY, Reply(503, b"<html>"), False, "/ready answered 503 and no open breaker explains it"),
        (HEALTHY, Reply(404, b"{}"), True, "healthy; the gateway has no /ready"),
        (Reply(200, b'{"ok":false}'), READY, False, "/health answered 200 and is not ok"),
        (Reply(500, b""), READY, False, "/health answered 500 and is not ok"),
        (ApiError("GET /health", None, "refused"), READY, False, "GET /health got no answer: refused"),
    ],
)
def test_the_gate_tells_an_open_breaker_from_a_gateway_that_is_down(health, ready, passed, detail):
    """An open breaker lets the change through; anything else that is wrong stops it."""
    result = asyncio.run(health_gate(FakeApi(health, ready)))
    assert (result.fit, result.detail) == (passed, detail)


def test_all_open_breakers_are_named():
    """In the order of their names."""
    assert open_breakers(not_ready(openai=False, http_fetch=False, serpapi=True)) == ["http_fetch", "openai"]
