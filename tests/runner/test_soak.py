"""A whole soak on virtual time, with faults at the moments at which they hurt."""

import re

import pytest
from virtual_soak import CHAOS_LASTS_S, CHAOS_S, CUT_S, FOUR_HOURS, assert_clean, may_be_denied

from soaklib.targets.fourrunr.admin import FourRunrAdmin

ADMIN = r"/api/(admin|policies)"
CHAOS = r"/api/admin/chaos"
DAY = ("--hours", "24", "--speed", "360", "--rps", "0.02")


def names_of(world):
    return [name for name, *_ in world.events()]


def test_a_rotation_that_finds_no_new_tokens_is_none(world, monkeypatch):
    """Keys that stay what they are were kept, and not rotated: every quarter of an hour it is written down so."""
    made = FourRunrAdmin.renew

    async def renew(self, identity, *, expires_at):
        return identity if identity.secret else await made(self, identity, expires_at=expires_at)

    monkeypatch.setattr(FourRunrAdmin, "renew", renew)
    run = world(*FOUR_HOURS)
    run.start()
    run.finish()
    names = names_of(run)
    assert (names.count("TOKENS_KEPT"), names.count("TOKENS_ROTATED")) == (15, 0)


def test_a_whole_day_goes_by_with_all_that_is_planned(world):
    """24 hours: rotations, snapshots and the three changes, each once, and nothing is left."""
    day = world(*DAY)
    day.start()
    day.finish()
    assert day.is_completed
    assert_clean(day)
    names = names_of(day)
    assert names.count("TOKENS_ROTATED") == 95
    assert names.count("METRICS_SNAPSHOT") == 25
    counted = [names.count(name) for name in ("CHAOS_MODE_ON", "CHAOS_MODE_OFF", "CHANGE_FAILED", "RUN_GAP")]
    assert counted == [1, 1, 0, 0]
    assert "POLICY_UPDATED_OPENAI_QUOTA_REDUCED" in names
    kinds = dict(day.writer.read("select kind, count(*) from outcomes where purpose = 'load' group by kind"))
    assert kinds["upstream_error"] > 0
    assert set(kinds) == {"ok", "upstream_error"}


@pytest.mark.parametrize("fault", ["lost", "late", "malformed", "500 and done"])
def test_chaos_that_may_have_come_on_is_switched_off(world, fault):
    """Whatever hides that the gateway did it, it is off long before the run ends, and the events say both."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CHAOS_S - 1)
    run.gateway.fault, run.gateway.hits = fault, f"POST {CHAOS}"
    run.live(10)
    assert run.gateway.made == 1
    assert run.gateway.chaos == set()
    run.finish()
    assert_clean(run)
    assert [name for name, *_ in run.events("CHAOS_MODE_ON", "CHANGE_UNCERTAIN", "CHAOS_MODE_OFF")] == (
        ["CHAOS_MODE_ON", "CHAOS_MODE_OFF"] if fault == "malformed" and "CHAOS_MODE_ON" in names_of(run)
        else ["CHANGE_UNCERTAIN", "CHAOS_MODE_OFF"]
    )  # fmt: skip


@pytest.mark.parametrize("fault", ["404", "403", "500", "down"])
def test_chaos_that_did_not_come_on_is_not_said_to_be_off_again(world, fault):
    """No event without an effect: after a refusal there is nothing to end, and without an answer an end is owed."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CHAOS_S - 1)
    run.gateway.fault, run.gateway.hits = fault, f"POST {CHAOS}"
    run.live(10)
    run.gateway.fault = None
    run.finish()
    assert_clean(run)
    ended = [name for name, *_ in run.events("CHAOS_MODE_OFF")]
    assert ended == ([] if fault in ("404", "403") else ["CHAOS_MODE_OFF"])


