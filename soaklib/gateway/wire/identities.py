"""Agents and tokens: /api/create-agent, /api/agents, /api/generate-token, /api/tokens, /api/admin/tokens."""

from aiohttp import web

from soaklib.gateway.agents import Agent, new_private_key
from soaklib.gateway.clock import iso_utc, parse_iso
from soaklib.gateway.state import Gateway
from soaklib.gateway.tokens import IssuedToken
from soaklib.gateway.wire.answers import error_answer, json_answer
from soaklib.gateway.wire.bodies import body_object, read_json, refuse_empty_json

_MISSING_FOR_AGENT = "Missing required fields: name, created_by, and role are required."
_MISSING_FOR_TOKEN = "Missing required fields: agent_id, tools, permissions, and expires_at are required."  # noqa: S105 - a sentence


def _public(agent: Agent) -> dict[str, object]:
    return {
        "agent_id": agent.agent_id,
        "name": agent.name,
        "role": agent.role,
        "created_by": agent.created_by,
        "status": agent.status,
        "created_at": iso_utc(agent.created_at_s),
    }


class IdentityRoutes:
    """The agents and tokens of one gateway.

    Parameters
    ----------
    gateway
        What it works on.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def create_agent(self, request: web.Request) -> web.Response:
        """Make an agent and hand out its private key."""
        body = body_object(await read_json(request))
        name, created_by, role = body.get("name"), body.get("created_by"), body.get("role")
        if not (name and created_by and role):
            return error_answer(400, _MISSING_FOR_AGENT)
        state = self._gateway.state
        agent = state.agents.create(name=str(name), role=str(role), created_by=str(created_by))
        state.metrics.agent_created(agent.agent_id)
        self._gateway.record(agent.row())
        return json_answer({"agent_id": agent.agent_id, "private_key": new_private_key()}, 201)

    async def list_agents(self, _: web.Request) -> web.Response:
        """Return all agents."""
        return json_answer([_public(agent) for agent in self._gateway.state.agents.all()])

    async def show_agent(self, request: web.Request) -> web.Response:
        """Return one agent."""
        agent = self._gateway.state.agents.find(request.match_info["agent_id"])
        return json_answer(_public(agent)) if agent else error_answer(404, "Agent not found.")

    async def generate_token(self, request: web.Request) -> web.Response:
        """Issue a token."""
        body = body_object(await read_json(request))
        agent_id, tools, permissions, expires_at = (
            body.get(name) for name in ("agent_id", "tools", "permissions", "expires_at")
        )
        if not (agent_id and expires_at) or tools in (None, "", 0, False) or permissions in (None, "", 0, False):
            return error_answer(400, _MISSING_FOR_TOKEN)
        if not isinstance(tools, list) or not isinstance(permissions, list):
            return error_answer(400, "Tools and permissions must be arrays.")
        try:
            expires_at_s = parse_iso(str(expires_at))
        except ValueError:
            return error_answer(400, "Invalid expires_at date format. Use ISO 8601 format.")
        if expires_at_s <= self._gateway.clock.wall():
            return error_answer(400, "Token expiry date must be in the future.")
        state = self._gateway.state
        agent = state.agents.find(str(agent_id))
        if agent is None:
            return error_answer(404, "Agent not found.")
        token = state.tokens.issue(agent, tools=tools, permissions=permissions, expires_at=str(expires_at))
        state.metrics.token_generated(agent.agent_id)
        self._gateway.record(token.row())
        answer = {
            "agent_token": token.text,
            "token_id": token.token_id,
            "expires_at": expires_at,
            "agent_name": agent.name,
        }
        return json_answer(answer, 201)

    async def list_tokens(self, request: web.Request) -> web.Response:
        """Return the tokens of an agent."""
        agent_id = request.match_info["agent_id"]
        tokens = [
            {
                "agentId": token.agent_id,
                "encrypted": token.text,
                "expiresAt": iso_utc(token.expires_at_s),
                "revoked": token.revoked_at_s is not None,
                "id": token.record_id,
                "createdAt": iso_utc(token.issued_at_s),
            }
            for token in self._gateway.state.tokens.all()
            if token.agent_id == agent_id
        ]
        return json_answer({"tokens": tokens})

    async def list_registry(self, _: web.Request) -> web.Response:
        """Return all tokens, without their texts."""
        return json_answer([_registry_entry(token) for token in self._gateway.state.tokens.all()])

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke a token."""
        await refuse_empty_json(request)
        token = self._gateway.state.tokens.revoke(request.match_info["token_id"])
        if token is None or token.revoked_at_s is None:
            return error_answer(404, "Token not found")
        self._gateway.record(token.row())
        answer = {
            "message": "Token revoked successfully",
            "tokenId": token.token_id,
            "revokedAt": iso_utc(token.revoked_at_s),
        }
        return json_answer(answer)


def _registry_entry(token: IssuedToken) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": token.record_id,
        "tokenId": token.token_id,
        "agentId": token.agent_id,
        "issuedAt": iso_utc(token.issued_at_s),
        "expiresAt": iso_utc(token.expires_at_s),
        "isRevoked": token.revoked_at_s is not None,
    }
    if token.revoked_at_s is not None:
        entry["revokedAt"] = iso_utc(token.revoked_at_s)
    return entry
