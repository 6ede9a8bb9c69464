"""What callers may send: whatever it is, the gateway answers in JSON, writes it down and goes on."""

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thoroughness import examples

from soaklib.gateway.admission import Admission, Admitted, Call, Refusal
from soaklib.gateway.clock import iso_utc, parse_iso
from soaklib.gateway.database import SqliteDatabase
from soaklib.gateway.execution import Executor
from soaklib.gateway.policy_spec import PolicySpec
from soaklib.gateway.request_log import RequestLog
from soaklib.gateway.settings import GatewaySettings
from soaklib.gateway.state import Gateway

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["query", "q", "num", "url", "messages", "input", "to", "subject", "body", "intent", "timeout"])
PARAMS = st.dictionaries(NAMES | st.text(max_size=5), JSON_VALUES, max_size=8)
CALLS = st.sampled_from(
    [("serpapi", "search"), ("http_fetch", "get"), ("http_fetch", "head"), ("openai", "chat"), ("gmail_send", "send")]
)


def gateway_of(time):
    return Gateway(GatewaySettings(), RequestLog(SqliteDatabase(None)), time.clock())


def token_of(gateway, time):
    agent = gateway.state.agents.create(name="n", role="r", created_by="c")
    guards = {"maxRequestSize": 60, "allowedDomains": ["example.com"], "blockedDomains": ["bad"]}
    scopes = ["serpapi:search", "http_fetch:get", "http_fetch:head", "openai:chat", "gmail_send:send"]
    spec = PolicySpec.model_validate({"scopes": scopes, "intent": "x", "guards": guards})
    gateway.state.policies.create(name="p", description=None, role="r", agent_id=None, spec=spec)
    expires_at = iso_utc(time.wall() + 600.0)
    return gateway.state.tokens.issue(agent, tools=[], permissions=[], expires_at=expires_at).text


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.dictionaries(st.sampled_from(["agent_token", "tool", "action", "params", "token_id"]), JSON_VALUES)
    | JSON_VALUES
)
def test_any_body_is_refused_in_order(fake_time, body):
    """No JSON value at all makes the checks fail: each one ends in a refusal of the table."""
    gateway = gateway_of(fake_time)
    verdict = Admission(gateway).check(body, Call(), gateway.state)
    assert isinstance(verdict, Refusal)
    assert verdict.status in {400, 403, 500}


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=CALLS | st.tuples(JSON_VALUES, JSON_VALUES), params=PARAMS | JSON_VALUES)
def test_any_parameters_are_refused_or_executed(fake_time, call, params):
    """With a good token any tool, action and parameters end in a refusal or in an execution, never in an exception."""
    gateway = gateway_of(fake_time)
    body = {"agent_token": token_of(gateway, fake_time), "tool": call[0], "action": call[1], "params": params}
    verdict = Admission(gateway).check(body, Call(), gateway.state)
    if isinstance(verdict, Admitted):
        execution = asyncio.run(Executor(gateway).execute(verdict, gateway.state))
        assert (execution.data is None) is (execution.error is not None)
    else:
        assert verdict.status in {400, 403, 500}


@pytest.mark.parametrize(
    "text",
    ["2030-01-01\n00:00:00Z", "2030-01-01\x0000:00:00Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"],
)
def test_dates_that_are_none(text):
    """A date with control characters could end a header; one outside the calendar could end the log's writer."""
    with pytest.raises(ValueError, match=r"."):
        parse_iso(text)


def test_long_and_odd_texts_are_logged_short(wire, tmp_path):
    """A tool of 100,000 characters takes 100 characters of each log, and a NUL among them cuts no dump of it short."""
    path = tmp_path / "log.sqlite"

    async def scenario(api):
        body = {"agent_token": await api.ready_token(), "tool": "\0?" * 50_000, "action": "a", "params": {}}
        answer = await api.send("POST", "/api/proxy-request", body)
        assert (answer.status, answer.body["error"]) == (403, "Policy denied")
        (entry,) = (await api.send("GET", "/api/policy-logs")).body
        assert (len(entry["tool"]), entry["reason"]) == (100, "scope_not_allowed")

    wire(scenario, database_url=f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        ((tool, detail),) = connection.execute("SELECT tool, detail FROM proxy_logs").fetchall()
    assert (len(tool), tool[:3], len(detail)) == (100, "\N{REPLACEMENT CHARACTER}?\N{REPLACEMENT CHARACTER}", 2_000)


def test_deep_json_is_refused(wire):
    """What is nested too deep to be written again is a 400 of the framework, not a failure inside."""

    async def scenario(api):
        for levels, status in ((100, 400), (600, 400)):
            params = "[" * levels + "]" * levels
            raw = f'{{"agent_token":"a","tool":"t","action":"a","params":{params}}}'
            async with api.client.post(
                "/api/proxy-request", data=raw, headers={"Content-Type": "application/json"}
            ) as answer:
                body = json.loads(await answer.text())
            assert answer.status == status
            assert ("statusCode" in body) is (levels == 600)

    wire(scenario)


@pytest.mark.parametrize(
    "path", ["/api/proxy/logs?limit=" + "9" * 5_000, "/api/proxy/logs?limit=-1", "/api/proxy/logs?limit=x"]
)
def test_odd_limits(wire, path):
    """A limit that is no number, or far too large a one, is no error."""

    async def scenario(api):
        assert (await api.send("GET", path)).status == 200

    wire(scenario)
