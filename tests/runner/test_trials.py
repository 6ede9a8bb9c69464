"""Calls that must be refused, on virtual time: a whole soak with trials against a gateway that is an object."""

import re
from dataclasses import fields

import pytest
from virtual_soak import World

from soaklib.plan.model import Role
from soaklib.plan.oracles import RateLimit, Trials
from soaklib.records import Kind, Reason
from soaklib.runner.clock import SoakClock
from soaklib.runner.trials import IdentityTrials
from soaklib.store.views import Segment
from soaklib.targets.trials import forged

ROWS = """
    select split_part(identity, ':', 1) as trial, kind, reason, count(*) from outcomes where purpose = 'trial'
    group by all order by all"""


@pytest.fixture
def world():
    world = World("--hours", "6", "--speed", "60", "--rps", "0.01")
    world.plan = world.plan.model_copy(update={"trials": Trials()})
    yield world
    world.close()


def revoking(world):
    """Give the gateway a route to revoke tokens, and token ids."""
    gateway, revoked, do, answer = world.gateway, set(), world.gateway._do, world.gateway.answer

    def with_route(method, path, body):
        if match := re.fullmatch(r"/api/admin/tokens/(.+)/revoke", path):
            revoked.add(match[1])
            return 200, {"message": "Token revoked successfully"}
        status, value = do(method, path, body)
        if path == "/api/generate-token" and status == 201:
            value["token_id"] = value["agent_token"]
        return status, value

    def judged(token, tool):
        if token in revoked:
            return 403, Kind.UNAUTHORIZED, Reason.TOKEN_REVOKED
        return answer(token, tool)

    gateway._do, gateway.answer = with_route, judged


def finished(world):
    world.start()
    world.finish()
    assert world.is_completed, world.results[-1].error
    return world.writer.read(ROWS)


def test_a_gateway_that_holds_its_word_refuses_each_for_its_own_reason(world):
    """Each turn tries one of each kind; what has to be made first is tried from the second turn on."""
    revoking(world)
    assert finished(world) == [
        ("expired", "unauthorized", "token_expired", 5),
        ("revoked", "unauthorized", "token_revoked", 5),
        ("rotated", "unauthorized", "token_expired", 5),
        ("scope", "denied", "scope", 6),
        ("unknown", "unauthorized", "token_invalid", 6),
    ]


def test_a_revoked_token_that_is_let_through_is_in_the_rows(world):
    """The revoking is answered with 200, and changes nothing: the calls are ok, and expected to be denied."""
    revoking(world)
    answer = type(world.gateway).answer
    world.gateway.answer = lambda token, tool: answer(world.gateway, token, tool)
    assert ("revoked", "ok", None, 5) in finished(world)
    assert world.writer.read("select distinct expected from outcomes where purpose = 'trial'") == [("deny",)]


def test_without_a_route_to_revoke_the_trial_is_said_to_be_impossible_once(world):
    """The other trials go on."""
    rows = finished(world)
    assert "revoked" not in {trial for trial, *_ in rows}
    [(_, why, _)] = world.events("TRIAL_NOT_POSSIBLE")
    assert why == "it was not made: POST /api/generate-token was answered with 201: but has no token_id"


def test_a_resumed_run_tries_no_turn_twice(world):
    """Killed in its third hour, it goes on with the turn that comes next."""
    world.start()
    world.live(150)
    world.kill(everything=False)
    finished(world)
    rows, distinct = world.writer.read(
        "select count(*), count(distinct (slot, step)) from outcomes where purpose = 'trial'"
    )[0]
    assert rows == distinct > 10


def test_trials_leave_the_agents_of_the_load_alone(world):
    """Refused tokens of trials are no reason to make new agents, and none of the load's calls is refused."""
    revoking(world)
    finished(world)
    assert world.events("AGENTS_LOST") == []
    assert world.writer.read("select count(*) from outcomes where purpose = 'load' and kind = 'unauthorized'") == [(0,)]


@pytest.mark.parametrize("secret", ["sk-abcdefghijklmnopqrstuvwxyz", "a.b", "", "QUJD.0123456789abcdef"])
def test_a_forged_secret_is_another_of_the_same_form(secret):
    """It differs, and keeps its beginning."""
    for _ in range(20):
        other = forged(secret)
        assert other != secret
        assert other[: max(0, len(secret) - 12)] == secret[: max(0, len(secret) - 12)]


@pytest.mark.parametrize(("embedded", "window_s"), [(True, 1.0), (False, 60.0)])
def test_a_window_is_the_gateways_own_time_but_in_a_rehearsal(embedded, window_s):
    """At speed 60 the embedded gateway counts by the second what another counts by the minute."""
    parts = dict.fromkeys(
        field.name for field in fields(IdentityTrials) if field.init and not field.name.startswith("_")
    )
    soak_clock = SoakClock(Segment(segment=0, started_at_us=0, soak_started_s=0.0), 60.0)
    trials = IdentityTrials(**parts | {"soak_clock": soak_clock, "embedded": embedded})
    assert trials._window_us(RateLimit(calls=60, window_s=60.0)) == window_s * 1e6


def test_the_edge_is_tried_by_a_role_that_calls(world):
    """The first that the limit names may only probe."""
    roles = world.plan.roles | {"idle": Role(scopes=("serpapi:search",))}
    limit = RateLimit(calls=3, window_s=60.0, window="sliding", try_every_s=7200.0, roles=("idle", "engager"))
    world.plan = world.plan.model_copy(update={"limits": (limit,), "trials": None, "roles": roles})
    world.start()
    world.finish()
    assert world.is_completed, world.results[-1].error
    tried = world.writer.read("select distinct identity, tool from outcomes where purpose = 'trial'")
    assert [identity for identity, _ in tried] == ["edge:engager:0"]


@pytest.mark.parametrize(("allowed", "ends"), [(3, "rate_limited"), (None, "ok")])
def test_the_edge_of_a_limit_is_tried_by_an_agent_of_its_own(world, allowed, ends):
    """It calls until it is refused; a gateway that refuses nothing is let off after one call more than the limit."""
    limit = RateLimit(calls=3, window_s=60.0, window="sliding", try_every_s=7200.0)
    world.plan = world.plan.model_copy(update={"limits": (limit,), "trials": None})
    answer, calls = world.gateway.answer, {}

    def limited(token, tool):
        calls[token] = calls.get(token, 0) + 1
        agents = list(world.gateway.agents)
        edge = len(agents) > 3 and world.gateway.tokens[token][0] == agents[3]
        if edge and allowed is not None and calls[token] > allowed:
            return 429, Kind.RATE_LIMITED, Reason.RATE_LIMIT
        return answer(token, tool)

    world.gateway.answer = limited
    world.start()
    world.finish()
    rows = world.writer.read("select slot, step, kind, identity from outcomes where purpose = 'trial' order by 1, 2")
    assert rows == [
        (slot, step, ends if step == 3 else "ok", "edge:scraper:0") for slot in (1, 3, 5) for step in range(4)
    ]
    assert len(world.gateway.agents) == 4
