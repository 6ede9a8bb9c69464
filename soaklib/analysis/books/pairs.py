"""What is compared with what: the kinds of answers, the counters that count them, and what a comparison proves.

Each answer to a call is of one *kind of answer*, told by its status and reason (:data:`ANSWER_SQL`). A *book* compares
some kinds of answers with one counter of the gateway (:data:`BOOKS`); the request log has a row for every one of them.

================== ============================================================ =======================================
kind of answer     which                                                        counted in
================== ============================================================ =======================================
ok                 any 2xx                                                      requests{code="200"}, durations,
                                                                                validations
failed             502, not by an open breaker                                  requests{code="502"}, durations,
                                                                                validations
fast fail          502 by an open breaker                                       as failed, and fast-fails
denied             403 by policy                                                denials, validations
expired            403 for an expired token                                     expirations, validations
refused            403 for the agent, 400 for parameters, 429                   validations
uncounted          any other answer                                             nothing
unanswered         sent, or perhaps sent, and no answer of the gateway came     once or never
never connected    no connection, so that the gateway cannot have seen it       nothing
================== ============================================================ =======================================

So validations = denials + expirations + agent unknown or inactive + refused parameters + 429 + executed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

import polars as pl

__all__ = ["ANSWER_SQL", "BOOKS", "Answer", "Book", "Cause", "Pair", "reconciliation_proofs"]


class Answer(StrEnum):
    """What kind of answer a call had; see the module's table."""

    OK = "ok"
    FAILED = "failed"
    FAST_FAIL = "fast fail"
    DENIED = "denied"
    EXPIRED = "expired"
    REFUSED = "refused"
    UNCOUNTED = "uncounted"
    UNANSWERED = "unanswered"
    NEVER_CONNECTED = "never connected"


class Pair(StrEnum):
    """Which two sources a row of the reconciliation compares."""

    COUNTER = "client and counter"
    DATABASE = "client and database"


class Cause(StrEnum):
    """Why two sources differ; the first eight are harmless, the last three are findings."""

    BALANCED = "balanced"  #: they do not differ
    IN_FLIGHT = "in flight at the edge"  #: calls under way when the counters were read, on either side of the reading
    UNANSWERED = "unanswered"  #: sent, and no answer came: the gateway may have counted it or not
    NEVER_CONNECTED = "never connected"  #: the gateway cannot have seen the call
    RETRIED = "retried"  #: a call put on the wire several times may be counted as often
    RESTART = "counter reset or restart"  #: counted, and forgotten before the counters were read
    SCRAPE_GAP = "scrape gap"  #: before the first or after the last reading of the counters
    NOT_COUNTED = "not counted"  #: this source does not count such answers
    COUNTED_TWICE = "counted twice"  #: counted more often than it happened, now and then
    LOST = "lost"  #: it happened and is not counted
    UNEXPLAINED = "unexplained"  #: none of these; another client, or answers that differ from what was written down


FINDINGS: Final = (Cause.COUNTED_TWICE, Cause.LOST, Cause.UNEXPLAINED)
"""The causes with which the books are not balanced."""


ANSWER_SQL: Final = f"""
    case when kind = 'missed' then '{Answer.UNANSWERED}'
         when attempts = 0 then null
         when status is null and reason in ('connect_refused', 'connect_timeout', 'dns', 'tls')
              then '{Answer.NEVER_CONNECTED}'
         when status is null then '{Answer.UNANSWERED}'
         when correlation_id is null and has_ids and (status < 300 or status >= 500) then '{Answer.UNANSWERED}'
         when status between 200 and 299 then '{Answer.OK}'
         when status = 502 and kind = 'fast_fail' then '{Answer.FAST_FAIL}'
         when status = 502 then '{Answer.FAILED}'
         when kind = 'denied' then '{Answer.DENIED}'
         when reason = 'token_expired' then '{Answer.EXPIRED}'
         when reason in ('agent_not_found', 'agent_inactive', 'parameters', 'rate_limit') then '{Answer.REFUSED}'
         else '{Answer.UNCOUNTED}' end"""
