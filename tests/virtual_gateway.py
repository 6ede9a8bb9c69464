"""A gateway that is an object: what it was asked to do it has done, whatever it answers, or does not."""

import asyncio
import itertools
import re
from dataclasses import dataclass, field

import orjson

from soaklib.records import Kind, Reason
from soaklib.runner.client import Answer
from soaklib.targets.base import Reading
from soaklib.targets.fourrunr.api import ApiError, GatewayApi, Reply
from soaklib.targets.transport import Connections

TIMEOUT_S = 2.0
FAULTS = {
    "down": "refused, and nothing done",
    "slow": "done and answered, well within the time limit",
    "lost": "done, and no answer within the time limit",
    "late": "done when the time limit is over",
    "malformed": "done, and answered with a page",
    "empty": "done, and answered with nothing of what is due",
    "list": "done, and answered with a list",
    "500 and done": "done, and answered with 500",
    "500": "not done, and answered with 500",
    "404": "no such route for now",
    "403": "refused",
}

_NOT_DONE = {"500": Reply(500, b'{"error":"no"}'), "403": Reply(403, b'{"error":"Forbidden"}')}
_DONE = {
    "500 and done": Reply(500, b'{"error":"no"}'),
    "malformed": Reply(200, b"<html>"),
    "empty": Reply(200, b"{}"),
    "list": Reply(200, b"[1]"),
}


@dataclass
class VirtualGateway:
    """The state of the gateway; `fault` (of `FAULTS`) is what becomes of the routes that `hits` matches."""

    now: object
    fault: str | None = None
    hits: str = ""
    agents: dict = field(default_factory=dict)
    tokens: dict = field(default_factory=dict)
    policies: dict = field(default_factory=dict)
    chaos: set = field(default_factory=set)
    cuts: list = field(default_factory=list)
    credentials: dict = field(default_factory=dict)
    key: int = 0
    made: int = 0
    seen: list = field(default_factory=list)
    missing: str = r"(?!)"
    _numbers: object = field(default_factory=lambda: itertools.count(1))

    def restart(self, *, forgets=True, keeps_chaos=False):
        """Come back with a new signing key; without agents and policies, if it kept them in memory."""
        self.key += 1
        if forgets:
            self.agents.clear()
            self.policies.clear()
        if not keeps_chaos:
            self.chaos.clear()

    async def exchange(self, method, path, body):
        """Answer a route, or not."""
        route = f"{method} {path}"
        self.seen.append(route)
        fault = self.fault if re.search(self.hits, route) else None
        if fault == "down":
            raise ApiError(route, None, "cannot connect")
        if fault == "404" or re.search(self.missing, route):
            return Reply(404, orjson.dumps({"message": f"Route {route} not found", "error": "Not Found"}))
        if fault in _NOT_DONE:
            return _NOT_DONE[fault]
        await asyncio.sleep(TIMEOUT_S * {"late": 1.0, "slow": 0.7}.get(fault, 0.001))
        status, value = self._do(method, path, body)
        if fault == "lost":
            await asyncio.sleep(TIMEOUT_S)
        if fault in ("lost", "late"):
            raise ApiError(route, None, f"nothing within {TIMEOUT_S:g} s")
        return _DONE.get(fault) or Reply(status, value if isinstance(value, bytes) else orjson.dumps(value))

    def _do(self, method, path, body):  # noqa: C901, PLR0911, PLR0912 - a table of routes
        path, _, query = path.partition("?")
        match method, path.removeprefix("/api/").split("/"):
            case "GET", ["", "health"]:
                return 200, {"ok": True}
            case "GET", ["", "ready"]:
                return 200, {}
            case "GET", ["", "metrics"]:
                return 200, b"gateway_requests_total 1\n"
            case "POST", ["create-agent"]:
                agent = f"agent-{next(self._numbers)}"
                self.agents[agent] = body["role"]
                return 201, {"agent_id": agent, "private_key": "x"}
            case "POST", ["generate-token"]:
                if body["agent_id"] not in self.agents:
                    return 404, {"error": "Agent not found."}
                token = f"token-{next(self._numbers)}"
                self.tokens[token] = (body["agent_id"], body["expires_at"], self.key)
                return 201, {"agent_token": token}
            case "POST", ["policies"]:
                policy = f"policy-{next(self._numbers)}"
                self.policies[policy] = dict(body, id=policy)
                self._note_cut(body)
                return 201, {"id": policy}
            case "GET", ["policies"]:
                role = query.removeprefix("role=")
                return 200, [policy for policy in self.policies.values() if policy["role"] == role]
            case "PATCH", ["policies", policy]:
                if policy not in self.policies:
                    return 404, {"error": "Policy not found"}
                self.policies[policy]["spec"] = body["spec"]
                self._note_cut(self.policies[policy])
                return 200, {}
            case "DELETE", ["policies", policy]:
                return (204, b"") if self.policies.pop(policy, None) else (404, {"error": "Policy not found"})
            case "POST", ["admin", "chaos", "tool"]:
                self.chaos.add(body["tool"])
                self.made += 1
                return 200, {}
            case "DELETE", ["admin", "chaos", "tool", tool]:
                self.chaos.discard(tool)
                return 200, {}
            case "POST", ["admin", "creds", "set"]:
                return 201, {"id": f"credential-{next(self._numbers)}"}
            case "POST", ["admin", "creds", "activate"]:
                self.credentials["openai"] = body["id"]
                return 200, {}
            case "GET", ["admin", "creds", tool]:
                return 200, {"id": self.credentials.get(tool)}
        return 404, {"message": "Route not found"}

    def _note_cut(self, policy):
        for quota in policy["spec"].get("quotas", ()):
            self.cuts.append((self.now(), quota["limit"]))

    def answer(self, token, tool):
        """Say what becomes of a call."""
        agent, expires_at, key = self.tokens.get(token, (None, "", None))
        if key != self.key:
            return 403, Kind.UNAUTHORIZED, Reason.TOKEN_INVALID
        if agent not in self.agents:
            return 403, Kind.UNAUTHORIZED, Reason.AGENT_NOT_FOUND
        if expires_at < self.utc_text():
            return 403, Kind.UNAUTHORIZED, Reason.TOKEN_EXPIRED
        allowed = any(
            any(scope.startswith(f"{tool}:") for scope in policy["spec"]["scopes"])
            for policy in self.policies.values()
            if policy["role"] == self.agents[agent]
        )
        if not allowed:
            return 403, Kind.DENIED, Reason.SCOPE
        if tool in self.chaos:
            return 502, Kind.UPSTREAM_ERROR, Reason.CHAOS
        return 200, Kind.OK, None

    def utc_text(self):
        """Give the wall clock's time as tokens have it."""
        return self.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


