"""Changes by hand against a gateway that answers as told: what it answers is not taken for what it did."""

import asyncio
import json

import pytest

from soaklib.errors import SettingsError, TargetError
from soaklib.targets.fourrunr.api import ApiError, Reply
from soaklib.targets.fourrunr.byhand import ByHand
from soaklib.targets.undo import UndoLog

MISSING = b'{"message":"Route GET:/x not found","error":"Not Found","statusCode":404}'


class FakeGateway:
    """A gateway's state; `deaf` names calls that are answered with success and change nothing."""

    base_url = "http://127.0.0.1:1"

    def __init__(self):
        self.deaf, self.healthy, self.calls, self.missing = set(), [True], [], set()
        self.answers = {}
        self.chaos, self.active, self.known = {}, {"openai": "first"}, {"first"}
        self.policies = [
            {"id": "p1", "name": "r1-enricher", "active": True, "spec": spec("openai:chat", 100)},
            {"id": "p2", "name": "other", "active": True, "spec": json.dumps(spec("openai:chat", 7))},
            {"id": "p3", "name": "old", "active": False, "spec": spec("openai:chat", 9)},
            {"id": "p4", "name": "r1-scraper", "active": True, "spec": {"scopes": ["serpapi:search"]}},
        ]

    async def get(self, path):
        """GET a path."""
        status, body = (404, MISSING) if path in self.missing else self._answer(path)
        return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode())

    async def read(self, path):
        """GET a path, give the JSON."""
        reply = await self.get(path)
        if reply.status != 200:
            route = f"GET {path}"
            raise ApiError(route, reply.status, reply.body.decode())
        return json.loads(reply.body)

    def _answer(self, path):
        match path.strip("/").split("/"):
            case _ if path in self.answers:
                answer = 200, self.answers[path]
            case ["health"]:
                answer = 200, {"ok": self.healthy.pop(0) if len(self.healthy) > 1 else self.healthy[0]}
            case ["api", "admin", "chaos"]:
                pairs = [[tool, {"mode": mode, "pct": pct}] for tool, (mode, pct) in self.chaos.items()]
                answer = 200, {"activeChaos": pairs}
            case ["api", "policies", *ids]:
                found = [policy for policy in self.policies if not ids or policy["id"] == ids[0]]
                answer = 200, found[0] if ids else found
            case _:
                answer = 200, {}
        return answer

    async def chaos_on(self, *, tool, mode, pct):
        """Switch chaos on."""
        self.calls.append("chaos_on")
        if "chaos_on" not in self.deaf:
            self.chaos[tool] = (mode, pct)

    async def chaos_off(self, tool):
        """Switch chaos off."""
        self.calls.append("chaos_off")
        if "chaos_off" not in self.deaf:
            self.chaos.pop(tool, None)

    async def set_credential(self, *, tool, version, credential):  # noqa: ARG002 - as the real one
        """Take in a credential."""
        assert len(credential) > 30
        self.calls.append("set_credential")
        self.known.add(version)
        return version

    async def activate_credential(self, credential_id):
        """Activate a credential."""
        self.calls.append("activate_credential")
        if credential_id not in self.known:
            route = "POST /api/admin/creds/activate"
            raise ApiError(route, 404, '{"error":"Credential not found"}')
        if "activate_credential" not in self.deaf:
            self.active["openai"] = credential_id

    async def active_credential(self, tool):
        """Say which credential is active."""
        if (path := f"/api/admin/creds/{tool}") in self.missing:
            route = f"GET {path}"
            raise ApiError(route, 404, MISSING.decode())
        return self.active.get(tool)

    async def update_policy(self, policy_id, *, spec):
        """Replace a spec."""
        self.calls.append(f"update_policy {policy_id}")
        if "update_policy" not in self.deaf:
            [policy] = [policy for policy in self.policies if policy["id"] == policy_id]
            policy["spec"] = spec

    def limits(self):
        """Give policy -> limit."""
        specs = {policy["id"]: policy["spec"] for policy in self.policies}
        specs = {name: json.loads(one) if isinstance(one, str) else one for name, one in specs.items()}
        return {name: one["quotas"][0]["limit"] for name, one in specs.items() if "quotas" in one}


def spec(action, limit):
    """Make a policy's spec with one quota."""
    return {"scopes": [action], "guards": {"maxRequestSize": 5}, "quotas": [{"action": action, "limit": limit}]}