def test_an_end_of_chaos_that_fails_is_tried_until_it_is_done(world):
    """The gateway restarts for ten seconds when it is due: chaos is off soon after that, hours before the run ends."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CHAOS_S + CHAOS_LASTS_S - 1)
    assert run.gateway.chaos == {"openai"}
    run.gateway.fault, run.gateway.hits = "down", ""
    run.live(11)
    assert run.gateway.chaos == {"openai"}
    run.gateway.fault = None
    run.live(16)
    assert run.gateway.chaos == set()
    run.finish()
    assert_clean(run)
    [(_, detail, key)] = run.events("CHAOS_MODE_OFF")
    assert (detail, key) == ("tool=openai", "change:1:chaos:off")


def test_an_end_of_chaos_that_failed_is_owed_by_the_next_runner(world):
    """A runner that was killed while it tried has not done it: the resumed run does."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CHAOS_S + CHAOS_LASTS_S - 1)
    run.gateway.fault, run.gateway.hits = "500", f"DELETE {CHAOS}"
    run.live(5)
    run.kill(everything=True)
    assert run.gateway.chaos == {"openai"}
    run.gateway.fault = None
    run.start()
    run.live(1)
    assert run.gateway.chaos == set()
    run.finish()
    assert_clean(run)
    assert run.events("CHAOS_MODE_OFF")[0][2] == "change:1:chaos:off"


@pytest.mark.parametrize("after_s", [0.001, 0.0045, 0.01, 0.03, 0.05])
def test_chaos_of_a_runner_that_was_killed_as_it_came_on_is_found_by_the_next(world, after_s):
    """That it is about to come on is on disk before it does, also when recorder and guard die with the runner."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CHAOS_S)
    for _ in range(100):
        run.live(after_s)
        if run.gateway.made:
            break
    run.kill(everything=True)
    assert run.gateway.chaos == {"openai"}
    run.gateway.fault, run.gateway.hits = "403", f"POST {CHAOS}"  # or it would come on, and go off, once more
    run.start()
    run.live(0.5)
    assert run.gateway.chaos == set()
    run.finish()
    assert_clean(run)


def test_a_first_start_against_a_gateway_without_chaos_says_nothing_of_an_end(world):
    """The change is unsupported, and that is all."""
    run = world(*FOUR_HOURS)
    run.gateway.missing = CHAOS
    run.start()
    run.finish()
    assert_clean(run)
    assert [name for name, *_ in run.events() if name.startswith(("CHANGE_", "CHAOS_"))] == ["CHANGE_UNSUPPORTED"]


def test_a_cut_that_was_refused_is_not_made_by_a_resumed_run(world):
    """Tried and made are two facts: the next runner cuts nothing that nobody cut."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CUT_S - 1)
    run.gateway.fault, run.gateway.hits = "403", "PATCH"
    run.live(5)
    run.gateway.fault = None
    limits = {limit for _, limit in run.gateway.cuts}
    run.stop()
    run.start()
    run.finish()
    assert_clean(run)
    assert {limit for _, limit in run.gateway.cuts} == limits
    assert may_be_denied(run) == 0


def test_a_cut_that_was_made_is_in_force_after_a_resume(world):
    """The next runner makes its policies with it, and its calls may be denied."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CUT_S + 5)
    [cut] = {limit for _, limit in run.gateway.cuts[-1:]}
    run.stop()
    run.gateway.cuts.clear()
    run.start()
    run.finish()
    assert_clean(run)
    assert {limit for _, limit in run.gateway.cuts} == {cut}
    assert may_be_denied(run) > 0


@pytest.mark.parametrize("fault", ["empty", "list", "malformed", "lost", "500 and done", "404"])
def test_no_answer_of_an_admin_route_ends_a_soak(world, fault):
    """All three changes meet it, and the run goes on to its end."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(20)
    run.gateway.fault, run.gateway.hits = fault, ADMIN
    run.live(200)
    run.gateway.fault = None
    run.finish()
    assert run.is_completed
    assert_clean(run)


def test_a_credential_without_an_id_is_a_change_that_failed(world):
    """A 2xx answer of the route that holds no id."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(70)
    run.gateway.fault, run.gateway.hits = "empty", "creds/set"
    run.finish()
    assert run.is_completed
    [(_, detail, key)] = run.events("CHANGE_FAILED")
    assert key == "change:0:rotate-credentials"
    assert re.search(r"no id\b", detail)


def test_a_gateway_with_a_new_signing_key_gets_new_agents(world):
    """It knows the agents and takes none of their tokens: `Invalid token` for ever, without this."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(33)
    run.gateway.restart(forgets=False)
    run.finish()
    assert_clean(run)
    [(refused,)] = run.writer.read("select count(*) from outcomes where kind = 'unauthorized'")
    assert 5 <= refused < 20
    assert names_of(run).count("AGENTS_LOST") == 1


