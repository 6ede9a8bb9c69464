"""Agents and tokens."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

UNKNOWN = "00000000-0000-4000-8000-000000000000"
FUTURE = "2999-01-01T00:00:00.000Z"


def test_create_agent(gateway):
    """POST /api/create-agent: 201 with an id and a private key in PEM."""
    body = {"name": "contract-agent", "created_by": "contract", "role": "contract"}
    answer = gateway.send("POST", "/api/create-agent", body)
    assert (answer.status, set(answer.json)) == (201, {"agent_id", "private_key"})
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.json["agent_id"])
    assert answer.json["private_key"].startswith("-----BEGIN ")


@pytest.mark.parametrize("missing", ["name", "created_by", "role"])
def test_create_agent_missing_field(gateway, missing):
    """POST /api/create-agent without a field: 400 that names the fields."""
    body = {"name": "n", "created_by": "c", "role": "r"}
    del body[missing]
    answer = gateway.send("POST", "/api/create-agent", body)
    expected = {"error": "Missing required fields: name, created_by, and role are required."}
    assert (answer.status, answer.json) == (400, expected)


def test_agents(gateway):
    """GET /api/agents and /api/agents/:id: 200, without private keys."""
    agent_id = gateway.agent()
    everyone, one = gateway.send("GET", "/api/agents"), gateway.send("GET", f"/api/agents/{agent_id}")
    assert (everyone.status, one.status) == (200, 200)
    assert agent_id in everyone.text
    assert "PRIVATE KEY" not in everyone.text + one.text


def test_unknown_agent(gateway):
    """GET /api/agents/:id of an unknown agent: 404 `Agent not found.` with its full stop."""
    answer = gateway.send("GET", f"/api/agents/{UNKNOWN}")
    assert (answer.status, answer.json) == (404, {"error": "Agent not found."})


def test_generate_token(gateway):
    """POST /api/generate-token: a token BASE64(json).HEX, its id, expiry and agent's name."""
    agent_id = gateway.agent()
    expires_at = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    body = {"agent_id": agent_id, "tools": ["a"], "permissions": ["b"], "expires_at": expires_at}
    answer = gateway.send("POST", "/api/generate-token", body, headers={"X-Agent-Intent": "ignored"})
    assert answer.status in {200, 201}  # older builds answer 200
    assert set(answer.json) >= {"agent_token", "token_id", "expires_at", "agent_name"}
    assert (answer.json["expires_at"], answer.json["agent_name"]) == (expires_at, "contract-agent")
    payload, _, signature = answer.json["agent_token"].partition(".")
    assert re.fullmatch(r"[0-9a-f]{64}", signature)
    claims = json.loads(base64.b64decode(payload))
    assert set(claims) == {"agent_id", "agent_name", "tools", "permissions", "expires_at", "nonce", "issued_at"}
    assert (claims["agent_id"], claims["tools"], claims["expires_at"]) == (agent_id, ["a"], expires_at)


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        (
            {"agent_id": None},
            400,
            "Missing required fields: agent_id, tools, permissions, and expires_at are required.",
        ),
        (
            {"expires_at": ""},
            400,
            "Missing required fields: agent_id, tools, permissions, and expires_at are required.",
        ),
        ({"tools": "a"}, 400, "Tools and permissions must be arrays."),
        ({"permissions": {"a": 1}}, 400, "Tools and permissions must be arrays."),
        ({"expires_at": "soon"}, 400, "Invalid expires_at date format. Use ISO 8601 format."),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400, "Token expiry date must be in the future."),
        ({}, 404, "Agent not found."),
    ],
    ids=["no-agent", "no-expiry", "tools", "permissions", "format", "past", "unknown-agent"],
)
def test_generate_token_errors(gateway, change, status, error):
    """POST /api/generate-token, each error with its sentence."""
    body = {"agent_id": UNKNOWN, "tools": [], "permissions": [], "expires_at": FUTURE} | change
    answer = gateway.send("POST", "/api/generate-token", body)
    assert (answer.status, answer.json) == (status, {"error": error})


def test_tokens_of_an_agent(gateway):
    """GET /api/tokens/:agent_id: 200 with the agent's tokens."""
    agent_id = gateway.agent()
    issued = gateway.issue(agent_id)
    (entry,) = gateway.send("GET", f"/api/tokens/{agent_id}").json["tokens"]
    assert set(entry) == {"agentId", "encrypted", "expiresAt", "revoked", "id", "createdAt"}
    assert (entry["agentId"], entry["encrypted"], entry["revoked"]) == (agent_id, issued["agent_token"], False)


def test_token_registry(gateway):
    """GET /api/admin/tokens: a bare array with each token's id, agent, times and whether it is revoked."""
    agent_id = gateway.agent()
    issued = gateway.issue(agent_id)
    entries = gateway.send("GET", "/api/admin/tokens").json
    (entry,) = [entry for entry in entries if entry["tokenId"] == issued["token_id"]]
    assert set(entry) == {"id", "tokenId", "agentId", "issuedAt", "expiresAt", "isRevoked"}
    assert (entry["agentId"], entry["isRevoked"]) == (agent_id, False)


def test_revoke(gateway):
    """POST /api/admin/tokens/:token_id/revoke: 200 with the time; the registry says so."""
    issued = gateway.issue(gateway.agent())
    answer = gateway.send("POST", f"/api/admin/tokens/{issued['token_id']}/revoke")
    assert (answer.status, answer.json["message"]) == (200, "Token revoked successfully")
    assert (answer.json["tokenId"], set(answer.json)) == (issued["token_id"], {"message", "tokenId", "revokedAt"})
    entries = gateway.send("GET", "/api/admin/tokens").json
    (entry,) = [entry for entry in entries if entry["tokenId"] == issued["token_id"]]
    assert (entry["isRevoked"], entry["revokedAt"]) == (True, answer.json["revokedAt"])


def test_revoke_unknown(gateway):
    """POST /api/admin/tokens/:token_id/revoke of an unknown token: 404 `Token not found`."""
    answer = gateway.send("POST", f"/api/admin/tokens/{UNKNOWN}/revoke")
    assert (answer.status, answer.json) == (404, {"error": "Token not found"})
