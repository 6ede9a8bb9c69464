"""What the upstream was asked and did, and how late it was itself: counts over ``/control/counts``, and metrics.

=========================== ==================== ====================================================================
metric                      labels               meaning
=========================== ==================== ====================================================================
upstream_requests_total     wire, name, outcome  requests by what became of them: ``ok``, a mode, ``limited``,
                                                 ``refused`` (what it could not do), ``left`` (by the client)
upstream_tokens_total       name, direction      tokens of whole answers: ``in``, ``out``
upstream_sessions_total     what                 MCP sessions ``opened``, ``closed``
upstream_sessions_open      none                 MCP sessions that are open
upstream_in_flight          none                 requests that are being answered
upstream_late_total         none                 answers and frames that left later than they were meant to, by 10 ms
                                                 or more
upstream_late_max_seconds   none                 the longest such delay
process_*                   none                 memory, CPU, open files, start
=========================== ==================== ====================================================================

Its lateness is no gateway's: where ``upstream_late_total`` moved, latencies of that time are the machine's.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

__all__ = ["Book"]

_LATE_S: Final = 0.010
_MOST_NAMES: Final = 200  # of models and tools; further ones are counted as one


class Book(Collector):
    """Counts of one upstream."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._names: set[str] = set()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._began_s = time.time()
        self._sessions = Counter({"opened": 0, "closed": 0})
        self._late = 0
        self._late_max_s = 0.0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def request(self, wire: str, name: str, outcome: str, *, is_call: bool, is_whole: bool) -> None:
        """Count a request by what became of it.

        Parameters
        ----------
        wire, name, outcome
            The labels.
        is_call
            Whether it was of a model or tool.
        is_whole
            Whether its answer was whole, as that of one that stood still for a while may be.
        """
        name = self._known(name)
        self._requests[wire, name, outcome] += 1
        if is_call:
            self._calls[name, "answers" if is_whole else "other"] += 1

    def tokens(self, name: str, into: int, out: int) -> None:
        """Count the tokens of a whole answer."""
        name = self._known(name)
        self._tokens[name, "in"] += into
        self._tokens[name, "out"] += out

    def session(self, what: str) -> None:
        """Count a session that was ``opened`` or ``closed``."""
        self._sessions[what] += 1

    def late(self, by_s: float) -> None:
        """Take how much later something left than it was meant to."""
        if by_s >= _LATE_S:
            self._late += 1
            self._late_max_s = max(self._late_max_s, by_s)

    def counts(self) -> dict[str, object]:
        """Give all counts; ``each`` is of the calls of each model or tool, ``answers`` those that got a whole one."""
        by_outcome: Counter[str] = Counter()
        by_name: Counter[str] = Counter()
        each: dict[str, dict[str, int]] = defaultdict(lambda: {"calls": 0, "answers": 0, "in": 0, "out": 0})
        tokens = {"in": 0, "out": 0}
        for (_, name, outcome), count in self._requests.items():
            by_outcome[outcome] += count
            by_name[name] += count
        for (name, became), count in self._calls.items():
            each[name]["calls"] += count
            each[name]["answers"] += count if became == "answers" else 0
        for (name, direction), count in self._tokens.items():
            each[name][direction] += count
            tokens[direction] += count
        return {
            "requests": sum(self._requests.values()),
            "by_outcome": dict(by_outcome),
            "by_name": dict(by_name),
            "each": each,
            "tokens": tokens,
            "began_s": self._began_s,
            "sessions": {**self._sessions, "open": self._open()},
            "in_flight": self.in_flight,
            "late": {"count": self._late, "max_ms": round(self._late_max_s * 1_000, 3)},
        }

    def exposition(self) -> bytes:
        """Give the metrics as text."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Give the families of the module's table."""
        requests = CounterMetricFamily(
            "upstream_requests", "Requests by what became of them.", labels=["wire", "name", "outcome"]
        )
        for labels, count in self._requests.items():
            requests.add_metric(labels, count)
        yield requests
        tokens = CounterMetricFamily("upstream_tokens", "Tokens of whole answers.", labels=["name", "direction"])
        for (name, direction), count in self._tokens.items():
            tokens.add_metric([name, direction], count)
        yield tokens
        sessions = CounterMetricFamily("upstream_sessions", "MCP sessions opened and closed.", labels=["what"])
        for what, count in self._sessions.items():
            sessions.add_metric([what], count)
        yield sessions
        yield CounterMetricFamily("upstream_late", "What left later than it was meant to.", value=self._late)
        yield GaugeMetricFamily("upstream_late_max_seconds", "The longest such delay.", value=self._late_max_s)
        yield GaugeMetricFamily("upstream_sessions_open", "MCP sessions that are open.", value=self._open())
        yield GaugeMetricFamily("upstream_in_flight", "Requests that are being answered.", value=self.in_flight)

    def _known(self, name: str) -> str:
        """Give the name that a model or tool is counted under."""
        if name not in self._names:
            if len(self._names) >= _MOST_NAMES:
                name = "(further)"
            self._names.add(name)
        return name

    def _open(self) -> int:
        return self._sessions["opened"] - self._sessions["closed"]
