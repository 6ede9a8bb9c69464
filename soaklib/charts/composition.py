"""What became of the calls? The kinds of outcomes over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.patches import Patch

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLACK, KIND_LOOKS
from soaklib.charts.notes import note
from soaklib.charts.stacks import counts_by, stack_steps
from soaklib.charts.stage import windows_on
from soaklib.charts.theme import themed
from soaklib.records import Kind

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from soaklib.charts.stage import Span

__all__ = ["outcome_composition"]

_LEAST_TOP_PERCENT: Final = 1.0
_LEAST_PERCENT: Final = 0.005  # what would be rounded to 0.00
_ALL: Final = 100.0


@themed
def outcome_composition(
    frame: pl.DataFrame, *, ax: Axes, marks: pl.DataFrame | None = None, xlim: Span | None = None
) -> Axes:
    """Stack the shares of all outcomes that were not ``ok`` in each window; ``ok`` is the rest up to 100 %.

    A stack up to 100 % would hide in one row of pixels what the reader is looking for, so the axis ends above the
    highest share of what was not ok. The legend has the whole run's count and share of every kind, ``ok`` included.

    Parameters
    ----------
    frame
        As ``soaklib.outcome_counts(run)`` gives it: ``soak_s``, ``end_s``, ``kind``, ``n``; rows of a kind and window
        are added up.
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
    grid = windows_on(ax, frame, ("kind", "n"), "soaklib.outcome_counts(run)", marks=marks, xlim=xlim)
    counts, looks = counts_by(frame, "kind", "n", grid, KIND_LOOKS)
    in_window = np.sum(list(counts.values()), axis=0) if counts else np.zeros(grid.size)
    # A window without calls divides 0 by 0: NaN, which is drawn as a gap.
    with np.errstate(invalid="ignore"):
        not_ok = {kind: 100.0 * count / in_window for kind, count in counts.items() if kind != Kind.OK}
    areas = stack_steps(ax, grid, not_ok, looks)
    highest = float(np.nanmax(np.sum(list(not_ok.values()), axis=0))) if not_ok else 0.0
    ax.set_ylim(0.0, min(100.0, max(1.08 * highest, _LEAST_TOP_PERCENT)))
    cut = ", axis cut" if ax.get_ylim()[1] < _ALL else ""
    ax.set_ylabel(f"share of calls in {grid.length} (%){cut}")
    if not areas:
        note(ax, "every call was ok" if counts else "no call was planned")
    handles: dict[str, Artist] = {**areas}
    if Kind.OK in counts:
        handles[Kind.OK] = Patch(facecolor="white", edgecolor=BLACK, linewidth=0.4)
    total = float(in_window.sum())
    legend_below(ax, list(handles.values()), [_label(kind, float(counts[kind].sum()), total) for kind in handles])
    return ax


def _label(kind: str, count: float, total: float) -> str:
    rest = ", up to the top" if kind == Kind.OK else ""
    percent = 100 * count / total
    # a share that is not nothing is not said to be nothing, nor one that is not all to be all
    share = "< 0.01" if 0 < percent < _LEAST_PERCENT else f"{min(percent, 99.99) if percent < _ALL else percent:.2f}"
    return f"{kind}: {count:,.0f} ({share} %{rest})"