class Bench:
    """A gateway, and changes by hand at it."""

    def __init__(self, folder):
        self.gateway, self.notes, self.undo_path = FakeGateway(), [], folder / "state" / "changes.json"

    def do(self, method, *arguments):
        """Make a change as one command does: what was replaced is read from disk."""
        undo = UndoLog(self.undo_path, self.gateway.base_url)
        by_hand = ByHand(self.gateway, undo, lambda name, detail: self.notes.append((str(name), detail)))
        return asyncio.run(getattr(by_hand, method)(*arguments))

    def names(self):
        """Give the names of the events."""
        return [name for name, _ in self.notes]


@pytest.fixture
def bench(tmp_path):
    """A gateway to change."""
    return Bench(tmp_path)


# -- the gate


def test_a_change_stands_between_two_gates(bench):
    """Each is told, and so is the change."""
    assert bench.do("chaos_on", "openai", "500", 50).startswith("chaos is on: tool=openai mode=500 pct=50")
    assert bench.names() == ["HEALTH_GATE_PASSED", "CHAOS_MODE_ON", "HEALTH_GATE_PASSED"]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("chaos_on", ("openai", "500", 50)),
        ("rotate_credentials", ("openai",)),
        ("update_policy", ("openai", 5, None)),
    ],
)
def test_a_gateway_that_is_not_fit_is_not_changed(bench, method, arguments):
    """Nothing is sent."""
    bench.gateway.healthy = [False]
    with pytest.raises(TargetError, match="was not done, since the gateway is not fit for it: /health answered 200"):
        bench.do(method, *arguments)
    assert (bench.gateway.calls, bench.names()) == ([], ["HEALTH_GATE_FAILED"])


def test_a_gateway_that_is_not_fit_after_a_change_is_told(bench):
    """The change is told to be done."""
    bench.gateway.healthy = [True, False]
    with pytest.raises(TargetError, match=r"^chaos is on: .*; but the gateway is not fit for use after it"):
        bench.do("chaos_on", "openai", "500", 50)
    assert bench.names() == ["HEALTH_GATE_PASSED", "CHAOS_MODE_ON", "HEALTH_GATE_FAILED"]


def test_switching_chaos_off_is_never_gated(bench):
    """It is done at a gateway that is not healthy, too."""
    bench.gateway.healthy, bench.gateway.chaos = [False], {"openai": ("500", 50)}
    assert bench.do("chaos_off", "openai") == "chaos is off: openai"
    assert (bench.gateway.chaos, bench.names()) == ({}, ["CHAOS_MODE_OFF"])


def test_a_health_check_passes_or_raises(bench):
    """With what was seen."""
    assert bench.do("health_check") == "healthy and ready"
    bench.gateway.healthy = [False]
    with pytest.raises(TargetError, match="is not fit for use: /health answered 200 and is not ok"):
        bench.do("health_check")


# -- chaos


def test_chaos_that_is_on_is_not_switched_on_again(bench):
    """The same chaos once; another mode replaces it."""
    bench.do("chaos_on", "openai", "500", 50)
    assert bench.do("chaos_on", "openai", "500", 50) == "chaos is on already: tool=openai mode=500 pct=50"
    assert bench.gateway.calls == ["chaos_on"]
    bench.do("chaos_on", "openai", "jitter", 50)
    assert bench.gateway.chaos == {"openai": ("jitter", 50)}


def test_all_chaos_is_cleared_when_no_tool_is_named(bench):
    """And nothing is said to have been where there was none."""
    bench.gateway.chaos = {"serpapi": ("jitter", 10), "openai": ("500", 50)}
    assert bench.do("chaos_off", None) == "chaos is off: openai, serpapi"
    assert bench.do("chaos_off", None) == "no chaos was on"
    assert bench.names() == ["CHAOS_MODE_OFF"] * 2


def test_chaos_that_did_not_come_on_or_go_off_is_told(bench):
    """A 200 is not enough."""
    bench.gateway.deaf = {"chaos_on", "chaos_off"}
    with pytest.raises(TargetError, match=r"answered that chaos is on .* but says that it is off"):
        bench.do("chaos_on", "openai", "500", 50)
    assert bench.names()[-1] == "CHANGE_FAILED"
    bench.gateway.chaos = {"openai": ("500", 50)}
    with pytest.raises(TargetError, match="answered that chaos is off, but says that it is on for openai"):
        bench.do("chaos_off", "openai")


