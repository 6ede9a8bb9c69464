"""What is done and asked at a gateway beside the load, where it may take time: identities, changes, health, metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from soaklib.errors import TargetError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from pydantic import JsonValue

    from soaklib.plan.changes import Change
    from soaklib.plan.model import Plan
    from soaklib.targets.base import Identity, Wire

__all__ = ["Admin", "AdminError", "Health", "Link", "Made", "Missing", "Owe", "Tell", "Told"]


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


class Owe(Protocol):
    """Takes a request that is owed: it is sent, whatever happens, unless it was sent in order."""

    async def __call__(self, undoing: Wire) -> None:
        """Write it down, and let it be watched over."""
        ...


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

    # -- what is tried before the load, and taken back at once

    @property
    def removing(self) -> tuple[Wire, ...]:
        """Give the requests that remove what was made to prepare, and which identities have made, so far."""
        ...

    async def trial(self, change: Change, owe: Owe) -> None:
        """Really make a change of its own, so that it can be taken back at once: also one that stays in a soak.

        Parameters
        ----------
        change
            Which.
        owe
            Takes each request that takes back a part of it, before that part is made or as soon as it is known; what
            goes with :meth:`clear` is not owed.

        Raises
        ------
        AdminError
            It did not come about, or is not known to have.
        """
        ...

    def wire(self, method: str, path: str, body: bytes | None) -> Wire:
        """Give a request beside the load with what lets it in, as one that was owed by an earlier process."""
        ...
