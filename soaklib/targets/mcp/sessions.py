"""How long a session is kept, and the book of all that were opened.

With one session a run or an agent, a call speaks in its identity's. With a new one every k calls (one a call: k = 1),
sessions are opened ahead, off the hot path, and each call takes its place in one; a session that has served is ended
when its last call is back. No call ever waits for a session: where none is ready the one before goes on, and the book
says so (``overused``).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from soaklib.targets.mcp.options import Era, SessionPolicy

if TYPE_CHECKING:
    from soaklib.targets.base import Identity
    from soaklib.targets.mcp.options import MCPOptions

__all__ = ["Session", "Sessions"]

_AHEAD: Final = 4


@dataclass(slots=True, eq=False)
class Session:
    """One session.

    Attributes
    ----------
    id
        As the server gave it; None where it keeps none.
    owner
        Whom it was opened for.
    left
        How many calls it is still for.
    under_way
        Calls that are not back.
    has_served
        Whether another has taken its place.
    """

    id: str | None
    owner: Identity
    left: int
    under_way: int = 0
    has_served: bool = False


@dataclass(slots=True)
class _Place:
    """An agent as it is now, its session, and those that are ready to follow it."""

    owner: Identity
    current: Session
    ready: deque[Session] = field(default_factory=deque)


class Sessions:
    """Gives each call its session; what opens and ends them is the admin.

    Parameters
    ----------
    options
        The plan's ``[target]`` table.

    Attributes
    ----------
    calls
        How many calls a session is for; None where it is kept.
    book
        Sessions ``opened``, ``closed``, ``left`` (to the server, which keeps no more of them than it wants), of those
        ``unendable`` (it ends none that it is asked to end), ``lost`` (it did not know them any more), and calls
        ``overused``.
    lost
        Ids of the sessions that were lost: there is nothing to end.
    revision
        The protocol's revision that calls speak: as it was agreed last.
    wanted
        Set when sessions are to be opened or ended.
    """

    def __init__(self, options: MCPOptions) -> None:
        is_kept = options.era is not Era.SESSIONS or options.sessions in {SessionPolicy.RUN, SessionPolicy.AGENT}
        one_each = options.sessions is SessionPolicy.CALL
        self.calls: int | None = None if is_kept else (1 if one_each else options.calls_a_session)
        self.book: Counter[str] = Counter()
        self.lost: set[str] = set()
        self.revision = options.revision
        self.wanted = asyncio.Event()
        self._places: dict[str, _Place] = {}
        self._served: deque[Session] = deque()
        self._kept: dict[str, str | None] = {}  # agent -> the session that it keeps

    def seat(self, identity: Identity, id_: str | None) -> None:
        """Begin with an agent's first session, or with its first after the server forgot the others."""
        self._kept[identity.name] = id_
        if self.calls is not None:
            self._places[identity.name] = _Place(identity, Session(id_, identity, self.calls))
            self.wanted.set()

    def follow(self, identity: Identity) -> None:
        """Take an agent's new token: sessions are opened with it from now on."""
        if (place := self._places.get(identity.name)) is not None:
            place.owner = identity

    def leave(self, name: str) -> None:
        """Open no more sessions for an agent; who lets it go ends those that there are."""
        self._places.pop(name, None)
        self._kept.pop(name, None)

    def add(self, session: Session) -> None:
        """Take a session that was opened ahead; of an agent that has left meanwhile it is to be ended."""
        place = self._places.get(session.owner.name)
        if place is None:
            self._serve_out(session)
        else:
            place.ready.append(session)

    def take(self, identity: Identity) -> Session | None:
        """Give the session of a call that is about to leave; None where it is the identity's own."""
        place = self._places.get(identity.name)
        if place is None:
            return None
        if place.current.left <= 0:
            if place.ready:
                self._retire(place.current)
                place.current = place.ready.popleft()
            else:
                self.book["overused"] += 1
            self.wanted.set()
        session = place.current
        session.left -= 1
        session.under_way += 1
        return session

    def give_back(self, session: Session, *, is_lost: bool) -> None:
        """Take a session back from a call that has its answer."""
        session.under_way -= 1
        if is_lost and session.id is not None:
            self.lost.add(session.id)
            session.id, session.left = None, 0
            self.book["lost"] += 1
        if session.has_served and session.under_way == 0:
            self._serve_out(session)

    def lose(self, name: str, id_: str) -> None:
        """Take it that the server does not know the session that an agent keeps: once, however many calls say so.

        Of one who must be refused, which a server may do by not knowing its session, nothing is taken.
        """
        if self._kept.get(name) == id_ and id_ not in self.lost:
            self.lost.add(id_)
            self.book["lost"] += 1

    def to_open(self) -> list[Identity]:
        """Give whom sessions are to be opened for, once for each session."""
        calls = self.calls
        if calls is None:
            return []
        return [
            place.owner
            for place in self._places.values()
            for _ in range((_AHEAD if calls == 1 else 1) - len(place.ready))
        ]

    def to_close(self) -> list[Session]:
        """Give the sessions that have served and are not ended yet."""
        served = list(self._served)
        self._served.clear()
        return served

    def drain(self) -> list[Session]:
        """Give all sessions that are open, at the end; calls have none any more."""
        everything = [
            *self.to_close(),
            *(one for place in self._places.values() for one in (place.current, *place.ready)),
        ]
        self._places.clear()
        return [session for session in everything if session.id is not None]

    def _retire(self, session: Session) -> None:
        session.has_served = True
        if session.under_way == 0:
            self._serve_out(session)

    def _serve_out(self, session: Session) -> None:
        if session.id is not None:
            self._served.append(session)
            self.wanted.set()
