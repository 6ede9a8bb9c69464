"""Does it drift? A series with its trend, the trend's interval, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from matplotlib.ticker import EngFormatter, FuncFormatter

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLACK, BLUE, ORANGE
from soaklib.charts.marks import draw_time_axis
from soaklib.charts.notes import note
from soaklib.charts.theme import themed
from soaklib.charts.windows import SECONDS_PER_HOUR, Grid, need

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from soaklib.charts.windows import Floats

__all__ = ["drift"]

_BYTES: Final = "B"


class _Verdict(Protocol):
    """What of a drift verdict is drawn; charts do not know the analysis."""

    @property
    def state(self) -> str: ...
    @property
    def slope_per_hour(self) -> float | None: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...


@themed
def drift(
    series: pl.DataFrame, verdict: _Verdict, *, ax: Axes, label: str, unit: str, marks: pl.DataFrame | None = None
) -> Axes:
    """Draw a series, the line of its slope through its median, and the slopes at both ends of the interval.

    Parameters
    ----------
    series
        ``soak_s``, ``value``; a null or NaN is a gap.
    verdict
        As :func:`soaklib.drift` gives it for the series in soak time: ``state``, ``slope_per_hour``, ``interval`` (of
        the slope), the latter two None where it could not tell.
    ax
        Where to draw.
    label, unit
        What the values are, and their unit; ``"B"`` is written as kB, MB and so on.
    marks
        As ``soaklib.marks(run)`` gives it; None for a bare axis.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    SettingsError
        The series lacks a column.
    """
    need(series, ("soak_s", "value"), "soaklib.gauge(run, metric)")
    ordered = series.drop_nulls("soak_s").sort("soak_s")
    at_s = ordered["soak_s"].to_numpy()
    value = ordered["value"].fill_null(float("nan")).to_numpy()
    draw_time_axis(ax, marks, Grid(0.0, float(at_s[-1]) if at_s.size else 1.0, 1))
    handles: list[Artist] = [*ax.plot(at_s / SECONDS_PER_HOUR, value, color=BLUE, linewidth=0.7, label="series")]
    labels = [label]
    amount = EngFormatter(unit=_BYTES, places=1) if unit == _BYTES else FuncFormatter(lambda x, _: f"{x:g} {unit}")
    seen = np.isfinite(value)
    if seen.any() and verdict.slope_per_hour is not None:
        handles += _draw_trend(ax, at_s[seen] / SECONDS_PER_HOUR, value[seen], verdict)
        sign = "+" if verdict.slope_per_hour >= 0 else ""
        labels += [f"{verdict.state}: {sign}{amount(verdict.slope_per_hour)} an hour"]
        labels += ["interval of the slope"] if verdict.interval is not None else []
    if not seen.any():
        note(ax, "never measured")
    if unit == _BYTES:
        ax.yaxis.set_major_formatter(EngFormatter(unit=_BYTES))
    ax.set_ylabel(label if unit == _BYTES else f"{label} ({unit})")
    legend_below(ax, handles, labels)
    return ax


def _draw_trend(ax: Axes, at_h: Floats, value: Floats, verdict: _Verdict) -> list[Artist]:
    ends_h = np.array([at_h[0], at_h[-1]])
    middle_h, middle = float(np.median(at_h)), float(np.median(value))
    slope = verdict.slope_per_hour or 0.0
    drawn: list[Artist] = list(
        ax.plot(ends_h, middle + slope * (ends_h - middle_h), color=BLACK, linestyle="--", zorder=4, label="trend")
    )
    if verdict.interval is not None:
        low, high = (middle + bound * (ends_h - middle_h) for bound in verdict.interval)
        drawn.append(
            ax.fill_between(ends_h, low, high, color=ORANGE, alpha=0.3, linewidth=0, zorder=1.8, label="interval")
        )
    return drawn
