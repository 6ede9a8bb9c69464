"""Chaos, credentials and the proxy's logs."""

import time

import pytest

UNKNOWN = "00000000-0000-4000-8000-000000000000"
MAIL = "gmail_send:send"


def test_chaos_on_and_off(gateway, chaos):
    """POST and DELETE /api/admin/chaos/tool, GET /api/admin/chaos: what is active, and off is idempotent."""
    on = chaos("contract-tool", "500", 100)
    entry = ["contract-tool", {"mode": "500", "pct": 100}]
    assert (on.status, on.json["message"]) == (200, "Chaos injected successfully")
    assert (on.json["tool"], on.json["mode"], on.json["pct"]) == ("contract-tool", "500", 100)
    assert entry in on.json["activeChaos"]
    assert entry in gateway.send("GET", "/api/admin/chaos").json["activeChaos"]
    for _ in range(2):
        off = gateway.send("DELETE", "/api/admin/chaos/tool/contract-tool")
        assert (off.status, off.json["message"], off.json["tool"]) == (
            200,
            "Chaos cleared successfully",
            "contract-tool",
        )
        assert entry not in off.json["activeChaos"]


@pytest.mark.parametrize(
    "change", [{"mode": "fire"}, {"pct": 101}, {"pct": -1}, {"pct": "half"}], ids=["mode", "over", "under", "text"]
)
def test_chaos_errors(gateway, change):
    """POST /api/admin/chaos/tool with a bad mode or pct: 400."""
    body = {"tool": "contract-tool", "mode": "500", "pct": 50} | change
    assert gateway.send("POST", "/api/admin/chaos/tool", body).status == 400


def heal(gateway, token, scope):
    """Bring a breaker back: wait until a good call gets through."""
    for _ in range(20):
        if gateway.call(token, scope).status == 200:
            return
        gateway.wait(5.0)
    pytest.fail("the breaker does not close again")


@pytest.mark.parametrize(
    ("mode", "effect"),
    [
        ("500", (502, "Chaos: Simulated 500 error", 0.0, 1.0)),
        ("timeout", (502, "Chaos: Simulated timeout", 29.0, 40.0)),
        ("jitter", (200, None, 0.9, 7.0)),
    ],
)
def test_chaos_effect(gateway, chaos, caller, mode, effect):
    """Chaos: 500 is 502 at once, timeout 502 after 30 s, jitter 200 after 1 to 6 s. Wart: it changes nothing."""
    token = caller()
    assert chaos("gmail_send", mode).status == 200
    started_s = time.monotonic()
    answer = gateway.call(token, MAIL)
    took_s = time.monotonic() - started_s
    if gateway.warts:
        assert answer.status == 200
        return
    status, details, least_soak_s, most_soak_s = effect
    assert (answer.status, answer.json.get("details")) == (status, details)
    # Half a second more for a busy machine.
    assert least_soak_s / gateway.speed <= took_s <= most_soak_s / gateway.speed + 0.5


def test_breaker(gateway, caller, broken_chat):
    """Breaker: 5 failures open it for 30 s; calls fail fast, /ready is 503; half-open, one success closes it."""
    spare = [caller() for _ in range(4)]
    failures = [gateway.call(token, "openai:chat", broken_chat) for token in spare[:2] for _ in range(3)]
    try:
        assert [answer.status for answer in failures] == [502] * 6
        assert failures[-1].json["details"].startswith("Circuit breaker is OPEN")
        ready = gateway.send("GET", "/ready")
        assert (ready.status, ready.json["ready"], ready.json["checks"]["circuitBreakers"]["openai"]) == (
            503,
            False,
            False,
        )
        assert ready.json["details"]["circuitBreakers"]["openai"].startswith("OPEN (")
        assert 'gateway_breaker_state{tool="openai"} 2' in gateway.metrics_text()
        assert gateway.counted("gateway_breaker_fastfail", tool="openai") >= 1
        gateway.wait(31.0)
        # Healed only by traffic.
        assert gateway.send("GET", "/ready").status == 503
        assert gateway.call(spare[2], "openai:chat").status == 200
        assert gateway.send("GET", "/ready").status == 200
        assert 'gateway_breaker_state{tool="openai"} 0' in gateway.metrics_text()
    finally:
        heal(gateway, spare[3], "openai:chat")


def test_credentials(gateway, credential):
    """POST creds/set and creds/activate: 201 inactive, 200 active with the time; the lists hold no secret."""
    first = credential("contract-v1")
    assert first.status == 201
    expected = {"message": "Credential created successfully", "tool": "contract-tool", "isActive": False}
    assert expected.items() <= first.json.items()
    activated = gateway.send("POST", "/api/admin/creds/activate", {"id": first.json["id"]})
    assert (activated.status, activated.json["message"]) == (200, "Credential activated successfully")
    assert (activated.json["isActive"], activated.json["version"]) == (True, "contract-v1")
    assert activated.json["activatedAt"]
    second = credential("contract-v2").json["id"]
    gateway.send("POST", "/api/admin/creds/activate", {"id": second})
    active = gateway.send("GET", "/api/admin/creds/contract-tool")
    assert (active.json["id"], active.json["isActive"]) == (second, True)
    versions = gateway.send("GET", "/api/admin/creds/contract-tool/versions")
    everything = gateway.send("GET", "/api/admin/creds")
    states = {entry["id"]: entry["isActive"] for entry in versions.json}
    assert states == {first.json["id"]: False, second: True}
    assert {first.json["id"], second} <= {entry["id"] for entry in everything.json}
    assert "contract-secret" not in active.text + versions.text + everything.text


def test_unknown_credentials(gateway):
    """Unknown credentials: 404 with `Credential not found` or `No active credential found for tool`."""
    found = [
        gateway.send("POST", "/api/admin/creds/activate", {"id": UNKNOWN}),
        gateway.send("DELETE", f"/api/admin/creds/{UNKNOWN}"),
        gateway.send("GET", "/api/admin/creds/contract-no-tool"),
    ]
    assert [(answer.status, answer.json["error"]) for answer in found] == [
        (404, "Credential not found"),
        (404, "Credential not found"),
        (404, "No active credential found for tool"),
    ]


def test_delete_credential(gateway, credential):
    """DELETE /api/admin/creds/:id: 200, and it is gone."""
    made = credential().json["id"]
    assert gateway.send("DELETE", f"/api/admin/creds/{made}").status == 200
    assert made not in gateway.send("GET", "/api/admin/creds").text


def test_proxy_logs(gateway, caller):
    """GET /api/proxy/logs?limit=: newest first, corrId is the X-Correlation-Id, an error has its message."""
    token = caller(scopes=[MAIL])
    good, denied = gateway.call(token, MAIL), gateway.call(token, "openai:chat")
    answer = gateway.send("GET", "/api/proxy/logs?limit=2")
    assert (answer.status, set(answer.json)) == (200, {"logs", "total", "timestamp"})
    newest, before = answer.json["logs"]
    assert newest["corrId"] == denied.headers["X-Correlation-Id"]
    assert before["corrId"] == good.headers["X-Correlation-Id"]
    fields = {"corrId", "agentId", "tool", "action", "responseTime", "statusCode", "success", "id", "createdAt"}
    assert (set(before), set(newest)) == (fields, fields | {"errorMessage"})
    assert (before["statusCode"], before["success"], newest["statusCode"], newest["success"]) == (200, True, 403, False)
    assert newest["errorMessage"].startswith("Policy denied: Scope 'openai:chat' not allowed.")


def test_proxy_status(gateway):
    """GET /api/proxy/status: 200."""
    assert gateway.send("GET", "/api/proxy/status").status == 200
