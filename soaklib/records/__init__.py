"""The data dictionary: the rows of a run (:mod:`~soaklib.records.rows`) and their words.

Moments as people say them are in :mod:`~soaklib.records.moments`.
"""

from soaklib.records.rows import (
    HEALTH_METRIC_PREFIX,
    JUDGING,
    SUCCESS_SQL,
    Event,
    HealthTick,
    Outcome,
    Sample,
    Scrape,
    Verdict,
    counts_towards_success,
    is_success,
)
from soaklib.records.vocabulary import (
    FAILED_KINDS,
    FIGURES_FOLDER,
    NOBODY_LIVED,
    NOT_MADE,
    EventName,
    Expected,
    Kind,
    Purpose,
    Reason,
    RunStatus,
    State,
    Trial,
)

__all__ = [
    "FAILED_KINDS",
    "FIGURES_FOLDER",
    "HEALTH_METRIC_PREFIX",
    "JUDGING",
    "NOBODY_LIVED",
    "NOT_MADE",
    "SUCCESS_SQL",
    "Event",
    "EventName",
    "Expected",
    "HealthTick",
    "Kind",
    "Outcome",
    "Purpose",
    "Reason",
    "RunStatus",
    "Sample",
    "Scrape",
    "State",
    "Trial",
    "Verdict",
    "counts_towards_success",
    "is_success",
]
