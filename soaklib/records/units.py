"""In which unit each criterion measures, and how a table says it behind the number."""

from __future__ import annotations

from typing import Final

__all__ = ["CRITERION_UNITS", "POINTS", "unit_behind"]

POINTS: Final = "percentage points"

CRITERION_UNITS: Final = {
    "full duration": "soak h", "every slot accounted for": "slots", "all tools exercised": "tools",
    "success rate": "%", "success rate outside planned windows": "%", "healthy": "%",
    "no unplanned restart": "restarts", "denials happen": "denials", "no false-allow": "probes",
    "no false-deny": "calls", "identities refused": "calls", "limits held": "calls and windows",
    "scheduled changes made": "changes", "token rotations go unnoticed": "calls",
    "no error spike at rotations": "%", "chaos shows in the data": "%", "breaker engages during chaos": "fast-fails",
    "breaker recovers after chaos": "soak s", "lasting changes show in the data": "%",
    "recovers after lasting changes": "soak s", "quota cut works": "denials", "snapshots complete": "snapshots",
    "books balanced": "calls", "token books balanced": "tokens", "money books balanced": "US dollars",
    "upstream asked once": "answers", "sessions closed": "sessions",
    "no drift in latency (median)": "ms", "no drift in latency (p99)": "ms", "no drift in time to first token": "ms",
    "no drift in errors": POINTS, "no drift in gateway memory": "MiB",
    "no drift in gateway files": "files", "no drift in event-loop lag": "ms",
    "no drift in generator memory": "MiB", "measurement valid": "%",
}  # fmt: skip
"""Units of the measures of the criteria."""

_SHORT: Final = {POINTS: "pp"}
_ONE: Final = {"calls and windows": "call or window", "US dollars": "US dollar"}
_INVARIABLE: Final = frozenset({"%", "ms", "MiB", "soak h", "soak s", POINTS})


def unit_behind(criterion: str, value: float | None) -> str:
    """Give the unit as it stands behind a measure in a table: ``calls``, ``call`` of one, ``pp``; empty without any.

    Parameters
    ----------
    criterion
        Its name; one that is not known has no unit.
    value
        What it measured; None for nothing.
    """
    unit = CRITERION_UNITS.get(criterion, "")
    if value is None or not unit:
        return ""
    if value == 1 and unit not in _INVARIABLE:
        return _ONE.get(unit, unit.removesuffix("s"))
    return _SHORT.get(unit, unit)
