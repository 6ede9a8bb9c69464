"""Which process gave each scrape, told by the start times that it exposes and by counters that go back and forth.

============================================= ==================================================================
start times of successive scrapes             what it is
============================================= ==================================================================
the same                                      one process
one that is later, and stays                  a restart
an earlier one again, or earlier than before  several processes that answer one URL in turn
later, but from long before the last scrape   the same: it ran beside the other one
none                                          a restart if counters fall, and several processes in turn if they
                                              fall to where an earlier process stood
============================================= ==================================================================
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["A_REAL_TIME_S", "IN_TURN", "Lineage", "lineage_of", "ran_beside", "take_turns"]

IN_TURN: Final = "several processes answer /metrics in turn, each with counters of its own"
"""The sentence for figures and books that cannot be made for that cause."""

_CLOCKS_APART_S: Final = 300.0
A_REAL_TIME_S: Final = 1e9  # before 2001: no time of day, so that it cannot be held against a clock
_LEAST_RETURNS: Final = 2
_FAR_FEWER: Final = 0.25


class Lineage(NamedTuple):
    """Which process gave each scrape.

    Attributes
    ----------
    process
        A number for each scrape, None where it cannot be told which of several it was; 0 for all where they did not
        take turns.
    epoch
        How many restarts came before each scrape; 0 for all where several took turns.
    in_turn
        Whether several processes took turns.
    """

    process: list[int | None]
    epoch: list[int]
    in_turn: bool


def lineage_of(started_s: Sequence[float | None], at_s: Sequence[float] | None = None) -> Lineage:
    """Tell processes by the start time in each scrape.

    Parameters
    ----------
    started_s
        The start time that each scrape tells, Unix seconds; None where it tells none.
    at_s
        When each was scraped, Unix seconds; None if the gateway's clock may show any other time than the scraper's.
    """
    epoch, epochs, last = 0, [], None
    seen: set[float] = set()
    in_turn = False
    for number, started in enumerate(started_s):
        if started is not None and started != last:
            if last is not None:
                epoch += 1
                in_turn |= started < last or started in seen
                in_turn |= at_s is not None and ran_beside(started, at_s[number - 1])
            seen.add(started)
            last = started
        epochs.append(epoch)
    if not in_turn:
        return Lineage([0] * len(epochs), epochs, in_turn=False)
    numbers = {started: number for number, started in enumerate(dict.fromkeys(started_s)) if started is not None}
    return Lineage([None if one is None else numbers[one] for one in started_s], [0] * len(epochs), in_turn=True)


def ran_beside(started_s: float, read_s: float) -> bool:
    """Say whether a process began long before another one was read last, so that it took no place: Unix seconds.

    A time that is none of day says nothing of that, nor one that two clocks may differ by.
    """
    return A_REAL_TIME_S < started_s < read_s - _CLOCKS_APART_S


def take_turns(scrapes: Sequence[Mapping[int, float]]) -> bool:
    """Tell by the counters alone whether several processes took turns.

    A process that begins anew counts from zero. So counters that fall, and fall to where an earlier process stood when
    it was last seen, and do so again, may be those of processes that were there all the time. They are if that explains
    them by far fewer calls: taken for restarts, every turn counts anew what the process had counted long before.

    Parameters
    ----------
    scrapes
        Counter -> value, for each scrape.
    """
    processes: list[Mapping[int, float]] = []
    current, returns, falls_back = -1, 0, False
    by_turns = by_restarts = 0.0
    before: Mapping[int, float] = {}
    for scrape in scrapes:
        distances = [(_distance(state, scrape), number != current, number) for number, state in enumerate(processes)]
        distance, _, number = min(distances, default=(None, True, 0), key=_nearest)
        if distance is None:
            number = len(processes)
            processes.append(scrape)
        else:
            by_turns += distance
            if number != current:
                now = processes[current]
                returns += 1
                falls_back |= any(scrape[key] < now[key] for key in now.keys() & scrape.keys())
            processes[number] = {**processes[number], **scrape}
        common = before.keys() & scrape.keys()
        by_restarts += sum(scrape[key] - before[key] * (scrape[key] >= before[key]) for key in common)
        current, before = number, scrape
    return falls_back and returns >= _LEAST_RETURNS and by_turns < by_restarts * _FAR_FEWER


def _distance(state: Mapping[int, float], scrape: Mapping[int, float]) -> float | None:
    """Give what a process counted from one state to the other; None if the other cannot be its own."""
    common = state.keys() & scrape.keys()
    if not common or any(scrape[key] < state[key] for key in common):
        return None
    return sum(scrape[key] - state[key] for key in common)


def _nearest(candidate: tuple[float | None, bool, int]) -> tuple[float, bool, int]:
    distance, is_other, number = candidate
    return (math.inf if distance is None else distance, is_other, number)
