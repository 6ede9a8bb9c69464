from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from soaklib.gateway.agents import Agent
from soaklib.gateway.policies import PolicyBook, PolicyChange
from soaklib.gateway.policy_engine import PolicyEngine
from soaklib.gateway.policy_spec import PolicySpec, merge_specs, spec_to_wire
from soaklib.gateway.quota import QuotaCounters
from soaklib.gateway.records import Reason

AGENT = Agent("id", "n", "r", "c", 0.0)
GET = ("http_fetch", "get")


class Rules:
    """An engine and its policies."""

    def __init__(self, time):
        clock = time.clock()
        self.book = PolicyBook(clock)
        self.engine = PolicyEngine(self.book, QuotaCounters(speed=1.0, wall=time.wall), clock)

    def add(self, *, role="r", agent_id=None, **spec):
        """Make a policy."""
        spec = PolicySpec.model_validate({"scopes": ["http_fetch:get"]} | spec)
        role = None if agent_id else role
        return self.book.create(name="p", description=None, role=role, agent_id=agent_id, spec=spec)

    def decide(self, params=None, call=GET, agent=AGENT):
        """Return the denial of a call, or None."""
        return self.engine.decide(self.engine.effective(agent), *call, params or {})

    def sentence(self, params=None, call=GET):
        """Return the kind and the sentence of a denial, or None."""
        denial = self.decide(params, call)
        return None if denial is None else (denial.kind, denial.sentence)


@pytest.fixture
def rules(fake_time):
    """Return an engine without policies; its day is Wednesday 2026-11-18, 11:06 UTC."""
    return Rules(fake_time)


def test_nothing_is_allowed_without_a_policy(rules):
    """A fresh gateway denies everything, with an empty list of scopes."""
    assert rules.sentence() == (Reason.SCOPE, "Scope 'http_fetch:get' not allowed. Allowed scopes: ")


def test_scopes_are_exact(rules):
    """A scope allows its tool and action and no other."""
    rules.add(scopes=["http_fetch:get", "openai:chat"])
    assert rules.decide() is None
    expected = "Scope 'http_fetch:head' not allowed. Allowed scopes: http_fetch:get, openai:chat"
    assert rules.sentence(call=("http_fetch", "head")) == (Reason.SCOPE, expected)


def test_another_role_is_not_covered(rules):
    """A policy of one role does not hold for an agent of another."""
    rules.add(role="other")
    assert rules.decide().kind is Reason.SCOPE


@pytest.mark.parametrize(("params", "denied"), [({}, False), ({"intent": "sell"}, False), ({"intent": "spy"}, True)])
def test_an_intent_has_to_match_when_it_is_given(rules, params, denied):
    """A call without an intent passes; one with another intent is refused."""
    rules.add(intent="sell")
    expected = (Reason.INTENT, "Intent mismatch. Required: sell, provided: spy") if denied else None
    assert rules.sentence(params) == expected


def test_request_size_counts_compact_json(rules):
    """The size is that of the compact JSON of the parameters; the limit itself is still allowed."""
    rules.add(guards={"maxRequestSize": 20})
    assert rules.decide({"a": "x" * 12}) is None
    assert rules.sentence({"a": "x" * 13}) == (Reason.SIZE, "Request size 21 exceeds limit 20")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://good.com/x", None),
        ("https://bad.com/x", "Domain bad.com is blocked"),
        ("https://sub.good.com/x", "Domain sub.good.com not in allowed list: good.com, bad.com"),
        ("not a url", None),
    ],
)
def test_domains_are_exact_hosts(rules, url, sentence):
    """A blocked host is refused first, then a host outside the list; what has no host is for the parameter check."""
    rules.add(guards={"allowedDomains": ["good.com", "bad.com"], "blockedDomains": ["bad.com"]})
    assert rules.sentence({"url": url}) == (None if sentence is None else (Reason.DOMAIN, sentence))


def test_domains_guard_get_only(rules):
    """As there, a head request is not looked at."""
    rules.add(scopes=["http_fetch:head"], guards={"blockedDomains": ["bad.com"]})
    assert rules.decide({"url": "https://bad.com"}, call=("http_fetch", "head")) is None


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        ({"start": "11:06", "end": "11:06"}, None),
        ({"start": "11:07"}, "Request time 11:06 before allowed start time 11:07"),
        ({"end": "11:05"}, "Request time 11:06 after allowed end time 11:05"),
        ({"end": "11:05", "timezone": "America/New_York"}, None),
        ({"start": "06:07", "timezone": "America/New_York"}, "Request time 06:06 before allowed start time 06:07"),
    ],
)
def test_a_time_window_in_its_timezone(rules, window, sentence):
    """Both ends are allowed, in the window's timezone, UTC by default."""
    rules.add(guards={"timeWindow": window})
    assert rules.sentence() == (None if sentence is None else (Reason.TIME_WINDOW, sentence))


