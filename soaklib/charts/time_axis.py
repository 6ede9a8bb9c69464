"""The time axis of every chart: H+0 to H+24 in soak hours, with ticks at round times whatever the length of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.ticker import Formatter, Locator

from soaklib.charts.windows import SECONDS_PER_HOUR
from soaklib.records.moments import soak_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

__all__ = ["SoakFormatter", "SoakLocator", "bears_soak_time", "soak_axis"]

_STEPS_S: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
    3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800,
)  # fmt: skip
_MOST_TICKS: Final = 13
_POINTS_A_TICK: Final = 24.0  # "H+24" at 6.5 pt, and air
_POINTS_A_FINE_TICK: Final = 38.0  # "H+12:30"


class SoakLocator(Locator):
    """Places ticks at whole weeks, days, hours, minutes or seconds, as many as can be read side by side."""

    def __call__(self) -> Sequence[float]:
        """Give the ticks of the axis as it is now."""
        low, high = self.axis.get_view_interval()  # type: ignore[union-attr]  # matplotlib sets the axis before use
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Give the ticks between two soak hours."""
        low_s, high_s = sorted((vmin * SECONDS_PER_HOUR, vmax * SECONDS_PER_HOUR))
        step_s = next((step for step in _STEPS_S if (high_s - low_s) / step <= self._room(step)), _STEPS_S[-1])
        first, last = np.ceil(low_s / step_s - 1e-9), np.floor(high_s / step_s + 1e-9)
        return [float(number * step_s / SECONDS_PER_HOUR) for number in range(int(first), int(last) + 1)]

    def _room(self, step_s: float) -> float:
        """Give how many intervals of a length can be labelled."""
        axes: Axes = self.axis.axes  # type: ignore[union-attr]  # see above
        length_points = axes.bbox.width * 72 / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
        points = _POINTS_A_TICK if step_s % SECONDS_PER_HOUR == 0 else _POINTS_A_FINE_TICK
        return max(1.0, min(_MOST_TICKS, length_points / points))


class SoakFormatter(Formatter):
    """Writes soak hours as ``H+3``, ``H+0:30`` or ``H+0:00:15``, whichever is exact."""

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002 - matplotlib's signature
        """Give the label of a tick at `x` soak hours."""
        return soak_text(x * SECONDS_PER_HOUR)


def bears_soak_time(ax: Axes) -> bool:
    """Say whether an x axis is one of soak time already: something was drawn on it before."""
    return isinstance(ax.xaxis.get_major_locator(), SoakLocator)


def soak_axis(ax: Axes, start_s: float, end_s: float) -> None:
    """Make an x axis one of soak time from `start_s` to `end_s` soak seconds; its data are soak hours.

    One that is such an axis already goes on showing what it showed.
    """
    low, high = start_s / SECONDS_PER_HOUR, max(end_s, start_s + 1.0) / SECONDS_PER_HOUR
    if bears_soak_time(ax):
        before_low, before_high = ax.get_xlim()
        low, high = min(low, before_low), max(high, before_high)
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(SoakLocator())
    ax.xaxis.set_major_formatter(SoakFormatter())
    ax.set_xlabel("soak time (hours)")
