"""The scheduled changes against an API that answers as told."""

import asyncio
import threading

import pytest
from kept_events import KeptEvents
from virtual_time import run_virtually

from soaklib.errors import TargetError
from soaklib.plan.changes import ChaosChange, CredentialsChange, PolicyChange
from soaklib.plan.model import load_plan
from soaklib.runner.changes import ChangeContext, Changes
from soaklib.runner.journal import UndoJournal
from soaklib.runner.literal import LiteralChanges
from soaklib.runner.recovery import Past
from soaklib.targets.admin import Link
from soaklib.targets.fourrunr.admin import FourRunrAdmin
from soaklib.targets.fourrunr.api import ApiError, Reply
from soaklib.targets.fourrunr.policies import policy_spec

CREDENTIALS, CHAOS, POLICY = load_plan().changes
MISSING = ApiError("POST /api/admin", 404, '{"message":"Route POST:/api/admin not found"}')
REFUSED = ApiError("POST /api/admin", 400, '{"error":"no"}')
UNREACHABLE = ApiError("POST /api/admin", None, "connection reset")


class FakeApi:
    """Remembers what it is asked to do; `errors` names calls that fail, `healthy` what /health says."""

    base_url = "http://127.0.0.1:1"

    def __init__(self):
        self.calls, self.errors, self.healthy, self.specs, self.active = [], {}, [True], {}, None

    async def get(self, path):
        if path == "/health":
            healthy = self.healthy.pop(0) if len(self.healthy) > 1 else self.healthy[0]
            return Reply(200, b'{"ok":true}' if healthy else b'{"ok":false}')
        return Reply(200, b"{}")

    def __getattr__(self, name):
        async def call(*arguments, **keywords):
            self.calls.append((name, *arguments, *keywords.values()))
            errors = self.errors.get(name, [])
            if errors and (error := errors.pop(0)) is not None:
                raise error
            if name == "policies":
                return []
            if name == "active_credential":
                return self.active or next(call[1] for call in self.calls if call[0] == "activate_credential")
            if "spec" in keywords:
                self.specs[name] = keywords["spec"]
            return f"id-{len(self.calls)}"

        return call

    def called(self):
        return [call[0] for call in self.calls]


class FakeGuard:
    def __init__(self):
        self.watching = self.took_over = False

    async def watch(self, undoing):
        assert undoing[:2] == ("DELETE", "/api/admin/chaos/tool/openai")
        self.watching = True

    async def dismiss(self, _undoing=None):
        self.watching = False

    def revive(self):
        """It never dies."""

    async def hand_over(self):
        self.took_over = True


@pytest.fixture
def bench(tmp_path):
    class Bench:
        def __init__(self, folder):
            self.api, self.events, self.guard, self.is_disk_well = FakeApi(), KeptEvents(), FakeGuard(), True
            link = Link(
                base_url=self.api.base_url, timeout_s=1.0, plan=load_plan(), run_id="r1", rps=1.0,
                tell=self.events.write,
            )  # fmt: skip
            self.admin = FourRunrAdmin(link, self.api)
            self.changes = Changes(
                ChangeContext(
                    admin=self.admin, events=self.events, plan=load_plan(), guard=self.guard,
                    written_down=self.written_down, literal=LiteralChanges(link), journal=UndoJournal(folder),
                )
            )  # fmt: skip

        async def written_down(self):
            return self.is_disk_well

    return Bench(tmp_path)


def run(coroutine):
    async def main(_loop):
        return await coroutine

    return run_virtually(main)


def test_the_baseline_policies_allow_each_roles_calls_and_bound_the_chats():
    """Scopes as in the plan; the quota on chats is twice what is planned in an hour, half when it is cut."""
    assert policy_spec(load_plan(), "scraper", rps=1) == {"scopes": ["serpapi:search"]}
    assert policy_spec(load_plan(), "enricher", rps=10)["quotas"] == [
        {"action": "openai:chat", "limit": 21_600, "window": "1h"}
    ]
    cut = policy_spec(load_plan(), "enricher", rps=10, ratios={"openai:chat": 0.5})
    assert cut["quotas"][0]["limit"] == 5400


