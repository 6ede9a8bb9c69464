"""The legend, below the axes: it never covers data and takes as many columns as fit."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.textpath import TextPath
from matplotlib.transforms import ScaledTranslation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

__all__ = ["legend_below"]

_POINTS_PER_INCH: Final = 72.0
_TICKS_AND_LABEL_POINTS: Final = 30.0
_HANDLE_POINTS: Final = 25.0  # the handle, its distance from the text, the distance to the next column
_NUMBERS_POINTS: Final = 40.0
_NAME_AIR_POINTS: Final = 12.0


def legend_below(
    ax: Axes, handles: Sequence[Artist], labels: Sequence[str], *, below_points: float | None = None
) -> None:
    """Put a legend under an axes' tick labels and axis label.

    Parameters
    ----------
    ax
        The lowest axes of a column.
    handles, labels
        What to explain, in reading order.
    below_points
        How far under the axes; None to be clear of tick labels and an axis label.
    """
    if not handles:
        return
    figure = ax.get_figure(root=True)
    if figure is None:
        return
    handles, labels = _with_those_there(ax, handles, labels)
    spec = ax.get_subplotspec()
    columns_of_axes = 1 if spec is None else spec.get_gridspec().ncols
    room_points = figure.get_figwidth() * _POINTS_PER_INCH / columns_of_axes - _left_points(figure.axes)
    widths = [_HANDLE_POINTS + _text_points(label) for label in labels]
    columns = next((number for number in range(len(labels), 1, -1) if _needs(widths, number) <= room_points), 1)
    down = ScaledTranslation(
        0,
        -(_TICKS_AND_LABEL_POINTS if below_points is None else below_points) / _POINTS_PER_INCH,
        figure.dpi_scale_trans,
    )
    ax.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(0.0, 0.0), bbox_transform=ax.transAxes + down, ncols=columns
    )


def _with_those_there(ax: Axes, handles: Sequence[Artist], labels: Sequence[str]) -> tuple[list[Artist], list[str]]:
    """Put what the axes' legend explains already before what is new: each label once, as it was first."""
    legend = ax.get_legend()
    told: dict[str, Artist] = {}
    if legend is not None:
        there = (text.get_text() for text in legend.get_texts())
        told = {label: handle for label, handle in zip(there, legend.legend_handles, strict=True) if handle is not None}
    for label, handle in zip(labels, handles, strict=True):
        told.setdefault(label, handle)
    return list(told.values()), list(told)


def _left_points(axes: Sequence[Axes]) -> float:
    """Give how far from the figure's edge axes begin: as far as the longest name on a y axis needs, or its numbers."""
    names = [label.get_text() for ax in axes for label in ax.get_yticklabels()]
    return max([_NUMBERS_POINTS, *(_text_points(name) + _NAME_AIR_POINTS for name in names if name)])


def _needs(widths: Sequence[float], columns: int) -> float:
    """Give how wide a legend is whose entries run down one column after the other, the first ones longer by one."""
    rows, longer = divmod(len(widths), columns)
    total = 0.0
    start = 0
    for column in range(columns):
        end = start + rows + (column < longer)
        total += max(widths[start:end])
        start = end
    return total


def _text_points(label: str) -> float:
    font = FontProperties(size=mpl.rcParams["legend.fontsize"])
    file = str(findfont(font))
    return max(_line_points(line, font, file) for line in label.splitlines() or [""])


@lru_cache(maxsize=1024)  # tick labels are the same in each figure, and outlines are measured in Python
def _line_points(line: str, font: FontProperties, file: str) -> float:  # noqa: ARG001 - the file that a family stands for
    return float(TextPath((0, 0), line, prop=font).get_extents().width)
