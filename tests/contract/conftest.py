"""The contract of a gateway, row by row, held against any gateway.

``pytest tests/contract --gateway-url URL`` asks a running gateway and ends with a list that tells which rows it
keeps, which it breaks and which are absent (a route that is not there). Without the option the reference gateway
is started twice, plain and with ``--quirks real``, and every row has to be kept.

What a test makes it removes: policies, chaos, credentials, open breakers. Agents cannot be removed over the wire;
they and their roles have names that start with ``contract-``. An admin token is taken from the environment variable
SOAK_GATEWAY_ADMIN_TOKEN. At the real speed the suite takes about three minutes, since it waits for breakers.
"""

import http.client
import json
import os
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from running_gateway import running_gateway

SPEED = 100.0
"""Speed of the gateways started here: a breaker is open for 0.3 s."""

SCOPES = ["serpapi:search", "http_fetch:get", "http_fetch:head", "openai:chat", "gmail_send:send"]
PARAMS = {
    "serpapi:search": {"query": "soak", "q": "soak", "num": 3, "engine": "google"},
    "http_fetch:get": {"url": "https://example.com/a"},
    "http_fetch:head": {"url": "https://example.com/a"},
    "openai:chat": {"model": "gpt", "messages": [{"role": "user", "content": "hi"}], "input": "hi"},
    "gmail_send:send": {"to": "a@example.com", "subject": "s", "body": "b", "text": "b"},
}

_TIMEOUT_S = 120.0
_ROWS = pytest.StashKey[list[tuple[str, str]]]()


def pytest_addoption(parser):
    """Add --gateway-url and --gateway-speed."""
    url_help = "hold this gateway to the contract (default: the reference one, plain and with its warts)"
    parser.addoption("--gateway-url", metavar="URL", help=url_help)
    parser.addoption(
        "--gateway-speed", metavar="S", type=float, default=1.0, help="soak seconds in a wall second of it"
    )


def gateway_url(config):
    """Return the URL that was asked for; this conftest may be read too late for the option to exist."""
    return config.getoption("--gateway-url", default=None)


def pytest_configure(config):
    """Keep a list of rows."""
    config.stash[_ROWS] = []


def pytest_generate_tests(metafunc):
    """Run every row in both modes, or once against a URL."""
    if "gateway" in metafunc.fixturenames:
        modes = ["url"] if gateway_url(metafunc.config) else ["plain", "real"]
        values = [pytest.param(mode, marks=pytest.mark.slow) for mode in modes]
        metafunc.parametrize("gateway", values, indirect=True, scope="session")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    text: str
    headers: http.client.HTTPMessage

    @property
    def json(self):
        """Return the body as JSON."""
        return json.loads(self.text)

    @property
    def is_json(self):
        """Tell whether the body says that it is JSON."""
        return self.headers.get("Content-Type", "").startswith("application/json")


