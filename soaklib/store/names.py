"""Names of the files of a run that more than one part of soaklib writes or reads."""

from __future__ import annotations

from typing import Final

__all__ = ["EVENT_LOG_NAME", "SUMMARY_NAME"]

EVENT_LOG_NAME: Final = "soak-events.log"

SUMMARY_NAME: Final = "soak-summary.json"
