"""soaklib: long-run evidence about AI-agent gateways.

Open a run and look at it::

    import soaklib

    run = soaklib.open_run("latest")
    soaklib.success_rate(run, every="15m")

Names are resolved when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from soaklib import charts
    from soaklib.analysis.breakers import breaker_states, fast_fails
    from soaklib.analysis.criteria import criteria
    from soaklib.analysis.events import read_events
    from soaklib.analysis.exposition import exposition_repairs, read_exposition
    from soaklib.analysis.latency import latency
    from soaklib.analysis.load import Run, open_run
    from soaklib.analysis.rates import denials, outcome_counts, success_rate, tool_usage
    from soaklib.analysis.snapshots import read_snapshots
    from soaklib.analysis.timeline import marks, planned_windows
    from soaklib.errors import SoaklibError

__all__ = [
    "Run",
    "SoaklibError",
    "breaker_states",
    "charts",
    "criteria",
    "denials",
    "exposition_repairs",
    "fast_fails",
    "latency",
    "marks",
    "open_run",
    "outcome_counts",
    "planned_windows",
    "read_events",
    "read_exposition",
    "read_snapshots",
    "success_rate",
    "tool_usage",
]

_MODULES: Final = {
    "soaklib.analysis.breakers": ("breaker_states", "fast_fails"),
    "soaklib.analysis.criteria": ("criteria",),
    "soaklib.analysis.events": ("read_events",),
    "soaklib.analysis.exposition": ("exposition_repairs", "read_exposition"),
    "soaklib.analysis.latency": ("latency",),
    "soaklib.analysis.load": ("Run", "open_run"),
    "soaklib.analysis.rates": ("denials", "outcome_counts", "success_rate", "tool_usage"),
    "soaklib.analysis.snapshots": ("read_snapshots",),
    "soaklib.analysis.timeline": ("marks", "planned_windows"),
    "soaklib.errors": ("SoaklibError",),
}
_HOME: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "charts":
        return import_module("soaklib.charts")
    if name not in _HOME:
        msg = f"module 'soaklib' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
