"""A preflight on virtual time: everything is tried once, and nothing stays on, whatever the gateway does."""

import asyncio
import contextlib
import re
from types import SimpleNamespace

import orjson
import pytest
from virtual_gateway import VirtualClient
from virtual_soak import World, _Virtual

from soaklib.plan.given import AgentLimit
from soaklib.plan.model import load_plan
from soaklib.records import Kind, Reason
from soaklib.runner.journal import Debt
from soaklib.runner.preflight.calls import MOST_TRIES
from soaklib.runner.preflight.findings import Found, Standing
from soaklib.runner.preflight.whole import Preflight
from soaklib.targets import load_target
from soaklib.targets.admin import AdminError
from soaklib.targets.base import Wire

CHANGES = {
    "change rotate-credentials: openai": "made, and taken back",
    "change chaos: openai": "made, and taken back",
    "change update-policy: enricher": "made, and taken back",
}
CALLS = [
    "call of scraper: serpapi:search", "call of enricher: http_fetch:get", "call of enricher: openai:chat",
    "call of engager: gmail_send:send",
]  # fmt: skip


class Literal:
    """The way of what is owed, to the virtual gateway."""

    def __init__(self, world):
        self._world = world

    async def send(self, wire):
        if not self._world.is_alive:
            message = "its runner is dead"
            raise AdminError(message)
        body = None if wire.body is None else orjson.loads(wire.body)
        return (await self._world.gateway.exchange(wire.method, wire.path, body)).status


class DatedClient(VirtualClient):
    """Answers bear the time, an hour before the machine's."""

    async def send(self, wire, reader, *, stall_s=None):
        reader.head(200, {"Date": "Fri, 27 Nov 2026 23:00:00 GMT"})
        return await super().send(wire, reader, stall_s=stall_s)


class Surrounded(_Virtual):
    """The same client for all of a world's preflights."""

    client_type = VirtualClient

    def client(self, clock):
        return self.client_type(self._world.gateway, clock, lambda: self._world.is_alive)


class Check:
    """Preflights of one virtual gateway."""

    def __init__(self, folder, *arguments):
        self.world, self.folder = World(*arguments), folder
        self.world.is_alive = True
        self.gateway = self.world.gateway
        self.gateway.credentials["openai"] = "credential-of-theirs"
        self.surroundings = Surrounded(self.world)

    def preflight(self, hindered=None):
        """Give one that is to be run."""
        self.check = Preflight(
            settings=self.world.settings, plan=self.world.plan, target=load_target(self.world.plan.target),
            surroundings=self.surroundings, base_url="http://gateway", hindered=hindered or {}, found=Found(),
            literal=Literal(self.world),
        )  # fmt: skip
        return self.check.run(self.folder)

    def found(self, **options):
        """Run one to its end; give what it found, by what was tried."""
        found = self.world.loop.run_until_complete(self.preflight(**options))
        self.all = found
        return {one.what: (one.standing, one.detail) for one in found.findings}

    def close(self):
        """Let go of its world, in which no runner lives any more."""
        self.world.is_alive = False
        self.world.close()

    @property
    def is_as_before(self):
        """Whether nothing is left at the gateway, nor on disk."""
        gateway = self.gateway
        left = (gateway.policies, gateway.chaos, gateway.credentials, list(self.folder.rglob("*.json")))
        return left == ({}, set(), {"openai": "credential-of-theirs"}, [])


@pytest.fixture
def check(tmp_path):
    """Give a function that makes one; all are let go of."""
    with contextlib.ExitStack() as stack:

        def make(*arguments):
            made = Check(tmp_path, *arguments)
            stack.callback(made.close)
            return made

        yield make


def asked_of(checked, what):
    """Give method and last part of the routes that changed a thing of the admin's, in order."""
    routes = [re.fullmatch(rf"(POST|DELETE) /api/admin/{what}/(\S+)", route) for route in checked.gateway.seen]
    return [f"{found[1]} {found[2]}" for found in routes if found]


def limited(gateway, calls, *, why=Reason.RATE_LIMIT):
    """Let each agent of a gateway make so many calls."""
    made, answer = {}, gateway.answer

    def counted(token, tool):
        status, kind, reason = answer(token, tool)
        if kind is Kind.DENIED:
            return status, kind, reason
        agent = gateway.tokens[token][0]
        made[agent] = made.get(agent, 0) + 1
        return (429, Kind.RATE_LIMITED, why) if made[agent] > calls else (status, kind, reason)

    gateway.answer = counted
    return made


