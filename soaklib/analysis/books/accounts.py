"""One counter against the answers that it should count, reading by reading: what is over and what of it is harmless.

An account is one counter of one tool and action (as far as its labels tell them apart). In increments, with C the
answers up to a reading and f the counter's factor, ``counter - f x C`` is the difference; the calls under way at the
reading bound how much of it they can be (see :mod:`soaklib.analysis.books.balance`).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.books.balance import jumps, pieces_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soaklib.analysis.books.balance import Jump
    from soaklib.analysis.books.pairs import Book
    from soaklib.analysis.books.readings import Reading

__all__ = ["Account", "accounts_of", "epochs_of"]

_LEAST_WINDOWS: Final = 3
_CONSTANT_SHARE: Final = 0.75
_DIMENSIONS: Final = ("tool", "action", "reason")


@dataclass(eq=False)
class Account:
    """A counter and its answers; plain lists, as it is some thousand numbers at most and numpy is an extra.

    Attributes
    ----------
    tool, action, reason
        What it counts; None where the counter does not tell.
    rows
        Answers in each window; one more than there are readings, the last being what came after the last reading.
    late, early
        Those of the window, and those of later ones, that may be on the other side of the reading at its end.
    counts
        Where the counter stood at each reading: 0 before its first increment, NaN where it was not told.
    factor
        How often the counter counts each answer.
    """

    tool: str | None
    action: str | None
    reason: str | None
    rows: list[int]
    late: list[int]
    early: list[int]
    counts: list[float]
    factor: int = 1

    def increases(self) -> list[float]:
        """Give the increase up to each reading from the one before; NaN for the first. Not told means no increase."""
        increases, stands = [math.nan] * len(self.counts), math.nan
        for reading, count in enumerate(self.counts):
            if not math.isnan(count):
                increases[reading], stands = count - stands, count
            elif reading:
                increases[reading] = 0.0
        return increases

    def jumps(self, start: int, end: int, witness: Account | None = None) -> list[Jump]:
        """Give the changes, in increments, that no call under way explains, within readings `start` to `end` - 1.

        Calls under way make the size of a change uncertain, and the least size would let a loss and a double of one
        account hide a call of each other. So of the explanations with the fewest changes the one is taken that fits
        the `witness`: a counter that counts all of these calls, and maybe others, each at the same moment.
        """
        lower, upper = self._bounds(start, end)
        fewest = jumps(lower, upper)
        if witness is None or not fewest:
            return fewest
        lower, upper = self._narrowed(start, lower, upper, witness)
        if any(low > high for low, high in zip(lower, upper, strict=True)):
            return fewest  # they contradict each other
        fitting = jumps(lower, upper)
        # More changes than needed: the two do not count at the same moment, or one hides what the other shows.
        return fitting if len(fitting) == len(fewest) else fewest

    def _over(self, start: int, end: int) -> list[float]:
        """Give by how many increments the counter is over its answers since reading `start`; NaN where not told."""
        answered = list(accumulate(self.rows))
        return [
            self.counts[reading] - self.counts[start] - self.factor * (answered[reading] - answered[start])
            for reading in range(start, end)
        ]

    def _bounds(self, start: int, end: int) -> tuple[list[float], list[float]]:
        """Give between what the difference lies at each reading, given the calls under way."""
        lower, upper = [], []
        for reading, over in enumerate(self._over(start, end), start):
            told = not math.isnan(over)
            lower.append(over - self.factor * self.early[reading] if told else -math.inf)
            upper.append(over + self.factor * self.late[reading] if told else math.inf)
        return lower, upper

    def _narrowed(
        self, start: int, lower: Sequence[float], upper: Sequence[float], witness: Account
    ) -> tuple[list[float], list[float]]:
        """Give the bounds with what the witness tells of how many of the calls under way were counted."""
        end = start + len(lower)
        allowed = [(low, high) for length, low, high in pieces_of(*witness._bounds(start, end)) for _ in range(length)]
        narrow_lower, narrow_upper = list(lower), list(upper)
        overs = zip(self._over(start, end), witness._over(start, end), allowed, strict=True)
        for number, (over, seen, (low, high)) in enumerate(overs):
            if math.isnan(over) or math.isnan(seen):
                continue
            reading = start + number
            # In calls: counted already of those that ended later, less those not counted yet of those that ended.
            least = (seen - high) / witness.factor - (witness.early[reading] - self.early[reading])
            most = (seen - low) / witness.factor + (witness.late[reading] - self.late[reading])
            narrow_lower[number] = max(lower[number], over - self.factor * most)
            narrow_upper[number] = min(upper[number], over - self.factor * least)
        return narrow_lower, narrow_upper

    def likely_factor(self, epochs: Sequence[tuple[int, int]]) -> int | None:
        """Give the whole number of increments that each answer makes in most windows; None if too few tell."""
        increases = self.increases()
        told = [win for start, end in epochs for win in range(start + 1, end) if self.rows[win]]
        if len(told) < _LEAST_WINDOWS:
            return None
        factor = round(median(increases[win] / self.rows[win] for win in told))
        fitting = {candidate: self._fitting(told, increases, candidate) for candidate in (1, factor)}
        # Calls under way can make several factors fit: then it is the usual one.
        is_habit = factor > 1 and fitting[factor] >= _CONSTANT_SHARE * len(told) and fitting[factor] > fitting[1]
        return factor if is_habit else 1

    def _fitting(self, windows: Sequence[int], increases: Sequence[float], factor: int) -> int:
        """Count the windows whose increase is so many times their answers, but for calls under way at their edges."""
        return sum(
            abs(increases[win] - factor * self.rows[win]) <= factor * (self._under_way(win) + self._under_way(win - 1))
            for win in windows
        )

    def _under_way(self, reading: int) -> int:
        return self.late[reading] + self.early[reading]


def epochs_of(at: Sequence[Reading]) -> list[tuple[int, int]]:
    """Give the first reading and the one after the last of each stretch between two restarts."""
    starts = [number for number, reading in enumerate(at) if not number or reading.epoch != at[number - 1].epoch]
    return list(pairwise([*starts, len(at)]))


def accounts_of(book: Book, answers: pl.DataFrame, counters: pl.DataFrame, at: Sequence[Reading]) -> list[Account]:
    """Give the accounts of a book, one for each tool and action that its counter's labels tell apart.

    Parameters
    ----------
    book
        The book; its counter must be among `counters`.
    answers, counters
        As :mod:`soaklib.analysis.books.tallies` gives them.
    at
        The readings.
    """
    its_counters = counters.filter(pl.col("metric") == book.metric).rename({"kind": "reason"})
    labelled = [name for name in _DIMENSIONS if its_counters.height and not its_counters[name].null_count()]
    if book.code:
        its_counters = its_counters.filter(pl.col("code").str.starts_with(book.code))
    its_answers = answers.filter(pl.col("answer").is_in([str(answer) for answer in book.answers]))
    made = [
        Account(
            *names,
            rows=_per_window(mine, "rows", len(at) + 1),
            late=_per_window(mine, "late", len(at) + 1),
            early=_per_window(mine, "early", len(at) + 1),
            counts=_per_reading(values, at),
        )
        for names, mine, values in _cells(its_answers, its_counters, labelled)
    ]
    epochs = epochs_of(at)
    likely = [account.likely_factor(epochs) for account in made]
    usual = Counter(factor for factor in likely if factor is not None).most_common(1)
    for account, factor in zip(made, likely, strict=True):
        account.factor = factor or (usual[0][0] if usual else 1)
    return made


def _cells(
    answers: pl.DataFrame, counters: pl.DataFrame, labelled: Sequence[str]
) -> Iterator[tuple[tuple[str | None, str | None, str | None], pl.DataFrame, pl.DataFrame]]:
    """Give for each tool, action and reason, as far as labels tell them, its answers and its counters."""
    if not labelled:
        yield (None, None, None), answers, counters
        return
    by_answers = answers.partition_by(labelled, as_dict=True)
    by_counters = counters.partition_by(labelled, as_dict=True)
    for key in sorted({*by_answers, *by_counters}, key=str):
        names = dict(zip(labelled, key, strict=True))
        tool, action, reason = (names.get(name) for name in _DIMENSIONS)
        yield (tool, action, reason), by_answers.get(key, answers.clear()), by_counters.get(key, counters.clear())


def _per_window(answers: pl.DataFrame, column: str, size: int) -> list[int]:
    counts = [0] * size
    for win, number in answers.select("win", column).iter_rows():
        counts[win] += number
    return counts


def _per_reading(counters: pl.DataFrame, at: Sequence[Reading]) -> list[float]:
    """Give the counter at each reading; one that vanishes, if only in part, is not told; before it appears it is 0."""
    sums = counters.group_by("win").agg(pl.col("count", "parts").sum())
    by_reading = {win: (count, parts) for win, count, parts in sums.iter_rows()}
    counts = [0.0] * len(at)
    epoch, most_parts = -1, 0
    for number, reading in enumerate(at):
        if reading.epoch != epoch:
            epoch, most_parts = reading.epoch, 0
        count, parts = by_reading.get(number, (0.0, 0))
        counts[number] = count if parts >= most_parts else math.nan
        most_parts = max(most_parts, parts)
    return counts