def test_a_gateway_that_cannot_tell_of_its_chaos_is_taken_at_its_word(bench):
    """A named tool can be cleared all the same."""
    bench.gateway.missing = {"/api/admin/chaos"}
    bench.do("chaos_on", "openai", "500", 50)
    assert bench.do("chaos_off", "openai") == "chaos is off: openai"
    with pytest.raises(SettingsError, match="cannot say where chaos is on: pass --tool"):
        bench.do("chaos_off", None)


# -- credentials


def test_the_credential_from_before_the_first_rotation_is_restored(bench):
    """However often it was rotated; restoring twice changes nothing the second time."""
    for _ in range(2):
        bench.do("rotate_credentials", "openai")
    assert bench.gateway.active["openai"].startswith("by-hand-")
    assert bench.do("restore_credentials", "openai") == "credentials restored: tool=openai id=first restored"
    assert bench.gateway.active == {"openai": "first"}
    assert bench.do("restore_credentials", "openai") == (
        "nothing to restore: the credentials of openai were not rotated by hand"
    )


def test_a_tool_without_a_credential_keeps_the_rotated_one(bench):
    """There is none to go back to, and that is said once."""
    bench.gateway.active = {}
    bench.do("rotate_credentials", "openai")
    assert bench.do("restore_credentials", "openai") == "openai had no credential before; the rotated one stays"
    assert bench.do("restore_credentials", "openai").startswith("nothing to restore")


def test_a_credential_that_is_gone_is_told(bench):
    """As after a restart of the gateway."""
    bench.do("rotate_credentials", "openai")
    bench.gateway.known.discard("first")
    with pytest.raises(TargetError, match="from before is not there any more; the rotated one stays"):
        bench.do("restore_credentials", "openai")
    assert bench.do("restore_credentials", "openai").startswith("nothing to restore")


def test_a_rotation_that_changes_nothing_is_told(bench):
    """What the gateway says is active is looked at."""
    bench.gateway.deaf = {"activate_credential"}
    with pytest.raises(TargetError, match="is active for openai, but says that first is"):
        bench.do("rotate_credentials", "openai")
    assert bench.names()[-1] == "CHANGE_FAILED"


def test_a_missing_route_is_told_as_unsupported(bench):
    """The event says so, as in a soak."""
    bench.gateway.missing = {"/api/admin/creds/openai"}
    with pytest.raises(TargetError, match="GET /api/admin/creds/openai was answered with 404"):
        bench.do("rotate_credentials", "openai")
    assert bench.names()[-1] == "CHANGE_UNSUPPORTED"


# -- policies


def test_every_active_quota_on_the_tool_is_set_and_restored(bench):
    """The rest of the spec stays; the limits from before the first change come back."""
    before = bench.gateway.limits()
    bench.do("update_policy", "openai", 50, None)
    assert bench.gateway.limits() == {"p1": 50, "p2": 50, "p3": 9}
    assert bench.gateway.policies[0]["spec"] == spec("openai:chat", 50)
    assert bench.do("update_policy", "openai", 50, None) == "the limit is 50 already"
    bench.do("update_policy", "openai", 20, None)
    assert bench.do("restore_policy", "openai") == (
        "quota restored: policy=p1 action=openai:chat limit=100; policy=p2 action=openai:chat limit=7"
    )
    assert bench.gateway.limits() == before
    assert bench.do("restore_policy", "openai") == "nothing to restore: no quota on openai was changed by hand"


def test_each_quota_of_an_action_gets_its_own_limit_back(bench):
    """One for the hour and one for the day; also of a policy that is inactive by then, and may be activated again."""
    quotas = [
        {"action": "openai:chat", "limit": 100, "window": "1h"},
        {"action": "openai:chat", "limit": 0.5, "window": "24h"},
    ]
    bench.gateway.policies[0]["spec"] = before = spec("openai:chat", 100) | {"quotas": quotas}
    bench.do("update_policy", "openai", 5, "r1")
    assert [quota["limit"] for quota in bench.gateway.policies[0]["spec"]["quotas"]] == [5, 5]
    bench.gateway.policies[0]["active"] = False
    bench.do("restore_policy", "openai")
    assert bench.gateway.policies[0]["spec"] == before


def test_events_say_whether_a_quota_was_reduced_raised_or_restored(bench):
    """By name."""
    bench.do("update_policy", "openai", 50, None)
    bench.do("restore_policy", "openai")
    assert [name for name in bench.names() if name.startswith("POLICY")] == [
        "POLICY_UPDATED_OPENAI_QUOTA_REDUCED", "POLICY_UPDATED_OPENAI_QUOTA_RAISED",
        "POLICY_UPDATED_OPENAI_QUOTA_RESTORED", "POLICY_UPDATED_OPENAI_QUOTA_RESTORED",
    ]  # fmt: skip


