"""Figures: small functions that answer one question each.

Every chart takes an aggregated frame as the library makes it and draws it on an axes (``ax=``) or, where one axes
cannot say it, on an empty figure (``figure=``), and returns what it was given. A chart never queries, never goes
through pyplot and knows nothing of a run; those with a time axis take ``marks=``. :func:`figure` makes a figure of a
size on paper, :func:`save` writes it with where it came from.
"""

from __future__ import annotations

from soaklib.charts.breakers import breaker_activity
from soaklib.charts.budget import error_budget_burn
from soaklib.charts.comparison import run_comparison
from soaklib.charts.composition import outcome_composition
from soaklib.charts.denials import denial_sources, denial_spikes
from soaklib.charts.drift import drift, drift_by_tool
from soaklib.charts.gateways import gateway_additions, gateway_panels
from soaklib.charts.heat import latency_heat_map, latency_heat_maps
from soaklib.charts.interventions import intervention_timeline
from soaklib.charts.latency import latency_percentiles
from soaklib.charts.metered import retries_and_cache
from soaklib.charts.percentiles import percentile_plot
from soaklib.charts.residuals import reconciliation_residuals
from soaklib.charts.rotation import rotation_impact
from soaklib.charts.saving import SavedFigure, save
from soaklib.charts.stated import gateway_stated
from soaklib.charts.success import success_rate
from soaklib.charts.tables import EventTable, FrameTable, VerdictTable, event_table, frame_table, verdict_table
from soaklib.charts.theme import COLUMN_MM, PAGE_MM, figure
from soaklib.charts.tools import tool_usage
from soaklib.charts.usage import usage_books
from soaklib.charts.validity import measurement_validity

__all__ = [
    "COLUMN_MM",
    "PAGE_MM",
    "EventTable",
    "FrameTable",
    "SavedFigure",
    "VerdictTable",
    "breaker_activity",
    "denial_sources",
    "denial_spikes",
    "drift",
    "drift_by_tool",
    "error_budget_burn",
    "event_table",
    "figure",
    "frame_table",
    "gateway_additions",
    "gateway_panels",
    "gateway_stated",
    "intervention_timeline",
    "latency_heat_map",
    "latency_heat_maps",
    "latency_percentiles",
    "measurement_validity",
    "outcome_composition",
    "percentile_plot",
    "reconciliation_residuals",
    "retries_and_cache",
    "rotation_impact",
    "run_comparison",
    "save",
    "success_rate",
    "tool_usage",
    "usage_books",
    "verdict_table",
]
