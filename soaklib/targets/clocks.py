"""Whether a gateway's clock and this machine's agree, by the ``Date`` of an answer."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["about_clock", "ahead_s"]

_CLOCKS_AGREE_S: Final = 60.0


def ahead_s(date: str | None, now: dt.datetime) -> float | None:
    """Give how far a gateway's clock is ahead, seconds; None where its answer does not say what time it is.

    Parameters
    ----------
    date
        The ``Date`` of an answer, to the second.
    now
        This machine's time.
    """
    try:
        told = parsedate_to_datetime(date or "")
    except (ValueError, OverflowError):  # none, or none that can be read
        return None
    return (told.replace(tzinfo=told.tzinfo or dt.UTC) - now).total_seconds()


def about_clock(date: str | None, now: dt.datetime) -> list[str]:
    """Say that the gateway's clock and this machine's differ, by which tokens expire too early or too late.

    Parameters are those of :func:`ahead_s`.
    """
    ahead = ahead_s(date, now)
    if ahead is None or abs(ahead) <= _CLOCKS_AGREE_S:
        return []
    where = "ahead of" if ahead > 0 else "behind"
    differs = f"the gateway's clock is {abs(ahead):.0f} s {where} this machine's"
    return [f"{differs}: tokens expire by the one and are asked for by the other; set them right"]
