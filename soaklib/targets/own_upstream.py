"""The soak's own mock upstream, where a load goes straight to it: what its metrics mean, by whichever wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.targets.base import Meaning, MetricMap, Series

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UPSTREAM_METRICS", "routes_beside"]

_ROUTES: Final = {"metrics": "/metrics", "health": "/health"}

UPSTREAM_METRICS: Final = MetricMap(
    meanings={
        Meaning.REQUESTS: Series("upstream_requests_total"),
        Meaning.TOKENS_IN: Series("upstream_tokens_total", {"direction": "in"}),
        Meaning.TOKENS_OUT: Series("upstream_tokens_total", {"direction": "out"}),
        Meaning.IN_FLIGHT: Series("upstream_in_flight"),
        Meaning.MEMORY: Series("process_resident_memory_bytes"),
        Meaning.OPEN_FILES: Series("process_open_fds"),
        Meaning.START: Series("process_start_time_seconds"),
    },
    model_label="name",
)


def routes_beside(known: Mapping[str, str] | None, *, is_upstream: bool) -> Mapping[str, str]:
    """Give what there is to look at: the known gateway's own, else the upstream's; where nothing is known, nothing."""
    return known or (_ROUTES if is_upstream else {})
