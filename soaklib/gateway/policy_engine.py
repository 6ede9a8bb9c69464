"""What the policies decide on a call: scope, intent, guards, schedule, quotas, in this order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import orjson

from soaklib.gateway.agents import Agent
from soaklib.gateway.clock import Clock, iso_utc
from soaklib.gateway.policies import PolicyBook
from soaklib.gateway.policy_spec import AllowedHours, PolicySpec, ResponseFilters, Schedule, TimeWindow, merge_specs
from soaklib.gateway.quota import QuotaCounters, QuotaKey
from soaklib.gateway.records import Reason

NO_POLICY = "default"
"""What a decision is logged under when no policy holds for the agent."""


class Denial(NamedTuple):
    """A refusal: its kind, the sentence for the caller, and what the policy log says."""

    kind: Reason
    sentence: str
    log_reason: str


@dataclass(frozen=True, slots=True)
class _QuotaRule:
    key: QuotaKey
    limit: float


@dataclass(slots=True)
class EffectivePolicy:
    """The policies of one agent, merged and prepared for fast decisions."""

    spec: PolicySpec
    source_ids: list[str]
    scopes: frozenset[str]
    quotas: dict[str, list[_QuotaRule]] = field(default_factory=dict)

    @property
    def log_id(self) -> str:
        """The policy a decision is logged under."""
        return self.source_ids[0] if self.source_ids else NO_POLICY

    @property
    def filters(self) -> ResponseFilters | None:
        """What is taken out of answers."""
        return self.spec.response_filters


class PolicyEngine:
    """Decides on calls.

    Parameters
    ----------
    book
        The policies.
    quotas
        Their counters.
    clock
        Gives the wall time that guards and schedules go by.
    """

    def __init__(self, book: PolicyBook, quotas: QuotaCounters, clock: Clock) -> None:
        self._book = book
        self._quotas = quotas
        self._clock = clock
        self._effective: dict[str, EffectivePolicy] = {}
        self._version = book.version

    def effective(self, agent: Agent) -> EffectivePolicy:
        """Return the merged policies of an agent; merged once for every change of the policies."""
        if self._version != self._book.version:
            self._effective.clear()
            self._version = self._book.version
        policy = self._effective.get(agent.agent_id)
        if policy is None:
            policy = self._effective[agent.agent_id] = self._merge(agent)
        return policy

    def decide(self, policy: EffectivePolicy, tool: str, action: str, params: Mapping[str, object]) -> Denial | None:
        """Return why a call is refused, or None; an allowed call is counted in its quotas."""
        scope = f"{tool}:{action}"
        if scope not in policy.scopes:
            return self.scope_denial(policy, scope)
        return self.decide_in_scope(policy, tool, action, params)

    def scope_denial(self, policy: EffectivePolicy, scope: str) -> Denial:
        """Return the refusal of a scope."""
        allowed = ", ".join(policy.spec.scopes)
        return Denial(Reason.SCOPE, f"Scope '{scope}' not allowed. Allowed scopes: {allowed}", "scope_not_allowed")

    def decide_in_scope(
        self, policy: EffectivePolicy, tool: str, action: str, params: Mapping[str, object]
    ) -> Denial | None:
        """Return why a call is refused although its scope is allowed, or None."""
        spec = policy.spec
        intent = params.get("intent")
        if spec.intent and intent and intent != spec.intent:
            sentence = f"Intent mismatch. Required: {spec.intent}, provided: {intent}"
            return Denial(Reason.INTENT, sentence, "intent_mismatch")
        if spec.guards is not None:
            denial = self._guard(spec, tool, action, params)
            if denial is not None:
                return denial
        if spec.schedule is not None and spec.schedule.enabled:
            denial = self._outside_schedule(spec.schedule)
            if denial is not None:
                return denial
        rules = policy.quotas.get(f"{tool}:{action}")
        return self._count(rules) if rules else None

    def _merge(self, agent: Agent) -> EffectivePolicy:
        sources = self._book.governing(agent)
        spec = merge_specs(source.spec for source in sources)
        policy = EffectivePolicy(spec, [source.policy_id for source in sources], frozenset(spec.scopes))
        for source in sources:
            for quota in source.spec.quotas or ():
                rule = _QuotaRule(QuotaKey(source.policy_id, quota.action, quota.window), quota.limit)
                policy.quotas.setdefault(quota.action, []).append(rule)
        return policy

    def _guard(self, spec: PolicySpec, tool: str, action: str, params: Mapping[str, object]) -> Denial | None:
        guards = spec.guards
        if guards is None:
            return None
        if guards.max_request_size:
            size = len(orjson.dumps(params).decode())
            if size > guards.max_request_size:
                sentence = f"Request size {size} exceeds limit {guards.max_request_size:g}"
                return Denial(Reason.SIZE, sentence, sentence)
        if (tool, action) == ("http_fetch", "get"):
            problem = _domain_problem(guards.allowed_domains, guards.blocked_domains, params.get("url"))
            if problem is not None:
                return Denial(Reason.DOMAIN, problem, problem)
        return self._outside_window(guards.time_window) if guards.time_window is not None else None

    def _now(self, timezone: str | None) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), ZoneInfo(timezone or "UTC"))

    def _outside_window(self, window: TimeWindow) -> Denial | None:
        time = self._now(window.timezone).strftime("%H:%M")
        if window.start and time < window.start:
            sentence = f"Request time {time} before allowed start time {window.start}"
        elif window.end and time > window.end:
            sentence = f"Request time {time} after allowed end time {window.end}"
        else:
            return None
        return Denial(Reason.TIME_WINDOW, sentence, sentence)

    def _outside_schedule(self, schedule: Schedule) -> Denial | None:
        now = self._now(schedule.timezone)
        day = now.isoweekday() % 7  # 0 is Sunday
        if schedule.allowed_days is not None and day not in schedule.allowed_days:
            sentence = f"Day {day} not in allowed days: {', '.join(map(str, schedule.allowed_days))}"
            return Denial(Reason.DAY, sentence, sentence)
        hours = schedule.allowed_hours
        return _outside_hours(hours, now.hour) if hours is not None else None

    def _count(self, rules: list[_QuotaRule]) -> Denial | None:
        # All quotas are looked at before any is counted: a refused call uses up none of them.
        for rule in rules:
            use = self._quotas.use(rule.key)
            if use.used >= rule.limit:
                sentence = (
                    f"Quota exceeded for {rule.key.action}: {use.used}/{rule.limit:g} "
                    f"(resets at {iso_utc(use.resets_at_s)})"
                )
                return Denial(Reason.QUOTA, sentence, sentence)
        for key in dict.fromkeys(rule.key for rule in rules):  # two limits of one window share its counter
            self._quotas.count(key)
        return None


def _outside_hours(hours: AllowedHours, hour: int) -> Denial | None:
    if hours.start is not None and hour < hours.start:
        sentence = f"Current hour {hour} before allowed start hour {hours.start}"
    elif hours.end is not None and hour > hours.end:
        sentence = f"Current hour {hour} after allowed end hour {hours.end}"
    else:
        return None
    return Denial(Reason.HOUR, sentence, sentence)


def _domain_problem(allowed: list[str] | None, blocked: list[str] | None, url: object) -> str | None:
    if not isinstance(url, str):
        return None  # the parameter check has the better answer
    try:
        domain = urlsplit(url).hostname
    except ValueError:
        return None
    if not domain:
        return None
    if blocked and domain in blocked:
        return f"Domain {domain} is blocked"
    if allowed is not None and domain not in allowed:
        return f"Domain {domain} not in allowed list: {', '.join(allowed)}"
    return None
