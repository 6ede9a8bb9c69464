"""What a plan knows of a gateway that only a ledger of every call can hold it to: limits, and whom it must refuse."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from soaklib.plan.parts import Name, Part
from soaklib.records import Trial

__all__ = ["RateLimit", "Trials"]


class RateLimit(Part):
    """A limit of calls in a window, as the gateway's owner states it.

    Attributes
    ----------
    name
        What it is called in verdicts.
    calls, window_s
        So many calls are let through in so many seconds: soak time at the reference gateway, which shortens its
        windows by its speed, and the gateway's own time elsewhere.
    per
        Whose calls are counted together: an agent's, a key's (an agent's until its next rotation), a role's, or all.
    window
        How it is counted: over the last `window_s` at each call (``sliding``), or in windows that begin anywhere
        (``fixed``): two of those may meet in any stretch of `window_s`, which so may hold twice as many.
    counts_refused
        Whether what it refuses counts as well.
    roles
        Whose calls it counts; none for all roles.
    phase
        The phase in which it is in force, such as that of a change that cuts it; None for the whole run.
    try_every_s
        How often, in soak seconds, an agent of its own calls until it is refused; None for never.
    """

    name: str = Field("requests", min_length=1, max_length=60)
    calls: int = Field(ge=1)
    window_s: float = Field(60.0, gt=0)
    per: Literal["agent", "key", "role", "all"] = "agent"
    window: Literal["sliding", "fixed"] = "fixed"
    counts_refused: bool = False
    roles: tuple[Name, ...] = ()
    phase: str | None = None
    try_every_s: float | None = Field(None, gt=0)

    @property
    def certain_calls(self) -> int:
        """Give the calls that any stretch of a window may hold, whenever the gateway's own windows begin."""
        return self.calls * (1 if self.window == "sliding" else 2)


class Trials(Part):
    """Calls as those who must be refused, one of each every `every_s` soak seconds.

    What a turn prepares (a token that expires, one that is revoked) is tried at the next.
    """

    every_s: float = Field(3600.0, gt=0)
    of: tuple[Trial, ...] = (Trial.UNKNOWN, Trial.EXPIRED, Trial.REVOKED, Trial.ROTATED, Trial.SCOPE)
