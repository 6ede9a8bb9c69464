"""How a run that goes on does so far, with an interval that bears being looked at again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from soaklib.analysis.statistics.sequences import share_at_any_time

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["SuccessSoFar", "success_so_far"]


class SuccessSoFar(NamedTuple):
    """The success rate so far, percent.

    Attributes
    ----------
    rate
        Of all calls that count; None without any.
    low, high
        95 % interval that holds at all looks together, at whatever time it is looked at, and stopped.
    n
        Calls that count.
    """

    rate: float | None
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.rate is None:
            return "no call yet"
        bounds = f"{self.low:.2f} to {self.high:.2f}, whenever it is looked at"
        return f"{self.rate:.2f} % of {self.n:,} calls succeeded so far ({bounds})"


def success_so_far(run: Run) -> SuccessSoFar:
    """Give the success rate of a run that goes on, by its soak-minutes.

    The interval is a confidence sequence, see :mod:`soaklib.analysis.statistics.sequences`. Intervals of single
    windows, as :func:`soaklib.analysis.measures.rates.success_rate` gives them, hold each for one look alone.
    """
    minutes = run.sql(
        "select count(*) filter (succeeded) as successes, count(*) as n from calls where counted "
        "group by floor(soak_s / 60) order by floor(soak_s / 60)"
    )
    n = int(minutes["n"].sum())
    if not n:
        return SuccessSoFar(None, 0.0, 100.0, 0)
    low, high = share_at_any_time(minutes["successes"].to_numpy(), minutes["n"].to_numpy())
    return SuccessSoFar(100 * int(minutes["successes"].sum()) / n, 100 * float(low[-1]), 100 * float(high[-1]), n)
