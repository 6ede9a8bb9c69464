"""Each fault and each quirk, switched on and off, as a caller sees it."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from soaklib.gateway.faults import parse_faults
from soaklib.gateway.quirks import REAL_QUIRKS
from soaklib.gateway.wire.health import memory_figures

CHAT = "openai:chat"
MAIL = "gmail_send:send"
SEARCH = "serpapi:search"
COUNTED = 'gateway_requests_total{action="send",code="200",tool="gmail_send"}'


@pytest.mark.parametrize(
    ("fault", "counted"), [("drop_increments=2", 1.0), ("duplicate_increments=2", 5.0), ("drop_increments=0", 3.0)]
)
def test_increments_that_lie(wire, fault, counted):
    """Three answered calls are counted as one, five or three; the duration's count stays true."""

    async def scenario(api):
        await api.statuses(await api.ready_token(), MAIL, 3)
        metrics = await api.metrics()
        assert metrics[COUNTED] == counted
        assert metrics['gateway_request_duration_ms_count{action="send",tool="gmail_send"}'] == 3.0

    wire(scenario, faults=parse_faults([fault]))


def test_log_rows_that_are_lost(wire, tmp_path):
    """Of five answered calls two have no row; all five are counted."""
    path = tmp_path / "log.sqlite"

    async def scenario(api):
        await api.statuses(await api.ready_token(), MAIL, 5)
        assert (await api.metrics())[COUNTED] == 5.0

    wire(scenario, faults=parse_faults(["lose_log_rows=2"]), database_url=f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM proxy_logs").fetchone() == (3,)


@pytest.mark.parametrize(("texts", "statuses"), [(["accept_expired=1"], [200, 403]), ([], [403, 403])])
def test_an_expired_token_that_is_accepted(wire, texts, statuses):
    """The first expired token is taken for a valid one, the next is not."""

    async def scenario(api):
        token = await api.ready_token()
        api.time.now_s += 4_000.0
        assert await api.statuses(token, MAIL, 2) == statuses

    wire(scenario, faults=parse_faults(texts))


@pytest.mark.parametrize(("texts", "statuses"), [(["allow_forbidden=2"], [200, 200, 403]), ([], [403, 403, 403])])
def test_a_forbidden_tool_that_is_allowed(wire, texts, statuses):
    """Two calls outside the scopes get through, the third does not."""

    async def scenario(api):
        assert await api.statuses(await api.ready_token(scopes=[CHAT]), MAIL, 3) == statuses

    wire(scenario, faults=parse_faults(texts))


@pytest.mark.parametrize(("texts", "statuses"), [(["fail_attempts=1@100"], [200, 502, 200]), ([], [200, 200, 200])])
def test_attempts_that_fail_for_a_while(wire, texts, statuses):
    """From the given second on one attempt of a tool that is never tried again fails upstream."""

    async def scenario(api):
        token = await api.ready_token(scopes=[MAIL])
        found = await api.statuses(token, MAIL)
        api.time.now_s += 101.0
        assert found + await api.statuses(token, MAIL, 2) == statuses

    wire(scenario, faults=parse_faults(texts))


@pytest.mark.parametrize(("texts", "statuses"), [(["deny_allowed=1@100"], [200, 403, 200]), ([], [200, 200, 200])])
def test_an_allowed_tool_that_is_denied(wire, texts, statuses):
    """From the given second on one allowed call is denied for its scope."""

    async def scenario(api):
        token = await api.ready_token(scopes=[MAIL])
        found = await api.statuses(token, MAIL)
        api.time.now_s += 101.0
        assert found + await api.statuses(token, MAIL, 2) == statuses

    wire(scenario, faults=parse_faults(texts))


@pytest.mark.parametrize("settings", [{"faults": parse_faults(["chaos_without_effect=on"])}, {"quirks": REAL_QUIRKS}])
def test_chaos_that_changes_nothing(wire, settings):
    """The chaos route answers as always, and calls go on as before."""

    async def scenario(api):
        body = {"tool": "gmail_send", "mode": "500", "pct": 100}
        answer = await api.send("POST", "/api/admin/chaos/tool", body)
        assert answer.body["activeChaos"] == [["gmail_send", {"mode": "500", "pct": 100}]]
        assert await api.statuses(await api.ready_token(), MAIL, 3) == [200, 200, 200]

    wire(scenario, **settings)


def test_answers_that_get_later(wire, fake_time):
    """After two soak hours at 3 ms an hour an answer is 6 wall ms late; a refusal is not."""

    async def scenario(api):
        token = await api.ready_token(scopes=[MAIL], quotas=[{"action": MAIL, "limit": 1, "window": "24h"}])
        api.time.now_s += 720.0  # two soak hours at this speed
        fake_time.slept_s.clear()
        assert await api.statuses(token, MAIL, 2) == [200, 403]
        assert [pytest.approx(0.006, rel=0.01)] == fake_time.slept_s

    wire(scenario, faults=parse_faults(["slow_ms_per_hour=3"]), speed=10.0)


@pytest.mark.slow
def test_memory_that_leaks():
    """Leaked memory is resident: 32 MiB more show in /health's figure of a process with no freed memory to reuse."""
    script = (
        "import json; from soaklib.gateway.growth import Growth\n"
        "from soaklib.gateway.wire.health import memory_figures\n"
        "before, growth = memory_figures(), Growth(); growth.grow_to(32 * 1024**2); after = memory_figures()\n"
        "print(json.dumps([before, after, growth.held_bytes]))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after, held_bytes = json.loads(ended.stdout)
    assert held_bytes * 0.9 <= after["used"] - before["used"] <= held_bytes * 1.3
    assert after["total"] == after["used"] + after["external"]


def test_memory_without_proc(monkeypatch, tmp_path):
    """Where there is no /proc the peak resident size stands for used and total."""
    monkeypatch.setattr("soaklib.gateway.wire.health._STATUS", tmp_path / "absent")
    figures = memory_figures()
    assert figures["used"] == figures["total"] > 1e7
    assert figures["external"] == 0


def test_an_allowed_forbidden_call_still_meets_the_other_checks(wire):
    """The fault opens the scope and nothing else: a blocked domain stays blocked."""

    async def scenario(api):
        token = await api.ready_token(scopes=[CHAT], guards={"blockedDomains": ["bad.example"]})
        answer = await api.call(token, "http_fetch:get", {"url": "https://bad.example/"})
        assert answer.body["reason"] == "Domain bad.example is blocked"
        assert await api.statuses(token, "http_fetch:get") == [200]

    wire(scenario, faults=parse_faults(["allow_forbidden=all"]))


def test_a_restart_forgets_the_memory(wire):
    """After it old tokens are well signed but of an unknown agent; counters, uptime and start time begin anew."""

    async def scenario(api):
        token = await api.ready_token()
        await api.statuses(token, MAIL)
        before = await api.metrics()
        api.time.now_s += 100.0
        api.gateway.restart()
        after = await api.metrics()
        assert (before[COUNTED], after[COUNTED]) == (1.0, 0.0)
        assert after["gateway_process_start_time_seconds"] == before["gateway_process_start_time_seconds"] + 100.0
        answer = await api.call(token, MAIL)
        assert (answer.status, answer.body) == (403, {"error": "Agent not found"})
        assert [(await api.send("GET", path)).body for path in ("/api/policies", "/api/agents")] == [[], []]
        assert (await api.send("GET", "/health")).body["uptime"] == 0
        assert await api.statuses(await api.ready_token(), MAIL) == [200]

    wire(scenario)


def test_a_restart_comes_at_its_moment(wire, fake_time):
    """restart_at=600 restarts the memory after 600 soak seconds: ten wall seconds at a speed of 60."""

    async def scenario(api):
        assert fake_time.slept_s == [10.0]
        assert (await api.send("GET", "/health")).status == 200
        assert api.gateway.state.started_at_s == fake_time.epoch_s + 10.0

    wire(scenario, faults=parse_faults(["restart_at=600"]), speed=60.0)


def test_the_revocation_wart(wire):
    """Plain, a revoked token is refused; with the wart only when the caller sends token_id and proof_payload."""

    def found(**settings):
        statuses = []

        async def scenario(api):
            await api.policy()
            issued = await api.issue(await api.agent())
            path = f"/api/admin/tokens/{issued['token_id']}/revoke"
            assert (await api.send("POST", path)).status == 200
            more = {"token_id": issued["token_id"], "proof_payload": "x"}
            for extra in ({}, more):
                answer = await api.call(issued["agent_token"], MAIL, None, **extra)
                statuses.append((answer.status, answer.body.get("error")))

        wire(scenario, **settings)
        return statuses

    revoked = (403, "Token has been revoked")
    assert found() == [revoked, revoked]
    assert found(quirks=REAL_QUIRKS) == [(200, None), revoked]


def test_the_breaker_wart(wire):
    """With the wart five failures open the breaker however far apart; plain they do not."""

    def opened(**settings):
        statuses = []

        async def scenario(api):
            token = await api.ready_token()
            for _ in range(5):
                await api.call(token, CHAT, {"messages": [{"role": "user", "content": "hi"}]})
                api.time.now_s += 700.0
            statuses.append((await api.send("GET", "/ready")).status)

        wire(scenario, **settings)
        return statuses

    assert (opened(), opened(quirks=REAL_QUIRKS)) == ([200], [503])


def test_the_log_and_cache_warts(wire):
    """With the warts a refused parameter is in no log and nothing comes from a cache; plain both do."""

    def found(**settings):
        seen = []

        async def scenario(api):
            token = await api.ready_token()
            await api.call(token, MAIL, {"to": "x"})
            await api.statuses(token, SEARCH, 2)
            entries = (await api.send("GET", "/api/proxy/logs")).body["logs"]
            seen.extend(entry["statusCode"] for entry in entries)
            seen.append(any(row.cache_hit for row in api.gateway.state.proxy_logs))

        wire(scenario, **settings)
        return seen

    assert found() == [200, 200, 400, True]
    assert found(quirks=REAL_QUIRKS) == [200, 200, False]


def test_the_growth_wart(wire, fake_time):
    """With the wart time in the handler and memory grow with the requests served, and stop at their caps."""

    async def scenario(api):
        token = await api.ready_token()
        await api.statuses(token, MAIL, 2)
        assert fake_time.slept_s == [pytest.approx(0.63e-6), pytest.approx(1.26e-6)]
        api.gateway.state.requests_served = 10**9
        await api.statuses(token, MAIL)
        assert fake_time.slept_s[-1] == 0.01
        assert api.gateway.state.growth.held_bytes == 160 * 1024**2

    wire(scenario, quirks=REAL_QUIRKS)


def test_a_database_that_is_away_shows_in_ready(wire):
    """/ready says 503 and database false, without the reason, and calls are still answered."""

    class Away:
        """A log whose database is away."""

        problem = "connection to server at 10.1.2.3 failed"
        append = list[object]().append

    async def scenario(api):
        token, real = await api.ready_token(), api.gateway.request_log
        api.gateway.request_log = Away()
        ready = await api.send("GET", "/ready")
        assert await api.statuses(token, MAIL) == [200]
        api.gateway.request_log = real
        assert (ready.status, ready.body["ready"], ready.body["checks"]["database"]) == (503, False, False)
        assert "10.1.2.3" not in str(ready.body)
        assert (await api.send("GET", "/ready")).status == 200

    wire(scenario)


def test_admin_routes_ask_for_the_token(wire):
    """With a token set, admin routes and policy writes refuse callers without it; the rest stays open."""

    async def scenario(api):
        policy = {"name": "p", "role": "r", "spec": {"scopes": ["a:b"]}}
        for headers in ({}, {"X-Admin-Token": "wrong"}, {"Authorization": "Bearer wrong"}):
            assert (await api.send("POST", "/api/policies", policy, headers)).status == 401
            assert (await api.send("GET", "/api/admin/chaos", headers=headers)).status == 401
        for headers in ({"X-Admin-Token": "hush"}, {"Authorization": "Bearer hush"}):
            assert (await api.send("POST", "/api/policies", policy, headers)).status == 201
        assert (await api.send("GET", "/api/policies")).status == 200

    wire(scenario, admin_token="hush")  # noqa: S106 - no real one


def test_chaos_is_refused_in_production(wire):
    """In production both chaos routes answer 403."""

    async def scenario(api):
        body = {"tool": "openai", "mode": "500", "pct": 100}
        assert (await api.send("POST", "/api/admin/chaos/tool", body)).status == 403
        assert (await api.send("DELETE", "/api/admin/chaos/tool/openai")).status == 403

    wire(scenario, production=True)


def test_what_was_made_is_in_the_database(wire, tmp_path):
    """Agents, tokens, policies and credentials leave rows without anything usable in them."""
    path = tmp_path / "log.sqlite"
    made = {}

    async def scenario(api):
        policy_id, agent_id = await api.policy(), await api.agent()
        issued = await api.issue(agent_id)
        await api.send("POST", f"/api/admin/tokens/{issued['token_id']}/revoke")
        await api.send("DELETE", f"/api/policies/{policy_id}")
        body = {"tool": "openai", "version": "v1", "credential": "sk-secret"}
        credential = (await api.send("POST", "/api/admin/creds/set", body)).body
        await api.send("POST", "/api/admin/creds/activate", {"id": credential["id"]})
        made.update(agent=agent_id, token=issued["agent_token"], policy=policy_id)

    wire(scenario, database_url=f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT agent_id, role, status FROM agents").fetchall() == [
            (made["agent"], "r", "active")
        ]
        assert connection.execute("SELECT revoked_at IS NOT NULL, tools FROM tokens").fetchall() == [(1, '["t"]')]
        assert connection.execute("SELECT policy_id, deleted_at IS NOT NULL FROM policies").fetchall() == [
            (made["policy"], 1)
        ]
        assert connection.execute("SELECT version, active FROM credentials").fetchall() == [("v1", 1)]
        dump = "\n".join(connection.iterdump())
    assert made["token"] not in dump
    assert "sk-secret" not in dump
    assert "PRIVATE KEY" not in dump
