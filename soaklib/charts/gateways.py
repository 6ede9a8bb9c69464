"""Many gateways on shared axes: what each was like over its soak, and what each adds to the direct line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLACK, BLUE, GREY, PLUM, PURPLE, TEAL, VERMILLION
from soaklib.charts.milliseconds import milliseconds_axis
from soaklib.charts.notes import note
from soaklib.charts.theme import themed
from soaklib.charts.windows import need

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from soaklib.charts.windows import Floats

__all__ = ["gateway_additions", "gateway_panels"]

_PANELS: Final = {
    "success": "success\n(%)", "latency": "latency\n(ms)", "first token": "first token\n(ms)",
    "memory": "memory\n(MiB)", "refused": "refused\n(calls a minute)",
}  # fmt: skip
_LINES: Final = {
    "success": (BLUE, "-"), "median": (BLUE, "-"), "p99": (TEAL, "--"), "resident": (PLUM, "-"),
    "denied": (PURPLE, "-"), "unauthorized": (PLUM, "--"), "rate_limited": (VERMILLION, ":"),
}  # fmt: skip
_LOGARITHMIC: Final = ("latency", "first token")
_FROM_ZERO: Final = ("refused",)
_DECADE: Final = 10.0
_S_PER_MINUTE: Final = 60.0
_NONE: Final = "too few windows"


@themed
def gateway_panels(frame: pl.DataFrame, *, figure: Figure) -> Figure:
    """Draw small multiples: a column for each gateway, a row for each quantity, axes shared by all of a row.

    Parameters
    ----------
    frame
        As :func:`soaklib.gateway_minutes` gives it: ``gateway``, ``panel``, ``line``, ``soak_s``, ``value``. A panel of
        which nothing is known anywhere is left out; where it is not known of one gateway, it is empty.
    figure
        An empty figure.

    Returns
    -------
    matplotlib.figure.Figure
        The same.

    Raises
    ------
    SettingsError
        The frame lacks a column.
    """
    need(frame, ("gateway", "panel", "line", "soak_s", "value"), "soaklib.gateway_minutes(digests)")
    gateways = frame["gateway"].unique(maintain_order=True).to_list()
    known = set(frame["panel"])
    panels = [panel for panel in _PANELS if panel in known]
    if not panels:
        note(figure.subplots(), "nothing was kept")
        return figure
    axes = figure.subplots(len(panels), len(gateways), sharex=True, sharey="row", squeeze=False)
    soaks = {gateway: _minutes_of(frame.filter(gateway=gateway)) for gateway in gateways}
    shown: dict[str, Artist] = {}
    for row, panel in enumerate(panels):
        for column, gateway in enumerate(gateways):
            ax = axes[row, column]
            lines = frame.filter(panel=panel, gateway=gateway).partition_by("line", maintain_order=True)
            for part in sorted(lines, key=lambda part: list(_LINES).index(part["line"][0])):
                name = part["line"][0]
                colour, style = _LINES[name]
                minutes, values = _by_minute(part, soaks[gateway], absent=0.0 if panel in _FROM_ZERO else math.nan)
                (drawn,) = ax.plot(minutes, values, style, color=colour, gid=f"{gateway}/{panel}/{name}")
                beside = np.pad(values, 1, constant_values=math.nan)
                lone = np.isfinite(values) & np.isnan(beside[:-2]) & np.isnan(beside[2:])
                if lone.any():  # no line goes to it
                    ax.plot(minutes[lone], values[lone], ".", color=colour, markersize=2, gid="lone")
                shown.setdefault(name, drawn)
            if not lines:
                note(ax, "none")
        _finish_row(axes[row, 0], panel, frame.filter(panel=panel)["value"].drop_nulls().to_numpy())
    for ax, gateway in zip(axes[0], gateways, strict=True):
        ax.set_title(gateway)
    for ax in axes[-1]:
        ax.set_xlabel("minutes of the soak" if ax is axes[-1, len(gateways) // 2] else "")
    figure.legend(list(shown.values()), [name.replace("_", " ") for name in shown], loc="outside lower center", ncols=7)
    return figure


def _minutes_of(frame: pl.DataFrame) -> range:
    """Give the minutes of a gateway's soak, from the first of which anything is known to the last."""
    minutes = (frame["soak_s"] / _S_PER_MINUTE).round()
    return range(int(minutes.min() or 0), int(minutes.max() or 0) + 1)  # type: ignore[arg-type]  # numbers


def _by_minute(part: pl.DataFrame, soak: range, *, absent: float) -> tuple[Floats, Floats]:
    """Give the middle of each minute of a soak and a line's value there: nothing is drawn over what is not known."""
    values = np.full(len(soak), absent)
    places = (part["soak_s"] / _S_PER_MINUTE).round().cast(int).to_numpy() - soak.start
    values[places] = part["value"].to_numpy()
    return np.arange(soak.start, soak.stop, dtype=np.float64) + 0.5, values


def _finish_row(first: Axes, panel: str, values: Floats) -> None:
    """Give a row its one y axis: of latencies that differ much on a log scale, of counts from nothing on."""
    first.set_ylabel(_PANELS[panel])
    if panel in _LOGARITHMIC and values.size and values.max() > _DECADE * values.min():
        milliseconds_axis(first, _PANELS[panel])
    elif panel in _FROM_ZERO:
        first.set_ylim(bottom=0.0)


@themed
def gateway_additions(frame: pl.DataFrame, *, ax: Axes, measure: str = "added median") -> Axes:
    """Draw what each gateway adds to its direct line, with its 90 % interval, in the order of the frame.

    Parameters
    ----------
    frame
        As :func:`soaklib.gateway_table` gives it: ``gateway``, ``measure``, ``of``, ``value``, ``low``, ``high``,
        ``state``. What has no interval is grey.
    ax
        Where to draw.
    measure
        ``added median``, ``added p99`` or ``added first token``.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    SettingsError
        The frame lacks a column.
    """
    need(frame, ("gateway", "measure", "of", "value", "low", "high", "state"), "soaklib.gateway_table(digests)")
    rows = frame.filter(measure=measure)
    shown: dict[str, Artist] = {}
    ax.axvline(0.0, color=BLACK, linewidth=0.6, zorder=1)
    for place, row in enumerate(rows.iter_rows(named=True)):
        is_told = row["low"] is not None
        if is_told:
            ax.plot([row["low"], row["high"]], [place, place], color=BLUE, linewidth=1.2, zorder=2, gid="interval")
        (point,) = ax.plot(row["value"], place, "o" if is_told else "s", color=BLUE if is_told else GREY, zorder=3)
        shown.setdefault("90 % interval" if is_told else _NONE, point)
    ax.set_yticks(range(rows.height), [f"{row['gateway']}  {row['of']}" for row in rows.iter_rows(named=True)])
    ax.set_ylim(max(1, rows.height) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    ax.set_xlabel(f"{measure} (ms)")
    if rows.is_empty():
        note(ax, "there is no direct line")
    legend_below(ax, list(shown.values()), list(shown))
    return ax
