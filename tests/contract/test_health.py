"""Health and the framework's errors."""

from datetime import datetime


def test_health(gateway):
    """GET /health: 200 with ok, uptime in ms, three memory figures in bytes and the process."""
    answer = gateway.send("GET", "/health")
    body = answer.json
    assert (answer.status, body["ok"]) == (200, True)
    assert set(body) == {"ok", "timestamp", "uptime", "memory", "process"}
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert set(body["memory"]) == {"used", "total", "external"}
    assert 1e6 < body["memory"]["used"] <= body["memory"]["total"]
    assert set(body["process"]) == {"pid", "version", "platform"}
    later = gateway.send("GET", "/health").json["uptime"]
    assert 0 <= body["uptime"] <= later


def test_ready(gateway):
    """GET /ready: 200 with checks and details of database, cache and each tool's breaker."""
    answer = gateway.send("GET", "/ready")
    body = answer.json
    assert (answer.status, body["ready"]) == (200, True)
    tools = {"serpapi", "http_fetch", "openai", "gmail_send"}
    assert (body["checks"]["database"], body["checks"]["cache"]) == (True, True)
    assert set(body["checks"]["circuitBreakers"]) <= tools
    assert all(body["checks"]["circuitBreakers"].values())
    assert set(body["details"]["circuitBreakers"].values()) <= {"OK"}


def test_metrics_content_type(gateway):
    """GET /metrics: 200, text/plain; version=0.0.4; charset=utf-8."""
    answer = gateway.send("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].replace(" ", "") == "text/plain;version=0.0.4;charset=utf-8"


def test_unknown_route(gateway):
    """An unknown route: 404 with message, error and statusCode."""
    answer = gateway.send("GET", "/contract-nowhere", absent_ok=True)
    expected = {"message": "Route GET:/contract-nowhere not found", "error": "Not Found", "statusCode": 404}
    assert (answer.status, answer.json) == (404, expected)


def test_invalid_json(gateway):
    """A body that is no JSON: 400 of the framework."""
    answer = gateway.send("POST", "/api/proxy-request", raw=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json["statusCode"], answer.json["error"]) == (400, 400, "Bad Request")


def test_too_large(gateway):
    """A body over 1 MiB: 413 of the framework."""
    body = b'{"x":"' + b"x" * 1_048_576 + b'"}'
    answer = gateway.send("POST", "/api/proxy-request", raw=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json["statusCode"]) == (413, 413)


def test_not_too_large(gateway):
    """A body just under 1 MiB is read: the handler answers it."""
    body = b'{"x":"' + b"x" * 1_048_500 + b'"}'
    answer = gateway.send("POST", "/api/proxy-request", raw=body, headers={"Content-Type": "application/json"})
    assert (answer.status, list(answer.json)) == (400, ["error"])


def test_unsupported_media_type(gateway):
    """A body of another media type: 415 of the framework."""
    answer = gateway.send("POST", "/api/proxy-request", raw=b"<a/>", headers={"Content-Type": "application/xml"})
    assert (answer.status, answer.json["statusCode"]) == (415, 415)