def test_what_the_answers_state_is_found_out_with_them(check):
    """It is known what they do not state, and of upstream and sessions; where no call is answered, it is unknown."""
    checked = check()
    checked.found()
    assert (checked.all.stated, checked.all.endpoints) == (frozenset(), {"health", "ready", "metrics"})
    assert (checked.all.knows_upstream, checked.all.has_sessions) == (False, False)
    checked.gateway.answer = lambda *_: (500, Kind.UPSTREAM_ERROR, None)
    checked.found()
    assert checked.all.stated is None


def test_everything_is_tried_once_and_nothing_is_left(check):
    """Each call, the probe, each change; credentials are those of before, and what was made for the check is gone."""
    checked = check()
    found = checked.found()
    assert {what: found[what] for what in CALLS} == dict.fromkeys(CALLS, (Standing.OK, "answered"))
    assert found["probe of scraper: gmail_send:send"] == (Standing.OK, "denied, scope")
    assert {what: found[what][1] for what in CHANGES} == CHANGES
    assert checked.all.problems == []
    assert checked.gateway.made == 1  # chaos was really on
    seen = [re.sub(r"-\d+$", "", route) for route in asked_of(checked, "creds")]
    assert seen == [
        "POST set",
        "POST activate",
        "POST activate",
        "DELETE credential",
    ]  # theirs is back before ours goes
    assert checked.gateway.cuts[-1][1] < checked.gateway.cuts[0][1]  # and the quota really cut
    assert checked.is_as_before


def test_the_limit_of_an_agent_is_found_and_too_few_agents_are_a_problem(check):
    """Ten slots a second plan 360 calls a minute of a role: one agent that may make five is 95 too few."""
    checked = check()
    made = limited(checked.gateway, 5)
    standing, detail = checked.found()["limit of an agent"]
    assert (checked.all.limit, checked.all.agents_needed) == (AgentLimit(5, 60), 96)
    assert (standing, checked.all.problems[0].is_of_settings) == (Standing.PROBLEM, True)
    assert "pass --agents-per-role 96, a lower --rps, or --agent-limit 5/60s" in detail
    assert max(made.values()) == 6  # one call beyond it, by one agent
    assert sum(made.values()) <= 12
    assert checked.is_as_before


def test_agents_enough_for_the_limit_are_none(check):
    """As many as were asked for."""
    checked = check("--agents-per-role", "96")
    limited(checked.gateway, 5)
    standing, detail = checked.found()["limit of an agent"]
    assert (standing, checked.all.problems) == (Standing.OK, [])
    assert "up to 472 as its slots are drawn, for which it takes 96 agents: there are 96" in detail


def test_a_limit_that_some_dozen_calls_do_not_meet_is_left_to_the_run(check):
    """It is said how many there were, and how many one agent makes in the soak."""
    checked = check()
    made = limited(checked.gateway, MOST_TRIES)
    said = checked.found()["limit of an agent"]
    assert said == (Standing.OK, "none met in 24 calls of one agent; in the soak one makes up to 472 in 60 s")
    assert (max(made.values()), checked.all.limit) == (MOST_TRIES, None)


def test_a_limit_that_is_stated_is_not_tried_and_calls_beyond_it_are_meant(check):
    """`--agent-limit`: how many agents it takes is said, and fewer are not refused."""
    checked = check("--agent-limit", "5/60s")
    made = limited(checked.gateway, 5)
    standing, detail = checked.found()["limit of an agent"]
    assert (standing, checked.all.problems) == (Standing.NOTE, [])
    assert detail.startswith("stated: 5 calls in 60 s;")
    assert max(made.values()) <= 2


@pytest.mark.parametrize(
    ("route", "fault", "what", "said"),
    [
        ("POST /api/admin/creds/set", "500", "rotate-credentials: openai", "POST /api/admin/creds/set was answered"),
        ("POST /api/admin/chaos/tool", "lost", "chaos: openai", "got no answer: nothing within 2 s"),
        ("POST /api/admin/chaos/tool", "500 and done", "chaos: openai", "was answered with 500"),
        ("PATCH /api/policies", "500", "update-policy: enricher", "was answered with 500"),
    ],
)
def test_a_change_that_would_fail_at_its_hour_fails_now(check, route, fault, what, said):
    """It is a problem of the target's, in its own words; what may have come on all the same is off."""
    checked = check()
    checked.gateway.fault, checked.gateway.hits = fault, route
    standing, detail = checked.found()[f"change {what}"]
    assert (standing, [one.what for one in checked.all.problems]) == (Standing.PROBLEM, [f"change {what}"])
    assert said in detail
    assert checked.is_as_before


