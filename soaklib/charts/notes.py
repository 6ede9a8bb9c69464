"""A sentence in an axes that has nothing to draw, so that an empty picture cannot be taken for a broken one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["note"]


def note(ax: Axes, sentence: str) -> None:
    """Write a sentence in the middle of an axes."""
    ax.text(
        0.5, 0.5, sentence, transform=ax.transAxes, horizontalalignment="center", verticalalignment="center",
        style="italic", gid="note",
    )  # fmt: skip
