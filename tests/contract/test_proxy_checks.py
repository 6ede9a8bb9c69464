"""The ordered checks of POST /api/proxy-request, a row a test, with what each one is counted in."""

import base64
import re
import time

import pytest

MAIL = "gmail_send:send"
MISSING = "Missing required fields: agent_token, tool, action, and params are required."


def validations(gateway):
    """Return how many tokens were found well signed."""
    return gateway.counted("gateway_token_validations")


def payload_of(token):
    """Return the JSON text inside a token."""
    return base64.b64decode(token.partition(".")[0]).decode()


def test_success(gateway, caller):
    """200: success, data and metadata with agent, tool, action and whole milliseconds."""
    answer = gateway.call(caller(), MAIL)
    assert (answer.status, answer.json["success"]) == (200, True)
    metadata = answer.json["metadata"]
    assert set(metadata) == {"agent_id", "agent_name", "tool", "action", "response_time_ms"}
    assert (metadata["agent_name"], metadata["tool"], metadata["action"]) == ("contract-agent", "gmail_send", "send")
    assert isinstance(metadata["response_time_ms"], int)


def test_correlation_id(gateway, caller):
    """Every handler answer carries X-Correlation-Id, req_<ms>_<9 base36>, another one each time."""
    token = caller()
    answers = [gateway.call(token, MAIL), gateway.call(token, MAIL), gateway.call("no.token", MAIL)]
    ids = [answer.headers["X-Correlation-Id"] for answer in answers]
    assert all(re.fullmatch(r"req_\d{13}_[0-9a-z]{1,9}", found) for found in ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize("missing", ["agent_token", "tool", "action", "params"])
def test_1_missing_fields(gateway, missing):
    """Check 1: a missing field is 400, counted in nothing."""
    before = validations(gateway)
    body = {"agent_token": "a.b", "tool": "gmail_send", "action": "send", "params": {}}
    del body[missing]
    answer = gateway.send("POST", "/api/proxy-request", body)
    assert (answer.status, answer.json) == (400, {"error": MISSING})
    assert validations(gateway) == before


def test_2_provenance(gateway, policy):
    """Check 2: token_id asks for a proof_payload that hashes to the token's payload; counted in nothing."""
    agent_id = gateway.agent("contract-provenance")
    policy(agent_id=agent_id)
    issued = gateway.issue(agent_id)
    token, token_id = issued["agent_token"], issued["token_id"]
    before = validations(gateway)
    found = [
        gateway.call(token, MAIL, token_id=token_id),
        gateway.call(token, MAIL, token_id="contract-unknown", proof_payload="x"),  # noqa: S106 - no secret
        gateway.call(token, MAIL, token_id=token_id, proof_payload="x"),
    ]
    assert [(answer.status, answer.json["error"]) for answer in found] == [
        (400, "Token provenance validation requires proof_payload when token_id is provided."),
        (403, "Token not found in registry"),
        (403, "Token proof verification failed"),
    ]
    assert validations(gateway) == before
    assert gateway.call(token, MAIL, token_id=token_id, proof_payload=payload_of(token)).status == 200


def test_2_revoked(gateway, policy):
    """Check 2: a revoked token is refused when token_id and proof_payload are sent."""
    agent_id = gateway.agent()
    policy(agent_id=agent_id)
    issued = gateway.issue(agent_id)
    gateway.send("POST", f"/api/admin/tokens/{issued['token_id']}/revoke")
    proof = payload_of(issued["agent_token"])
    answer = gateway.call(issued["agent_token"], MAIL, token_id=issued["token_id"], proof_payload=proof)
    assert (answer.status, answer.json) == (403, {"error": "Token has been revoked"})


def test_2_revoked_without_proof(gateway, policy):
    """Wart: a revoked token works as long as the caller sends no token_id; without the wart it is refused."""
    agent_id = gateway.agent()
    policy(agent_id=agent_id)
    issued = gateway.issue(agent_id)
    gateway.send("POST", f"/api/admin/tokens/{issued['token_id']}/revoke")
    answer = gateway.call(issued["agent_token"], MAIL)
    if gateway.warts:
        assert answer.status == 200
    else:
        assert (answer.status, answer.json) == (403, {"error": "Token has been revoked"})


@pytest.mark.parametrize("token", ["nodot", ".sig", "payload."])
def test_3_format(gateway, token):
    """Check 3: a text without payload and signature is 400 and an unauthorized call."""
    answer = gateway.call(token, MAIL)
    expected = {"error": "Invalid token format. Expected: BASE64(encrypted).SIGNATURE"}
    assert (answer.status, answer.json) == (400, expected)


def test_3_signature(gateway, caller):
    """Check 3: a wrong signature is 403, counted in nothing."""
    before = validations(gateway)
    payload, _, signature = caller().partition(".")
    flipped = ("0" if signature[0] != "0" else "1") + signature[1:]
    answer = gateway.call(f"{payload}.{flipped}", MAIL)
    assert (answer.status, answer.json) == (403, {"error": "Invalid token signature"})
    assert validations(gateway) == before


def test_4_expired(gateway, policy):
    """Check 4: an expired token is 403, never 401, counted in validations and expirations."""
    agent_id = gateway.agent()
    policy(agent_id=agent_id)
    token = gateway.token(agent_id, lives_s=0.3)
    time.sleep(0.5)
    before = validations(gateway), gateway.counted("gateway_token_expirations")
    answer = gateway.call(token, MAIL)
    assert (answer.status, answer.json) == (403, {"error": "Token expired"})
    after = validations(gateway), gateway.counted("gateway_token_expirations")
    assert after == (before[0] + 1, before[1] + 1)


def test_4_rotation_recommended(gateway, policy):
    """A token with under 5 minutes left adds X-Token-Rotation-Recommended and X-Token-Expires-At; a longer one not."""
    agent_id = gateway.agent()
    policy(agent_id=agent_id)
    issued = gateway.issue(agent_id, lives_s=290.0 / gateway.speed)
    headers = gateway.call(issued["agent_token"], MAIL).headers
    assert headers["X-Token-Rotation-Recommended"] == "true"
    assert headers["X-Token-Expires-At"] == issued["expires_at"]
    headers = gateway.call(gateway.token(agent_id), MAIL).headers
    assert headers["X-Token-Rotation-Recommended"] is None


def test_6_policy(gateway):
    """Check 6: without a policy everything is denied: 403 with the reason, counted in validations and denials."""
    token = gateway.token(gateway.agent())
    before = validations(gateway), gateway.counted("gateway_policy_denials")
    answer = gateway.call(token, MAIL)
    expected = {"error": "Policy denied", "reason": "Scope 'gmail_send:send' not allowed. Allowed scopes: "}
    assert (answer.status, answer.json) == (403, expected)
    assert (validations(gateway), gateway.counted("gateway_policy_denials")) == (before[0] + 1, before[1] + 1)


def test_7_parameters(gateway, caller):
    """Check 7: parameters that the tool does not accept are 400 with details, in no request counter."""
    token = caller()
    before = validations(gateway), gateway.counted("gateway_requests")
    answer = gateway.call(token, "serpapi:search", {"q": "x"})
    expected = {"error": "Parameter validation failed", "details": ["query: Required"]}
    assert (answer.status, answer.json) == (400, expected)
    assert (validations(gateway), gateway.counted("gateway_requests")) == (before[0] + 1, before[1])


def test_6_before_7(gateway, caller):
    """The order: a denied call with bad parameters is denied."""
    assert gateway.call(caller(scopes=["openai:chat"]), "serpapi:search", {"q": "x"}).status == 403


def test_8_rate_limit(gateway, policy):
    """Check 8: 5 calls in 60 s an agent over all tools, then 429 without Retry-After; a new token does not help."""
    agent_id = gateway.agent()
    policy(agent_id=agent_id)
    token = gateway.token(agent_id)
    answers = [gateway.call(token, scope) for scope in [MAIL, "openai:chat"] * 3]
    statuses = [answer.status for answer in answers]
    if not gateway.warts:
        assert statuses == [200] * 6
        return
    assert statuses == [200] * 5 + [429]
    refused = gateway.call(gateway.token(agent_id), MAIL)
    assert (refused.status, refused.json["error"], set(refused.json)) == (
        429,
        "Rate limit exceeded",
        {"error", "retry_after"},
    )
    assert 1 <= refused.json["retry_after"] <= 60
    assert refused.headers["Retry-After"] is None
    gateway.wait(61.0)
    assert gateway.call(token, MAIL).status == 200


def test_9_upstream(gateway, caller):
    """Check 9: a failing upstream is 502 with details, counted in validations, requests code 502 and duration."""
    token = caller()
    before = gateway.counted("gateway_requests", tool="openai", code="502"), validations(gateway)
    answer = gateway.call(token, "openai:chat", {"messages": [{"role": "user", "content": "hi"}]})
    expected = {
        "error": "External API request failed",
        "details": "Cannot read properties of undefined (reading 'slice')",
    }
    assert (answer.status, answer.json) == (502, expected)
    after = gateway.counted("gateway_requests", tool="openai", code="502"), validations(gateway)
    assert after == (before[0] + 1, before[1] + 1)


def test_10_internal(gateway):
    """Check 10: a body that is JSON null is 500, counted in nothing."""
    before = validations(gateway), gateway.counted("gateway_requests")
    answer = gateway.send("POST", "/api/proxy-request", raw=b"null", headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json) == (500, {"error": "Internal server error during proxy request"})
    assert (validations(gateway), gateway.counted("gateway_requests")) == before