@pytest.mark.parametrize(
    ("schedule", "denial"),
    [
        ({"allowedDays": [3]}, None),
        ({"allowedDays": [1, 2]}, (Reason.DAY, "Day 3 not in allowed days: 1, 2")),
        ({"allowedDays": [1, 2], "enabled": False}, None),
        ({"allowedDays": [4], "timezone": "Pacific/Kiritimati"}, None),
        ({"allowedHours": {"start": 11, "end": 11}}, None),
        ({"allowedHours": {"start": 12}}, (Reason.HOUR, "Current hour 11 before allowed start hour 12")),
        ({"allowedHours": {"end": 10}}, (Reason.HOUR, "Current hour 11 after allowed end hour 10")),
        ({"allowedHours": {"end": 0}}, (Reason.HOUR, "Current hour 11 after allowed end hour 0")),
    ],
)
def test_a_schedule_in_its_timezone(rules, schedule, denial):
    """Days count from Sunday 0; first and last hour are allowed; a disabled schedule allows everything."""
    rules.add(schedule=schedule)
    assert rules.sentence() == denial


def test_sunday_is_day_0(rules, fake_time):
    """On a Sunday the day is 0, not 7."""
    rules.add(schedule={"allowedDays": [0]})
    assert rules.decide().kind is Reason.DAY
    fake_time.now_s += 4 * 86_400.0
    assert rules.decide() is None


