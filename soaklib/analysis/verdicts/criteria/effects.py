"""Whether what a change did to the calls shows, and whether it is as much as the plan meant it to be.

An outage of the gateway's own that falls into the window of a change that did nothing is no effect of the change.
Failures come in bursts, so the share of calls that were affected has an interval that is measured from its minutes;
and where the plan says of how many calls it is meant, half of them at least have to be affected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.analysis.statistics.intervals import RateInterval, rate_interval
from soaklib.records import State

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ATTEMPTS", "Shown", "shown", "together"]

_LEAST_PART: Final = 0.5
"""The part of the calls that a change is meant for which has to be affected: caches and fallbacks keep it from some."""
ATTEMPTS: Final = 3
"""So often is a call tried that fails for what may pass, before it fails for its caller."""
_ALMOST_NEVER: Final = 0.001
"""A change that works is not blamed for what its own draw makes more often than this."""


class Shown(NamedTuple):
    """What is told of one change.

    Attributes
    ----------
    share
        Of the calls while it was on that were as it makes them.
    state
        ``pass`` where it shows, ``fail`` where it does not, ``insufficient`` where nobody can tell.
    why
        What keeps it from passing, to be put behind what was seen; empty where it passes, or where nothing shows.
    """

    share: RateInterval
    state: State
    why: str


def shown(affected: Sequence[int], sent: Sequence[int], *, usual: float, meant: float | None) -> Shown:
    """Say whether a change shows in the calls.

    Parameters
    ----------
    affected, sent
        Calls while it was on that were as it makes them, and all of them, minute by minute; at least one was sent.
    usual
        The share of calls that are so without it.
    meant
        The share that it is meant to affect, less what retries take away; None where the plan does not say.
    """
    share = rate_interval(affected, sent)
    alone = rate_interval([sum(affected)], [sum(sent)])  # as if no call had to do with another
    if meant is not None:
        return _as_meant(share, alone, usual, meant)
    if (share.low or 0.0) > usual:
        return Shown(share, State.PASS, "")
    if (alone.low or 0.0) > usual:
        return Shown(share, State.INSUFFICIENT, ", in bursts that may have come without it")
    return Shown(share, State.FAIL, "")


def _as_meant(share: RateInterval, alone: RateInterval, usual: float, meant: float) -> Shown:
    """Hold a share to half of what is meant; what can be chance is no failure."""
    least, half = _LEAST_PART * meant, f"half of the {100 * meant:.3g} % that are meant"
    has_enough = (share.rate or 0.0) >= least
    if has_enough and (share.low or 0.0) > usual:
        return Shown(share, State.PASS, "")
    chance = _chance_of_so_few(share.successes, share.n, usual + meant * (1 - usual))
    if not has_enough and chance > _ALMOST_NEVER:
        why = f", too few to tell: one that works shows no more in so many calls with a chance of {100 * chance:.2g} %"
        return Shown(share, State.INSUFFICIENT, why)
    if not has_enough and (alone.high or 0.0) >= least:
        return Shown(share, State.INSUFFICIENT, f", too few to tell whether they are {half}")
    if (share.high or 0.0) >= least:
        return Shown(share, State.INSUFFICIENT, f", in such bursts that nobody can tell whether they are {half}")
    return Shown(share, State.FAIL, f", less than {half}" if share.successes else "")


def _chance_of_so_few(hit: int, n: int, share: float) -> float:
    from scipy.special import bdtr  # noqa: PLC0415 - scipy is not for `import soaklib`

    return float(bdtr(hit, n, share))


def together(found: Sequence[Shown]) -> State:
    """Give the state of several changes: one that does not show fails, and one of which nobody can tell passes none."""
    states = {one.state for one in found}
    return next((state for state in (State.FAIL, State.INSUFFICIENT) if state in states), State.PASS)