"""The kind of answer of a row of ``outcomes``, NULL where nothing was sent.

``has_ids`` says whether answers of this gateway carry a correlation id: one that has none was then not made by the
gateway's handler but on the way, and tells nothing of what the gateway counted.
"""


class Book(NamedTuple):
    """One counter and the answers that it should count.

    Attributes
    ----------
    name
        As in the column ``outcome``.
    answers
        The kinds of answers that it counts.
    metric
        The counter's documented name.
    code
        First digits of its label ``code`` that are meant; ``""`` where it has none.
    witnesses
        Books that tell an increment made twice from a call that this client did not make: they rise only with a call.
    proves, cannot_prove
        What the comparison says and what it cannot say.
    """

    name: str
    answers: tuple[Answer, ...]
    metric: str
    code: str
    witnesses: tuple[str, ...]
    proves: str
    cannot_prove: str


_EXECUTED: Final = (Answer.OK, Answer.FAILED, Answer.FAST_FAIL)

BOOKS: Final = (
    Book(
        "ok", (Answer.OK,), "gateway_requests_total", "2", ("executed",),
        "every 200 that the client saw is counted, and as often as every other",
        "that the call had its effect upstream, or which call an increment stands for",
    ),
    Book(
        "failed", (Answer.FAILED, Answer.FAST_FAIL), "gateway_requests_total", "502", ("executed",),
        "every 502 that the client saw is counted", "whether the breaker or the upstream refused it: both are 502 here",
    ),
    Book(
        "executed", _EXECUTED, "gateway_request_duration_ms_count", "", ("ok", "failed"),
        "every executed call has a duration; where requests and durations differ, one of them miscounts",
        "that the durations are right",
    ),
    Book(
        "fast fail", (Answer.FAST_FAIL,), "gateway_breaker_fastfail_total", "", ("failed",),
        "every call that an open breaker refused is counted", "which action was refused: the counter knows the tool",
    ),
    Book(
        "denied", (Answer.DENIED,), "gateway_policy_denials_total", "", ("validated",),
        "every denial that the client saw is counted",
        "by which rule, where the counter has no label kind; for which tool, where it has no label tool",
    ),
    Book(
        "expired", (Answer.EXPIRED,), "gateway_token_expirations_total", "", ("validated",),
        "every call refused for an expired token is counted", "for which tool: the counter knows none",
    ),
    Book(
        "validated", (*_EXECUTED, Answer.DENIED, Answer.EXPIRED, Answer.REFUSED), "gateway_token_validations_total", "",
        (),
        "validations = denials + expirations + agent unknown or inactive + refused parameters + 429 + executed; the "
        "only count of refused parameters, 429 and unknown agents",
        "which of these a surplus is, so that two errors of opposite sign in one window cancel",
    ),
)  # fmt: skip
"""Every comparison with a counter, the more particular ones first."""

_DATABASE_PROVES: Final = (
    "every answer that the client saw has exactly one row with its correlation id, status and tool"
)
_DATABASE_CANNOT: Final = (
    "anything about counters, or about calls that neither side wrote down; the real gateway keeps no row for refused "
    "parameters and unknown agents"
)
_COLUMNS: Final = ("pair", "outcome", "source", "proves", "cannot_prove")


def reconciliation_proofs() -> pl.DataFrame:
    """Say what each comparison of :func:`~soaklib.analysis.books.reconcile.reconcile` can and cannot prove.

    Returns
    -------
    polars.DataFrame
        ``pair`` and ``outcome`` as there, ``source`` (the counter, or the request log), ``proves``, ``cannot_prove``.
        The last row holds for every outcome.
    """
    rows = [(Pair.COUNTER, book.name, book.metric, book.proves, book.cannot_prove) for book in BOOKS]
    rows.append((Pair.DATABASE, "every answer", "request log", _DATABASE_PROVES, _DATABASE_CANNOT))
    return pl.DataFrame(
        [tuple(map(str, row)) for row in rows], schema=dict.fromkeys(_COLUMNS, pl.String()), orient="row"
    )
