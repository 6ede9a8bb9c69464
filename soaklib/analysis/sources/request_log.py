"""The gateway's own request log, from SQLite or PostgreSQL, in the vocabulary of the outcomes.

It is read from a table ``proxy_logs`` or ``RequestLog``, whose columns tell whose log it is:

- The reference gateway names outcome and reason itself (see ``soaklib.gateway.records``).
- The real gateway has status and one text, which is classified as the client classifies answers
  (:mod:`soaklib.targets.fourrunr.answers`); where it keeps no text, a 403 is no more than ``unauthorized_other``, and
  where it keeps no correlation id, that is null. It has no rows for refused parameters, and whole milliseconds.

============== ================ ==========================================================================
column         type             meaning
============== ================ ==========================================================================
at             Datetime, us UTC when the answer was ready
correlation_id String           the answer's ``X-Correlation-Id``
agent_id       String           whose token it was; null when refused before the token was read
tool, action   String           as asked for; null when missing
status         Int16            HTTP status of the answer
kind           String           :class:`~soaklib.records.Kind`
reason         String           :class:`~soaklib.records.Reason`; null when ok
service_ms     Float64          time in the gateway, wall milliseconds; whole ones from the real gateway
attempts       Int16            attempts that reached the tool; null where the log does not say
============== ================ ==========================================================================
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from soaklib.analysis.sources.databases import opened
from soaklib.analysis.sources.samples import AT
from soaklib.errors import SourceError
from soaklib.records import Kind, Reason
from soaklib.targets.fourrunr.answers import classify_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soaklib.analysis.sources.databases import Database, Value

__all__ = ["REQUEST_LOG_SCHEMA", "look_up_request_log", "read_batches", "read_database"]

REQUEST_LOG_SCHEMA: Final = pl.Schema(
    [
        ("at", AT),
        ("correlation_id", pl.String()),
        ("agent_id", pl.String()),
        ("tool", pl.String()),
        ("action", pl.String()),
        ("status", pl.Int16()),
        ("kind", pl.String()),
        ("reason", pl.String()),
        ("service_ms", pl.Float64()),
        ("attempts", pl.Int16()),
    ],
)
"""Columns and types of :func:`read_database`."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


class _Columns(NamedTuple):
    """The column of a request log in which each thing is; None where it has none. The order is that of the rows."""

    at: str
    correlation_id: str
    agent_id: str
    tool: str
    action: str
    status: str
    service_ms: str
    message: str
    outcome: str | None
    reason: str | None
    attempts: str | None


_TABLES: Final = ("proxy_logs", "RequestLog")

_REFERENCE: Final = _Columns(
    at="created_at",
    correlation_id="corr_id",
    agent_id="agent_id",
    tool="tool",
    action="action",
    status="status",
    service_ms="response_time_ms",
    message="detail",
    outcome="outcome",
    reason="reason",
    attempts="attempts",
)

_REAL: Final = _Columns(
    at="createdAt",
    correlation_id="corrId",
    agent_id="agentId",
    tool="tool",
    action="action",
    status="statusCode",
    service_ms="responseTime",
    message="errorMessage",
    outcome=None,
    reason=None,
    attempts=None,
)

_OPTIONAL: Final = frozenset({_REAL.correlation_id, _REAL.message})
"""Columns that came to the real gateway's log later than the others."""

_KINDS: Final = frozenset(kind.value for kind in Kind)

_REASONS: Final = {
    "missing_fields": Reason.CLIENT_ERROR.value,
    "missing_proof": Reason.CLIENT_ERROR.value,
    "token_unknown": Reason.TOKEN_INVALID.value,
    "token_proof": Reason.TOKEN_INVALID.value,
    "token_format": Reason.TOKEN_INVALID.value,
    "token_signature": Reason.TOKEN_INVALID.value,
    "token_decoding": Reason.TOKEN_INVALID.value,
    "agent_unknown": Reason.AGENT_NOT_FOUND.value,
}
"""The reference gateway's finer words for a reason; the others are the same."""


