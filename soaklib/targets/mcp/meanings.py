"""What ContextForge's metrics mean.

``http_requests_total`` counts by status, and nearly all that fails there is a 200: neither denials nor errors can be
told from it, and what a token or the limiter refused is in part not counted at all.
"""

from __future__ import annotations

from typing import Final

from soaklib.targets.base import Meaning, MetricMap, Series

__all__ = ["CONTEXTFORGE_METRICS"]

CONTEXTFORGE_METRICS: Final = MetricMap(
    path="/metrics/prometheus",
    meanings={
        Meaning.REQUESTS: Series("http_requests_total"),
        Meaning.DURATION: Series("http_request_duration_seconds"),
        Meaning.MEMORY: Series("process_resident_memory_bytes"),
        Meaning.OPEN_FILES: Series("process_open_fds"),
        Meaning.START: Series("process_start_time_seconds"),
    },
)
