"""Do the books balance? What the client saw against what the gateway counted, window by window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
from matplotlib.patches import Patch

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import GREY, LIGHT, SKY, VERMILLION, Look
from soaklib.charts.notes import note
from soaklib.charts.stage import span_until, time_axes
from soaklib.charts.theme import themed
from soaklib.charts.windows import SECONDS_PER_HOUR, need

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from soaklib.charts.stage import Span

__all__ = ["reconciliation_residuals"]

_COLUMNS: Final = ("start_s", "end_s", "outcome", "client_rows", "residual", "explained", "discrepancy")
_LOOKS: Final = {
    "balanced": Look(GREY, "", "-", "o"),
    "not known": Look(LIGHT, "", "-", "o"),
    "explained": Look(SKY, "", "-", "o"),
    "discrepancy": Look(VERMILLION, "", "-", "o"),
}
"""What a window can be, the worst last."""
_DIFFERING: Final = ("explained", "discrepancy")
_FLAT_HEIGHT: Final = {"balanced": 0.04, "not known": 0.5}
_MOST_HEIGHT: Final = 0.45


@themed
def reconciliation_residuals(
    frame: pl.DataFrame, *, ax: Axes, marks: pl.DataFrame | None = None, xlim: Span | None = None
) -> Axes:
    """Draw for each kind of answer what the gateway counted more (up) or less (down) than the client, by window.

    A thin line says that a window balances; a difference is a bar, as high as it is large beside the largest of all.

    Parameters
    ----------
    frame
        As :func:`soaklib.reconcile` gives it: ``start_s``, ``end_s``, ``outcome``, ``client_rows``, ``residual``,
        ``explained``, ``discrepancy``. A window shows the worst of its rows. Where several sources were compared,
        each ``pair`` of them has rows of its own. With ``cause`` the legend names the causes.
    ax
        Where to draw.
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
        The frame lacks a column.
    """
    need(frame, _COLUMNS, "soaklib.reconcile(run)")
    judged = frame.with_columns(rank=_rank(), line=_line(frame))
    windows = (
        judged.group_by("line", "start_s", "end_s")
        .agg(
            pl.col("rank").max(),
            more=pl.col("residual").clip(lower_bound=0).sum(),
            less=pl.col("residual").clip(upper_bound=0).sum(),
        )
        .sort("line", "start_s")
    )
    lines = windows["line"].unique().sort().to_list()
    time_axes(ax, span_until(max([1.0, *frame["end_s"].to_list()]), marks), marks=marks, xlim=xlim)
    names = list(_LOOKS)
    largest = max([1.0, *windows["more"].to_list(), *(-windows["less"]).to_list()])
    for row, line in enumerate(lines):
        for start_s, end_s, rank, *residuals in _merged(windows.filter(line=line)):
            look, name = _LOOKS[names[rank]], names[rank]
            # both ways: what is counted too often of one tool makes nothing good that is missing of another
            differing = [-_MOST_HEIGHT * residual / largest for residual in residuals if residual] or [0.0]
            flat = _FLAT_HEIGHT.get(name, 0.0)
            for height in differing if name in _DIFFERING else [flat]:
                ax.bar(
                    start_s / SECONDS_PER_HOUR, height, (end_s - start_s) / SECONDS_PER_HOUR, align="edge",
                    bottom=row if name in _DIFFERING else row - flat / 2, facecolor=look.colour,
                    edgecolor=look.colour, linewidth=0.5, zorder=2 + 0.1 * rank, gid=name,
                )  # fmt: skip
    if windows["rank"].is_in([names.index(name) for name in _DIFFERING]).any():
        ax.set_ylabel(f"gateway counted more or less,\nby {largest:,.0f} at most")
    ax.set_yticks(range(len(lines)), lines)
    ax.set_ylim(max(1, len(lines)) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False)
    if not lines:
        note(ax, "there is nothing to compare")
    _explain(ax, judged, set(windows["rank"]))
    return ax


def _line(frame: pl.DataFrame) -> pl.Expr:
    """Give the name of a row's line: its outcome, and which sources were compared if there are several pairs."""
    if "pair" not in frame.columns or frame["pair"].n_unique() < 2:  # noqa: PLR2004 - one pair needs no name
        return pl.col("outcome")
    other = pl.col("pair").str.strip_prefix("client and ")
    return pl.format("{} by {}", "outcome", other)


def _rank() -> pl.Expr:
    """Give the place in :data:`_LOOKS` of a row."""
    return (
        pl.when(pl.col("discrepancy").abs() > 0)
        .then(3)
        .when(pl.col("residual").is_null())
        .then(1)
        .when(pl.col("residual").abs() > 0)
        .then(2)
        .otherwise(0)
    )


def _merged(windows: pl.DataFrame) -> list[tuple[float, float, int, float, float]]:
    """Give (start_s, end_s, rank, more, less), neighbouring windows of one rank that do not differ as one."""
    merged: list[tuple[float, float, int, float, float]] = []
    for start_s, end_s, *told in windows.select("start_s", "end_s", "rank", "more", "less").iter_rows():
        if merged and merged[-1][1] >= start_s and [*merged[-1][2:]] == told:
            merged[-1] = (merged[-1][0], end_s, *merged[-1][2:])
        else:
            merged.append((start_s, end_s, *told))
    return merged


def _explain(ax: Axes, judged: pl.DataFrame, seen: set[int]) -> None:
    told = {
        0: "balanced",
        1: "counter not known",
        2: f"explained: {judged['explained'].abs().sum():,.0f} calls{_causes(judged, 2, 'explained')}",
        3: f"discrepancy: {judged['discrepancy'].abs().sum():,.0f} calls{_causes(judged, 3, 'discrepancy')}",
    }
    looks = list(_LOOKS.values())
    handles = [
        Patch(facecolor=looks[rank].colour, edgecolor=looks[rank].colour, linewidth=0.3) for rank in sorted(seen)
    ]
    legend_below(ax, handles, [told[rank] for rank in sorted(seen)])


def _causes(judged: pl.DataFrame, rank: int, column: str) -> str:
    """Give the causes of the rows of a rank, a line each, that with most calls first; nothing where none is told."""
    if "cause" not in judged.columns:
        return ""
    sums = (
        judged.filter(pl.col("rank") == rank, pl.col("cause").is_not_null())
        .group_by("cause")
        .agg(pl.col(column).abs().sum())
        .sort(column, "cause", descending=[True, False])
    )
    return "".join(f"\n{cause}: {number:,.0f}" for cause, number in sums.iter_rows())
