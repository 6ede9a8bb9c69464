"""The keys of what becomes of a scheduled change, by which a resumed run knows what was done.

=========================== ===========================================================================================
key                         its event says
=========================== ===========================================================================================
``change:N:DO``             the plan's change number N was made, or was tried in vain: it is not tried again
``change:N:DO:off``         what it switched on is off again
``begun:change:N:DO``       its gate was passed and it is about to be made; ``begun:change:N:DO:2`` when a resumed run
                            makes once more what a crash cut short
``again:begun:...``         what was so begun once more was tried in vain
=========================== ===========================================================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from soaklib.plan.changes import Change

__all__ = ["again_key", "begun_key", "change_key", "in_order", "number_of", "off_key"]

_NUMBER: Final = re.compile(r"(?:again:)?(?:begun:)?change:(\d+):")


def in_order(changes: Iterable[Change]) -> list[tuple[int, Change]]:
    """Give a plan's changes in the order of their times, which a plan need not keep to, each with its number."""
    return sorted(enumerate(changes), key=lambda numbered: numbered[1].at)


def change_key(number: int, change: Change) -> str:
    """Give the key of a plan's change."""
    return f"change:{number}:{change.do}"


def off_key(key: str) -> str:
    """Give the key of the end of a change."""
    return f"{key}:off"


def begun_key(key: str, is_done: Callable[[str], bool]) -> str:
    """Give the key of the next beginning of a change, which no event has yet."""
    begun, times = f"begun:{key}", 1
    while is_done(begun):
        times += 1
        begun = f"begun:{key}:{times}"
    return begun


def again_key(begun: str) -> str:
    """Give the key of what became of a change that was begun once more."""
    return f"again:{begun}"


def number_of(key: str) -> int | None:
    """Give the place in the plan of the change that a key is about; None when it is about none."""
    match = _NUMBER.match(key)
    return None if match is None else int(match[1])
