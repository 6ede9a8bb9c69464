"""The soak's own mock upstream, where a load goes straight to it: what its metrics mean, by whichever wire."""

from __future__ import annotations

from typing import Final

from soaklib.targets.base import Meaning, MetricMap, Series

__all__ = ["UPSTREAM_METRICS", "UPSTREAM_ROUTES"]

UPSTREAM_ROUTES: Final = {"metrics": "/metrics", "health": "/health"}

UPSTREAM_METRICS: Final = MetricMap(
    meanings={
        Meaning.REQUESTS: Series("upstream_requests_total"),
        Meaning.DENIALS: Series("upstream_requests_total", {"outcome": "limited"}),
        Meaning.TOKENS_IN: Series("upstream_tokens_total", {"direction": "in"}),
        Meaning.TOKENS_OUT: Series("upstream_tokens_total", {"direction": "out"}),
        Meaning.IN_FLIGHT: Series("upstream_in_flight"),
        Meaning.MEMORY: Series("process_resident_memory_bytes"),
        Meaning.OPEN_FILES: Series("process_open_fds"),
        Meaning.START: Series("process_start_time_seconds"),
    },
    model_label="name",
)
