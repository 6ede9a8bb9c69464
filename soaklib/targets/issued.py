"""Keys or tokens that were made for the run's agents, and which of them are still to be revoked.

Calls go on with the one that is in place until the new ones of all agents are there, and a rotation that fails for one
agent leaves all in place: so neither age nor number says which may go, but the identity that is renewed.
"""

from __future__ import annotations

import re
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from soaklib.targets.admin import AdminError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["Issued", "is_of_run"]

_SO_WILL_OTHERS: Final = frozenset({None, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
"""How one fails whose failure tells that of all others: no answer, or who asks is not let in."""


def is_of_run(name: str, run_id: str) -> bool:
    """Say whether one that was made is a run's, by its name; those of its fleet's lanes are left to the lanes.

    Lanes outlive their conductor, and call with theirs.
    """
    return re.match(rf"{re.escape(run_id)}-(?!lane\d+-)", name) is not None


class Issued:
    """What was made, by whom it was made for, until it is revoked.

    Parameters
    ----------
    revoke
        Revokes one by the id that the gateway knows it by.
    """

    def __init__(self, revoke: Callable[[str], Awaitable[None]]) -> None:
        self._revoke = revoke
        self._good: dict[str, list[tuple[str, str]]] = {}  # name -> ids and secrets, the newest last
        self._owed: dict[str, deque[str]] = {}  # name -> ids of those that nobody calls with

    @property
    def ids(self) -> tuple[str, ...]:
        """Give the ids of all that were made and not revoked."""
        owed = (id_ for ids in self._owed.values() for id_ in ids)
        return (*owed, *(id_ for pairs in self._good.values() for id_, _ in pairs))

    def add(self, name: str, id_: str, secret: str) -> None:
        """Take one that was made; the others stay good."""
        self._good.setdefault(name, []).append((id_, secret))

    async def replace(self, name: str, id_: str, secret: str, *, in_place: str) -> None:
        """Take one that was made, and revoke all but it and the one in place.

        Where the secret in place is none of them (an agent that was made anew), the last before it stays. What cannot
        be revoked now is tried again the next time: the new one is good all the same.
        """
        before = self._good.get(name, [])
        kept = [pair for pair in before if pair[1] == in_place] or before[-1:]
        owed = self._owed.setdefault(name, deque())
        owed.extend(pair[0] for pair in before if pair not in kept)
        self._good[name] = [*kept, (id_, secret)]
        try:
            await self._pay(owed)
        except AdminError:
            owed.rotate(-1)  # the next time another one is the first

    async def end(self, name: str) -> None:
        """Revoke all of a name.

        Raises
        ------
        AdminError
            One was not revoked; it and those that were not tried are still owed.
        """
        owed = self._owed.setdefault(name, deque())
        owed.extend(id_ for id_, _ in self._good.pop(name, ()))
        await self._pay(owed)
        self._owed.pop(name, None)

    async def end_left(self, ids: Iterable[str]) -> int:
        """Revoke what an earlier runner has left, but for what was made here; say how many.

        Raises
        ------
        AdminError
            As in :meth:`end_all`: what was not revoked is owed from now on.
        """
        ours = frozenset(self.ids)
        left = [id_ for id_ in dict.fromkeys(ids) if id_ not in ours]
        for id_ in left:
            self.add(f"left {id_}", id_, "")
        await self.end_each(f"left {id_}" for id_ in left)
        return len(left)

    async def end_all(self) -> None:
        """Revoke all.

        Raises
        ------
        AdminError
            One was not revoked. The others were tried all the same, unless they would fare no better.
        """
        await self.end_each([*self._owed, *self._good])

    async def end_each(self, names: Iterable[str]) -> None:
        """Revoke all of each name.

        Raises
        ------
        AdminError
            As in :meth:`end_all`.
        """
        failed = []
        for name in dict.fromkeys(names):
            try:
                await self.end(name)
            except AdminError as exc:
                if exc.status in _SO_WILL_OTHERS:
                    raise
                failed.append(exc)
        for problem in failed:
            raise problem

    def forget(self) -> None:
        """Take it that all are revoked."""
        self._good.clear()
        self._owed.clear()

    async def _pay(self, owed: deque[str]) -> None:
        while owed:
            id_ = owed[0]
            await self._revoke(id_)
            if id_ in owed:  # another renewal of the name may have been faster
                owed.remove(id_)
