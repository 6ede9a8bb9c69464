"""The metrics of the gateway, as documented, beside the standard process_* ones.

=======================================  =======================  ==============================================
name                                     labels                   counts
=======================================  =======================  ==============================================
gateway_requests_total                   tool, action, code       executed calls: 200 (cache hits too) and 502
gateway_request_duration_ms              tool, action             the same calls, milliseconds in the gateway
gateway_cache_hits_total                 tool                     calls answered from the cache
gateway_retries_total                    tool, action             attempts after the first
gateway_breaker_fastfail_total           tool                     calls refused by an open breaker (in 502 too)
gateway_breaker_state                    tool                     0 closed, 1 half-open, 2 open
gateway_policy_denials_total             kind                     403 ``Policy denied``
gateway_token_generations_total          none                     tokens issued
gateway_token_validations_total          none                     calls whose token had a good signature
gateway_token_expirations_total          none                     403 ``Token expired``
gateway_agent_creations_total            none                     agents made
gateway_chaos_injections_total           tool, error_type         chaos switched on
gateway_chaos_clearings_total            tool                     chaos switched off
gateway_process_start_time_seconds       none                     when the memory of the gateway began
=======================================  =======================  ==============================================

So validations = denials + expirations + agent not found + refused parameters + 429 + executed.
"""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from soaklib.gateway.breaker import BreakerState
from soaklib.gateway.records import DENIAL_KINDS, Reason
from soaklib.gateway.tools import TOOL_ACTIONS

BUCKETS_MS = (25, 50, 100, 200, 400, 800, 1_600, 3_200, 6_400)
"""Upper bounds of the duration histogram; +Inf follows."""


class Metrics(Protocol):
    """What the gateway tells its metrics; the well-formed and the malformed exposition both take it."""

    def agent_created(self, agent_id: str) -> None:
        """Count an agent."""

    def token_generated(self, agent_id: str) -> None:
        """Count an issued token."""

    def token_validated(self, agent_id: str, *, success: bool) -> None:
        """Count a token whose signature was good; without success its payload could not be read."""

    def token_expired(self, agent_id: str) -> None:
        """Count a call with an expired token."""

    def policy_denied(self, kind: Reason, agent_id: str, tool: str, action: str) -> None:
        """Count a denial."""

    def chaos_injected(self, tool: str, mode: str) -> None:
        """Count chaos switched on."""

    def chaos_cleared(self, tool: str) -> None:
        """Count chaos switched off."""

    def executed(self, tool: str, action: str, code: int, duration_ms: float, increments: int) -> None:
        """Count an executed call ``increments`` times (1, unless a fault lies) and observe its duration once."""

    def cache_hit(self, tool: str) -> None:
        """Count an answer from the cache."""

    def retried(self, tool: str, action: str) -> None:
        """Count a further attempt."""

    def fast_failed(self, tool: str) -> None:
        """Count a call that an open breaker refused."""

    def breaker_state(self, tool: str, state: BreakerState) -> None:
        """Show the state of a breaker."""

    def render(self) -> bytes:
        """Return the exposition."""


class _Process(ProcessCollector):
    """The process metrics; after a simulated restart its start time and its CPU time begin anew as well."""

    def __init__(self, started_at_s: float, *, restarted: bool) -> None:
        super().__init__(registry=None)
        self._started_at_s = started_at_s
        self._cpu_before_s = 0.0
        if restarted:
            self._cpu_before_s = sum(
                family.samples[0].value for family in super().collect() if family.name == "process_cpu_seconds"
            )
        self._restarted = restarted

    def collect(self) -> Iterable[Metric]:
        for family in super().collect():
            if self._restarted and family.name == "process_start_time_seconds":
                yield GaugeMetricFamily(family.name, family.documentation, value=self._started_at_s)
            elif self._restarted and family.name == "process_cpu_seconds":
                cpu_s = family.samples[0].value - self._cpu_before_s
                yield CounterMetricFamily(family.name, family.documentation, value=cpu_s)
            else:
                yield family