def test_agents_that_are_gone_at_a_rotation_are_made_anew(world):
    """No call need have failed for it."""
    run = world("--hours", "4", "--speed", "60", "--rps", "0.0002")
    run.plan = run.plan.model_copy(update={"probes": ()})
    run.start()
    run.live(14)
    run.gateway.agents.clear()
    run.finish()
    names = names_of(run)
    assert names.index("TOKENS_ROTATION_FAILED") < names.index("AGENTS_LOST") < names.index("TOKENS_ROTATED")
    assert run.writer.read("select count(*) from outcomes where kind = 'unauthorized' and purpose <> 'trial'") == [(0,)]


def test_a_gateway_that_takes_no_token_at_all_is_not_filled_with_agents(world):
    """New ones are made ever more seldom."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(10)
    run.gateway.key = object()
    run.gateway._do = lambda method, path, body, do=run.gateway._do: (
        (201, {"agent_token": "bad"}) if path.endswith("generate-token") else do(method, path, body)
    )
    run.finish()
    assert names_of(run).count("AGENTS_LOST") <= 10


@pytest.mark.parametrize("rps", ["0.05", "0.02"], ids=["calls met the restart", "the cut is the first to meet it"])
def test_a_cut_that_is_due_while_policies_are_made_anew_is_made(world, rps):
    """It waits for them, or makes its own; a role without a policy for the moment is no gateway without policies."""
    run = world(*FOUR_HOURS[:-1], rps)
    run.start()
    run.live(CUT_S - 2)
    run.gateway.fault, run.gateway.hits = "slow", "(POST|DELETE) /api/policies"
    run.gateway.restart()
    run.live(2.5)
    run.gateway.fault = None
    run.finish()
    assert_clean(run)
    names = names_of(run)
    assert "CHANGE_UNSUPPORTED" not in names
    met_first = names.index("POLICY_UPDATED_OPENAI_QUOTA_REDUCED") < names.index("AGENTS_LOST")
    assert met_first == (rps == "0.02")
    [policy_limit] = {limit for _, limit in run.gateway.cuts[-1:]}
    assert policy_limit == min(limit for _, limit in run.gateway.cuts)


def test_a_cut_that_is_due_while_a_role_has_no_policy_makes_it_with_the_cut(world):
    """They could not be made anew after a restart, and that is tried again only later."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CUT_S - 20)
    run.gateway.fault, run.gateway.hits = "500", "POST /api/policies"
    run.gateway.restart()
    run.live(19.5)
    assert run.gateway.policies == {}
    run.gateway.fault = None
    run.live(1.5)
    assert [policy["role"] for policy in run.gateway.policies.values()] == ["enricher"]
    run.finish()
    assert_clean(run)
    assert "POLICY_UPDATED_OPENAI_QUOTA_REDUCED" in names_of(run)
    assert "CHANGE_UNSUPPORTED" not in names_of(run)


@pytest.mark.parametrize("fault", ["lost", "late"])
def test_a_policy_whose_id_got_lost_is_removed_all_the_same(world, fault):
    """It bears the run's name."""
    run = world(*FOUR_HOURS)
    run.gateway.fault, run.gateway.hits = fault, "POST /api/policies"
    run.start()
    run.finish()
    assert run.results[-1].status == "failed"
    assert run.gateway.policies == {}


def test_slots_that_were_dropped_at_the_cap_are_there_once_after_a_kill(world):
    """The last sign of life is a dropped slot's own time."""
    run = world("--hours", "2", "--speed", "60", "--rps", "0.7", "--max-in-flight", "1")  # its first change comes later
    run.start()
    run.live(20)
    run.gateway.fault, run.gateway.hits = "late", "proxy-request"
    for _ in range(7):
        run.live(1.37)
        run.kill(everything=False)
        run.start()
        run.live(0.2)
    run.gateway.fault = None
    run.finish()
    assert_clean(run)
    assert run.writer.read("select count(*) > 0 from outcomes where kind = 'dropped'") == [(True,)]
