"""Charts of a run by name: ``run.plot.success_rate(every="15m")`` asks for the frame, the marks and a figure itself.

Whoever wants the frame too calls the function and the chart: both are public. Every chart here takes what it takes in
:mod:`soaklib.charts` (``label=``, ``colour=``, ``xlim=``, ...), besides ``every=`` where it has windows, and ``ax=`` or
``figure=`` where it is to be drawn on something that is there, such as the chart of another run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from soaklib import charts
from soaklib.analysis.books.reconcile import reconcile
from soaklib.analysis.books.tokens import spend, tokens
from soaklib.analysis.measures.alignment import aligned
from soaklib.analysis.measures.breakers import breaker_states, fast_fails, recoveries
from soaklib.analysis.measures.budget import error_budget
from soaklib.analysis.measures.generator import measurement_validity
from soaklib.analysis.measures.latency import first_token, latency, latency_bins
from soaklib.analysis.measures.marks import marks, planned_windows
from soaklib.analysis.measures.meanings import counted_as
from soaklib.analysis.measures.metrics import gauge, gauge_windows, in_soak_time
from soaklib.analysis.measures.rates import denials, outcome_counts, success_rate, tool_usage
from soaklib.analysis.measures.stated import stated
from soaklib.analysis.measures.windows import every_for
from soaklib.analysis.statistics.drift import drift
from soaklib.analysis.verdicts.memory import memory_metric, memory_trend
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from soaklib.analysis.sources.run import Run

__all__ = ["Plots"]

_TAIL_LEVELS: Final = tuple(round(1 - 10 ** (-step / 10), 6) for step in range(1, 41))
_TALL_MM: Final = 100.0
_MIB: Final = 1 << 20


class Plots:
    """The charts of one run, or of a stretch of it; each method gives the figure it has drawn on.

    Parameters
    ----------
    run
        The run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def success_rate(self, every: str | None = None, *, ax: Axes | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.success_rate` with what the run requires."""
        ax = ax or charts.figure().subplots()
        looks.setdefault("threshold", self._run.thresholds.success_rate)
        frame = success_rate(self._run, every or every_for(self._run))
        return self._on(charts.success_rate(frame, ax=ax, **self._marked(looks, ax)))

    def outcome_composition(self, every: str | None = None, *, ax: Axes | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.outcome_composition`."""
        ax = ax or charts.figure().subplots()
        frame = outcome_counts(self._run, every or every_for(self._run))
        return self._on(charts.outcome_composition(frame, ax=ax, **self._marked(looks, ax)))

    def tool_usage(self, every: str | None = None, *, ax: Axes | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.tool_usage`."""
        ax = ax or charts.figure().subplots()
        frame = tool_usage(self._run, every or every_for(self._run, most=100))
        return self._on(charts.tool_usage(frame, ax=ax, **self._marked(looks, ax)))

    def denial_spikes(self, every: str | None = None, *, ax: Axes | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.denial_spikes`."""
        ax = ax or charts.figure().subplots()
        frame = denials(self._run, every or every_for(self._run))
        return self._on(charts.denial_spikes(frame, ax=ax, **self._marked(looks, ax)))

    def denial_sources(self, every: str | None = None, *, figure: Figure | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.denial_sources`: what the client met above what the gateway counted."""
        figure = figure or charts.figure(height_mm=_TALL_MM)
        every = every or every_for(self._run)
        counted = counted_as(self._run, "denials", every, by="kind")
        return charts.denial_sources(
            denials(self._run, every), counted, figure=figure, **self._marked(looks, *figure.axes)
        )

    def breaker_activity(self, every: str | None = None, *, figure: Figure | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.breaker_activity` with the recoveries."""
        figure = figure or charts.figure(height_mm=80)
        looks.setdefault("recoveries", recoveries(self._run))
        frame = fast_fails(self._run, every or every_for(self._run))
        return charts.breaker_activity(
            breaker_states(self._run), frame, figure=figure, **self._marked(looks, *figure.axes)
        )

    def latency_percentiles(
        self, every: str | None = None, *, of: str = "answers", figure: Figure | None = None, **looks: Any
    ) -> Figure:
        """Draw :func:`soaklib.charts.latency_percentiles`, one axes a tool, `of` its answers or its first tokens."""
        figure = figure or charts.figure(height_mm=120)
        every = every or every_for(self._run, most=100, least=6, calls=300)
        if of not in (known := {"answers": latency, "first tokens": first_token}):
            msg = f"of={of!r} is unknown; pass 'answers' or 'first tokens'"
            raise SettingsError(msg)
        return charts.latency_percentiles(
            known[of](self._run, every), figure=figure, **self._marked(looks, *figure.axes)
        )

    def latency_heat_map(self, every: str | None = None, *, ax: Axes | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.latency_heat_map`."""
        ax = ax or charts.figure().subplots()
        frame = latency_bins(self._run, every or every_for(self._run, most=100))
        return self._on(charts.latency_heat_map(frame, ax=ax, **self._marked(looks, ax)))

    def percentile_plot(
        self, *, by: str = "phase", quantiles: Sequence[float] = _TAIL_LEVELS, ax: Axes | None = None, **looks: Any
    ) -> Figure:
        """Draw :func:`soaklib.charts.percentile_plot`, one line for each value of `by`."""
        ax = ax or charts.figure(height_mm=70).subplots()
        frame = latency(self._run, "all", by=(by,), quantiles=quantiles)
        return self._on(charts.percentile_plot(frame, ax=ax, by=by, **self._marked(looks)))

    def error_budget_burn(self, every: str = "5m", *, figure: Figure | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.error_budget_burn`."""
        figure = figure or charts.figure(height_mm=80)
        return charts.error_budget_burn(
            error_budget(self._run, every), figure=figure, **self._marked(looks, *figure.axes)
        )

    def measurement_validity(self, every: str | None = None, *, figure: Figure | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.measurement_validity` with the lag that counts as late."""
        figure = figure or charts.figure(height_mm=80)
        looks.setdefault("late_ms", self._run.thresholds.late_ms)
        every = every or every_for(self._run, most=100, at_least_s=self._run.info.speed)
        frame = measurement_validity(self._run, every)
        return charts.measurement_validity(frame, figure=figure, **self._marked(looks, *figure.axes))

    def retries_and_cache(self, every: str | None = None, *, figure: Figure | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.retries_and_cache`."""
        figure = figure or charts.figure(height_mm=90)
        every = every or every_for(self._run, most=100)
        retries = counted_as(self._run, "retries", every)
        hits = counted_as(self._run, "cache hits", every)
        return charts.retries_and_cache(retries, hits, figure=figure, **self._marked(looks, *figure.axes))

    def gateway_stated(self, every: str | None = None, *, figure: Figure | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.gateway_stated`."""
        figure = figure or charts.figure(height_mm=_TALL_MM)
        frame = stated(self._run, every or every_for(self._run, most=100), by=())
        return charts.gateway_stated(frame, figure=figure, **self._marked(looks))

    def usage_books(self, *, by: Literal["model", "key"] = "key", figure: Figure | None = None) -> Figure:
        """Draw :func:`soaklib.charts.usage_books` of the whole run."""
        figure = figure or charts.figure(height_mm=_TALL_MM)
        return charts.usage_books(tokens(self._run, by), spend(self._run, by), figure=figure)

    def drift(
        self,
        metric: str | None = None,
        every: str | None = None,
        *,
        label: str | None = None,
        unit: str = "B",
        ax: Axes | None = None,
        **looks: Any,
    ) -> Figure:
        """Draw :func:`soaklib.charts.drift` of a gauge; of none named, the memory and the trend that are judged."""
        ax = ax or charts.figure().subplots()
        if metric is None:
            metric, scaled = memory_metric(self._run), memory_trend(self._run).trend
            verdict = replace(
                scaled,
                slope_per_hour=None if scaled.slope_per_hour is None else scaled.slope_per_hour * _MIB,
                interval=None if scaled.interval is None else (scaled.interval[0] * _MIB, scaled.interval[1] * _MIB),
            )
        else:
            verdict = drift(in_soak_time(gauge(self._run, metric)))
        windows = gauge_windows(self._run, metric, every or every_for(self._run))
        looks |= {"label": label or metric, "unit": unit, "quantity": metric}
        drawn = charts.drift(windows, verdict, ax=ax, **self._marked(looks, ax))
        return self._on(drawn)

    def rotation_impact(
        self,
        event: str = "TOKENS_ROTATED",
        *,
        window_s: float = 240.0,
        step_s: float = 10.0,
        figure: Figure | None = None,
    ) -> Figure:
        """Draw :func:`soaklib.charts.rotation_impact` around an event, planned windows left out."""
        figure = figure or charts.figure(height_mm=80)
        aside = planned_windows(self._run)
        frame = aligned(self._run, event, window_s=window_s, step_s=step_s, leave_out=aside)
        return charts.rotation_impact(frame, figure=figure)

    def intervention_timeline(self, *, ax: Axes | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.intervention_timeline`: every event."""
        ax = ax or charts.figure(height_mm=66).subplots()
        return self._on(charts.intervention_timeline(self._run.events(), ax=ax, **self._marked(looks, ax)))

    def reconciliation_residuals(self, *, ax: Axes | None = None, **looks: Any) -> Figure:
        """Draw :func:`soaklib.charts.reconciliation_residuals` of the run's own counters."""
        ax = ax or charts.figure().subplots()
        if self._run is not self._run.whole:  # the windows between two scrapes reach over the edges of a stretch
            looks.setdefault("xlim", (self._run.start_s, self._run.end_s))
        return self._on(charts.reconciliation_residuals(reconcile(self._run), ax=ax, **self._marked(looks, ax)))

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_")]

    def _marked(self, looks: dict[str, Any], *axes: Axes) -> dict[str, Any]:
        """Give the caller's settings, with the run's marks unless something is there already that has its own."""
        if "marks" in looks or any(ax.has_data() for ax in axes):
            return looks
        return looks | {"marks": marks(self._run)}

    @staticmethod
    def _on(ax: Axes) -> Figure:
        figure = ax.get_figure(root=True)
        assert figure is not None  # noqa: S101 - an axes that was drawn on has a figure
        return figure
