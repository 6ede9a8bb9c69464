"""Whom a gateway must refuse: what a kind of gateway can make so that it is tried.

An :class:`~soaklib.targets.admin.Admin` that has these methods is asked for such identities; of one that has not, no
trial is possible, and the run says so.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from soaklib.errors import TargetError
from soaklib.records import Trial

if TYPE_CHECKING:
    import datetime as dt

    from soaklib.targets.base import Identity

__all__ = ["TrialNotPossibleError", "TriesIdentities", "forged", "unless_made"]

_NOTHING_TO_REFUSE: Final = "the plan's [target] names no token or key: there is none that could be refused"
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


def unless_made(trial: Trial, identity: Identity, *, makes: bool) -> Identity | None:
    """Give an identity with a secret that nobody made, for a trial that asks for no more; None where one is to be made.

    Parameters
    ----------
    trial, identity
        As in :meth:`TriesIdentities.trial_identity`.
    makes
        Whether the gateway makes secrets, or all come from the environment.

    Raises
    ------
    TrialNotPossibleError
        The plan names no secret; or the trial needs one that is made, and the gateway makes none.
    """
    if not identity.secret:
        raise TrialNotPossibleError(_NOTHING_TO_REFUSE)
    if trial is Trial.UNKNOWN:
        return replace(identity, secret=forged(identity.secret))
    if not makes or trial is Trial.SCOPE:
        raise TrialNotPossibleError(_NOT_MADE[trial])
    return None


def forged(secret: str) -> str:
    """Give a secret that was never given, of the form of one that was: some characters near its end are others."""
    kept, end = secret[:-12], secret[-12:-4]
    alphabet = "0123456789abcdef"
    while True:
        other = "".join(secrets.choice(alphabet) if one.isalnum() else one for one in end)
        if other != end or not any(one.isalnum() for one in end):
            return f"{kept}{other}{secret[-4:]}" if other != end else f"{secret}0"
