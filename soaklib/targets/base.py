"""What a gateway is to soaklib: what each kind of it (:class:`soaklib.targets.Target`) makes, and what passes.

A target says how its gateway is spoken to and how its answers are read. On the hot path it does no I/O: one transport
(:mod:`soaklib.runner.client`) keeps times, limits, TLS and failures, asks a :class:`Template` for the bytes of a call,
and hands what comes back to a :class:`Reader` as it comes. What is done beside the load (identities, policies, changes,
health) goes through :class:`~soaklib.targets.admin.Admin`, which may wait.

::

    Target -- compile(step, role) --> Template -- request(identity, n) --> Wire     (bytes, ready to be sent)
           -- reader(template) -----> Reader   -- head, feed ..., end ---> Reading  (what became of the call)
           -- admin(link) ----------> Admin    -- open, renew, close ----> Identity (whom a call is made as)
                                             -- make(change) ---------> Made, or an AdminError that says what became

A target is found by the name in the plan's ``[target]`` table: those of soaklib, and those that other packages register
under the entry-point group ``soaklib.targets``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from soaklib.records import Kind, Reason

__all__ = ["Identity", "Limit", "Meaning", "MetricMap", "Reader", "Reading", "Series", "Template", "Wire"]


class Limit(StrEnum):
    """Which limit of a gateway denied a call: column ``limit`` of ``outcomes``."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    PARALLEL = "parallel"
    BUDGET = "budget"
    LOCK_OUT = "lock-out"


class Meaning(StrEnum):
    """What a metric tells, whatever it is called; a criterion asks for a meaning.

    Denials are what a row's kind calls so: a call over a limit that lets it in later is none.
    """

    REQUESTS = "requests"
    DURATION = "duration"
    DENIALS = "denials"
    RETRIES = "retries"
    CACHE_HITS = "cache hits"
    BREAKER_STATE = "breaker state"
    FAST_FAILS = "fast fails"
    TOKENS_IN = "tokens in"
    TOKENS_OUT = "tokens out"
    SPEND = "spend"
    IN_FLIGHT = "in flight"
    MEMORY = "memory"
    OPEN_FILES = "open files"
    START = "start"


class Series(NamedTuple):
    """Where a meaning is found among what a gateway exposes.

    Attributes
    ----------
    metric
        Name of the metric, as exposed.
    labels
        Labels that its series must bear, each with its value or with those of which one will do; others are summed
        over.
    """

    metric: str
    labels: Mapping[str, str | tuple[str, ...]] = {}

    @property
    def wanted(self) -> dict[str, tuple[str, ...]]:
        """Give of each label the values of which its series must bear one."""
        return {label: (value,) if isinstance(value, str) else value for label, value in self.labels.items()}

    def is_among(self, names: Collection[str]) -> bool:
        """Say whether it is exposed: under its own name, or by the series that make up a counter or a histogram."""
        return any(f"{self.metric}{suffix}" in names for suffix in ("", "_total", "_count"))


@dataclass(frozen=True, kw_only=True)
class MetricMap:
    """What a gateway's metrics mean.

    Attributes
    ----------
    path
        Where they are exposed; None where there are none.
    canonical
        Exposed name -> the name that frames bear.
    meanings
        Meaning -> where it is found; a meaning that is left out cannot be told by this kind of gateway.
    model_label, key_label
        Labels by which the counters of tokens and money tell apart the models that were asked for, and the keys that
        asked; None where they do not, and left out of account where none of a counter's series has it. A value of the
        latter begins with the identity's ``key_id``.
    """

    path: str | None = "/metrics"
    canonical: Mapping[str, str] = field(default_factory=dict)
    meanings: Mapping[Meaning, Series] = field(default_factory=dict)
    model_label: str | None = None
    key_label: str | None = None


class Wire(NamedTuple):
    """One request, ready to be sent.

    Attributes
    ----------
    method, path
        As on the request line; the path begins with a slash and is relative to the gateway's base URL.
    headers
        Sent beside those of the session; a secret may stand in them.
    body
        None for a request without one.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(slots=True)
class Identity:
    """Whom a call is made as: an agent with its token, a key, a session.

    Attributes
    ----------
    name
        Column ``identity`` of ``outcomes``; no secret.
    role
        The plan's role that it plays.
    secret
        What shows the gateway who calls (token, key); never stored or logged.
    generation
        Which rotation it is of, 0 for the first.
    session
        Id of the session it speaks in, where its gateway has such (``Mcp-Session-Id``).
    handle
        The gateway's own id of it, by which it is renewed or closed, where it has one; no secret.
    key_id
        What the gateway's metrics call its key (:attr:`MetricMap.key_label`), where they tell keys apart; no secret.
    """

    name: str
    role: str
    secret: str = field(repr=False)
    generation: int = 0
    session: str | None = None
    handle: str = ""
    key_id: str | None = None


class Reading(NamedTuple):
    """What became of a call, as its answer tells it; times on the run's clock, in microseconds.

    Attributes
    ----------
    kind, reason
        As in ``outcomes``; the reason is None exactly when the kind is ok.
    limit
        A :class:`Limit`, where one denied it.
    correlation_id
        The gateway's own id of the call.
    first_byte_at_us, first_token_at_us
        When the first byte of the body came, and the first content of a stream; None for what is no stream.
    chunks
        How many events of a stream bore content.
    input_tokens, output_tokens
        As the answer states its usage.
    gateway_us
        What the gateway says it took itself, microseconds.
    lost_identity
        Whether the gateway does not know the identity (any more): a new one is needed.
    retries, fallbacks
        How often the gateway says that it asked its upstream again, and that it went on to another.
    remaining
        How many more calls it says that the identity's limit lets through.
    cost_usd
        What the answer says that it cost, US dollars.
    """

    kind: Kind
    reason: Reason | None
    limit: Limit | None = None
    correlation_id: str | None = None
    first_byte_at_us: int | None = None
    first_token_at_us: int | None = None
    chunks: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    gateway_us: int | None = None
    lost_identity: bool = False
    retries: int | None = None
    fallbacks: int | None = None
    remaining: int | None = None
    cost_usd: float | None = None


class Template(Protocol):
    """One call of the plan, compiled: everything that does not change from call to call is done.

    Attributes
    ----------
    stall_s
        How long, wall seconds, a stream may stand still between two chunks; None for the call's own limit alone.
    """

    @property
    def stall_s(self) -> float | None:
        """Give the longest pause of a stream."""
        ...

    def request(self, identity: Identity, number: int) -> Wire:
        """Give the request of one call: bytes are ready but for the identity and the number of the query."""
        ...


class Reader(Protocol):
    """Reads the answer of one call as it comes. It takes any bytes, and raises nothing."""

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Take status and headers (a case-insensitive mapping)."""
        ...

    def feed(self, chunk: bytes, at_us: int) -> bool:
        """Take a piece of the body, and when it came; say whether more is wanted.

        False says that :meth:`broken_off` may be asked now, whatever comes after: the body is too large, or a stream
        has said its last word.
        """
        ...

    def end(self) -> Reading:
        """Give what the whole answer says: its body has come to an end as HTTP means it."""
        ...

    def broken_off(self, kind: Kind, reason: Reason) -> Reading:
        """Give what an answer says that came to no end, by what the transport says of it.

        A stream that had begun is ``invalid_response``, ``stream_truncated`` where its connection was cut, and
        ``timeout``, ``stream_stalled`` where it stood still; what was seen of it stays in the reading. One that has
        said its last word is what it said.
        """
        ...