def test_credentials_are_stored_and_then_activated(bench):
    """The event has the change's key, and no secret is in it."""
    assert isinstance(CREDENTIALS, CredentialsChange)
    assert run(bench.changes.apply(CREDENTIALS, key="k"))
    assert bench.api.called() == ["set_credential", "activate_credential", "active_credential"]
    assert bench.api.calls[1][1] == "id-1"
    secret = bench.api.calls[0][3]
    assert bench.events.names() == ["HEALTH_GATE_PASSED", "CREDENTIALS_ROTATED_SUCCESSFULLY", "HEALTH_GATE_PASSED"]
    assert [key for *_, key in bench.events.written] == ["begun:k", "k", None]
    assert all(secret not in detail for _, detail, _ in bench.events.written)


def test_a_rotation_after_which_another_credential_is_active_has_failed(bench):
    """The gateway answered 200 and changed nothing."""
    bench.api.active = "the-old-one"
    assert not run(bench.changes.apply(CREDENTIALS, key="k"))
    name, detail, key = bench.events.written[-1]
    assert (name, key) == ("CHANGE_FAILED", "k")
    assert detail == (
        "rotate-credentials: POST /api/admin/creds/activate was answered with 200: "
        "but the-old-one is the credential that is active for openai"
    )


def test_a_gateway_that_cannot_say_which_credential_is_active_is_believed(bench):
    """It has no route to ask."""
    bench.api.errors = {"active_credential": [MISSING]}
    assert run(bench.changes.apply(CREDENTIALS, key="k"))


def test_a_change_that_fails_its_gate_does_not_happen(bench):
    """Nothing is sent, and the event says why."""
    bench.api.healthy = [False]
    assert not run(bench.changes.apply(CHAOS, key="k"))
    assert bench.api.called() == []
    assert bench.events.names() == ["HEALTH_GATE_FAILED"]


def test_a_gateway_that_is_unhealthy_after_a_change_is_told(bench):
    """The change stands, and its second gate is an event."""
    bench.api.healthy = [True, False]
    assert run(bench.changes.apply(CREDENTIALS, key="k"))
    assert bench.events.names()[-1] == "HEALTH_GATE_FAILED"


@pytest.mark.parametrize(("error", "name"), [(MISSING, "CHANGE_UNSUPPORTED"), (REFUSED, "CHANGE_FAILED")])
@pytest.mark.parametrize(("change", "call"), [(CREDENTIALS, "set_credential"), (CHAOS, "chaos_on")])
def test_a_missing_route_is_told_apart_from_a_refusal(bench, change, call, error, name):
    """A route that is not there makes the change unsupported; a no makes it failed."""
    bench.api.errors[call] = [error]
    assert not run(bench.changes.apply(change, key="k"))
    assert bench.events.names() == ["HEALTH_GATE_PASSED", name]
    assert not bench.guard.watching


def test_chaos_is_watched_before_it_comes_on_and_until_it_is_off(bench):
    """The guard is there first; switching off dismisses it."""
    assert isinstance(CHAOS, ChaosChange)
    assert run(bench.changes.apply(CHAOS, key="k"))
    assert bench.api.calls == [("chaos_on", "openai", "500", 50)]
    assert bench.guard.watching
    run(bench.changes.take_back(CHAOS, key="k:off"))
    assert bench.api.calls[-1] == ("chaos_off", "openai")
    assert bench.events.written[-1] == ("CHAOS_MODE_OFF", "tool=openai", "k:off")
    assert not bench.guard.watching


