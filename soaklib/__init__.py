"""soaklib: long-run evidence about AI-agent gateways.

Open a run and look at it::

    import soaklib

    run = soaklib.open_run("latest")
    soaklib.success_rate(run, every="15m")

Names are resolved when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    __version__: str
    from soaklib import charts
    from soaklib.analysis.books.limits import limits
    from soaklib.analysis.books.pairs import reconciliation_proofs
    from soaklib.analysis.books.reconcile import books_balanced, reconcile
    from soaklib.analysis.books.tokens import spend, tokens
    from soaklib.analysis.books.upstream import upstream_books
    from soaklib.analysis.measures.alignment import aligned
    from soaklib.analysis.measures.around import around
    from soaklib.analysis.measures.breakers import breaker_states, fast_fails, recoveries
    from soaklib.analysis.measures.budget import budget, burn, error_budget
    from soaklib.analysis.measures.counters import increase, increase_doubts, prometheus_increase, rate
    from soaklib.analysis.measures.generator import measurement_validity
    from soaklib.analysis.measures.histograms import histogram_quantile
    from soaklib.analysis.measures.latency import first_token, latency, latency_bins
    from soaklib.analysis.measures.marks import marks, planned_windows
    from soaklib.analysis.measures.meanings import counted_as
    from soaklib.analysis.measures.metrics import gauge, gauge_windows, generator_memory, in_soak_time, metered
    from soaklib.analysis.measures.rates import denials, outcome_counts, success_rate, tool_usage
    from soaklib.analysis.measures.so_far import success_so_far
    from soaklib.analysis.measures.stated import stated
    from soaklib.analysis.measures.windows import every_for
    from soaklib.analysis.sources.event_log import read_events
    from soaklib.analysis.sources.following import follow
    from soaklib.analysis.sources.prometheus import read_prometheus
    from soaklib.analysis.sources.request_log import read_database
    from soaklib.analysis.sources.run import Run, open_run
    from soaklib.analysis.sources.samples import canonical_names, exposition_repairs, read_exposition
    from soaklib.analysis.sources.snapshots import read_snapshots, snapshot_files
    from soaklib.analysis.statistics.changepoints import change_points
    from soaklib.analysis.statistics.drift import drift
    from soaklib.analysis.statistics.effect import effect, effects
    from soaklib.analysis.statistics.power import power
    from soaklib.analysis.verdicts.compare import compare
    from soaklib.analysis.verdicts.criteria import criteria, judged_anew, known_verdicts
    from soaklib.analysis.verdicts.endpoints import ENDPOINTS, endpoint_margins, endpoint_trends, generator_lag_ms
    from soaklib.analysis.verdicts.memory import memory_metric, memory_trend
    from soaklib.analysis.verdicts.sensitivity import smallest_found
    from soaklib.digests.distil import digest
    from soaklib.digests.kept import Digest, read_digests
    from soaklib.digests.overview import gateway_overview
    from soaklib.digests.table import gateway_minutes, gateway_table, told_apart
    from soaklib.errors import SoaklibError
    from soaklib.reports.wording import worded, worded_interval
    from soaklib.whitepaper.showing import ShownPaper, claims

__all__ = [
    "ENDPOINTS",
    "Digest",
    "Run",
    "ShownPaper",
    "SoaklibError",
    "__version__",
    "aligned",
    "around",
    "books_balanced",
    "breaker_states",
    "budget",
    "burn",
    "canonical_names",
    "change_points",
    "charts",
    "claims",
    "compare",
    "counted_as",
    "criteria",
    "denials",
    "digest",
    "drift",
    "effect",
    "effects",
    "endpoint_margins",
    "endpoint_trends",
    "error_budget",
    "every_for",
    "exposition_repairs",
    "fast_fails",
    "first_token",
    "follow",
    "gateway_minutes",
    "gateway_overview",
    "gateway_table",
    "gauge",
    "gauge_windows",
    "generator_lag_ms",
    "generator_memory",
    "histogram_quantile",
    "in_soak_time",
    "increase",
    "increase_doubts",
    "judged_anew",
    "known_verdicts",
    "latency",
    "latency_bins",
    "limits",
    "marks",
    "measurement_validity",
    "memory_metric",
    "memory_trend",
    "metered",
    "open_run",
    "outcome_counts",
    "planned_windows",
    "power",
    "prometheus_increase",
    "rate",
    "read_database",
    "read_digests",
    "read_events",
    "read_exposition",
    "read_prometheus",
    "read_snapshots",
    "reconcile",
    "reconciliation_proofs",
    "recoveries",
    "smallest_found",
    "snapshot_files",
    "spend",
    "stated",
    "success_rate",
    "success_so_far",
    "tokens",
    "told_apart",
    "tool_usage",
    "upstream_books",
    "worded",
    "worded_interval",
]

_MODULES: Final = {
    "soaklib.analysis.books.limits": ("limits",),
    "soaklib.analysis.books.pairs": ("reconciliation_proofs",),
    "soaklib.analysis.books.reconcile": ("books_balanced", "reconcile"),
    "soaklib.analysis.books.tokens": ("spend", "tokens"),
    "soaklib.analysis.books.upstream": ("upstream_books",),
    "soaklib.analysis.measures.alignment": ("aligned",),
    "soaklib.analysis.measures.breakers": ("breaker_states", "fast_fails", "recoveries"),
    "soaklib.analysis.measures.budget": ("budget", "burn", "error_budget"),
    "soaklib.analysis.measures.counters": ("increase", "increase_doubts", "prometheus_increase", "rate"),
    "soaklib.analysis.measures.generator": ("measurement_validity",),
    "soaklib.analysis.measures.histograms": ("histogram_quantile",),
    "soaklib.analysis.measures.latency": ("first_token", "latency", "latency_bins"),
    "soaklib.analysis.measures.marks": ("marks", "planned_windows"),
    "soaklib.analysis.measures.meanings": ("counted_as",),
    "soaklib.analysis.measures.metrics": ("gauge", "gauge_windows", "generator_memory", "in_soak_time", "metered"),
    "soaklib.analysis.measures.around": ("around",),
    "soaklib.analysis.measures.rates": ("denials", "outcome_counts", "success_rate", "tool_usage"),
    "soaklib.analysis.measures.so_far": ("success_so_far",),
    "soaklib.analysis.measures.stated": ("stated",),
    "soaklib.analysis.measures.windows": ("every_for",),
    "soaklib.analysis.sources.event_log": ("read_events",),
    "soaklib.analysis.sources.following": ("follow",),
    "soaklib.analysis.sources.prometheus": ("read_prometheus",),
    "soaklib.analysis.sources.request_log": ("read_database",),
    "soaklib.analysis.sources.run": ("Run", "open_run"),
    "soaklib.analysis.sources.samples": ("canonical_names", "exposition_repairs", "read_exposition"),
    "soaklib.analysis.sources.snapshots": ("read_snapshots", "snapshot_files"),
    "soaklib.analysis.statistics.changepoints": ("change_points",),
    "soaklib.analysis.statistics.drift": ("drift",),
    "soaklib.analysis.statistics.effect": ("effect", "effects"),
    "soaklib.analysis.statistics.power": ("power",),
    "soaklib.analysis.verdicts.compare": ("compare",),
    "soaklib.analysis.verdicts.criteria": ("criteria", "judged_anew", "known_verdicts"),
    "soaklib.analysis.verdicts.endpoints": ("ENDPOINTS", "endpoint_margins", "endpoint_trends", "generator_lag_ms"),
    "soaklib.analysis.verdicts.memory": ("memory_metric", "memory_trend"),
    "soaklib.analysis.verdicts.sensitivity": ("smallest_found",),
    "soaklib.digests.distil": ("digest",),
    "soaklib.digests.kept": ("Digest", "read_digests"),
    "soaklib.digests.overview": ("gateway_overview",),
    "soaklib.digests.table": ("gateway_minutes", "gateway_table", "told_apart"),
    "soaklib.errors": ("SoaklibError",),
    "soaklib.whitepaper.showing": ("ShownPaper", "claims"),
    "soaklib.reports.wording": ("worded", "worded_interval"),
}
_HOME: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("soaklib")
    from soaklib.errors import near_miss, needing_extra  # noqa: PLC0415 - importing soaklib loads nothing

    if name == "charts":
        with needing_extra("soaklib.charts", "charts"):
            return import_module("soaklib.charts")
    if name not in _HOME:
        msg = f"module 'soaklib' has no attribute {name!r}{near_miss(name, __all__)}"
        raise AttributeError(msg)
    with needing_extra(f"soaklib.{name}"):
        value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
