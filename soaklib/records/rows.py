"""The data dictionary: what one row of a run means, column by column.

Columns ending in ``_us`` are microseconds on the run's own monotonic clock, counted from its first UTC anchor
(``run.anchor_utc``). Soak time is wall time x ``speed`` within a segment (see :class:`Segment`).

``outcomes``, one row for every planned call; the key is (purpose, slot, step):

================== ========= ==========================================================================
column             type      meaning
================== ========= ==========================================================================
purpose            VARCHAR   ``load``, ``probe`` or ``trial`` (:class:`Purpose`)
slot               BIGINT    0-based number of the planned arrival; probes and trials number their own
step               SMALLINT  0-based position in a chain
role               VARCHAR   role of the calling agent (``scraper``, ``enricher``, ``engager``)
tool               VARCHAR   tool called (``serpapi``, ``http_fetch``, ``openai``, ``gmail_send``)
action             VARCHAR   action of the tool (``search``, ``get``, ``chat``, ``send``)
planned_at_us      BIGINT    when the call was meant to leave; a chain's next step: its predecessor's done time
sent_at_us         BIGINT    when it left; NULL when it never did
done_at_us         BIGINT    when its answer, error or time limit came; NULL when none did
status             SMALLINT  HTTP status; NULL when there was no response
kind               VARCHAR   what became of it (:class:`Kind`)
expected           VARCHAR   what the plan says that policy should say to it (:class:`Expected`); the view
                             ``calls`` says ``either`` where a quota that was cut, or a limit, may deny it
reason             VARCHAR   fixed vocabulary: denial reason or error class (:class:`Reason`); NULL when ok
attempts           SMALLINT  how often it was put on the wire; 0 when never
token_generation   INTEGER   which rotation's token it carried, 0 for the first; NULL when never sent
correlation_id     VARCHAR   the gateway's ``X-Correlation-Id``; NULL when none came
phase              VARCHAR   phase of the plan at its planned time
lane               SMALLINT  which sender of a fleet sent it; NULL where there was one sender
identity           VARCHAR   name of the agent or key that it was made as; no secret
first_byte_at_us   BIGINT    when the first byte of the answer's body came; NULL where it is not told
first_token_at_us  BIGINT    when the first content of a stream came; NULL for what is no stream
chunks             INTEGER   how many events of a stream bore content
input_tokens       BIGINT    as the answer states its usage
output_tokens      BIGINT    as the answer states its usage
gateway_us         BIGINT    what the gateway says it took itself, microseconds
limit              VARCHAR   which limit denied it: requests, tokens, parallel, budget, lock-out
retries            INTEGER   how often the gateway says that it asked its upstream again; NULL where it says nothing
fallbacks          INTEGER   how often it says that it went on to another upstream
remaining          BIGINT    how many more calls it says that the limit of the identity lets through
cost_usd           DOUBLE    what the answer says that it cost, US dollars; NULL where it says nothing
key_id             VARCHAR   what the gateway's metrics call the key that it was made with; no secret
================== ========= ==========================================================================

The columns from ``lane`` on came with version 2 of the dictionary, those from ``cost_usd`` on with version 3; in a run
of an earlier version they are NULL.

Service time is ``done_at_us - sent_at_us``; response time is ``done_at_us - planned_at_us``, so that coordinated
omission stays visible.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from soaklib.records.vocabulary import Expected, Kind, Purpose, Reason

__all__ = [
    "HEALTH_METRIC_PREFIX",
    "JUDGING",
    "SUCCESS_SQL",
    "Event",
    "HealthTick",
    "Outcome",
    "Sample",
    "Scrape",
    "Verdict",
    "counts_towards_success",
    "is_success",
]

HEALTH_METRIC_PREFIX: Final = "health_"
"""Samples made from /health (``health_memory_used_bytes`` and so on) begin with this; all others are as exposed."""


class Outcome(NamedTuple):
    """One row of ``outcomes``; see the module's table. Field order is column order."""

    purpose: str
    slot: int
    step: int
    role: str
    tool: str
    action: str
    planned_at_us: int
    sent_at_us: int | None
    done_at_us: int | None
    status: int | None
    kind: str
    expected: str
    reason: str | None
    attempts: int
    token_generation: int | None
    correlation_id: str | None
    phase: str
    lane: int | None = None
    identity: str | None = None
    first_byte_at_us: int | None = None
    first_token_at_us: int | None = None
    chunks: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    gateway_us: int | None = None
    limit: str | None = None
    retries: int | None = None
    fallbacks: int | None = None
    remaining: int | None = None
    cost_usd: float | None = None
    key_id: str | None = None


