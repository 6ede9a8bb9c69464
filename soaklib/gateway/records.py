"""What the gateway's database and its in-memory logs hold: the data dictionary.

``proxy_logs``: one row for every answer of the proxy-request handler, that is, every answer that carries an
X-Correlation-Id. Requests refused by the framework before the handler (invalid JSON, 413, 415) have none.

================  =======  ==================================================================================
column            type     meaning
================  =======  ==================================================================================
corr_id           text     key; the X-Correlation-Id of the answer
created_at        time     when the answer was ready, UTC
agent_id          text     agent of the token; NULL when the call was refused before the token was read
tool, action      text     as asked for, cut at 100 characters; NULL when missing
status            integer  HTTP status of the answer
outcome           text     ok, denied, unauthorized, rate_limited, fast_fail, upstream_error, invalid_request
reason            text     why it is not ok, in a fixed vocabulary (see `Reason`); NULL when ok
detail            text     the sentence that the caller got, cut at 2,000 characters; NULL when ok
response_time_ms  real     wall milliseconds in the handler, not rounded
success           boolean  outcome is ok
cache_hit         boolean  answered from the cache
attempts          integer  attempts that reached the tool; 0 for a cache hit, a fast-fail or a refusal
================  =======  ==================================================================================

``agents``: agent_id (key), name, role, created_by, status, created_at. Private keys are never kept.

``tokens``: token_id (key), agent_id, token_sha256, payload_sha256, tools, permissions (JSON arrays), issued_at,
expires_at, revoked_at (NULL while valid). Only hashes: no token in the database can be used.

``policies``: policy_id (key), name, role, agent_id (one of the two is NULL), spec (JSON), active, created_at,
updated_at, deleted_at (NULL while it exists).

``credentials``: credential_id (key), tool, version, fingerprint, active, created_at, activated_at, deleted_at. The
fingerprint is an HMAC-SHA-256 of the credential under a random key of the process that is never stored, so it
tells two credentials apart and gives neither away.

A *time* is ``TIMESTAMPTZ`` in PostgreSQL and ISO 8601 text in UTC with microseconds in SQLite, which has no such
type; a *boolean* is 0 or 1 in SQLite. Agents, tokens, policies and credentials of earlier processes or before a
restart stay in the database: it is a record of what was made, not the gateway's memory.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias

ColumnType = Literal["text", "integer", "real", "boolean", "time"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as a value: its name and its columns, of which the first is the key."""

    name: str
    columns: tuple[tuple[str, ColumnType], ...]

    @property
    def key(self) -> str:
        """Name of the key column."""
        return self.columns[0][0]


class Outcome(StrEnum):
    """How a proxy request ended, in the terms of the soak."""

    OK = "ok"
    DENIED = "denied"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    FAST_FAIL = "fast_fail"
    UPSTREAM_ERROR = "upstream_error"
    INVALID_REQUEST = "invalid_request"


class Reason(StrEnum):
    """Why a proxy request did not end ok; the first eight are the kinds of a policy denial."""

    SCOPE = "scope"
    INTENT = "intent"
    SIZE = "size"
    DOMAIN = "domain"
    TIME_WINDOW = "time_window"
    DAY = "day"
    HOUR = "hour"
    QUOTA = "quota"
    MISSING_FIELDS = "missing_fields"
    MISSING_PROOF = "missing_proof"
    TOKEN_UNKNOWN = "token_unknown"  # noqa: S105 - a word of the vocabulary, no secret
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - the same
    TOKEN_PROOF = "token_proof"  # noqa: S105 - the same
    TOKEN_FORMAT = "token_format"  # noqa: S105 - the same
    TOKEN_SIGNATURE = "token_signature"  # noqa: S105 - the same
    TOKEN_DECODING = "token_decoding"  # noqa: S105 - the same
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - the same
    AGENT_UNKNOWN = "agent_unknown"
    AGENT_INACTIVE = "agent_inactive"
    PARAMETERS = "parameters"
    RATE_LIMIT = "rate_limit"
    BREAKER_OPEN = "breaker_open"
    CHAOS = "chaos"
    UPSTREAM = "upstream"
    INTERNAL = "internal"


