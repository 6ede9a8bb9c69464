"""Whom a gateway must refuse: what a kind of gateway can make so that it is tried.

An :class:`~soaklib.targets.admin.Admin` that has these methods is asked for such identities; of one that has not, no
trial is possible, and the run says so.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from soaklib.errors import TargetError
from soaklib.records import Trial

if TYPE_CHECKING:
    import datetime as dt

    from soaklib.targets.base import Identity

__all__ = ["NOTHING_TO_REFUSE", "TrialNotPossibleError", "TriesIdentities", "forged", "unmade"]

NOTHING_TO_REFUSE: Final = "the plan's [target] names no token or key: there is none that could be refused"
_NOT_MADE: Final = {
    Trial.EXPIRED: "its tokens come from the environment: none can be made that expires",
    Trial.REVOKED: "its tokens come from the environment: none can be made that is revoked",
    Trial.ROTATED: "its tokens come from the environment, and are not replaced",
    Trial.SCOPE: "what its tokens open is not known: write a probe ([[probes]]) for what one must not",
    Trial.EDGE: "its tokens come from the environment: none is apart from the load's, to be used up",
}


class TrialNotPossibleError(TargetError):
    """A kind of gateway, as the plan speaks to it, cannot be tried so; the text is the sentence that says why."""


@runtime_checkable
class TriesIdentities(Protocol):
    """An admin that makes identities to be tried."""

    async def trial_identity(self, trial: Trial, identity: Identity, *, expires_at: dt.datetime) -> Identity:
        """Give an identity for a trial.

        Parameters
        ----------
        trial
            What is wrong with its secret; for ``edge`` nothing, but that it is apart from the load's. Of ``rotated``
            and ``scope``, which are made of the load's own, the identity is given back.
        identity
            The load's own of that role.
        expires_at
            For ``expired``: when its secret is to end, which is soon.

        Raises
        ------
        TrialNotPossibleError
            No such identity can be made.
        AdminError
            The gateway did not make it.
        """
        ...


def unmade(trial: Trial) -> TrialNotPossibleError:
    """Give why no such secret can be made where all come from the environment."""
    return TrialNotPossibleError(_NOT_MADE[trial])


def forged(secret: str) -> str:
    """Give a secret that was never given, of the form of one that was: some characters near its end are others."""
    kept, end = secret[:-12], secret[-12:-4]
    alphabet = "0123456789abcdef"
    while True:
        other = "".join(secrets.choice(alphabet) if one.isalnum() else one for one in end)
        if other != end or not any(one.isalnum() for one in end):
            return f"{kept}{other}{secret[-4:]}" if other != end else f"{secret}0"
