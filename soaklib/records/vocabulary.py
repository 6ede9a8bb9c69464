"""The words of a run: every value that a column of the data dictionary (:mod:`soaklib.records`) can have."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = [
    "FAILED_KINDS",
    "FIGURES_FOLDER",
    "NOBODY_LIVED",
    "NOT_MADE",
    "EventName",
    "Expected",
    "Kind",
    "Purpose",
    "Reason",
    "RunStatus",
    "State",
    "Trial",
]


FIGURES_FOLDER: Final = "figures"
"""Where in a run's folder its figures are: charts write there, the paper reads there."""


class Purpose(StrEnum):
    """Why a call was planned."""

    LOAD = "load"
    PROBE = "probe"  #: must be denied; a probe that policy lets through is a false-allow
    TRIAL = "trial"  #: as one who must be refused, or up to the edge of a limit: counts in no rate and no total


class Trial(StrEnum):
    """As whom a call of purpose ``trial`` is made; its row's ``identity`` begins with it."""

    UNKNOWN = "unknown"  #: a token or key that the gateway never gave
    EXPIRED = "expired"
    REVOKED = "revoked"
    ROTATED = "rotated"  #: replaced by rotations, and not to be good any more
    SCOPE = "scope"  #: a good one, for what it does not open
    EDGE = "edge"  #: a good one, until its limit refuses it


class Kind(StrEnum):
    """What became of a planned call."""

    OK = "ok"
    DENIED = "denied"  #: 403 by policy
    UNAUTHORIZED = "unauthorized"  #: 401, 403 for the token or the agent, 400 for the token's format
    RATE_LIMITED = "rate_limited"  #: 429
    FAST_FAIL = "fast_fail"  #: the tool's circuit breaker is open
    UPSTREAM_ERROR = "upstream_error"  #: 5xx
    INVALID_REQUEST = "invalid_request"  #: other 4xx
    INVALID_RESPONSE = "invalid_response"  #: 3xx, a body that is not what it says, or too large
    TIMEOUT = "timeout"  #: no whole answer within the time limit
    TRANSPORT_ERROR = "transport_error"  #: connection refused, reset, TLS, DNS
    DROPPED = "dropped"  #: not sent: the in-flight cap was reached
    SKIPPED = "skipped"  #: a chain's step after a step that was not ok
    MISSED = "missed"  #: planned while no runner lived; found at resume
    INTERRUPTED = "interrupted"  #: cut off by the stop of the run


FAILED_KINDS = frozenset(Kind) - {Kind.OK, Kind.DENIED}
"""Kinds counted as ``fail`` in the totals: everything that is neither ok nor denied."""


class Expected(StrEnum):
    """What the policies in force should say to a call."""

    ALLOW = "allow"
    DENY = "deny"
    EITHER = "either"  #: a quota or a limit in force may or may not deny it


class Reason(StrEnum):
    """Why a call was not ok: the one vocabulary for denials and errors."""

    # denials by policy
    SCOPE = "scope"
    INTENT = "intent"
    SIZE = "size"
    DOMAIN = "domain"
    TIME_WINDOW = "time_window"
    DAY = "day"
    HOUR = "hour"
    QUOTA = "quota"
    POLICY_OTHER = "policy_other"
    # token and agent
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason, not a password
    TOKEN_INVALID = "token_invalid"  # noqa: S105 - a reason, no password
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - a reason, no password
    AGENT_NOT_FOUND = "agent_not_found"
    AGENT_INACTIVE = "agent_inactive"
    UNAUTHORIZED_OTHER = "unauthorized_other"
    # refused, limited, failed upstream
    PARAMETERS = "parameters"
    RATE_LIMIT = "rate_limit"
    BUDGET = "budget"
    MODEL = "model"  #: the identity may not use this model
    SESSION_LOST = "session_lost"  #: the gateway does not know the session (any more)
    TOOL_ERROR = "tool_error"  #: the tool ran and says itself that it failed
    OVERLOADED = "overloaded"  #: the gateway says that it is full
    BREAKER_OPEN = "breaker_open"
    CHAOS = "chaos"
    UPSTREAM = "upstream"
    INTERNAL = "internal"
    CLIENT_ERROR = "client_error"
    # answers that are no answers
    REDIRECT = "redirect"
    BODY_INVALID = "body_invalid"
    BODY_TOO_LARGE = "body_too_large"
    CONTENT_TYPE = "content_type"
    CONTENT_ENCODING = "content_encoding"  #: the body is packed in a way that was not asked for
    STREAM_TRUNCATED = "stream_truncated"  #: a stream ended before its end
    STREAM_STALLED = "stream_stalled"  #: a stream stood still longer than it may
    # the way there and back
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    DNS = "dns"
    TLS = "tls"
    RESET = "reset"
    PROTOCOL = "protocol"
    READ_TIMEOUT = "read_timeout"
    TRANSPORT_OTHER = "transport_other"
    SENDER_EXHAUSTED = (
        "sender_exhausted"  #: the runner's own machine had no port or descriptor left: no gateway's fault
    )
    # never sent
    IN_FLIGHT_CAP = "in_flight_cap"
    STEP_NOT_OK = "step_not_ok"
    NO_RUNNER = "no_runner"
    STOPPED = "stopped"


