"""When two counts part that should be equal, seen only at moments at which calls were under way.

Let G be the true difference of a counter and the calls that it counts: it changes only when an increment is left out
or made twice. At reading k it is known no better than to an interval, because a call under way then may have been
counted already or not. The explanation given is the most sparing one: G stays as it is for as long as one value lies in
every interval, and when it must change, it changes by as little as it can. On a line this lazy path has the fewest
changes and, among those, the least total change (chasing intervals; a greedy stabbing of intervals in order).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Jump", "jumps", "path", "pieces_of"]


class Jump(NamedTuple):
    """A change that no call under way can explain.

    Attributes
    ----------
    reading
        0-based reading at which it is certain: it came between the reading before and this one, or earlier.
    size
        By how much the difference changes; not 0.
    since
        The earliest reading at which it may have been there already; equal to `reading` when it cannot be older.
    """

    reading: int
    size: float
    since: int


def pieces_of(lower: Sequence[float], upper: Sequence[float]) -> list[tuple[int, float, float]]:
    """Cut the readings into as few stretches as can be, in each of which one value lies within all bounds.

    Parameters
    ----------
    lower, upper
        Bounds of the difference at each reading, lower <= upper, equal lengths.

    Returns
    -------
    list of tuple
        For each stretch its number of readings, and the least and the greatest value that all of them allow.
    """
    pieces: list[tuple[int, float, float]] = []
    length, low, high = 0, float("-inf"), float("inf")
    for a, b in zip(lower, upper, strict=True):
        if length and (a > high or b < low):
            pieces.append((length, low, high))
            length, low, high = 0, float("-inf"), float("inf")
        length, low, high = length + 1, max(low, a), min(high, b)
    if length:
        pieces.append((length, low, high))
    return pieces


def path(lower: Sequence[float], upper: Sequence[float]) -> list[float]:
    """Give the most sparing value of the difference at each reading.

    Parameters
    ----------
    lower, upper
        Bounds of the difference at each reading, lower <= upper, equal lengths.

    Returns
    -------
    list of float
        One value a reading, each within its bounds.
    """
    pieces = pieces_of(lower, upper)
    values: list[float] = []
    value = min(max(_nearest_to_next(pieces), pieces[0][1]), pieces[0][2]) if pieces else 0.0
    for length, low, high in pieces:
        value = min(max(value, low), high)
        values += [value] * length
    return values


def jumps(lower: Sequence[float], upper: Sequence[float]) -> list[Jump]:
    """Give the changes of :func:`path`, in order."""
    values = path(lower, upper)
    found = []
    for reading in range(1, len(values)):
        size = values[reading] - values[reading - 1]
        if size:
            since = reading
            while since > 1 and lower[since - 1] <= values[reading] <= upper[since - 1]:
                since -= 1
            found.append(Jump(reading, size, since))
    return found


def _nearest_to_next(pieces: list[tuple[int, float, float]]) -> float:
    """Give the value of the first piece from which the way to the second is shortest; 0 where there is no second."""
    if len(pieces) == 1:
        return 0.0
    return pieces[1][1] if pieces[1][1] > pieces[0][2] else pieces[1][2]