DENIAL_KINDS = (
    Reason.SCOPE,
    Reason.INTENT,
    Reason.SIZE,
    Reason.DOMAIN,
    Reason.TIME_WINDOW,
    Reason.DAY,
    Reason.HOUR,
    Reason.QUOTA,
)
"""The reasons of a policy denial, and the values of the label ``kind``."""


NAME_CHARACTERS = 100
"""Length of tool and action in the logs."""

DETAIL_CHARACTERS = 2_000
"""Length of sentences in the logs."""


def clipped(text: str | None, characters: int) -> str | None:
    """Return a text for the logs: what a caller sends may be 1 MiB long, an entry of a log may not."""
    return text if text is None or len(text) <= characters else text[: characters - 1] + "…"


class ProxyLogRow(NamedTuple):
    """A row of ``proxy_logs``; times are epoch seconds here."""

    corr_id: str
    created_at: float
    agent_id: str | None
    tool: str | None
    action: str | None
    status: int
    outcome: Outcome
    reason: Reason | None
    detail: str | None
    response_time_ms: float
    success: bool
    cache_hit: bool
    attempts: int


class AgentRow(NamedTuple):
    """A row of ``agents``."""

    agent_id: str
    name: str
    role: str
    created_by: str
    status: str
    created_at: float


class TokenRow(NamedTuple):
    """A row of ``tokens``."""

    token_id: str
    agent_id: str
    token_sha256: str
    payload_sha256: str
    tools: str
    permissions: str
    issued_at: float
    expires_at: float
    revoked_at: float | None


class PolicyRow(NamedTuple):
    """A row of ``policies``."""

    policy_id: str
    name: str
    role: str | None
    agent_id: str | None
    spec: str
    active: bool
    created_at: float
    updated_at: float
    deleted_at: float | None


class CredentialRow(NamedTuple):
    """A row of ``credentials``."""

    credential_id: str
    tool: str
    version: str
    fingerprint: str
    active: bool
    created_at: float
    activated_at: float | None
    deleted_at: float | None


Row: TypeAlias = ProxyLogRow | AgentRow | TokenRow | PolicyRow | CredentialRow

TABLES: dict[type[Row], Table] = {
    ProxyLogRow: Table(
        "proxy_logs",
        (
            ("corr_id", "text"),
            ("created_at", "time"),
            ("agent_id", "text"),
            ("tool", "text"),
            ("action", "text"),
            ("status", "integer"),
            ("outcome", "text"),
            ("reason", "text"),
            ("detail", "text"),
            ("response_time_ms", "real"),
            ("success", "boolean"),
            ("cache_hit", "boolean"),
            ("attempts", "integer"),
        ),
    ),
    AgentRow: Table(
        "agents",
        (
            ("agent_id", "text"),
            ("name", "text"),
            ("role", "text"),
            ("created_by", "text"),
            ("status", "text"),
            ("created_at", "time"),
        ),
    ),
    TokenRow: Table(
        "tokens",
        (
            ("token_id", "text"),
            ("agent_id", "text"),
            ("token_sha256", "text"),
            ("payload_sha256", "text"),
            ("tools", "text"),
            ("permissions", "text"),
            ("issued_at", "time"),
            ("expires_at", "time"),
            ("revoked_at", "time"),
        ),
    ),
    PolicyRow: Table(
        "policies",
        (
            ("policy_id", "text"),
            ("name", "text"),
            ("role", "text"),
            ("agent_id", "text"),
            ("spec", "text"),
            ("active", "boolean"),
            ("created_at", "time"),
            ("updated_at", "time"),
            ("deleted_at", "time"),
        ),
    ),
    CredentialRow: Table(
        "credentials",
        (
            ("credential_id", "text"),
            ("tool", "text"),
            ("version", "text"),
            ("fingerprint", "text"),
            ("active", "boolean"),
            ("created_at", "time"),
            ("activated_at", "time"),
            ("deleted_at", "time"),
        ),
    ),
}
"""The table of each kind of row; the fields of the row are its columns, in their order."""