class VirtualApi(GatewayApi):
    """The runner's way to the routes, with the wire taken out."""

    def __init__(self, gateway, is_alive):
        self._gateway, self._is_alive, self.base_url = gateway, is_alive, "http://gateway"
        self._admin_headers, self._secrets = {}, frozenset()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        """Close nothing."""

    async def _exchange(self, method, path, body, headers, **_):
        del headers
        if not self._is_alive():
            route = f"{method} {path}"
            raise ApiError(route, None, "its runner is dead")
        return await self._gateway.exchange(method, path, body)


class VirtualClient:
    """The load's calls, with the wire taken out."""

    def __init__(self, gateway, clock, is_alive):
        self._gateway, self._clock, self._is_alive = gateway, clock, is_alive

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        """Close nothing."""

    def take_longest_wait_us(self):
        return 0

    def take_connections(self):
        return Connections()

    async def send(self, wire, reader, *, stall_s=None):
        """Send one call; what it becomes is the gateway's to say, and no reader's."""
        del reader, stall_s
        sent_us = self._clock.now_us()
        status, kind, reason, *of_it = await self._become(wire.body)
        lost = reason is Reason.AGENT_NOT_FOUND
        reading = Reading(kind, reason, correlation_id=of_it[0] if of_it else None, lost_identity=lost)
        return Answer(sent_us, self._clock.now_us(), status, reading)

    async def _become(self, body):
        gateway = self._gateway
        is_hit = gateway.fault is not None and re.search(gateway.hits, "POST /api/proxy-request")
        if not self._is_alive() or (is_hit and gateway.fault == "down"):
            return None, Kind.TRANSPORT_ERROR, Reason.CONNECT_REFUSED
        if is_hit and gateway.fault in ("lost", "late"):
            await asyncio.sleep(TIMEOUT_S)
            return None, Kind.TIMEOUT, Reason.READ_TIMEOUT
        await asyncio.sleep(0.005)
        request = orjson.loads(body)
        answer = gateway.answer(request["agent_token"], request["tool"])
        return *((500, Kind.UPSTREAM_ERROR, Reason.INTERNAL) if is_hit else answer), "req_1"