class RunStatus(StrEnum):
    """Where a run stands; the last word of its manifest row."""

    RUNNING = "running"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class State(StrEnum):
    """The state of a verdict."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"
    INSUFFICIENT = "insufficient"


class EventName(StrEnum):
    """Names in ``events`` and soak-events.log; scripts grep for them."""

    SOAK_TEST_STARTED = "SOAK_TEST_STARTED"
    SOAK_TEST_COMPLETED = "SOAK_TEST_COMPLETED"
    SOAK_TEST_INTERRUPTED = "SOAK_TEST_INTERRUPTED"
    SOAK_TEST_FAILED = "SOAK_TEST_FAILED"
    SOAK_TEST_RESUMED = "SOAK_TEST_RESUMED"
    RUN_GAP = "RUN_GAP"
    LOAD_ENDED = "LOAD_ENDED"  #: soak time stands still from here, whatever is waited for and taken back after it
    TOKENS_ROTATED = "TOKENS_ROTATED"
    TOKENS_KEPT = "TOKENS_KEPT"  #: a rotation was due, and the gateway's kind has no new ones to give
    TOKENS_ROTATION_FAILED = "TOKENS_ROTATION_FAILED"
    AGENTS_CREATED = "AGENTS_CREATED"
    AGENTS_LOST = "AGENTS_LOST"
    SESSIONS_CLOSED = "SESSIONS_CLOSED"  #: at the end: how many were opened, closed, left, lost
    POLICIES_CREATED = "POLICIES_CREATED"
    POLICIES_REMOVED = "POLICIES_REMOVED"
    POLICIES_NOT_REMOVED = "POLICIES_NOT_REMOVED"
    METRICS_SNAPSHOT = "METRICS_SNAPSHOT"
    METRICS_SNAPSHOT_FAILED = "METRICS_SNAPSHOT_FAILED"
    CREDENTIALS_ROTATED_SUCCESSFULLY = "CREDENTIALS_ROTATED_SUCCESSFULLY"
    CHAOS_MODE_ON = "CHAOS_MODE_ON"
    CHAOS_MODE_OFF = "CHAOS_MODE_OFF"
    POLICY_UPDATED_OPENAI_QUOTA_REDUCED = "POLICY_UPDATED_OPENAI_QUOTA_REDUCED"
    HEALTH_GATE_PASSED = "HEALTH_GATE_PASSED"
    HEALTH_GATE_FAILED = "HEALTH_GATE_FAILED"
    CHANGE_MADE = "CHANGE_MADE"  #: a change by literal requests, or at the upstream, that is taken back again
    CHANGE_UNDONE = "CHANGE_UNDONE"
    CHANGE_FAILED = "CHANGE_FAILED"
    CHANGE_UNCERTAIN = "CHANGE_UNCERTAIN"  #: the answer was lost or no answer at all: it may have been made
    CHANGE_UNSUPPORTED = "CHANGE_UNSUPPORTED"
    RATE_LIMITED = "RATE_LIMITED"
    UPSTREAM_COUNTED = "UPSTREAM_COUNTED"  #: what the soak's own mock upstream says that it was asked and did
    TRIAL_NOT_POSSIBLE = "TRIAL_NOT_POSSIBLE"  #: why a gateway cannot be tried with such a token
    LATE_SENDING = "LATE_SENDING"
    RECORDER_WARNING = "RECORDER_WARNING"
    LANE_STARTED = "LANE_STARTED"
    LANE_ENDED = "LANE_ENDED"
    LANE_LOST = "LANE_LOST"  #: a sender of the fleet died: its slots from then on are missed
    LANE_GAP = "LANE_GAP"  #: slots of a lane were due while its sender did not live
    LANE_TOKENS_ROTATED = "LANE_TOKENS_ROTATED"
    LANE_TOKENS_ROTATION_FAILED = "LANE_TOKENS_ROTATION_FAILED"
    CLOCK_OFFSET = "CLOCK_OFFSET"  #: how far a lane's clock is ahead of the conductor's, and the bound of the error
    CLOCK_OFFSET_UNKNOWN = "CLOCK_OFFSET_UNKNOWN"


NOBODY_LIVED: Final = "nobody lived while it was due"
"""The detail of an event that says of a rotation or snapshot that it was not made, for the conductor was gone."""

NOT_MADE: Final = frozenset(
    {
        EventName.HEALTH_GATE_FAILED,
        EventName.CHANGE_FAILED,
        EventName.CHANGE_UNCERTAIN,
        EventName.CHANGE_UNSUPPORTED,
    }
)
"""Events that say of a scheduled change that it was tried and is not known to have come about."""
