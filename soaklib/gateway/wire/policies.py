"""Policies: /api/policies and /api/policy-logs."""

from itertools import islice
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soaklib.gateway.clock import iso_utc
from soaklib.gateway.policies import Policy, PolicyChange
from soaklib.gateway.policy_spec import PolicySpec, spec_to_wire
from soaklib.gateway.state import Gateway, PolicyDecision
from soaklib.gateway.wire.answers import error_answer, json_answer
from soaklib.gateway.wire.bodies import body_object, query_count, read_json, refuse_empty_json, refuse_invalid

_LOG_LIMIT = 50
_LOG_LIMIT_MAX = 100


class _NewPolicy(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    role: str | None = None
    agentId: str | None = None  # noqa: N815 - the wire's name
    spec: PolicySpec


class _ChangedPolicy(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")
    name: Annotated[str | None, Field(min_length=1)] = None
    description: str | None = None
    spec: PolicySpec | None = None
    active: bool | None = None


def _issues(problem: ValidationError) -> list[dict[str, object]]:
    return [
        {
            "code": issue["type"],
            "path": list(issue["loc"]),
            "message": "Required" if issue["type"] == "missing" else issue["msg"],
        }
        for issue in problem.errors(include_url=False, include_context=False, include_input=False)
    ]


def _validation_error(problem: ValidationError) -> web.Response:
    return json_answer({"error": "Validation error", "details": _issues(problem)}, 400)


def _wire(policy: Policy, *, spec_as_text: bool = False) -> dict[str, object]:
    body: dict[str, object] = {"id": policy.policy_id, "name": policy.name}
    optional = {"description": policy.description, "role": policy.role, "agentId": policy.agent_id}
    body |= {name: value for name, value in optional.items() if value is not None}
    body["spec"] = policy.spec_json() if spec_as_text else spec_to_wire(policy.spec)
    body["specHash"] = policy.spec_hash()
    body["active"] = policy.active
    body["createdAt"], body["updatedAt"] = iso_utc(policy.created_at_s), iso_utc(policy.updated_at_s)
    return body


class PolicyRoutes:
    """The policies of one gateway.

    Parameters
    ----------
    gateway
        What it works on.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def _named(self, request: web.Request) -> Policy | None:
        return self._gateway.state.policies.find(request.match_info["policy_id"])

    async def create(self, request: web.Request) -> web.Response:
        """Make a policy; its spec comes back as a JSON text, as there."""
        body = body_object(await read_json(request))
        for name in ("name", "spec"):
            if name not in body:
                refuse_invalid(f"body must have required property '{name}'")
        try:
            new = _NewPolicy.model_validate(body)
        except ValidationError as problem:
            return _validation_error(problem)
        if not new.agentId and not new.role:
            return error_answer(400, "Either agentId or role must be provided")
        if new.agentId and new.role:
            return error_answer(400, "Cannot specify both agentId and role")
        state = self._gateway.state
        if new.agentId and state.agents.find(new.agentId) is None:
            return error_answer(404, "Agent not found")
        policy = state.policies.create(
            name=new.name,
            description=new.description,
            role=new.role or None,
            agent_id=new.agentId or None,
            spec=new.spec,
        )
        self._gateway.record(policy.row())
        return json_answer(_wire(policy, spec_as_text=True), 201)

    async def list(self, request: web.Request) -> web.Response:
        """Return the policies of a role, an agent or a state."""
        query = request.query
        active = query.get("active")
        if active not in {None, "true", "false"}:
            refuse_invalid("querystring/active must be boolean")
        found = [
            policy
            for policy in self._gateway.state.policies.all()
            if query.get("agentId") in {None, policy.agent_id}
            and query.get("role") in {None, policy.role}
            and (active is None or policy.active is (active == "true"))
        ]
        return json_answer([_wire(policy) for policy in found])

    async def show(self, request: web.Request) -> web.Response:
        """Return one policy."""
        policy = self._named(request)
        return json_answer(_wire(policy)) if policy else error_answer(404, "Policy not found")

    async def merged(self, request: web.Request) -> web.Response:
        """Return what the policies of an agent come to."""
        state = self._gateway.state
        agent = state.agents.find(request.match_info["agent_id"])
        if agent is None:
            return error_answer(404, "Agent not found")
        effective = state.engine.effective(agent)
        body = {
            "agentId": agent.agent_id,
            "agentRole": agent.role,
            "mergedSpec": spec_to_wire(effective.spec),
            "sourcePolicies": effective.source_ids,
        }
        return json_answer(body)

    async def change(self, request: web.Request) -> web.Response:
        """Change a policy; a spec is replaced whole, the quota counts stay."""
        body = body_object(await read_json(request))
        policy = self._named(request)
        try:
            changed = _ChangedPolicy.model_validate(body)
        except ValidationError as problem:
            return _validation_error(problem)
        if policy is None:
            return error_answer(404, "Policy not found")
        change = PolicyChange(changed.name, changed.description, changed.spec, changed.active)
        self._gateway.state.policies.change(policy, change)
        self._gateway.record(policy.row())
        return json_answer(_wire(policy))

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a policy and its quota counts."""
        await refuse_empty_json(request)
        policy = self._named(request)
        if policy is None:
            return error_answer(404, "Policy not found")
        state = self._gateway.state
        state.policies.delete(policy)
        state.quotas.forget(policy.policy_id)
        self._gateway.record(policy.row(deleted_at_s=self._gateway.clock.wall()))
        return web.Response(status=204)

    async def logs(self, request: web.Request) -> web.Response:
        """Return the newest decisions."""
        query = request.query
        limit = query_count(request, "limit") if "limit" in query else _LOG_LIMIT
        if limit is None or not 1 <= limit <= _LOG_LIMIT_MAX:
            refuse_invalid(f"querystring/limit must be between 1 and {_LOG_LIMIT_MAX}")
        policy_id, agent_id = query.get("policyId"), query.get("agentId")

        def wanted(decision: PolicyDecision) -> bool:
            return policy_id in {None, decision.call.policy_id} and agent_id in {None, decision.call.agent_id}

        decisions = islice(filter(wanted, reversed(self._gateway.state.policy_logs)), limit)
        return json_answer([_log_entry(decision) for decision in decisions])


def _log_entry(decision: PolicyDecision) -> dict[str, object]:
    entry: dict[str, object] = {
        "policyId": decision.call.policy_id,
        "agentId": decision.call.agent_id,
        "tool": decision.call.tool,
        "action": decision.call.action,
        "decision": "allow" if decision.allowed else "deny",
    }
    if decision.reason is not None:
        entry["reason"] = decision.reason
    entry["id"] = f"{int(decision.decided_at_s * 1000.0)}-{decision.number}"
    entry["createdAt"] = iso_utc(decision.decided_at_s)
    return entry
