"""A gateway that is not the reference gateway: other tools, another framework's words, metrics of its own.

``python tests/two_tool_gateway.py --speed 360`` serves Jira and Slack on a free port of the loopback, prints its URL,
and ends with its standard input. It keeps what a soak needs and no more: health, agents, tokens, policies with scopes
and quotas, calls, credentials, chaos, and a breaker for each tool. Without ``--admin`` it has none of the admin routes.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import time

from aiohttp import web

REQUIRED = {
    ("jira", "search"): ("jql",),
    ("jira", "create_issue"): ("project", "summary"),
    ("slack", "post_message"): ("channel", "text"),
}
WINDOW_S = {"1h": 3600.0, "24h": 86_400.0, "7d": 604_800.0}
FAILURES_TO_OPEN = 5
OPEN_S = 30.0


def refused(status, error, **more):
    """Give an answer that says no."""
    return web.json_response({"error": error, **more}, status=status)


class Breaker:
    """Opens after some failures in a row, lets one call try again after a while."""

    def __init__(self, open_s):
        self._open_s, self._failures, self._opened_s = open_s, 0, None

    def is_open(self):
        return self._opened_s is not None and time.monotonic() - self._opened_s < self._open_s

    def saw(self, is_ok):
        self._failures = 0 if is_ok else self._failures + 1
        self._opened_s = time.monotonic() if self._failures >= FAILURES_TO_OPEN else None


class TwoToolGateway:
    """All its state, in memory."""

    def __init__(self, speed):
        self._speed = speed
        self._numbers = itertools.count(1)
        self._agents, self._tokens, self._policies, self._credentials = {}, {}, {}, {}
        self._quota, self._chaos, self._calls = {}, {}, {}
        self._breakers = {tool: Breaker(OPEN_S / speed) for tool, _ in REQUIRED}
        self._random = random.Random(7)  # noqa: S311 - no secret
        self._started_s = time.monotonic()

    def routes(self, *, admin):
        """Give the routes."""
        routes = [
            web.get("/health", self.health),
            web.get("/ready", self.ready),
            web.get("/metrics", self.metrics),
            web.post("/api/create-agent", self.create_agent),
            web.post("/api/generate-token", self.generate_token),
            web.post("/api/policies", self.create_policy),
            web.patch("/api/policies/{id}", self.update_policy),
            web.delete("/api/policies/{id}", self.delete_policy),
            web.post("/api/proxy-request", self.call),
        ]
        return (
            routes
            + [
                web.post("/api/admin/creds/set", self.set_credential),
                web.post("/api/admin/creds/activate", self.activate_credential),
                web.post("/api/admin/chaos/tool", self.chaos_on),
                web.delete("/api/admin/chaos/tool/{tool}", self.chaos_off),
            ]
            * admin
        )

    async def health(self, _):
        return web.json_response({"ok": True})

    async def ready(self, _):
        closed = {tool: not breaker.is_open() for tool, breaker in self._breakers.items()}
        body = {"ready": all(closed.values()), "checks": {"database": True, "circuitBreakers": closed}}
        return web.json_response(body, status=200 if all(closed.values()) else 503)

    async def metrics(self, _):
        lines = ["# TYPE toolhub_calls_total counter"]
        lines += [
            f'toolhub_calls_total{{tool="{tool}",action="{action}",status="{status}"}} {n}'
            for (tool, action, status), n in self._calls.items()
        ]
        lines += ["# TYPE toolhub_uptime_seconds gauge", f"toolhub_uptime_seconds {time.monotonic() - self._started_s}"]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")

    async def create_agent(self, request):
        body = await request.json()
        if not body.get("name") or not body.get("role"):
            return refused(400, "name and role are required")
        agent_id = f"bot-{next(self._numbers)}"
        self._agents[agent_id] = body["role"]
        return web.json_response({"agent_id": agent_id}, status=201)

    async def generate_token(self, request):
        body = await request.json()
        if body.get("agent_id") not in self._agents:
            return refused(404, "Agent not found.")
        token = f"tok-{next(self._numbers)}-{self._random.getrandbits(64):016x}"
        self._tokens[token] = body["agent_id"]
        return web.json_response({"agent_token": token})

    async def create_policy(self, request):
        body = await request.json()
        if not body.get("role") or "spec" not in body:
            return refused(400, "role and spec are required")
        policy_id = f"pol-{next(self._numbers)}"
        self._policies[policy_id] = body
        return web.json_response({"id": policy_id}, status=201)

    async def update_policy(self, request):
        policy = self._policies.get(request.match_info["id"])
        if policy is None:
            return refused(404, "Policy not found")
        policy["spec"] = (await request.json())["spec"]
        return web.json_response({"id": request.match_info["id"]})

    async def delete_policy(self, request):
        if self._policies.pop(request.match_info["id"], None) is None:
            return refused(404, "Policy not found")
        return web.Response(status=204)

    async def set_credential(self, request):
        body = await request.json()
        if not body.get("tool") or not body.get("credential"):
            return refused(400, "tool and credential are required")
        credential_id = f"cred-{next(self._numbers)}"
        self._credentials[credential_id] = body["tool"]
        return web.json_response({"id": credential_id}, status=201)

    async def activate_credential(self, request):
        if (await request.json()).get("id") not in self._credentials:
            return refused(404, "Credential not found")
        return web.json_response({"isActive": True})

    async def chaos_on(self, request):
        body = await request.json()
        if body.get("mode") != "500" or not isinstance(body.get("pct"), int):
            return refused(400, "mode must be 500 and pct a whole number")
        self._chaos[body["tool"]] = body["pct"]
        return web.json_response({"message": "on"})

    async def chaos_off(self, request):
        self._chaos.pop(request.match_info["tool"], None)
        return web.json_response({"message": "off"})

    async def call(self, request):
        """Answer a call of a tool."""
        body = await request.json()
        if missing := {"agent_token", "tool", "action", "params"} - body.keys():
            return refused(400, f"{', '.join(sorted(missing))} required")
        answer = self._answer(body)
        key = body["tool"], body["action"], answer.status
        self._calls[key] = self._calls.get(key, 0) + 1
        answer.headers["X-Correlation-Id"] = f"hub-{next(self._numbers)}"
        return answer

    def _answer(self, body):
        role = self._agents.get(self._tokens.get(body["agent_token"]))
        tool, action = body["tool"], body["action"]
        if role is None:
            return refused(403, "Invalid token")
        if reason := self._denial(role, f"{tool}:{action}"):
            return refused(403, "Policy denied", reason=reason)
        if lacking := [name for name in REQUIRED[tool, action] if name not in body["params"]]:
            return refused(400, "Parameter validation failed", details=lacking)
        breaker = self._breakers[tool]
        if breaker.is_open():
            return refused(502, "External API request failed", details=f"Circuit breaker is OPEN for {tool}")
        is_ok = self._random.randrange(100) >= self._chaos.get(tool, 0)
        breaker.saw(is_ok)
        if not is_ok:
            return refused(502, "External API request failed", details="Chaos: Simulated 500 error")
        return web.json_response({"success": True, "data": {"echo": body["params"]}})

    def _denial(self, role, scope):
        specs = [policy["spec"] for policy in self._policies.values() if policy["role"] == role]
        allowed = {allowed for spec in specs for allowed in spec["scopes"]}
        if scope not in allowed:
            return f"Scope '{scope}' not allowed. Allowed scopes: {', '.join(sorted(allowed))}"
        for quota in (quota for spec in specs for quota in spec.get("quotas", ()) if quota["action"] == scope):
            window = int((time.monotonic() - self._started_s) * self._speed // WINDOW_S[quota["window"]])
            used = self._quota.get((role, scope, window), 0)
            if used >= quota["limit"]:
                return f"Quota exceeded for {scope}: {used}/{quota['limit']}"
            self._quota[role, scope, window] = used + 1
        return None


async def main():
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--admin", action="store_true")
    options = parser.parse_args()
    app = web.Application()
    app.add_routes(TwoToolGateway(options.speed).routes(admin=options.admin))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
