"""Figures: small functions that answer one question each.

Every chart takes an aggregated frame as the library makes it and draws it on an axes (``ax=``) or, where one axes
cannot say it, on an empty figure (``figure=``), and returns what it was given. A chart never queries, never goes
through pyplot and knows nothing of a run; those with a time axis take ``marks=``. :func:`figure` makes a figure of a
size on paper, :func:`save` writes it with where it came from.
"""

from __future__ import annotations

from soaklib.charts.breakers import breaker_activity
from soaklib.charts.composition import outcome_composition
from soaklib.charts.denials import denial_spikes
from soaklib.charts.latency import latency_percentiles
from soaklib.charts.saving import SavedFigure, save
from soaklib.charts.success import success_rate
from soaklib.charts.tables import VerdictTable, verdict_table
from soaklib.charts.theme import COLUMN_MM, PAGE_MM, figure
from soaklib.charts.tools import tool_usage

__all__ = [
    "COLUMN_MM",
    "PAGE_MM",
    "SavedFigure",
    "VerdictTable",
    "breaker_activity",
    "denial_spikes",
    "figure",
    "latency_percentiles",
    "outcome_composition",
    "save",
    "success_rate",
    "tool_usage",
    "verdict_table",
]
