"""What a gateway is to soaklib: the protocol that each kind of it fulfils, and what passes between it and the load.

A target says how its gateway is spoken to and how its answers are read. On the hot path it does no I/O: one transport
(:mod:`soaklib.runner.client`) keeps times, limits, TLS and failures, asks a :class:`Template` for the bytes of a call,
and hands what comes back to a :class:`Reader` as it comes. What is done beside the load (identities, policies, changes,
health) goes through :class:`Admin`, which may wait.

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
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from soaklib.errors import TargetError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from pydantic import BaseModel, JsonValue

    from soaklib.plan.model import Change, Plan, Step
    from soaklib.records import Kind, Reason

__all__ = [
    "Admin",
    "AdminError",
    "Health",
    "Identity",
    "Limit",
    "Link",
    "Made",
    "Meaning",
    "MetricMap",
    "Missing",
    "Reader",
    "Reading",
    "Series",
    "Target",
    "Tell",
    "Template",
    "Told",
    "Wire",
]


class Limit(StrEnum):
    """Which limit of a gateway denied a call: column ``limit`` of ``outcomes``."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    PARALLEL = "parallel"
    BUDGET = "budget"
    LOCK_OUT = "lock-out"


class Meaning(StrEnum):
    """What a metric tells, whatever it is called; a criterion asks for a meaning."""

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
        Labels that its series must bear; others are summed over.
    """

    metric: str
    labels: Mapping[str, str] = {}


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
    """

    path: str | None = "/metrics"
    canonical: Mapping[str, str] = field(default_factory=dict)
    meanings: Mapping[Meaning, Series] = field(default_factory=dict)


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
    """

    name: str
    role: str
    secret: str = field(repr=False)
    generation: int = 0
    session: str | None = None
    handle: str = ""


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
        """Take a piece of the body, and when it came; say whether more is wanted (False: it is too large)."""
        ...

    def end(self) -> Reading:
        """Give what the whole answer says: its body has come to an end as HTTP means it."""
        ...

    def broken_off(self, kind: Kind, reason: Reason) -> Reading:
        """Give what an answer says that came to no end, by what the transport says of it.

        A stream that had begun is ``invalid_response``, ``stream_truncated`` where its connection was cut, and
        ``timeout``, ``stream_stalled`` where it stood still; what was seen of it stays in the reading.
        """
        ...


class AdminError(TargetError):
    """What was asked of a gateway beside the load did not come about, or is not known to have.

    Attributes
    ----------
    status
        HTTP status of the answer; None when there was none.
    is_missing
        Whether the gateway cannot do such a thing at all, as against saying no: ``CHANGE_UNSUPPORTED``.
    is_refusal
        Whether what was asked for has surely not been done. No answer, a server's error, and an answer that is none of
        its own may all come after it was done.
    lost_identity
        Whether the gateway does not know the identity (any more) that it was asked for.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        is_missing: bool = False,
        is_refusal: bool = False,
        lost_identity: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.is_missing = is_missing
        self.is_refusal = is_refusal
        self.lost_identity = lost_identity

    @property
    def is_passing(self) -> bool:
        """Whether trying again may help: no answer, or a server's error."""
        return self.status is None or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


class Tell(Protocol):
    """Takes what is worth an event: its name, a line on it, and the parts of that line as data."""

    def __call__(
        self, name: str, detail: str = "", *, subject: str | None = None, data: Mapping[str, JsonValue] | None = None
    ) -> None:
        """Write it down."""
        ...


@dataclass(frozen=True, kw_only=True)
class Link:
    """What an :class:`Admin` needs to know of the run and of the way to its gateway.

    Attributes
    ----------
    base_url, timeout_s, headers, ca_file
        The way: every request goes to the base URL, with these headers, within this time, by this TLS.
    secret
        What lets admin calls in; None for nothing.
    plan, run_id, rps
        Of the run; what it makes at the gateway bears its id.
    tell
        Takes what is worth an event.
    """

    base_url: str
    timeout_s: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: Path | None = None
    secret: str | None = field(default=None, repr=False)
    plan: Plan
    run_id: str
    rps: float
    tell: Tell


class Missing(NamedTuple):
    """What stands in the way of a plan at a gateway, as ``--check`` says it.

    Attributes
    ----------
    hindered
        What stands in the way of a change of the plan, by its place; none for one that can be made.
    notes
        What else is worth knowing before a day of it.
    """

    hindered: dict[int, str]
    notes: list[str]


class Health(NamedTuple):
    """Whether a gateway is fit for a change.

    Attributes
    ----------
    fit
        Whether it is; an open breaker alone is no reason against it.
    detail
        One line on why or why not.
    open_breakers
        What they stand in front of.
    """

    fit: bool
    detail: str
    open_breakers: tuple[str, ...] = ()