def test_a_quota_is_shared_by_the_role(rules):
    """Two agents of a role use up the same quota; the reset is on the full hour."""
    rules.add(quotas=[{"action": "http_fetch:get", "limit": 3, "window": "1h"}])
    other = Agent("id2", "n", "r", "c", 0.0)
    assert [rules.decide(agent=agent) for agent in (AGENT, other, AGENT)] == [None, None, None]
    resets_at = datetime(2026, 11, 18, 12, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    expected = (Reason.QUOTA, f"Quota exceeded for http_fetch:get: 3/3 (resets at {resets_at})")
    assert rules.sentence() == expected


def test_lowering_a_limit_keeps_the_count(rules):
    """Calls made under the old limit count against the new one."""
    quota = {"action": "http_fetch:get", "limit": 10, "window": "1h"}
    policy = rules.add(quotas=[quota])
    for _ in range(4):
        rules.decide()
    spec = PolicySpec.model_validate({"scopes": ["http_fetch:get"], "quotas": [quota | {"limit": 2}]})
    rules.book.change(policy, PolicyChange(spec=spec))
    assert rules.decide().sentence.startswith("Quota exceeded for http_fetch:get: 4/2 ")


def test_a_call_is_counted_once_under_two_limits_of_one_window(rules):
    """The tighter one lets through what it says, not half of it."""
    rules.add(quotas=[{"action": "http_fetch:get", "limit": limit, "window": "1h"} for limit in (4, 5)])
    assert [rules.decide() for _ in range(4)] == [None] * 4
    assert rules.sentence()[1].startswith("Quota exceeded for http_fetch:get: 4/4 (resets at")


def test_a_refused_call_uses_up_no_quota(rules):
    """Of two quotas the wider one is not counted when the tighter one refuses."""
    limits = [("24h", 2), ("1h", 1)]
    rules.add(quotas=[{"action": "http_fetch:get", "limit": limit, "window": window} for window, limit in limits])
    for _ in range(5):
        rules.decide()
    assert [counter.used for counter in rules.engine._quotas._counters.values()] == [1, 1]


def test_another_action_is_not_counted(rules):
    """A quota counts its own action only."""
    rules.add(scopes=["http_fetch:get", "openai:chat"], quotas=[{"action": "openai:chat", "limit": 0, "window": "1h"}])
    assert rules.decide() is None
    assert rules.decide(call=("openai", "chat")).kind is Reason.QUOTA


def test_the_checks_come_in_their_order(rules):
    """Scope, intent, size, domain, time, day, quota: the first that refuses gives the reason."""
    guards = {"maxRequestSize": 1, "blockedDomains": ["b.com"], "timeWindow": {"start": "23:00"}}
    quotas = [{"action": "http_fetch:get", "limit": 0, "window": "1h"}]
    policy = rules.add(intent="x", guards=guards, schedule={"allowedDays": []}, quotas=quotas)
    params = {"intent": "y", "url": "https://b.com"}
    kinds = [rules.decide(params, call=("openai", "chat")).kind]
    for change in (
        "intent",
        "guards.max_request_size",
        "guards.blocked_domains",
        "guards.time_window",
        "schedule",
        None,
    ):
        kinds.append(rules.decide(params).kind)
        if change is not None:
            part, _, name = change.partition(".")
            value = policy.spec.guards.model_copy(update={name: None}) if name else None
            rules.book.change(policy, PolicyChange(spec=policy.spec.model_copy(update={part: value})))
    expected = [Reason.SCOPE, Reason.INTENT, Reason.SIZE, Reason.DOMAIN, Reason.TIME_WINDOW, Reason.DAY, Reason.QUOTA]
    assert kinds == expected


def test_an_inactive_policy_does_not_hold(rules):
    """Switching a policy off denies what it allowed, at once."""
    policy = rules.add()
    assert rules.decide() is None
    rules.book.change(policy, PolicyChange(active=False))
    assert rules.decide().kind is Reason.SCOPE


def test_merging_unites_lists_and_later_values_win():
    """Scopes, domains and filters are united, quotas joined; intent, schedule and sizes are those of the later spec."""
    first = PolicySpec.model_validate(
        {
            "scopes": ["a:a", "b:b"],
            "intent": "one",
            "guards": {"maxRequestSize": 1, "allowedDomains": ["x"], "timeWindow": {"start": "01:00"}},
            "quotas": [{"action": "a:a", "limit": 1, "window": "1h"}],
            "schedule": {"allowedDays": [1]},
            "responseFilters": {"redactFields": ["k"]},
        }
    )
    second = PolicySpec.model_validate(
        {
            "scopes": ["b:b", "c:c"],
            "guards": {"maxRequestSize": 2, "allowedDomains": ["y"]},
            "quotas": [{"action": "b:b", "limit": 2, "window": "24h", "resetStrategy": "fixed"}],
            "responseFilters": {"redactFields": ["l"], "blockPatterns": ["z"]},
        }
    )
    assert spec_to_wire(merge_specs([first, second])) == {
        "scopes": ["a:a", "b:b", "c:c"],
        "intent": "one",
        "guards": {"maxRequestSize": 2, "allowedDomains": ["x", "y"], "timeWindow": {"start": "01:00"}},
        "quotas": [
            {"action": "a:a", "limit": 1, "window": "1h", "resetStrategy": "sliding"},
            {"action": "b:b", "limit": 2, "window": "24h", "resetStrategy": "fixed"},
        ],
        "schedule": {"enabled": True, "timezone": "UTC", "allowedDays": [1]},
        "responseFilters": {"redactFields": ["k", "l"], "blockPatterns": ["z"]},
    }


def test_an_agents_own_policy_comes_first(rules):
    """The merged policy names the agent's own policy before that of its role."""
    of_role, own = rules.add(), rules.add(agent_id="id", scopes=["openai:chat"])
    effective = rules.engine.effective(AGENT)
    assert effective.source_ids == [own.policy_id, of_role.policy_id]
    assert effective.scopes == {"openai:chat", "http_fetch:get"}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"scopes": []},
        {"scopes": "a:a"},
        {"scopes": ["a"], "quotas": [{"action": "a", "limit": -1, "window": "1h"}]},
        {"scopes": ["a"], "quotas": [{"action": "a", "limit": 1, "window": "2h"}]},
        {"scopes": ["a"], "schedule": {"timezone": "Mars/Base"}},
        {"scopes": ["a"], "schedule": {"allowedDays": [7]}},
        {"scopes": ["a"], "guards": {"timeWindow": {"start": "25:00"}}},
    ],
)
def test_a_spec_that_means_nothing_is_refused(spec):
    """What the schema does not know is an error; unknown keys are dropped."""
    with pytest.raises(ValidationError):
        PolicySpec.model_validate(spec)
    assert spec_to_wire(PolicySpec.model_validate({"scopes": ["a"], "more": 1})) == {"scopes": ["a"]}
