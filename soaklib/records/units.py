"""In which unit each criterion measures."""

from __future__ import annotations

from typing import Final

__all__ = ["CRITERION_UNITS", "POINTS"]

POINTS: Final = "percentage points"

CRITERION_UNITS: Final = {
    "full duration": "soak h", "success rate": "%", "success rate outside planned windows": "%", "healthy": "%",
    "no error spike at rotations": "%", "chaos shows in the data": "%",
    "breaker recovers after chaos": "soak s", "lasting changes show in the data": "%",
    "recovers after lasting changes": "soak s", "money books balanced": "US dollars",
    "no drift in latency (median)": "ms", "no drift in latency (p99)": "ms", "no drift in time to first token": "ms",
    "no drift in errors": POINTS, "no drift in gateway memory": "MiB",
    "no drift in gateway files": "files", "no drift in event-loop lag": "ms",
    "no drift in generator memory": "MiB", "measurement valid": "%",
}  # fmt: skip
"""Units of the measures of the criteria; the others count things."""
