"""The scheduled changes against an API that answers as told."""

import asyncio

import pytest

from soaklib.plan import ChaosChange, CredentialsChange, PolicyChange, load_plan
from soaklib.records import Expected
from soaklib.runner.api import ApiError, Reply
from soaklib.runner.changes import ChangeContext, Changes, policy_spec
from soaklib.runner.recovery import Past

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
            if name == "active_credential":
                return self.active or next(call[1] for call in self.calls if call[0] == "activate_credential")
            if "spec" in keywords:
                self.specs[name] = keywords["spec"]
            return f"id-{len(self.calls)}"

        return call

    def called(self):
        return [call[0] for call in self.calls]


class FakeEvents:
    def __init__(self):
        self.written = []

    def write(self, name, detail="", *, key=None):
        self.written.append((str(name), detail, key))

    def names(self):
        return [name for name, *_ in self.written]


class FakeGuard:
    def __init__(self):
        self.watching = False

    async def watch(self, url):
        assert url == "http://127.0.0.1:1/api/admin/chaos/tool/openai"
        self.watching = True

    async def dismiss(self):
        self.watching = False


@pytest.fixture
def bench():
    class Bench:
        api, events, guard = FakeApi(), FakeEvents(), FakeGuard()

        def __init__(self):
            self.changes = Changes(
                ChangeContext(
                    api=self.api, events=self.events, plan=load_plan(), rps=1.0, run_id="r1", guard=self.guard
                )
            )

        def expected(self):
            return self.changes.expected("enricher", "openai", "chat", Expected.ALLOW)

    for part in ("api", "events", "guard"):
        setattr(Bench, part, type(getattr(Bench, part))())
    return Bench()


def run(coroutine):
    return asyncio.run(coroutine)


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
    assert [key for *_, key in bench.events.written] == [None, "k", None]
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
    assert run(bench.changes.switch_chaos_off("openai", key="k:off"))
    assert bench.api.calls[-1] == ("chaos_off", "openai")
    assert bench.events.written[-1] == ("CHAOS_MODE_OFF", "tool=openai", "k:off")
    assert not bench.guard.watching


def test_chaos_whose_answer_got_lost_is_switched_off_all_the_same(bench):
    """No answer may mean that it is on: the clean-up clears it."""
    bench.api.errors["chaos_on"] = [UNREACHABLE]
    assert not run(bench.changes.apply(CHAOS, key="k"))
    assert bench.guard.watching
    assert run(bench.changes.switch_chaos_off())
    assert bench.api.called() == ["chaos_on", "chaos_off"]


def test_switching_off_is_tried_again_and_what_stays_on_is_said(bench, monkeypatch):
    """Two failures and a success clear it; failures without end leave the guard in place."""
    monkeypatch.setattr("soaklib.runner.changes._ROLLBACK_PAUSE_S", 0.0)
    run(bench.changes.apply(CHAOS, key="k"))
    bench.api.errors["chaos_off"] = [UNREACHABLE, UNREACHABLE]
    assert run(bench.changes.switch_chaos_off())
    run(bench.changes.apply(CHAOS, key="k"))
    bench.api.errors["chaos_off"] = [UNREACHABLE] * 99
    assert not run(bench.changes.switch_chaos_off())
    assert bench.events.names()[-1] == "CHANGE_FAILED"
    assert bench.guard.watching


def test_from_the_cut_on_chats_may_be_denied(bench):
    """Expected is `either` from before the PATCH is sent, and `allow` again when the gateway refuses it."""
    assert isinstance(POLICY, PolicyChange)
    run(bench.changes.create_policies())
    assert bench.expected() is Expected.ALLOW
    assert run(bench.changes.apply(POLICY, key="k"))
    assert bench.api.specs["update_policy"]["quotas"][0]["limit"] == 540
    assert bench.expected() is Expected.EITHER
    assert bench.changes.expected("scraper", "serpapi", "search", Expected.ALLOW) is Expected.ALLOW


def test_a_refused_cut_changes_no_expectation(bench):
    """The plan's allow stands."""
    run(bench.changes.create_policies())
    bench.api.errors["update_policy"] = [REFUSED]
    assert not run(bench.changes.apply(POLICY, key="k"))
    assert bench.expected() is Expected.ALLOW


def test_the_runs_policies_are_removed_and_what_is_left_is_named(bench):
    """One that cannot be removed is an event with its id."""
    run(bench.changes.create_policies())
    bench.api.errors["delete_policy"] = [None, REFUSED, None]
    run(bench.changes.remove_policies())
    assert bench.events.written[-2:] == [
        ("POLICIES_REMOVED", "scraper engager", None),
        ("POLICIES_NOT_REMOVED", 'enricher=id-2 (POST /api/admin was answered with 400: {"error":"no"})', None),
    ]


def test_a_gateway_without_policies_is_no_crash(bench):
    """The missing route is said once, and the cut is unsupported too."""
    bench.api.errors["create_policy"] = [MISSING]
    run(bench.changes.create_policies())
    assert not run(bench.changes.apply(POLICY, key="k"))
    assert bench.events.names() == ["CHANGE_UNSUPPORTED", "HEALTH_GATE_PASSED", "CHANGE_UNSUPPORTED"]


def test_a_resumed_run_on_a_new_gateway_is_brought_to_the_state_that_is_due(bench):
    """Credentials are rotated again and the policies are made with the cut in place."""
    past = Past(segment=1, done=frozenset({"change:0:rotate-credentials", "change:1:chaos", "change:1:chaos:off",
                                            "change:2:update-policy"}))  # fmt: skip
    run(bench.changes.restore(past, gateway_is_new=True))
    run(bench.changes.create_policies())
    assert bench.api.called()[:2] == ["set_credential", "activate_credential"]
    assert "chaos_off" not in bench.api.called()
    enricher = next(call for call in bench.api.calls if call[0] == "create_policy" and call[2] == "enricher")
    assert enricher[3]["quotas"][0]["limit"] == 540
    assert bench.expected() is Expected.EITHER


def test_a_resumed_run_on_the_old_gateway_first_clears_chaos_and_its_old_policies(bench):
    """Chaos is cleared even when no event tells of it, and a policy that is gone already is no error."""
    bench.api.errors["delete_policy"] = [None, ApiError("DELETE", 404, "Policy not found")]
    run(bench.changes.restore(Past(segment=1, policies=("p1", "p2")), gateway_is_new=False))
    assert bench.api.calls == [("chaos_off", "openai"), ("delete_policy", "p1"), ("delete_policy", "p2")]