def read_database(url: str) -> pl.DataFrame:
    """Read the gateway's request log.

    Parameters
    ----------
    url
        ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or ``postgresql://user:password@host:port/name``. It
        is opened to read only.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`REQUEST_LOG_SCHEMA` (see the module), a row an answer, by time. Rows are fetched and converted
        in batches, so that beside the frame only one batch is held.

    Raises
    ------
    SettingsError
        The URL is of another kind.
    SourceError
        The database cannot be reached or refuses the login, or has no request log, or one with a time that is none. The
        text never holds the password.
    """
    return pl.concat(read_batches(url)).sort("at", maintain_order=True)


def read_batches(url: str) -> Iterator[pl.DataFrame]:
    """Read the gateway's request log batch by batch, in any order; the first is empty.

    Parameters and errors are those of :func:`read_database`.
    """
    yield pl.DataFrame(schema=REQUEST_LOG_SCHEMA)
    with opened(url) as database:
        for rows in database.batches(_statement(database)):
            yield _frame(rows)


def look_up_request_log(url: str) -> None:
    """See that the gateway's request log is there and can be read, without reading it.

    Parameters and errors are those of :func:`read_database`.
    """
    with opened(url) as database:
        _statement(database)


def _statement(database: Database) -> str:
    """Give the SELECT of the request log that there is."""
    for table in _TABLES:
        present = database.columns(table)
        for columns in (_REFERENCE, _REAL):
            if {column for column in columns if column is not None} - _OPTIONAL <= present:
                selected = ", ".join(f'"{column}"' if column in present else "null" for column in columns)
                return f'select {selected} from "{table}"'  # noqa: S608 - our own names
    message = (
        f"the database has no request log, a table {' or '.join(_TABLES)} with the gateway's columns: pass the one that"
        " the gateway itself writes"
    )
    raise SourceError(message)


def _frame(rows: Sequence[tuple[Value, ...]]) -> pl.DataFrame:
    at, correlation_id, agent_id, tool, action, status, service_ms, text, outcome, reason, attempts = zip(
        *rows, strict=True
    )
    try:
        classified = list(map(_classified, status, text, outcome, reason))
        return pl.DataFrame(
            {
                "at": pl.Series([_us(one) for one in at], dtype=pl.Int64).cast(AT),
                "correlation_id": correlation_id,
                "agent_id": agent_id,
                "tool": tool,
                "action": action,
                "status": status,
                "kind": [kind for kind, _ in classified],
                "reason": [why for _, why in classified],
                "service_ms": [None if ms is None else float(ms) for ms in service_ms],
                "attempts": attempts,
            },
            schema=REQUEST_LOG_SCHEMA,
        )
    except (AttributeError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        message = f"the request log has a row that is none of the gateway's: {error}"
        raise SourceError(message) from error


@lru_cache(maxsize=4_096)  # messages repeat, but for quotas and their like
def _classified(status: int, message: str | None, outcome: str | None, reason: str | None) -> tuple[str, str | None]:
    """Give kind and reason: the gateway's own words where it has them, else what its text says."""
    if outcome is not None and outcome in _KINDS:
        return outcome, None if reason is None else _REASONS.get(reason, reason)
    kind, why = classify_answer(status, message, None)
    return kind.value, None if why is None else why.value


def _us(at: Value) -> int:
    """Give a time as microseconds since the epoch: a number is milliseconds (Prisma in SQLite), no zone is UTC."""
    if isinstance(at, int | float):
        return round(at * 1000)
    time = dt.datetime.fromisoformat(at) if isinstance(at, str) else at
    if time is None:
        message = "a time is missing"
        raise ValueError(message)
    return (time.replace(tzinfo=time.tzinfo or dt.UTC) - _EPOCH) // _MICROSECOND
