"""Calls that a gateway may count without the client having an answer: those never answered, and those sent again."""

from __future__ import annotations

from collections import Counter
from typing import Final

import polars as pl

from soaklib.analysis.books.pairs import Answer, Cause

__all__ = ["SpareCalls", "spare_calls"]

SPARE_SCHEMA: Final = pl.Schema(
    {"win": pl.Int64(), "tool": pl.String(), "action": pl.String(), "cause": pl.String(), "rows": pl.Int64()}
)
"""Columns of :func:`spare_calls`."""


def spare_calls(answers: pl.DataFrame) -> pl.DataFrame:
    """Give the spare calls by the window in which they were sent.

    Parameters
    ----------
    answers
        As :func:`~soaklib.analysis.books.tallies.answers_in_windows` gives it.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`SPARE_SCHEMA`. A row may be negative: summed up to a window they are the calls sent by its
        end.
    """
    open_calls = answers.filter(pl.col("answer") == Answer.UNANSWERED)
    keys = ["win", "tool", "action"]
    parts = [
        open_calls.select(*keys, cause=pl.lit(Cause.UNANSWERED.value), rows=pl.col("rows") + pl.col("early")),
        open_calls.select(
            pl.col("win") + 1, "tool", "action", cause=pl.lit(Cause.UNANSWERED.value), rows=-pl.col("early")
        ),
        answers.select(*keys, cause=pl.lit(Cause.RETRIED.value), rows=pl.col("again")),
    ]
    both = pl.concat([part.select(SPARE_SCHEMA.names()).cast(SPARE_SCHEMA) for part in parts])
    return both.filter(pl.col("rows") != 0)


class SpareCalls:
    """Spare calls on one side of an account: each may explain one surplus count.

    Parameters
    ----------
    calls
        As :func:`spare_calls` gives it.
    """

    def __init__(self, calls: pl.DataFrame) -> None:
        self._calls = list(calls.select("win", "tool", "action", "cause", "rows").iter_rows())
        self._taken: Counter[tuple[str, str, str]] = Counter()

    def take(self, win: int, tool: str | None, action: str | None, wanted: int) -> dict[Cause, int]:
        """Use up spare calls sent by the end of a window.

        Parameters
        ----------
        win
            The window.
        tool, action
            Of the calls; None for any.
        wanted
            How many at most.

        Returns
        -------
        dict
            For each cause how many there were, together at most `wanted`.
        """
        there: Counter[tuple[str, str, str]] = Counter()
        for when, its_tool, its_action, cause, rows in self._calls:
            if when <= win and tool in (None, its_tool) and action in (None, its_action):
                there[its_tool, its_action, cause] += rows
        used: Counter[Cause] = Counter()
        for key, rows in there.items():
            number = min(wanted - used.total(), rows - self._taken[key])
            if number > 0:
                self._taken[key] += number
                used[Cause(key[2])] += number
        return dict(used)
