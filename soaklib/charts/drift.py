"""Does it drift? A series with its trend, the trend's interval, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLACK, BLUE, GAP_COLOUR, GREY, SKY, TOOL_LOOKS, VERMILLION, looks_for
from soaklib.charts.notes import note
from soaklib.charts.numbers import number_formatter, significant
from soaklib.charts.stage import column_of_axes, span_until, time_axes
from soaklib.charts.theme import themed
from soaklib.charts.windows import SECONDS_PER_HOUR, need

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from soaklib.charts.stage import Span
    from soaklib.charts.windows import Floats

__all__ = ["drift", "drift_by_tool"]

_BYTES: Final = "B"
_BETWEEN_POINTS: Final = 6.0
_MOST_SQUEEZED: Final = 4.0  # times its own range that an axis grows to show a margin
_FEW: Final = 30  # points that a line alone would not show as points


class _Verdict(Protocol):
    """What of a drift verdict is drawn; charts do not know the analysis."""

    @property
    def state(self) -> str: ...
    @property
    def slope_per_hour(self) -> float | None: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...


class _Entry(NamedTuple):
    """A legend's entry; what is a series' own, its verdict, is told under each axes, all else once a figure."""

    artist: Artist
    label: str
    is_own: bool = False


@themed
def drift(
    series: pl.DataFrame,
    verdict: _Verdict,
    *,
    ax: Axes,
    label: str,
    unit: str,
    quantity: str | None = None,
    colour: str | None = None,
    margin: float | None = None,
    left_out: pl.DataFrame | None = None,
    marks: pl.DataFrame | None = None,
    xlim: Span | None = None,
) -> Axes:
    """Draw a series, the line of its slope through its median, and the slopes at both ends of the interval.

    A slope whose interval is not known says nothing: there is no line then, only the verdict.

    Parameters
    ----------
    series
        ``soak_s``, ``value``; a null or NaN is a gap. With ``end_s`` a value stands in the middle of its window. With
        ``low`` and ``high`` a point stands for many readings, and a band shows from the least to the largest of them.
    verdict
        As :func:`soaklib.drift` gives it for the series in soak time: ``state``, ``slope_per_hour``, ``interval`` (of
        the slope), the latter two None where it could not tell.
    ax
        Where to draw.
    label, unit
        What the legend calls the series, and the unit of its values; ``"B"`` is written as kB, MB and so on.
    quantity
        What the values are, for the y axis; None for `label`.
    colour
        Of the series and of its slope, to lay one run over another; None for the usual ones.
    margin
        How much of a change over the series was said not to matter, drawn as two lines about its median; where it is
        so far off that the series would be squeezed, the legend says so in place of the lines. None for none.
    left_out
        ``start_s`` and ``end_s`` (soak seconds) of what the verdict leaves out, drawn grey; None for nothing.
    marks
        As ``soaklib.marks(run)`` gives it; None for a bare axis.
    xlim
        What to show, such as ``("H+11:50", "H+12:40")``; None for all.

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
    at_s, told = _draw(ax, series, verdict, label=label, unit=unit, colour=colour, margin=margin, left_out=left_out)
    legend_below(ax, [entry.artist for entry in told], [entry.label for entry in told])
    first_s = float(at_s.min()) if at_s.size else 0.0
    time_axes(ax, span_until(float(at_s.max(initial=0.0)), marks, first_s=first_s), marks=marks, xlim=xlim)
    of = quantity or label
    ax.set_ylabel(of if unit == _BYTES else f"{of} ({unit})")
    return ax


@themed
def drift_by_tool(
    series: pl.DataFrame,
    verdicts: Mapping[str, _Verdict],
    *,
    figure: Figure,
    label: str,
    unit: str,
    margins: Mapping[str, float] | None = None,
    left_out: pl.DataFrame | None = None,
    marks: pl.DataFrame | None = None,
    xlim: Span | None = None,
) -> Figure:
    """Draw the series of each tool with its slope, as :func:`drift` does, one axes a tool.

    Parameters
    ----------
    series
        As ``soaklib.analysis.verdicts.endpoints.endpoint_trends(run, endpoint).series``: ``tool``, ``soak_s``,
        ``value``.
    verdicts
        Tool -> verdict.
    figure
        An empty figure; it gets one axes a tool on one time axis.
    margins
        Tool -> margin.
    label, unit, left_out, marks, xlim
        As for :func:`drift`.

    Returns
    -------
    matplotlib.figure.Figure
        The same.

    Raises
    ------
    SettingsError
        The series lacks a column.
    """
    need(series, ("tool", "soak_s", "value"), "soaklib.analysis.verdicts.endpoints.endpoint_trends(run, endpoint)")
    tools = list(looks_for(verdicts, TOOL_LOOKS))
    axes = column_of_axes(figure, max(1, len(tools)))
    at_s = [0.0]
    entries: list[list[_Entry]] = []
    for ax, tool in zip(axes, tools, strict=False):
        drawn_s, told = _draw(
            ax, series.filter(tool=tool), verdicts[tool], label=label, unit=unit, margin=(margins or {}).get(tool),
            left_out=left_out,
        )  # fmt: skip
        at_s += drawn_s.tolist()
        entries.append(told)
        ax.set_ylabel(f"{tool}\n({unit})")
    _tell_each_once(axes, entries)
    time_axes(axes, span_until(max(at_s), marks), marks=marks, xlim=xlim)
    if not tools:
        note(axes[0], "never measured")
    figure.align_ylabels(axes)
    return figure