def test_a_change_that_was_refused_is_not_called_made_when_its_end_is_refused_too(check):
    """Both answers are told: what hinders the one may hinder the other, as a token that may not."""
    checked = check()
    checked.gateway.fault, checked.gateway.hits = "500", "/api/admin/chaos"
    _, detail = checked.found()["change chaos: openai"]
    made, _, left = detail.partition(", and not known to be taken back: ")
    assert made.startswith("it cannot be made: POST /api/admin/chaos/tool was answered with 500")
    assert left.startswith("DELETE /api/admin/chaos/tool/openai was answered with 500")


def test_a_change_without_a_route_is_not_applicable_and_is_not_tried(check):
    """The check of the routes has said so already."""
    checked = check()
    checked.gateway.missing = "chaos"
    found = checked.found(hindered={1: "unsupported, the gateway has no POST /api/admin/chaos/tool"})
    assert found["change chaos: openai"][0] is Standing.NOT_APPLICABLE
    assert not [route for route in checked.gateway.seen if "chaos" in route]


def test_what_cannot_be_taken_back_is_a_problem_left_to_the_guard_and_to_the_next(check):
    """The journal keeps it; the next preflight of the gateway takes it back and says so."""
    checked = check()
    checked.gateway.fault, checked.gateway.hits = "500", "DELETE /api/admin/chaos"
    standing, detail = checked.found()["change chaos: openai"]
    assert (standing, checked.gateway.chaos) == (Standing.PROBLEM, {"openai"})
    assert "made, and not known to be taken back: DELETE /api/admin/chaos/tool/openai was answered with 500" in detail
    assert checked.world.guard.took_over
    first, checked.gateway.fault = checked.check.check_id, None
    said = checked.found()["what an earlier check left"]
    assert said == (Standing.NOTE, f"{first} was killed; it is taken back now")
    assert checked.is_as_before


def test_what_goes_with_the_agents_is_not_removed_twice(check):
    """A gateway may refuse to remove what is gone, as ContextForge does; and a guard that watches nothing is done."""
    checked = check()
    checked.found()
    seen = [route for route in checked.gateway.seen if "/api/policies" in route]
    removed = [route for route in seen if route.startswith("DELETE")]
    assert len(removed) == sum(route.startswith("POST") for route in seen) > 0
    assert checked.world.guard.urls == []


@pytest.mark.parametrize("moment", range(12))
def test_a_killed_preflight_leaves_nothing_on_after_the_next(check, moment):
    """Wherever it and its guard were killed, together with the machine."""
    checked = check()
    task = checked.world.loop.create_task(checked.preflight())
    checked.world.loop.run_until_complete(asyncio.wait({task}, timeout=0.004 + moment * 0.0073))
    checked.world.is_alive = False
    task.cancel()
    checked.world.loop.run_until_complete(asyncio.wait({task}))
    checked.world.is_alive = True
    checked.found()
    assert checked.is_as_before


def test_what_an_earlier_check_owes_elsewhere_is_asked_for_without_what_lets_us_in():
    """The journal names another host, and this plan has no such change: the admin's headers are not for that host."""
    asked = {"/api/x": "POST", "http://elsewhere/control": "DELETE"}
    for path, method in asked.items():
        left = SimpleNamespace(journal=SimpleNamespace(undoing=lambda _, told=(method, path, None): told))
        admin = SimpleNamespace(wire=lambda method, path, body: Wire(method, path, {"X-Admin-Token": "secret"}, body))
        preflight = SimpleNamespace(plan=load_plan())
        wire = Preflight._undoing(preflight, left, Debt("upstream", "gone"), admin)
        assert (wire.method, wire.path) == (method, path)
        assert ("X-Admin-Token" in wire.headers) is path.startswith("/")


def test_a_killed_preflight_is_followed_by_its_guard(check):
    """With the runner alone killed while chaos is on, the guard knows what to clear."""
    checked = check()
    task = checked.world.loop.create_task(checked.preflight())
    while not checked.gateway.chaos:
        checked.world.loop.run_until_complete(asyncio.wait({task}, timeout=0.001))
    assert "/api/admin/chaos/tool/openai" in checked.world.guard.urls
    assert sum(url.startswith("/api/policies/") for url in checked.world.guard.urls) == len(checked.gateway.policies)
    checked.world.loop.run_until_complete(task)
    assert (checked.world.guard.urls, checked.is_as_before) == ([], True)


