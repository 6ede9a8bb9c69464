"""The warts of the real gateway, one flag each: none by default, all of them under ``--quirks real``.

==================  ==================================================================================
flag                what the real one does
==================  ==================================================================================
wart_metrics        malformed exposition; every 200 counted twice; agent_id labels; no cache or process
                    metrics (see ``wart_exposition``)
sticky_failures     a closed breaker never forgets a failure
placebo_chaos       the chaos routes answer 200 and change nothing
revoke_needs_proof  a revoked token is refused only when the caller sends token_id and proof_payload
no_cache            every call reaches its tool
partial_logs        /api/proxy/logs leaves out what was refused with 400 or before the expiry check
grows               handler time and heap grow with the number of requests served
==================  ==================================================================================

The rate limit of 5 calls in 60 s is a setting, not a flag: ``--quirks real`` changes its default.
"""

from dataclasses import dataclass

REAL_RATE_LIMIT = 5
"""Calls in 60 soak seconds that the real gateway allows an agent."""

GROWTH_US_PER_REQUEST = 0.63
"""Handler time the real one adds for each request served before (0.7 to 8.7 ms within 12,750 requests)."""

GROWTH_BYTES_PER_REQUEST = 10_200
"""Heap it adds for each request served (18 to 148 MB within 12,750 requests)."""

GROWTH_CAP_MS = 10.0
"""The growth stops near the largest value measured, so that a fast rehearsal of a day stays a rehearsal."""

GROWTH_CAP_BYTES = 160 * 1024**2
"""The same for the heap."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """Which warts are kept; see the module for what each one means."""

    wart_metrics: bool = False
    sticky_failures: bool = False
    placebo_chaos: bool = False
    revoke_needs_proof: bool = False
    no_cache: bool = False
    partial_logs: bool = False
    grows: bool = False


NO_QUIRKS = Quirks()
REAL_QUIRKS = Quirks(
    wart_metrics=True,
    sticky_failures=True,
    placebo_chaos=True,
    revoke_needs_proof=True,
    no_cache=True,
    partial_logs=True,
    grows=True,
)
