"""Where labels go so that none covers another: a pure function of where they belong and how wide they are."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Placed", "place"]

_MOST_ROWS: Final = 8
_MOST_TRIES: Final = 2000


class Placed(NamedTuple):
    """Where a label stands.

    Attributes
    ----------
    x
        Its stem.
    left, right
        Its text, in the unit of `x`.
    row
        0 is the lowest.
    """

    x: float
    left: float
    right: float
    row: int


@lru_cache(maxsize=64)
def place(
    stems: tuple[float, ...], widths: tuple[float, ...], *, low: float, high: float, air: float
) -> tuple[Placed | None, ...]:
    """Find for each label a row and a place by its stem, so that it meets no other label and no other's stem.

    All ways in one row are tried, then all in two, and so on: the labels take as few rows as they can. A day's changes
    are few; where they are too many to be tried out, each takes the first place that is left, and one for which none is
    left goes without its text.

    Parameters
    ----------
    stems
        Where each label belongs, in any order.
    widths
        How wide each text is.
    low, high
        The span that texts should stay in; one that fits on neither side of its stem may leave it on the right.
    air
        Least distance between two texts, and between a text and its stem.

    Returns
    -------
    tuple of Placed or None
        In the order of `stems`; None where there is no room: the stem is drawn without its text.
    """
    if not stems:
        return ()
    order = sorted(range(len(stems)), key=lambda index: -stems[index])
    spots: list[list[Placed]] = []
    found = None
    for rows in range(1, _MOST_ROWS + 1):
        spots = [_spots(stems[index], widths[index], rows, span=(low, high), air=air) for index in order]
        found = _search(spots, air)
        if found is not None:
            break
    placed = dict(zip(order, found or _first_come(spots, air), strict=True))
    return tuple(placed[index] for index in range(len(stems)))


def _spots(x: float, width: float, rows: int, *, span: tuple[float, float], air: float) -> list[Placed]:
    """Give the places a label may take, the best first: low, right of its stem, left of it, above it at the edge."""
    low, high = span
    beside = [(left, left + width) for left in (x + air, x - air - width) if low <= left and left + width <= high + air]
    above = [(left, left + width) for left in (high - width, low) if low <= left <= x <= left + width]
    sides = (beside + above) or [(x + air, x + air + width)]
    return [Placed(x, *side, row) for row in range(rows) for side in sides]


def _search(spots: Sequence[Sequence[Placed]], air: float) -> list[Placed] | None:
    """Choose one spot a label so that all keep clear of each other; None when there is no such choice, or none soon."""
    chosen: list[Placed] = []
    left = [iter(spots[0])]
    for _ in range(_MOST_TRIES):
        spot = next((spot for spot in left[-1] if all(_apart(spot, other, air) for other in chosen)), None)
        if spot is None:
            left.pop()
            if not left:
                return None
            chosen.pop()
            continue
        chosen.append(spot)
        if len(chosen) == len(spots):
            return chosen
        left.append(iter(spots[len(chosen)]))
    return None


def _first_come(spots: Sequence[Sequence[Placed]], air: float) -> list[Placed | None]:
    """Give each label in turn its first spot that keeps clear of those before it."""
    chosen: list[Placed | None] = []
    for places in spots:
        taken = [spot for spot in chosen if spot is not None]
        chosen.append(next((spot for spot in places if all(_apart(spot, other, air) for other in taken)), None))
    return chosen


def _apart(a: Placed, b: Placed, air: float) -> bool:
    """Say whether two labels keep clear: text of text in a row, and a stem of every text that it goes past."""
    if a.row == b.row and a.left < b.right + air and b.left < a.right + air:
        return False
    return not (_goes_through(a, b, air) or _goes_through(b, a, air))


def _goes_through(stem: Placed, text: Placed, air: float) -> bool:
    return stem.row >= text.row and text.left - air / 2 < stem.x < text.right + air / 2