def test_only_the_runs_own_policies_are_changed_with_a_run(bench):
    """Others of the same role are not its business."""
    bench.do("update_policy", "openai", 50, "r1")
    assert bench.gateway.limits() == {"p1": 50, "p2": 7, "p3": 9}


def test_a_policy_that_is_gone_is_not_restored(bench):
    """Its quota went with it."""
    bench.do("update_policy", "openai", 50, "r1")
    bench.gateway.policies = bench.gateway.policies[1:]
    assert bench.do("restore_policy", "openai") == "nothing to restore: the policies are gone"


def test_no_quota_to_change_is_told(bench):
    """Nothing is sent."""
    with pytest.raises(TargetError, match="no policy has a quota on an action of serpapi: nothing was changed"):
        bench.do("update_policy", "serpapi", 5, None)
    assert bench.gateway.calls == []


def test_a_policy_that_did_not_change_is_told(bench):
    """The limit that the gateway then has is looked at."""
    bench.gateway.deaf = {"update_policy"}
    with pytest.raises(
        TargetError, match=r"policy p1 was changed, but says that its limits are \{'openai:chat': 100\}"
    ):
        bench.do("update_policy", "openai", 50, None)


# -- answers that are not what they must be


def _told(bench, method, *arguments):
    with pytest.raises(ApiError) as caught:
        bench.do(method, *arguments)
    assert caught.value.status == 200
    return str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        [], 7, "no", {"activeChaos": {}}, {"activeChaos": None}, {"activeChaos": ["openai"]},
        {"activeChaos": [["openai"]]}, {"activeChaos": [["openai", {}]]}, {"activeChaos": [[1, {"mode": "500"}]]},
        {"activeChaos": [["openai", {"mode": "500", "pct": "many"}]]},
        {"activeChaos": [["\x1b[31m", {"mode": "500", "pct": 5}]]},
    ],
)  # fmt: skip
def test_chaos_that_is_told_in_another_form_is_an_error_of_the_answer(bench, answer):
    """With the route and the status, whatever the JSON is; a tool that is named is switched off all the same."""
    bench.gateway.answers["/api/admin/chaos"] = answer
    for method, arguments in (("chaos_on", ("openai", "500", 50)), ("chaos_off", (None,)), ("chaos_off", ("openai",))):
        assert _told(bench, method, *arguments).startswith("GET /api/admin/chaos was answered with 200: but ")
    assert bench.gateway.calls == ["chaos_off"]


def policy(**other):
    """Make a list with one policy, which is as it should be but for what is given."""
    return [{"id": "p1", "name": "r1-enricher", "active": True, "spec": spec("openai:chat", 100)} | other]


@pytest.mark.parametrize(
    "answer",
    [
        {}, 7, ["p1"], [None], [{"name": "x"}], policy(id=None), policy(id=["p"]), policy(id="p\n1"), policy(id=""),
        policy(spec=7), policy(spec="{"), policy(spec="[1]"), policy(spec={"quotas": 1}),
        policy(spec={"quotas": ["a"]}), policy(spec={"quotas": [{"limit": 1}]}),
        policy(spec={"quotas": [{"action": "openai:chat"}]}), policy(spec={"quotas": [{"action": 1, "limit": 1}]}),
        policy(spec={"quotas": [{"action": "openai:chat", "limit": None}]}), policy(name=5), policy(active="perhaps"),
        policy(id="p" * 10_000),
    ],
)  # fmt: skip
def test_policies_that_are_told_in_another_form_are_an_error_of_the_answer(bench, answer):
    """Nothing is changed, and nothing else is raised."""
    bench.gateway.answers["/api/policies"] = answer
    assert _told(bench, "update_policy", "openai", 5, None).startswith("GET /api/policies was answered with 200: but ")
    assert (bench.gateway.calls, bench.names()[-1]) == ([], "CHANGE_FAILED")


def test_a_policy_with_a_number_for_an_id_is_changed(bench):
    """Some gateways count them."""
    bench.gateway.policies = [{"id": "7", "name": "x", "spec": spec("openai:chat", 100)}]  # as it stands in a path
    bench.gateway.answers["/api/policies"] = policy(id=7)
    assert bench.do("update_policy", "openai", 5, None).startswith("quota changed: policy=7 action=openai:chat limit=5")