@pytest.mark.parametrize("error", [UNREACHABLE, ApiError("POST", 500, "no"), ApiError("POST", 200, "no JSON")])
def test_chaos_whose_answer_got_lost_may_be_on_and_is_owed_its_end(bench, error):
    """No answer, a server's error and an answer that is none may all come after it was done."""
    bench.api.errors["chaos_on"] = [error]
    assert not run(bench.changes.apply(CHAOS, key="k"))
    assert bench.events.written[-1][0] == "CHANGE_UNCERTAIN"
    assert bench.guard.watching
    assert bench.changes.may_be_on(CHAOS)
    run(bench.changes.end_all(0.6))
    assert bench.api.called() == ["chaos_on", "chaos_off"]
    assert not bench.guard.watching


def test_chaos_that_cannot_be_written_down_does_not_come_on(bench):
    """A later runner could not know that it is to be ended."""
    bench.is_disk_well = False
    assert not run(bench.changes.apply(CHAOS, key="k"))
    assert bench.api.called() == []
    assert bench.events.written[-1][0] == "CHANGE_FAILED"


def test_switching_off_is_tried_until_it_is_done_and_its_first_failure_is_said(bench):
    """Two failures and a success clear it."""
    run(bench.changes.apply(CHAOS, key="k"))
    bench.api.errors["chaos_off"] = [UNREACHABLE, UNREACHABLE]
    run(bench.changes.take_back(CHAOS, key="k:off"))
    assert bench.events.names()[-2:] == ["CHANGE_FAILED", "CHAOS_MODE_OFF"]
    assert not bench.changes.may_be_on(CHAOS)


def test_what_stays_on_at_the_end_is_handed_over_to_the_guard(bench):
    """The runner's time is over, and the debt is not."""

    async def end():
        async with asyncio.timeout(30):
            await bench.changes.end_all(1.0)

    run(bench.changes.apply(CHAOS, key="k"))
    bench.api.errors["chaos_off"] = [UNREACHABLE] * 99
    with pytest.raises(TimeoutError):
        run(end())
    assert bench.guard.took_over
    assert bench.events.names()[-1] == "CHANGE_FAILED"


def test_a_cut_halves_the_quota(bench):
    """The policy is sent with half of the chats that are planned in an hour."""
    assert isinstance(POLICY, PolicyChange)
    run(bench.admin.prepare())
    assert run(bench.changes.apply(POLICY, key="k"))
    assert bench.api.specs["update_policy"]["quotas"][0]["limit"] == 540


def test_the_runs_policies_are_removed_and_what_is_left_is_named(bench):
    """One that cannot be removed is an event with its id."""
    run(bench.admin.prepare())
    bench.api.errors["delete_policy"] = [None, REFUSED, None]
    run(bench.admin.clear())
    assert bench.events.written[-2:] == [
        ("POLICIES_REMOVED", "scraper engager", None),
        ("POLICIES_NOT_REMOVED", 'enricher=id-2 (POST /api/admin was answered with 400: {"error":"no"})', None),
    ]


def test_a_gateway_without_policies_is_no_crash(bench):
    """The missing route is said once, and the cut is unsupported too."""
    bench.api.errors["create_policy"] = [MISSING]
    run(bench.admin.prepare())
    assert not run(bench.changes.apply(POLICY, key="k"))
    assert bench.events.names() == ["CHANGE_UNSUPPORTED", "HEALTH_GATE_PASSED", "CHANGE_UNSUPPORTED"]


def test_a_resumed_run_on_a_new_gateway_is_brought_to_the_state_that_is_due(bench):
    """Credentials are rotated again and the policies are made with the cut in place."""
    done = {
        "change:0:rotate-credentials": "CREDENTIALS_ROTATED_SUCCESSFULLY", "change:1:chaos": "CHAOS_MODE_ON",
        "change:1:chaos:off": "CHAOS_MODE_OFF", "change:2:update-policy": "POLICY_UPDATED_OPENAI_QUOTA_REDUCED",
    }  # fmt: skip
    bench.events._done.update(done)
    run(bench.changes.restore(Past(segment=1, done=done), gateway_is_new=True, duration_s=86_400.0))
    run(bench.admin.prepare())
    assert bench.api.called()[:2] == ["set_credential", "activate_credential"]
    assert "chaos_off" not in bench.api.called()
    enricher = next(call for call in bench.api.calls if call[0] == "create_policy" and call[2] == "enricher")
    assert enricher[3]["quotas"][0]["limit"] == 540