def _draw(
    ax: Axes, series: pl.DataFrame, verdict: _Verdict, *, label: str, unit: str, colour: str | None = None,
    margin: float | None = None, left_out: pl.DataFrame | None = None,
) -> tuple[Floats, list[_Entry]]:  # fmt: skip
    """Draw a series and its slope; give the soak seconds of its points, and what there is to explain."""
    ax.set_autoscaley_on(True)  # what is laid over another series makes room for both
    ordered = series.drop_nulls("soak_s").sort("soak_s")
    at_s = ordered["soak_s"].to_numpy()
    if "end_s" in ordered.columns:
        at_s = (at_s + ordered["end_s"].fill_null(ordered["soak_s"]).to_numpy()) / 2
    value = ordered["value"].fill_null(float("nan")).to_numpy()
    told: list[_Entry] = []
    if {"low", "high"} <= set(ordered.columns) and (ordered["low"] < ordered["high"]).any():
        told.append(_Entry(_draw_range(ax, at_s / SECONDS_PER_HOUR, ordered), "least to largest"))
    (line,) = ax.plot(
        at_s / SECONDS_PER_HOUR, value, color=colour or BLUE, linewidth=0.7, marker="." if value.size < _FEW else "",
        markersize=2.5, label="series",
    )  # fmt: skip
    seen = np.isfinite(value)
    if not seen.any():
        note(ax, "never measured")
    if seen.any() and verdict.slope_per_hour is not None and verdict.interval is not None:
        told.insert(0, _Entry(line, label))
        trend, band = _draw_trend(
            ax,
            at_s[seen] / SECONDS_PER_HOUR,
            value[seen],
            verdict.slope_per_hour,
            verdict.interval,
            colour=colour or BLACK,
        )
        whose = "" if colour is None else f"{label}, "
        slope = f"{whose}{verdict.state}: {_amount(verdict.slope_per_hour, unit)} a soak-hour"
        told += [_Entry(trend, slope, is_own=True), _Entry(band, "interval of the slope")]
    else:
        told.insert(0, _Entry(line, f"{label}: {verdict.state}", is_own=True))
    if seen.any() and margin is not None:
        bounds, is_beyond = _draw_margin(ax, float(np.nanmedian(value)), margin)
        size = f"margin: {_amount(margin, unit).removeprefix('+')} over the series"
        told.append(_Entry(bounds, f"{size}, beyond the axis" if is_beyond else size, is_own=is_beyond))
    if left_out is not None and left_out.height:
        told.append(_Entry(_draw_left_out(ax, left_out), "left out"))
    if np.nanmin(value, initial=0.0) >= 0:  # nothing that is drawn here can be less than nothing
        ax.set_ylim(bottom=max(0.0, ax.get_ylim()[0]))
    ax.yaxis.set_major_formatter(EngFormatter(unit=_BYTES) if unit == _BYTES else number_formatter())
    return np.asarray(at_s, dtype=np.float64), told


def _tell_each_once(axes: Sequence[Axes], entries: Sequence[Sequence[_Entry]]) -> None:
    """Put legends under axes: under each what is its own, all else where it is drawn for the last time."""
    for place, (ax, told) in enumerate(zip(axes, entries, strict=False)):
        later = {entry.label for below in entries[place + 1 :] for entry in below}
        shown = [entry for entry in told if entry.is_own or entry.label not in later]
        legend_below(
            ax, [entry.artist for entry in shown], [entry.label for entry in shown],
            below_points=None if ax is axes[-1] else _BETWEEN_POINTS,
        )  # fmt: skip


def _draw_range(ax: Axes, at_h: Floats, ordered: pl.DataFrame) -> Artist:
    low, high = (ordered[name].fill_null(float("nan")).to_numpy() for name in ("low", "high"))
    return ax.fill_between(at_h, low, high, color=SKY, alpha=0.45, linewidth=0, zorder=1.9, label="range")


def _draw_trend(
    ax: Axes, at_h: Floats, value: Floats, slope: float, interval: tuple[float, float], *, colour: str
) -> list[Artist]:
    ends_h = np.array([at_h[0], at_h[-1]])
    middle_h, middle = float(np.median(at_h)), float(np.median(value))
    (line,) = ax.plot(
        ends_h, middle + slope * (ends_h - middle_h), color=colour, linestyle="--", zorder=4, label="trend"
    )
    low, high = (middle + bound * (ends_h - middle_h) for bound in interval)
    band = ax.fill_between(ends_h, low, high, color=GREY, alpha=0.3, linewidth=0, zorder=1.8, label="interval")
    return [line, band]


def _draw_margin(ax: Axes, middle: float, margin: float) -> tuple[Artist, bool]:
    """Draw the bounds of what would not matter, unless they would squeeze the data; say whether they would."""
    low, high = ax.get_ylim()
    look: Any = {"color": VERMILLION, "linestyle": "--", "linewidth": 0.7}  # both artists name these their own way
    if 2 * margin > _MOST_SQUEEZED * (high - low):
        return Line2D([], [], **look), True
    for bound in (middle - margin, middle + margin):
        line = ax.axhline(bound, **look, zorder=1.7, gid="margin")
    ax.set_ylim(min(low, middle - 1.1 * margin), max(high, middle + 1.1 * margin))
    return line, False


def _draw_left_out(ax: Axes, left_out: pl.DataFrame) -> Artist:
    for start_s, end_s in left_out.select("start_s", "end_s").iter_rows():
        shade = ax.axvspan(
            start_s / SECONDS_PER_HOUR, end_s / SECONDS_PER_HOUR, color=GAP_COLOUR, linewidth=0, zorder=1.6,
            gid="left out",
        )  # fmt: skip
    return shade


def _amount(slope: float, unit: str) -> str:
    """Give a slope with its sign and unit."""
    size = EngFormatter(unit=unit, places=1)(abs(slope)) if unit == _BYTES else f"{significant(abs(slope))} {unit}"
    return ("\N{MINUS SIGN}" if slope < 0 else "+") + size
