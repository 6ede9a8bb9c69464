"""An axis of milliseconds on a log scale, labelled with plain numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from matplotlib.ticker import LogLocator, NullFormatter

from soaklib.charts.numbers import number_formatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["milliseconds_axis"]

_DECADES_FINELY_LABELLED: Final = 2.2


def milliseconds_axis(ax: Axes, label: str) -> None:
    """Make a y axis with its data drawn one of milliseconds; few decades are labelled at 1, 2 and 5, many at 1."""
    ax.set_yscale("log")
    if min(ax.get_ylim()) <= 0:  # nothing was drawn
        ax.set_ylim(1.0, 10.0)
    low, high = ax.get_ylim()
    fine = math.log10(high / low) < _DECADES_FINELY_LABELLED
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if fine else (1.0,)))
    ax.yaxis.set_major_formatter(number_formatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylabel(label)