@pytest.mark.parametrize("name", ["CHANGE_FAILED", "CHANGE_UNCERTAIN", "CHANGE_UNSUPPORTED", "HEALTH_GATE_FAILED"])
def test_what_was_tried_in_vain_is_not_taken_for_made(bench, name):
    """A resumed run rotates nothing and cuts nothing that is not known to have been."""
    bench.events._done.update({"change:0:rotate-credentials": name, "change:2:update-policy": name})
    run(bench.changes.restore(Past(segment=1), gateway_is_new=True, duration_s=86_400.0))
    assert bench.api.called() == []


def test_a_resumed_run_on_the_old_gateway_first_clears_chaos_and_its_old_policies(bench):
    """A policy that is gone already is no error."""
    bench.api.errors["delete_policy"] = [None, ApiError("DELETE", 404, '{"error":"Policy not found"}')]
    past = Past(segment=1, policies={"scraper": "p1", "enricher": "p2"}, may_be_on=(CHAOS,))
    run(bench.changes.restore(past, gateway_is_new=False, duration_s=86_400.0))
    assert [call for call in bench.api.calls if call[0] != "policies"] == [
        ("chaos_off", "openai"), ("delete_policy", "p1"), ("delete_policy", "p2"),
    ]  # fmt: skip
    assert bench.events.names() == ["CHAOS_MODE_OFF"]


def test_what_a_resumed_run_cannot_take_back_yet_is_guarded(bench):
    """The guard of the runner that made it may be gone: should this runner be killed as well, its own goes on."""
    bench.api.errors["chaos_off"] = [UNREACHABLE] * 99
    run(bench.changes.restore(Past(segment=1, may_be_on=(CHAOS,)), gateway_is_new=False, duration_s=86_400.0))
    assert bench.changes.may_be_on(CHAOS)
    assert bench.guard.watching
    bench.api.errors["chaos_off"] = []
    run(bench.changes.take_back(CHAOS))
    assert not bench.guard.watching


def test_a_guard_that_cannot_be_started_is_said_and_the_resumed_run_goes_on(bench, monkeypatch):
    """What is on is owed its end all the same."""

    async def refused(_undoing):
        msg = "no more processes"
        raise TargetError(msg)

    monkeypatch.setattr(bench.guard, "watch", refused)
    bench.api.errors["chaos_off"] = [UNREACHABLE] * 99
    run(bench.changes.restore(Past(segment=1, may_be_on=(CHAOS,)), gateway_is_new=False, duration_s=86_400.0))
    assert bench.events.written[-1][:2] == ("CHANGE_FAILED", "chaos: no more processes")
    assert bench.changes.may_be_on(CHAOS)


def test_a_resumed_run_whose_chaos_never_began_asks_for_no_end(bench):
    """No event without an effect."""
    run(bench.changes.restore(Past(segment=1), gateway_is_new=False, duration_s=86_400.0))
    assert bench.events.written == []
    assert "chaos_off" not in bench.api.called()


def test_the_disk_that_takes_the_journal_holds_up_no_call(bench, monkeypatch):
    """It is written to by another thread than the load's, before the gateway is asked and when the change is off."""
    seen, write = [], UndoJournal._write

    def writes(journal):
        seen.append((threading.get_ident() != threading.main_thread().ident, "chaos_on" in bench.api.called()))
        write(journal)

    monkeypatch.setattr(UndoJournal, "_write", writes)

    async def on_and_off():
        assert await bench.changes.apply(CHAOS, key="change:1:chaos")
        await bench.changes.take_back(CHAOS)

    asyncio.run(on_and_off())
    assert seen == [(True, False), (True, True)]