class _WithoutCreated(Collector):
    """A registry without the ``_created`` series, which would otherwise be switched off for the whole process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class PrometheusMetrics:
    """The documented metrics, in a registry of their own.

    Children are made once and kept: ``labels()`` costs more than the increment.

    Parameters
    ----------
    started_at_s
        When the memory of the gateway began, epoch seconds.
    restarted
        Whether that was a simulated restart.
    """

    def __init__(self, started_at_s: float, *, restarted: bool = False) -> None:
        registry = CollectorRegistry()
        self._exposition = _WithoutCreated(registry)
        registry.register(_Process(started_at_s, restarted=restarted))
        start = Gauge(
            "gateway_process_start_time_seconds", "Start of the process, seconds since the epoch.", registry=registry
        )
        start.set(started_at_s)
        counter, gauge = Counter, Gauge
        requests = counter("gateway_requests", "Executed calls.", ["tool", "action", "code"], registry=registry)
        duration = Histogram(
            "gateway_request_duration_ms",
            "Time of executed calls in the gateway, milliseconds.",
            ["tool", "action"],
            buckets=BUCKETS_MS,
            registry=registry,
        )
        hits = counter("gateway_cache_hits", "Calls answered from the cache.", ["tool"], registry=registry)
        retries = counter("gateway_retries", "Attempts after the first.", ["tool", "action"], registry=registry)
        fast_fails = counter(
            "gateway_breaker_fastfail", "Calls refused by an open breaker.", ["tool"], registry=registry
        )
        states = gauge("gateway_breaker_state", "0 closed, 1 half-open, 2 open.", ["tool"], registry=registry)
        denials = counter("gateway_policy_denials", "Calls denied by policy.", ["kind"], registry=registry)
        self._generations = counter("gateway_token_generations", "Tokens issued.", registry=registry)
        self._validations = counter("gateway_token_validations", "Calls with a well-signed token.", registry=registry)
        self._expirations = counter("gateway_token_expirations", "Calls with an expired token.", registry=registry)
        self._agents = counter("gateway_agent_creations", "Agents made.", registry=registry)
        self._injections = counter(
            "gateway_chaos_injections", "Chaos switched on.", ["tool", "error_type"], registry=registry
        )
        self._clearings = counter("gateway_chaos_clearings", "Chaos switched off.", ["tool"], registry=registry)

        calls = [(tool, action) for tool, actions in TOOL_ACTIONS.items() for action in actions]
        self._requests = {(*call, code): requests.labels(*call, str(code)) for call in calls for code in (200, 502)}
        self._duration = {call: duration.labels(*call) for call in calls}
        self._retries = {call: retries.labels(*call) for call in calls}
        self._hits = {tool: hits.labels(tool) for tool in TOOL_ACTIONS}
        self._fast_fails = {tool: fast_fails.labels(tool) for tool in TOOL_ACTIONS}
        self._states = {tool: states.labels(tool) for tool in TOOL_ACTIONS}
        self._denials = {kind: denials.labels(kind.value) for kind in DENIAL_KINDS}

    def agent_created(self, agent_id: str) -> None:  # noqa: ARG002 - an agent label would grow without bound
        """Count an agent."""
        self._agents.inc()

    def token_generated(self, agent_id: str) -> None:  # noqa: ARG002 - the same
        """Count an issued token."""
        self._generations.inc()

    def token_validated(self, agent_id: str, *, success: bool) -> None:  # noqa: ARG002 - the same
        """Count a token whose signature was good."""
        self._validations.inc()

    def token_expired(self, agent_id: str) -> None:  # noqa: ARG002 - the same
        """Count a call with an expired token."""
        self._expirations.inc()

    def policy_denied(self, kind: Reason, agent_id: str, tool: str, action: str) -> None:  # noqa: ARG002 - the same
        """Count a denial by its kind."""
        self._denials[kind].inc()

    def chaos_injected(self, tool: str, mode: str) -> None:
        """Count chaos switched on."""
        self._injections.labels(tool, mode).inc()

    def chaos_cleared(self, tool: str) -> None:
        """Count chaos switched off."""
        self._clearings.labels(tool).inc()

    def executed(self, tool: str, action: str, code: int, duration_ms: float, increments: int) -> None:
        """Count an executed call and observe its duration."""
        self._requests[tool, action, code].inc(increments)
        self._duration[tool, action].observe(duration_ms)

    def cache_hit(self, tool: str) -> None:
        """Count an answer from the cache."""
        self._hits[tool].inc()

    def retried(self, tool: str, action: str) -> None:
        """Count a further attempt."""
        self._retries[tool, action].inc()

    def fast_failed(self, tool: str) -> None:
        """Count a call that an open breaker refused."""
        self._fast_fails[tool].inc()

    def breaker_state(self, tool: str, state: BreakerState) -> None:
        """Show the state of a breaker."""
        self._states[tool].set(state)

    def render(self) -> bytes:
        """Return the exposition, format 0.0.4."""
        return generate_latest(self._exposition)