class Sample(NamedTuple):
    """One row of ``samples``: one series' value at one scrape.

    Attributes
    ----------
    at_us
        When the scrape's answer was whole, microseconds on the run's clock.
    metric
        The sample's name with its suffix (``_bucket``, ``_sum``, ``_count``, ``_total``), as exposed.
    labels
        (key, value) pairs sorted by key.
    value
        As exposed; NaN and infinities included.
    """

    at_us: int
    metric: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Scrape(NamedTuple):
    """One row of ``scrapes``: one GET of /metrics, /health or /ready, failed ones included.

    Attributes
    ----------
    at_us
        When its answer was whole or the failure was known.
    endpoint
        ``metrics``, ``health`` or ``ready``.
    status
        HTTP status, NULL when there was none.
    ok
        Whether it told what it should: samples for /metrics, ``ok: true`` for /health, 200 for /ready.
    duration_us
        From the request to the whole answer.
    size_bytes
        Length of the body.
    detail
        Why it failed, or which breakers /ready names; NULL otherwise.
    """

    at_us: int
    endpoint: str
    status: int | None
    ok: bool
    duration_us: int
    size_bytes: int
    detail: str | None


class Event(NamedTuple):
    """One row of ``events`` and one line of soak-events.log.

    Attributes
    ----------
    at_us
        Microseconds on the run's clock.
    name
        An :class:`EventName`.
    detail
        One line of text, free of secrets.
    key
        Names a scheduled event once and for all (``rotation:12``, ``change:chaos:on``), so that a resumed run does it
        exactly once; NULL for the others.
    change
        What the plan calls the change that it is about (``chaos``, ``update-policy``); NULL for the others.
    subject
        What it is done to or about: a tool, a role, a route.
    data
        What else there is to know, a JSON object; the line of the log is rendered from it.
    """

    at_us: int
    name: str
    detail: str
    key: str | None
    change: str | None = None
    subject: str | None = None
    data: str | None = None


class HealthTick(NamedTuple):
    """One row of ``runner_health``: how the generator itself did in one wall second.

    Attributes
    ----------
    at_us
        End of the second.
    planned, sent, done
        Calls planned, sent and answered in it.
    in_flight
        Operations under way at its end.
    queue_rows
        Outcomes handed to the recorder and not yet acknowledged as on disk.
    schedule_lag_max_us
        Largest sent - planned in it.
    loop_lag_max_us
        Largest lateness of the event loop's own timer.
    connect_wait_max_us
        Longest wait for a connection.
    rss_bytes, cpu_s, open_files, disk_free_bytes
        Of the runner's process (cumulative CPU seconds) and the run folder's file system.
    clock_offset_us
        Wall clock minus anchor minus monotonic clock: non-zero after an NTP step.
    lane
        Which sender of a fleet; NULL where there was one.
    connections_open
        Connections to the gateway that the load held at its end.
    connections_opened, connections_lost
        Made in it, and closed in it by the gateway or the network.
    """

    at_us: int
    planned: int
    sent: int
    done: int
    in_flight: int
    queue_rows: int
    schedule_lag_max_us: int
    loop_lag_max_us: int
    connect_wait_max_us: int
    rss_bytes: int
    cpu_s: float
    open_files: int
    disk_free_bytes: int
    clock_offset_us: int
    lane: int | None = None
    connections_open: int | None = None
    connections_opened: int | None = None
    connections_lost: int | None = None


JUDGING: Final = 7
"""Which way of judging verdicts are given by: it rises when one of the same data may be another than before.

A run keeps the number beside its verdicts, in its ``environment`` under ``judged``; 1 is that of runs which keep none.
"""


class Verdict(NamedTuple):
    """One row of ``verdicts``: one acceptance criterion, judged.

    Attributes
    ----------
    name
        The criterion.
    measure
        The measured value, NULL when there was nothing to measure.
    threshold
        The requirement in words and numbers, units included.
    n
        How many observations stand behind the measure.
    low, high
        Interval of the measure, NULL where none applies.
    state
        A :class:`State`.
    detail
        One sentence on what was seen.
    query
        The SQL that gives the measure.
    """

    name: str
    measure: float | None
    threshold: str
    n: int
    low: float | None
    high: float | None
    state: str
    detail: str
    query: str


def is_success(kind: str, expected: str) -> bool:
    """Say whether a call succeeded: the one definition, of which :data:`SUCCESS_SQL` is the twin in SQL."""
    return kind == Kind.OK and expected in (Expected.ALLOW, Expected.EITHER)


def counts_towards_success(purpose: str, kind: str, expected: str, reason: str | None) -> bool:
    """Say whether a call is in the denominator of ``success_rate``.

    Left out are probes, skipped chain steps, quota denials that the plan says may happen, and refusals by a limit on
    an agent's calls that is known and was used up.
    """
    if purpose != Purpose.LOAD or kind == Kind.SKIPPED:
        return False
    is_limited = kind == Kind.RATE_LIMITED or (kind == Kind.DENIED and reason == Reason.QUOTA)
    return not (is_limited and expected == Expected.EITHER)


SUCCESS_SQL = {
    "is_success": "(kind = 'ok' and expected in ('allow', 'either'))",
    "counts_towards_success": (
        "(purpose = 'load' and kind <> 'skipped'"
        " and not (expected = 'either'"
        " and (kind = 'rate_limited' or kind = 'denied' and coalesce(reason, '') = 'quota')))"
    ),
}
"""The twins of :func:`is_success` and :func:`counts_towards_success` as SQL over ``outcomes``."""