@pytest.mark.parametrize(
    ("answer", "standing", "said"),
    [
        ((200, Kind.OK, None), Standing.PROBLEM, "ok (status 200): policy let it in, which fails a soak"),
        ((502, Kind.UPSTREAM_ERROR, Reason.UPSTREAM), Standing.PROBLEM, "policy let it in"),
        ((502, Kind.UPSTREAM_ERROR, Reason.UPSTREAM, None), Standing.NOTE, "neither denied nor let in"),  # a balancer's
        ((200, Kind.INVALID_RESPONSE, Reason.BODY_INVALID), Standing.PROBLEM, "policy let it in"),
        ((404, Kind.INVALID_RESPONSE, Reason.BODY_INVALID), Standing.NOTE, "neither denied nor let in"),
        ((403, Kind.DENIED, Reason.SCOPE), Standing.OK, "denied, scope"),
        ((404, Kind.INVALID_REQUEST, Reason.CLIENT_ERROR), Standing.NOTE, "neither denied nor let in"),
    ],
)
def test_a_probe_that_policy_lets_in_is_a_problem(check, answer, standing, said):
    """Whatever the tool made of it then, as in the soak; a denial is what is wanted."""
    checked = check()
    usual = checked.gateway.answer

    def answered(token, tool):
        role = checked.gateway.agents[checked.gateway.tokens[token][0]]
        return answer if (role, tool) == ("scraper", "gmail_send") else usual(token, tool)

    checked.gateway.answer = answered
    found = checked.found()["probe of scraper: gmail_send:send"]
    assert (found[0], said in found[1]) == (standing, True)


@pytest.mark.parametrize(
    ("role", "standing", "said"),
    [("gone", Standing.OK, "refused, token_invalid"), ("scraper", Standing.NOTE, "neither denied nor let in")],
)
def test_a_role_without_load_is_there_to_be_refused(check, role, standing, said):
    """Its probe is refused by a 401, as the soak counts it; one of a role that calls has then told nothing."""
    checked = check()
    plan = checked.world.plan
    probes = tuple(probe.model_copy(update={"role": role}) for probe in plan.probes)
    roles = plan.roles | {"gone": plan.roles["scraper"]}
    checked.world.plan = plan.model_copy(update={"roles": roles, "probes": probes})
    checked.gateway.answer = lambda *_: (401, Kind.UNAUTHORIZED, Reason.TOKEN_INVALID)
    found, detail = checked.found()[f"probe of {role}: gmail_send:send"]
    assert (found, said in detail) == (standing, True)


@pytest.mark.parametrize(
    ("failures", "kind", "standing", "said"),
    [
        (1, Kind.UPSTREAM_ERROR, Standing.OK, "answered, the second time"),
        (9, Kind.UPSTREAM_ERROR, Standing.NOTE, "3 times: none of them was served"),
        (1, Kind.UNAUTHORIZED, Standing.PROBLEM, "no call like this one would succeed"),
        (1, Kind.RATE_LIMITED, Standing.NOTE, "has no call left for now"),
    ],
)
def test_a_tool_may_fail_and_what_refuses_every_call_is_a_problem(check, failures, kind, standing, said):
    """A soak bears the one and is lost by the other."""
    checked = check()
    usual, left = checked.gateway.answer, [failures]

    def answered(token, tool):
        if tool == "openai" and left[0]:
            left[0] -= 1
            return 500, kind, Reason.UPSTREAM
        return usual(token, tool)

    checked.gateway.answer = answered
    found = checked.found()["call of enricher: openai:chat"]
    assert (found[0], said in found[1]) == (standing, True)


def test_the_meanings_that_are_not_exposed_are_said(check):
    """Of the virtual gateway's one metric all but the requests."""
    standing, detail = check().found()["metrics"]
    assert standing is Standing.NOTE
    assert detail.startswith("1 names; 1 of 10 meanings found; not exposed: duration (gateway_request_duration_ms)")


def test_a_clock_that_is_an_hour_behind_is_said_whatever_the_kind_of_gateway(check):
    """By the time of its answers."""
    checked = check()
    assert checked.found()["clocks"] == (Standing.NOTE, "the gateway's answers do not say what time it is")
    checked.surroundings.client_type = DatedClient
    standing, detail = checked.found()["clocks"]
    assert (standing, detail[:48]) == (Standing.NOTE, "the gateway's clock is 3600 s behind this machin")


def test_a_gateway_that_gives_no_agents_is_a_problem_and_nothing_is_left(check):
    """What was made before is taken back."""
    checked = check()
    checked.gateway.fault, checked.gateway.hits = "403", "POST /api/create-agent"
    standing, detail = checked.found()["agents and policies"]
    assert (standing, "POST /api/create-agent was answered with 403" in detail) == (Standing.PROBLEM, True)
    assert checked.is_as_before