class Told(NamedTuple):
    """What an endpoint of a gateway's own answered, and what that says.

    Attributes
    ----------
    status, body, content_type
        As they came.
    ok
        Whether it told that all is well; of metrics the reader of their text says so.
    detail
        Why it did not, or what is worth knowing all the same; None for nothing.
    samples
        Metric and value of what it told in figures, beside the text of metrics.
    """

    status: int
    body: bytes
    ok: bool = False
    detail: str | None = None
    samples: tuple[tuple[str, float], ...] = ()
    content_type: str | None = None


class Made(NamedTuple):
    """A change that was made.

    Attributes
    ----------
    subject
        What it was done to: a tool, a role.
    data
        What was done, free of secrets: the event's data, of which its line is made.
    """

    subject: str | None = None
    data: Mapping[str, JsonValue] = {}


class Admin(Protocol):
    """What is done at a gateway beside the load; entered before the first and left after the last.

    What does not come about is raised as :class:`AdminError`, which knows whether it was refused, is unsupported, or
    may have come about all the same.

    Attributes
    ----------
    capabilities
        The changes (``do``) of its own that this kind of gateway can be asked for.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Give the changes of its own."""
        ...

    async def __aenter__(self) -> Self:
        """Open what it works with."""
        ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close what it works with."""
        ...

    async def missing(self, plan: Plan) -> Missing:
        """Say what a plan asks for that the gateway does not have, by requests that change nothing.

        Raises
        ------
        TargetError
            No soak is possible.
        """
        ...

    async def health(self) -> Health:
        """Say whether the gateway is fit for a change; that it cannot be asked is an answer too."""
        ...

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Give what there is to look at again and again: of ``metrics``, ``health``, ``ready``."""
        ...

    async def look(self, endpoint: str) -> Told:
        """Read one of the endpoints, and judge it.

        Raises
        ------
        AdminError
            It gave no answer.
        """
        ...

    # -- identities

    async def open(self, role: str, name: str) -> Identity:
        """Make one who can call, as a role of the plan; :meth:`renew` gives it its first secret.

        An identity whose secret is there for good (a key from the environment) comes with it.
        """
        ...

    async def renew(self, identity: Identity, *, expires_at: dt.datetime) -> Identity:
        """Give an identity as it is from now on: with a new secret or session, or as it was where it needs none.

        Calls go on with the old one while this waits, and some for a moment after it.
        """
        ...

    async def close(self, identity: Identity) -> None:
        """Let an identity go: at the end of the run, or when another has taken its place."""
        ...

    # -- what the roles need to be let in

    async def prepare(self, *, anew: bool = False) -> None:
        """Make what the plan's roles need so that they may call (policies), and tell of it.

        Parameters
        ----------
        anew
            Whether a gateway is to be given it again that may have forgotten it.
        """
        ...

    async def clear_left(self, known: Mapping[str, str]) -> None:
        """Remove what an earlier runner of the run has left, by name and by the ids that it wrote down."""
        ...

    async def clear(self) -> None:
        """Remove what was made to prepare; what cannot be removed is told, and not raised."""
        ...

    # -- changes of this kind of gateway's own; those that any gateway takes are made by the runner

    async def make(self, change: Change) -> Made:
        """Make a change.

        Raises
        ------
        AdminError
            It did not come about, or is not known to have.
        """
        ...

    def undoing(self, change: Change) -> Wire | None:
        """Give the request that takes a change back, known before it is made; None for one that stays.

        It is asked without a look at the answer's body: a 2xx or 404 says that it is taken back.
        """
        ...

    async def undo(self, change: Change) -> None:
        """Take a change back; taking back one that was never made is fine."""
        ...

    async def resume(self, change: Change, *, gateway_is_new: bool) -> None:
        """Take up, in a resumed run, that a change was made: what is made from now on has it.

        Parameters
        ----------
        change
            One that was made, and that stays.
        gateway_is_new
            Whether the gateway has seen none of it, so that it has to be made again.
        """
        ...

    async def is_in_force(self, change: Change) -> bool | None:
        """Say whether a change that was made is in force; None where this kind of gateway cannot be asked."""
        ...


class Target(Protocol):
    """One kind of gateway, made with its options; holds no state of a run.

    Attributes
    ----------
    kind
        Its name, as in ``kind = "..."`` of the plan's ``[target]`` table.
    options
        What else that table may hold.
    metrics
        What its metrics mean.
    """

    kind: str
    options: type[BaseModel]
    metrics: MetricMap

    def compile(self, step: Step, role: str) -> Template:
        """Compile a call of the plan, before anything is sent.

        Raises
        ------
        SettingsError
            The step is not one that this gateway can be asked for; the text names the place in the plan.
        """
        ...

    def reader(self, template: Template) -> Reader:
        """Give the reader of one call's answer."""
        ...

    def admin(self, link: Link) -> Admin:
        """Give the way to do what is done beside the load; nothing is sent yet."""
        ...
