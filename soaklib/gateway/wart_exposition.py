"""The metrics of the real gateway with all their warts, byte for byte in its format.

Counters end in ``_total_total``; HELP and TYPE stand before every sample; the ``le`` of a bucket stands outside
the braces and there is no +Inf; label values are not escaped; blank lines separate the sections and no newline
ends the text. Every 200 is counted twice, every 502 once. Durations are whole milliseconds.
"""

from soaklib.gateway.breaker import BreakerState
from soaklib.gateway.metrics import BUCKETS_MS
from soaklib.gateway.records import Reason


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


class WartMetrics:
    """Counters in the order of their first increment, as there.

    Parameters
    ----------
    started_at_s
        When the memory of the gateway began, epoch seconds.
    """

    def __init__(self, started_at_s: float) -> None:
        self._started_at_s = started_at_s
        self._counters: dict[tuple[str, str], int] = {}
        self._histograms: dict[str, _Histogram] = {}
        self._states: dict[str, BreakerState] = {}

    def agent_created(self, agent_id: str) -> None:
        """Count an agent."""
        self._add("agent_creations", _labels(agent_id=agent_id))

    def token_generated(self, agent_id: str) -> None:
        """Count an issued token."""
        self._add("token_generations", _labels(agent_id=agent_id))

    def token_validated(self, agent_id: str, *, success: bool) -> None:
        """Count a token whose signature was good."""
        self._add("token_validations", _labels(agent_id=agent_id, success=str(success).lower()))

    def token_expired(self, agent_id: str) -> None:
        """Count a call with an expired token."""
        self._add("token_expirations", _labels(agent_id=agent_id))

    def policy_denied(self, kind: Reason, agent_id: str, tool: str, action: str) -> None:  # noqa: ARG002 - a wart
        """Count a denial; the kind is lost."""
        self._add("policy_denials", _labels(agent_id=agent_id, tool=tool, action=action))

    def chaos_injected(self, tool: str, mode: str) -> None:
        """Count chaos switched on."""
        self._add("chaos_injections", _labels(tool=tool, error_type=mode))

    def chaos_cleared(self, tool: str) -> None:
        """Count chaos switched off."""
        self._add("chaos_clearings", _labels(tool=tool))

    def executed(self, tool: str, action: str, code: int, duration_ms: float, increments: int) -> None:
        """Count an executed call, a success twice, and observe its duration."""
        times = 2 if code == 200 else 1  # noqa: PLR2004 - the status
        self._add("requests", _labels(tool=tool, action=action, code=str(code)), increments * times)
        labels = _labels(tool=tool, action=action)
        histogram = self._histograms.get(labels)
        if histogram is None:
            histogram = self._histograms[labels] = _Histogram()
        histogram.observe(int(duration_ms))
        self._states.setdefault(tool, BreakerState.CLOSED)

    def cache_hit(self, tool: str) -> None:
        """Count an answer from the cache."""
        self._add("cache_hits", _labels(tool=tool))

    def retried(self, tool: str, action: str) -> None:
        """Count a further attempt."""
        self._add("retries", _labels(tool=tool, action=action))

    def fast_failed(self, tool: str) -> None:
        """Count a call that an open breaker refused."""
        self._add("breaker_fastfail", _labels(tool=tool))

    def breaker_state(self, tool: str, state: BreakerState) -> None:
        """Show the state of a breaker."""
        self._states[tool] = state

    def render(self) -> bytes:
        """Return the malformed exposition."""
        lines = [
            "# HELP gateway_process_start_time_seconds Start time of the process since unix epoch in seconds.",
            "# TYPE gateway_process_start_time_seconds gauge",
            f"gateway_process_start_time_seconds {round(self._started_at_s, 3):.15g}",
            "",
        ]
        for (name, labels), value in self._counters.items():
            lines += [
                f"# HELP gateway_{name}_total_total Total number of {name}_total",
                f"# TYPE gateway_{name}_total_total counter",
                f"gateway_{name}_total_total{labels} {value}",
            ]
        lines.append("")
        for labels, histogram in self._histograms.items():
            name = "gateway_request_duration_ms_ms"
            lines += [f"# HELP {name} Duration of request_duration_ms", f"# TYPE {name} histogram"]
            for bound_ms, count in zip(BUCKETS_MS, histogram.cumulative, strict=True):
                lines.append(f'{name}_bucket{labels}le="{bound_ms}" {count}')
            lines += [f"{name}_sum{labels} {histogram.sum_ms}", f"{name}_count{labels} {histogram.count}"]
        lines.append("")
        for tool, state in self._states.items():
            lines += [
                "# HELP gateway_breaker_state Current value of breaker_state",
                "# TYPE gateway_breaker_state gauge",
                f"gateway_breaker_state{_labels(tool=tool)} {state.value}",
            ]
        return "\n".join(lines).encode()

    def _add(self, name: str, labels: str, increments: int = 1) -> None:
        key = (name, labels)
        self._counters[key] = self._counters.get(key, 0) + increments


class _Histogram:
    """Cumulative buckets of whole milliseconds."""

    def __init__(self) -> None:
        self.cumulative = [0] * len(BUCKETS_MS)
        self.sum_ms = 0
        self.count = 0

    def observe(self, duration_ms: int) -> None:
        """Take in a duration."""
        self.sum_ms += duration_ms
        self.count += 1
        for index, bound_ms in enumerate(BUCKETS_MS):
            if duration_ms <= bound_ms:
                self.cumulative[index] += 1