class Gateway:
    """A gateway under test.

    Parameters
    ----------
    url
        Where it is.
    speed
        Soak seconds in a wall second.
    warts
        Whether the warts are expected; None looks at its metrics.
    strict
        Whether an absent route is a failure.
    """

    def __init__(self, url, *, speed=1.0, warts=None, strict=False):
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connect = lambda: kind(parts.netloc, timeout=_TIMEOUT_S)
        self._prefix = parts.path.rstrip("/")
        self.speed, self.strict = speed, strict
        self.warts = "_total_total" in self.metrics_text() if warts is None else warts

    def send(self, method, path, body=None, *, headers=None, raw=None, absent_ok=False):
        """Send a request; a route that is not there ends the test as absent, unless that is the point."""
        sent = {"Content-Type": "application/json"} if body is not None else {}
        if token := os.environ.get("SOAK_GATEWAY_ADMIN_TOKEN"):
            sent["X-Admin-Token"] = token
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        connection = self._connect()
        try:
            connection.request(method, self._prefix + path, data, sent | (headers or {}))
            response = connection.getresponse()
            answer = Answer(response.status, response.read().decode(), response.headers)
        finally:
            connection.close()
        if not absent_ok and self._is_absent(answer):
            message = f"absent: {method} {path.partition('?')[0]}"
            pytest.fail(message) if self.strict else pytest.skip(message)
        return answer

    @staticmethod
    def _is_absent(answer):
        if answer.status in {405, 501}:
            return True
        return answer.status == 404 and (
            not answer.is_json or "error" not in answer.json or "statusCode" in answer.json
        )

    def wait(self, soak_s):
        """Wait for soak seconds of the gateway."""
        time.sleep(soak_s / self.speed)

    def agent(self, role=None):
        """Make an agent, return its id."""
        body = {"name": "contract-agent", "created_by": "contract", "role": role or new_role()}
        answer = self.send("POST", "/api/create-agent", body)
        assert answer.status == 201, answer.text
        return answer.json["agent_id"]

    def issue(self, agent_id, lives_s=3_600.0):
        """Return the answer to a request for a token."""
        expires_at = (datetime.now(UTC) + timedelta(seconds=lives_s)).isoformat(timespec="milliseconds")
        body = {"agent_id": agent_id, "tools": ["serpapi"], "permissions": ["read"]}
        body["expires_at"] = expires_at.replace("+00:00", "Z")
        answer = self.send("POST", "/api/generate-token", body)
        assert answer.status in {200, 201}, answer.text
        return answer.json

    def token(self, agent_id, lives_s=3_600.0):
        """Return a token."""
        return self.issue(agent_id, lives_s)["agent_token"]

    def call(self, token, scope="gmail_send:send", params=None, **more):
        """Send a proxy request."""
        tool, action = scope.split(":")
        body = {"agent_token": token, "tool": tool, "action": action, "params": params or PARAMS[scope]}
        return self.send("POST", "/api/proxy-request", body | more)

    def metrics_text(self):
        """Return the exposition."""
        return self.send("GET", "/metrics").text

    def counted(self, name, **labels):
        """Return the sum of a counter's series with these labels, of either exposition."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        total = 0.0
        for line in self.metrics_text().splitlines():
            series, _, value = line.rpartition(" ")
            bare = series.partition("{")[0]
            if bare in {f"{name}_total", f"{name}_total_total"} and all(label in series for label in wanted):
                total += float(value)
        return total


def new_role():
    """Return a role that nobody else has."""
    return f"contract-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def gateway(request):
    """Yield the gateway under test."""
    if request.param == "url":
        yield Gateway(gateway_url(request.config), speed=request.config.getoption("--gateway-speed"))
        return
    warts = request.param == "real"
    with running_gateway("--speed", str(SPEED), *(["--quirks", "real"] if warts else [])) as own:
        yield Gateway(own.url, speed=SPEED, warts=warts, strict=True)


@pytest.fixture(name="new_role")
def _new_role():
    """Return what makes a role that nobody else has."""
    return new_role


@pytest.fixture
def params():
    """Return parameters for each tool and action that validator and mock accept."""
    return PARAMS


@pytest.fixture
def broken_chat():
    """Return parameters that the validator accepts and the mock does not: the way to open a breaker over the wire."""
    return {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def policy(gateway):
    """Return what makes a policy and removes it after the test."""
    made = []

    def make(role=None, *, agent_id=None, **spec):
        body = {"name": "contract-policy", "spec": {"scopes": SCOPES} | spec}
        body |= {"agentId": agent_id} if agent_id else {"role": role}
        answer = gateway.send("POST", "/api/policies", body)
        assert answer.status == 201, answer.text
        made.append(answer.json["id"])
        return answer.json

    yield make
    for policy_id in made:
        gateway.send("DELETE", f"/api/policies/{policy_id}", absent_ok=True)


@pytest.fixture
def caller(gateway, policy):
    """Return what makes an agent with a policy and gives its token."""

    def make(**spec):
        role = new_role()
        policy(role, **spec)
        return gateway.token(gateway.agent(role))

    return make


@pytest.fixture
def chaos(gateway):
    """Return what switches chaos on; it is switched off after the test."""
    touched = set()

    def inject(tool, mode, pct=100):
        touched.add(tool)
        return gateway.send("POST", "/api/admin/chaos/tool", {"tool": tool, "mode": mode, "pct": pct})

    yield inject
    for tool in touched:
        gateway.send("DELETE", f"/api/admin/chaos/tool/{tool}", absent_ok=True)


@pytest.fixture
def credential(gateway):
    """Return what adds a credential; it is removed after the test."""
    made = []

    def add(version="contract-v1"):
        body = {"tool": "contract-tool", "version": version, "credential": "contract-secret"}
        answer = gateway.send("POST", "/api/admin/creds/set", body)
        if answer.status == 201:
            made.append(answer.json["id"])
        return answer

    yield add
    for credential_id in made:
        gateway.send("DELETE", f"/api/admin/creds/{credential_id}", absent_ok=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):  # noqa: ARG001 - the hook is called with these names
    """Note for each row whether it is kept, broken or absent."""
    report = yield
    meaning = (getattr(item.function, "__doc__", None) or item.name).partition("\n")[0]
    rows = item.config.stash[_ROWS]
    if report.skipped and "absent: " in str(report.longrepr):
        rows.append(("absent", meaning))
    elif report.failed:
        rows.append(("broken", meaning))
    elif report.when == "call" and report.passed:
        rows.append(("kept", meaning))
    return report


def pytest_terminal_summary(terminalreporter, config):
    """Tell for a URL which rows are kept, broken and absent."""
    rows = config.stash.get(_ROWS, [])
    if not gateway_url(config) or not rows:
        return
    terminalreporter.section(f"the contract of {gateway_url(config)}")
    for verdict in ("kept", "broken", "absent"):
        for meaning in dict.fromkeys(meaning for found, meaning in rows if found == verdict):
            terminalreporter.write_line(f"{verdict:<7} {meaning}")
    counts = {verdict: sum(found == verdict for found, _ in rows) for verdict in ("kept", "broken", "absent")}
    terminalreporter.write_line(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
