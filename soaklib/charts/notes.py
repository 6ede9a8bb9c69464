"""A sentence in an axes that has nothing to draw, so that an empty picture cannot be taken for a broken one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["note"]


def note(ax: Axes, sentence: str) -> None:
    """Write a sentence in the middle of an axes, in front of all lines."""
    ax.text(
        0.5, 0.5, sentence, transform=ax.transAxes, horizontalalignment="center", verticalalignment="center",
        style="italic", gid="note", zorder=6, bbox={"facecolor": "white", "edgecolor": "none", "pad": 2.0},
    )  # fmt: skip
