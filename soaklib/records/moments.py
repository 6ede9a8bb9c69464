"""Moments as people and logs say them: ``H+12``, ``H+11:50``, ``H+0:00:15`` in a soak; UTC to the millisecond."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Final, TypeAlias

from soaklib.errors import SettingsError

__all__ = ["SoakTime", "soak_s_of", "soak_text", "utc_stamp"]

SoakTime: TypeAlias = "str | float | dt.timedelta"
"""A moment of a soak: ``"H+11:50"``, soak seconds, or the time since its start."""

_SAID: Final = re.compile(r"H\+(?P<h>\d+(?:\.\d+)?)(?::(?P<m>[0-5]?\d)(?::(?P<s>[0-5]?\d(?:\.\d+)?))?)?", re.IGNORECASE)


def soak_s_of(when: SoakTime) -> float:
    """Give the soak second of a moment.

    Parameters
    ----------
    when
        ``"H+12"``, ``"H+11:50"``, ``"H+0:00:15"``, ``"H+1.5"``; a number of soak seconds; a timedelta.

    Raises
    ------
    SettingsError
        It is none of these.
    """
    if isinstance(when, str):
        if said := _SAID.fullmatch(when.strip()):
            return 3600 * float(said["h"]) + 60 * float(said["m"] or 0) + float(said["s"] or 0)
    elif isinstance(when, dt.timedelta):
        return when.total_seconds()
    elif math.isfinite(when):
        return float(when)
    msg = f'{when!r} is no moment of a soak; pass for example "H+12", "H+11:50", "H+0:00:15", or soak seconds'
    raise SettingsError(msg)


def soak_text(soak_s: float) -> str:
    """Give a soak second as ``H+3``, ``H+0:30`` or ``H+0:00:15``, to the second."""
    total_s = round(soak_s)
    hours, rest_s = divmod(abs(total_s), 3600)
    minutes, seconds = divmod(rest_s, 60)
    sign = "-" if total_s < 0 else "+"
    if seconds:
        return f"H{sign}{hours}:{minutes:02}:{seconds:02}"
    return f"H{sign}{hours}:{minutes:02}" if minutes else f"H{sign}{hours}"


def utc_stamp(at: dt.datetime) -> str:
    """Give a moment in UTC as ISO 8601 to the millisecond, such as ``2026-11-24T20:41:00.952Z``."""
    return at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
