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

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["IN_TURN", "STARTS", "Lineage", "lineage_of", "take_turns"]

STARTS: Final = ("gateway_process_start_time_seconds", "process_start_time_seconds")
"""Metrics that tell when a process began; the first is the gateway's own word, where it has both."""

IN_TURN: Final = "several processes answer /metrics in turn, each with counters of its own"
"""The sentence for figures and books that cannot be made for that cause."""

_CLOCKS_APART_S: Final = 300.0
_A_REAL_TIME_S: Final = 1e9  # before 2001: no time of day, so that it cannot be held against a clock
_LEAST_RETURNS: Final = 2


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


def lineage_of(started_s: Sequence[float | None], at_s: Sequence[float]) -> Lineage:
    """Tell processes by the start time in each scrape.

    Parameters
    ----------
    started_s
        The start time that each scrape tells, Unix seconds; None where it tells none.
    at_s
        When each was scraped, Unix seconds.
    """
    epoch, epochs, last = 0, [], None
    seen: set[float] = set()
    in_turn = False
    for number, started in enumerate(started_s):
        if started is not None and started != last:
            if last is not None:
                epoch += 1
                ran_beside = started > _A_REAL_TIME_S and started < at_s[number - 1] - _CLOCKS_APART_S
                in_turn |= started < last or started in seen or ran_beside
            seen.add(started)
            last = started
        epochs.append(epoch)
    if not in_turn:
        return Lineage([0] * len(epochs), epochs, in_turn=False)
    numbers = {started: number for number, started in enumerate(dict.fromkeys(started_s)) if started is not None}
    return Lineage([None if one is None else numbers[one] for one in started_s], [0] * len(epochs), in_turn=True)


def take_turns(scrapes: Sequence[Mapping[int, float]]) -> bool:
    """Tell by the counters alone whether several processes took turns.

    A process that begins anew counts from zero. So counters that fall, and fall to where an earlier process stood when
    it was last seen, and do so again, are those of processes that were there all the time.

    Parameters
    ----------
    scrapes
        Counter -> value, for each scrape.
    """
    processes: list[Mapping[int, float]] = []
    current, returns, falls_back = -1, 0, False
    for scrape in scrapes:
        nearest = None
        for number, state in enumerate(processes):
            common = state.keys() & scrape.keys()
            if common and all(scrape[key] >= state[key] for key in common):
                distance = sum(scrape[key] - state[key] for key in common)
                if nearest is None or distance < nearest[0] or (distance == nearest[0] and number == current):
                    nearest = (distance, number)
        number = len(processes) if nearest is None else nearest[1]
        if number == len(processes):
            processes.append(scrape)
        else:
            if number != current:
                now = processes[current]
                returns += 1
                falls_back |= any(scrape[key] < now[key] for key in now.keys() & scrape.keys())
            processes[number] = {**processes[number], **scrape}
        current = number
    return falls_back and returns >= _LEAST_RETURNS
