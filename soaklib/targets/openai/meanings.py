"""What LiteLLM's metrics mean.

Counters there end in ``_total`` twice where their name did already. What its name says and its value does not is left
out: there is no count of retries, ``litellm_deployment_state`` has a series that stays 2 for ever after a recovery,
and ``litellm_cache_misses_metric_total`` counts streams alone. ``litellm_in_flight_requests`` counts the scrape, too.

Denials are those that a row calls so: of a model, and of a budget, which the label ``rate_limit_category`` puts
together with the limits that let a call in later; what a guardrail denies has no class of its own.
"""

from __future__ import annotations

from typing import Final

from soaklib.targets.base import Meaning, MetricMap, Series

__all__ = ["LITELLM_METRICS"]

_FAILED: Final = "litellm_proxy_failed_requests_metric_total"

LITELLM_METRICS: Final = MetricMap(
    path="/metrics/",  # without the slash it is a redirect
    meanings={
        Meaning.REQUESTS: Series("litellm_proxy_total_requests_metric_total"),
        Meaning.DURATION: Series("litellm_request_total_latency_metric"),
        Meaning.DENIALS: Series(
            _FAILED, {"exception_class": ("ModelAccessDeniedProxyException", "BudgetExceededError")}
        ),
        Meaning.FAST_FAILS: Series(_FAILED, {"exception_class": "RouterRateLimitError"}),
        Meaning.CACHE_HITS: Series("litellm_cache_hits_metric_total"),
        Meaning.TOKENS_IN: Series("litellm_input_tokens_metric_total"),
        Meaning.TOKENS_OUT: Series("litellm_output_tokens_metric_total"),
        Meaning.SPEND: Series("litellm_spend_metric_total"),
        Meaning.IN_FLIGHT: Series("litellm_in_flight_requests"),
        Meaning.MEMORY: Series("process_resident_memory_bytes"),
        Meaning.OPEN_FILES: Series("process_open_fds"),
        Meaning.START: Series("process_start_time_seconds"),
    },
    model_label="requested_model",
    key_label="hashed_api_key",
)
