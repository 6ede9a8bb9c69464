"""Policies: the routes, and each reason for which a call is denied."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

UNKNOWN = "00000000-0000-4000-8000-000000000000"
MAIL = "gmail_send:send"
GET = "http_fetch:get"


def reason(answer):
    """Return the reason of an answer that has to be a denial."""
    assert (answer.status, answer.json["error"]) == (403, "Policy denied"), answer.text
    return answer.json["reason"]


def test_create(policy, new_role):
    """POST /api/policies: 201, and the spec comes back as a JSON string."""
    made = policy(new_role(), scopes=[MAIL])
    assert isinstance(made["spec"], str)
    assert json.loads(made["spec"])["scopes"] == [MAIL]
    assert (made["name"], made["active"]) == ("contract-policy", True)


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({}, 400, "Either agentId or role must be provided"),
        ({"role": "a", "agentId": UNKNOWN}, 400, "Cannot specify both agentId and role"),
        ({"role": "a", "spec": {"scopes": 1}}, 400, "Validation error"),
        ({"agentId": UNKNOWN}, 404, "Agent not found"),
    ],
    ids=["neither", "both", "spec", "unknown-agent"],
)
def test_create_errors(gateway, change, status, error):
    """POST /api/policies, each error with its sentence; a validation error has details."""
    body = {"name": "contract-policy", "spec": {"scopes": [MAIL]}} | change
    answer = gateway.send("POST", "/api/policies", body)
    assert (answer.status, answer.json["error"]) == (status, error)
    assert ("details" in answer.json) is (error == "Validation error")


def test_list(gateway, policy, new_role):
    """GET /api/policies?role=&agentId=&active=: 200, filtered, spec as an object."""
    role, agent_id = new_role(), gateway.agent()
    of_role, own = policy(role, scopes=[MAIL]), policy(agent_id=agent_id)

    def ids(query):
        return {entry["id"] for entry in gateway.send("GET", f"/api/policies?{query}").json}

    assert ids(f"role={role}") == {of_role["id"]}
    assert ids(f"agentId={agent_id}") == {own["id"]}
    assert {of_role["id"], own["id"]} <= ids("active=true")
    assert not {of_role["id"], own["id"]} & ids("active=false")
    (entry,) = gateway.send("GET", f"/api/policies?role={role}").json
    assert entry["spec"]["scopes"] == [MAIL]


def test_show(gateway, policy, new_role):
    """GET /api/policies/:id: 200 with the spec as an object; 404 `Policy not found`."""
    made = policy(new_role(), scopes=[MAIL])
    answer = gateway.send("GET", f"/api/policies/{made['id']}")
    assert (answer.status, answer.json["spec"]["scopes"]) == (200, [MAIL])
    absent = gateway.send("GET", f"/api/policies/{UNKNOWN}")
    assert (absent.status, absent.json) == (404, {"error": "Policy not found"})


def test_merged(gateway, policy, new_role):
    """GET /api/policies/merged/:agentId: what the policies of an agent and its role come to."""
    role = new_role()
    agent_id = gateway.agent(role)
    of_role, own = policy(role, scopes=[MAIL]), policy(agent_id=agent_id, scopes=[GET])
    answer = gateway.send("GET", f"/api/policies/merged/{agent_id}")
    assert answer.status == 200
    assert set(answer.json["mergedSpec"]["scopes"]) == {MAIL, GET}
    assert set(answer.json["sourcePolicies"]) == {of_role["id"], own["id"]}


def test_patch(gateway, policy, new_role):
    """PATCH /api/policies/:id: 200 with the spec as an object, replaced whole, in force at once."""
    role = new_role()
    made = policy(role, scopes=[GET], intent="x")
    token = gateway.token(gateway.agent(role))
    assert gateway.call(token, MAIL).status == 403
    answer = gateway.send("PATCH", f"/api/policies/{made['id']}", {"spec": {"scopes": [MAIL]}})
    assert (answer.status, answer.json["spec"]["scopes"]) == (200, [MAIL])
    assert "intent" not in answer.json["spec"]
    assert gateway.call(token, MAIL).status == 200
    answer = gateway.send("PATCH", f"/api/policies/{made['id']}", {"active": False, "name": "contract-off"})
    assert (answer.json["active"], answer.json["name"]) == (False, "contract-off")
    assert gateway.call(token, MAIL).status == 403


def test_patch_unknown(gateway):
    """PATCH /api/policies/:id of an unknown policy: 404 `Policy not found`."""
    answer = gateway.send("PATCH", f"/api/policies/{UNKNOWN}", {"name": "x"})
    assert (answer.status, answer.json) == (404, {"error": "Policy not found"})


def test_put(gateway, policy, new_role):
    """PUT /api/policies/:id is no route: 404 of the framework."""
    made = policy(new_role())
    answer = gateway.send("PUT", f"/api/policies/{made['id']}", {"name": "x"}, absent_ok=True)
    assert (answer.status, answer.json["statusCode"]) == (404, 404)


def test_delete(gateway, policy, new_role):
    """DELETE /api/policies/:id: 204, in force at once, then 404."""
    role = new_role()
    made = policy(role)
    token = gateway.token(gateway.agent(role))
    assert gateway.call(token, MAIL).status == 200
    answer = gateway.send("DELETE", f"/api/policies/{made['id']}")
    assert (answer.status, answer.text) == (204, "")
    assert gateway.call(token, MAIL).status == 403
    assert gateway.send("DELETE", f"/api/policies/{made['id']}").status == 404


def test_delete_with_a_content_type(gateway, policy, new_role):
    """DELETE with content-type application/json and an empty body: 400, and the policy stays."""
    made = policy(new_role())
    headers = {"Content-Type": "application/json"}
    assert gateway.send("DELETE", f"/api/policies/{made['id']}", headers=headers).status == 400
    assert gateway.send("GET", f"/api/policies/{made['id']}").status == 200


def test_policy_logs(gateway, policy, new_role):
    """GET /api/policy-logs?policyId=&agentId=&limit=: decisions with their reason."""
    role = new_role()
    made = policy(role, scopes=[MAIL])
    agent_id = gateway.agent(role)
    token = gateway.token(agent_id)
    gateway.call(token, MAIL)
    gateway.call(token, GET)
    entries = gateway.send("GET", f"/api/policy-logs?agentId={agent_id}").json
    assert {(entry["tool"], entry["decision"]) for entry in entries} == {
        ("gmail_send", "allow"),
        ("http_fetch", "deny"),
    }
    assert all(
        {"policyId", "agentId", "tool", "action", "decision", "id", "createdAt"} <= set(entry) for entry in entries
    )
    assert all(("reason" in entry) or entry["decision"] == "allow" for entry in entries)
    by_policy = gateway.send("GET", f"/api/policy-logs?policyId={made['id']}").json
    assert len(by_policy) == 2
    assert len(gateway.send("GET", f"/api/policy-logs?policyId={made['id']}&limit=1").json) == 1


def test_scope(gateway, caller):
    """Denied for its scope: Scope 'x:y' not allowed, with the allowed ones."""
    token = caller(scopes=["openai:chat", GET])
    expected = "Scope 'gmail_send:send' not allowed. Allowed scopes: openai:chat, http_fetch:get"
    assert reason(gateway.call(token, MAIL)) == expected


def test_intent(gateway, caller, params):
    """Denied for its intent, from params.intent."""
    token = caller(intent="sell")
    answer = gateway.call(token, MAIL, params[MAIL] | {"intent": "spy"})
    assert reason(answer) == "Intent mismatch. Required: sell, provided: spy"
    assert gateway.call(token, MAIL, params[MAIL] | {"intent": "sell"}).status == 200


def test_request_size(gateway, caller, params):
    """Denied for its size: that of the compact JSON of the parameters."""
    size = len(json.dumps(params[MAIL], separators=(",", ":")))
    token = caller(guards={"maxRequestSize": size - 1})
    assert reason(gateway.call(token, MAIL)) == f"Request size {size} exceeds limit {size - 1}"
    assert gateway.call(caller(guards={"maxRequestSize": size}), MAIL).status == 200


def test_domains(gateway, caller):
    """Denied for its domain: blocked, or not in the allowed list; the host has to match exactly; only for get."""
    token = caller(guards={"blockedDomains": ["bad.example"], "allowedDomains": ["a.example", "b.example"]})
    assert reason(gateway.call(token, GET, {"url": "https://bad.example/"})) == "Domain bad.example is blocked"
    sentence = "Domain sub.a.example not in allowed list: a.example, b.example"
    assert reason(gateway.call(token, GET, {"url": "https://sub.a.example/"})) == sentence
    assert gateway.call(token, GET, {"url": "https://a.example/"}).status == 200
    assert gateway.call(token, "http_fetch:head", {"url": "https://bad.example/"}).status == 200


def zone():
    """Return a timezone in which an hour before or after is the same day."""
    return "UTC" if 0 < datetime.now(UTC).hour < 23 else "Etc/GMT-6"


def now_there(hours=0.0):
    """Return the time in that timezone, so many hours from now."""
    return datetime.now(ZoneInfo(zone())) + timedelta(hours=hours)


def test_time_window(gateway, caller):
    """Denied for its time: before the start or after the end of the window, in its timezone."""
    early, late = now_there(1).strftime("%H:%M"), now_there(-1).strftime("%H:%M")
    before = reason(gateway.call(caller(guards={"timeWindow": {"start": early, "timezone": zone()}}), MAIL))
    after = reason(gateway.call(caller(guards={"timeWindow": {"end": late, "timezone": zone()}}), MAIL))
    minutes = [now_there(-back / 60).strftime("%H:%M") for back in (0, 1)]  # a minute may have passed meanwhile
    assert before in {f"Request time {minute} before allowed start time {early}" for minute in minutes}
    assert after in {f"Request time {minute} after allowed end time {late}" for minute in minutes}
    window = {"start": late, "end": early, "timezone": zone()}
    assert gateway.call(caller(guards={"timeWindow": window}), MAIL).status == 200


def test_schedule(gateway, caller):
    """Denied for its day or hour; Sunday is 0; a schedule that is not enabled denies nothing."""

    def denied(**part):
        return reason(gateway.call(caller(schedule={"enabled": True, "timezone": zone()} | part), MAIL))

    today, hour = now_there().isoweekday() % 7, now_there().hour
    others = [day for day in range(7) if day != today]
    assert denied(allowedDays=others) == f"Day {today} not in allowed days: {', '.join(map(str, others))}"
    expected = f"Current hour {hour} before allowed start hour {hour + 1}"
    assert denied(allowedHours={"start": hour + 1}) == expected
    expected = f"Current hour {hour} after allowed end hour {hour - 1}"
    assert denied(allowedHours={"start": 0, "end": hour - 1}) == expected
    assert gateway.call(caller(schedule={"enabled": False, "allowedDays": others}), MAIL).status == 200


def test_quota(gateway, policy, new_role):
    """Denied for its quota, which all agents of the role share and a lower limit does not reset."""
    role = new_role()
    quota = {"action": MAIL, "limit": 3, "window": "24h"}
    made = policy(role, quotas=[quota])
    tokens = [gateway.token(gateway.agent(role)) for _ in range(2)]
    assert [gateway.call(token, MAIL).status for token in (tokens[0], tokens[1], tokens[0])] == [200] * 3
    sentence = reason(gateway.call(tokens[1], MAIL))
    assert sentence.startswith("Quota exceeded for gmail_send:send: 3/3 (resets at ")
    datetime.fromisoformat(sentence.partition("resets at ")[2].rstrip(")"))
    assert gateway.call(tokens[1], "openai:chat").status == 200
    spec = {"scopes": [MAIL], "quotas": [quota | {"limit": 1}]}
    gateway.send("PATCH", f"/api/policies/{made['id']}", {"spec": spec})
    assert reason(gateway.call(tokens[1], MAIL)).startswith("Quota exceeded for gmail_send:send: 3/1 ")
