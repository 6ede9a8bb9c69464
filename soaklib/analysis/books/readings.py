"""When the gateway's counters were read, and when they began anew.

A scrape reads the counters at some moment between its request and its answer. A restart is a reading too: at that
moment all counters are 0, whatever they had counted before. Its moment on the run's clock comes from the gateway's own
start time, by way of the clock readings in its correlation ids (``req_<epoch ms>_...``), each of which was made between
the sending and the answer of its call.

Where several processes answer /metrics in turn, no scrape reads the counters of them all: then there are no readings.
A scrape whose last number is cut short is none either.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from soaklib.analysis.measures.counting import counted_in_run, scrape_times
from soaklib.analysis.measures.lineage import lineage_of, take_turns
from soaklib.analysis.measures.pairing import ROUNDING, Doubt
from soaklib.exposition.ending import STARTS
from soaklib.records import RunStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soaklib.analysis.sources.run import Run

__all__ = ["Reading", "is_in_turn", "readings"]

_RECORDED_WITHIN_US: Final = 5_000_000
"""What the recorder of a run that has not ended may still hold back."""

_LEAST_FALLS: Final = 2
_NEIGHBOURHOOD_US: Final = 10_000_000
_ROUNDED_US: Final = 1_000  # both clocks are exposed in whole milliseconds


class Reading(NamedTuple):
    """A moment at which all counters are known; times on the run's clock.

    Attributes
    ----------
    begin_us, end_us
        The moment lies between them.
    at_us
        Time of the scrape's samples; None for a restart, at which every counter is 0.
    epoch
        Number of the restarts before it; counters can be compared within an epoch only.
    failed_scrapes
        How many scrapes failed since the reading before.
    """

    begin_us: int
    end_us: int
    at_us: int | None
    epoch: int
    failed_scrapes: int


class _Scrape(NamedTuple):
    begin_us: int
    end_us: int
    failed_before: int
    started_s: float | None


def readings(run: Run, counters: Sequence[str]) -> list[Reading]:
    """Give the moments at which a run's counters are known, in order; none where several processes answer in turn.

    Left out are scrapes that overlap a later one, as it cannot be told which was first, and those at the end of a run
    that has not ended whose calls may not all be on disk yet.

    Parameters
    ----------
    run
        The run.
    counters
        Names of counters as exposed; one that falls tells a reset where the gateway tells no start time.
    """
    scrapes, fallen = _whole_scrapes(run, counters)
    if _take_turns(run, scrapes, fallen, counters):
        return []
    found: list[Reading] = []
    epoch = 0
    last: _Scrape | None = None
    for scrape in scrapes:
        zero = None
        if last is None and run.info.embedded and run.info.segments:
            # Its own gateway: all its counters began at 0 before the first call.
            begun_us = run.info.segments[0].started_at_us
            zero = _zero_moment(run, scrape, begun_us) or (begun_us, begun_us)
        elif last is not None and last.started_s != scrape.started_s and None not in (last.started_s, scrape.started_s):
            epoch += 1
            zero = _zero_moment(run, scrape, last.end_us)
        elif last is not None and scrape.end_us in fallen:
            epoch += 1
        failed = scrape.failed_before
        if zero is not None:
            found.append(Reading(*zero, None, epoch, failed))
            failed = 0
        found.append(Reading(scrape.begin_us, scrape.end_us, scrape.end_us, epoch, failed))
        last = scrape
    return found


def is_in_turn(run: Run, counters: Sequence[str], *, untold: bool = False) -> bool:
    """Whether several processes answer a run's scrapes in turn.

    Parameters
    ----------
    run, counters
        As for :func:`readings`.
    untold
        Whether only processes are meant that no start times tell apart.
    """
    scrapes, fallen = _whole_scrapes(run, counters)
    if untold and any(scrape.started_s is not None for scrape in scrapes):
        return False
    return _take_turns(run, scrapes, fallen, counters)


def _whole_scrapes(run: Run, counters: Sequence[str]) -> tuple[list[_Scrape], frozenset[int]]:
    """Give the scrapes but those that end with a counter's first digits, and the times of those where one fell."""
    scrapes = _scrapes(run)
    fallen = _fallen(run, [scrape.end_us for scrape in scrapes], counters)
    cut = _cut_short(run, counters) if fallen else frozenset()
    if not fallen & cut:
        return scrapes, fallen
    kept: list[_Scrape] = []
    failed = 0
    for scrape in scrapes:
        failed += scrape.failed_before
        if scrape.end_us in cut:
            failed += 1
            continue
        kept.append(scrape._replace(failed_before=failed))
        failed = 0
    return kept, _fallen(run, [scrape.end_us for scrape in kept], counters)


def _cut_short(run: Run, counters: Sequence[str]) -> frozenset[int]:
    """Give the times of the scrapes whose last number is a counter's, and only the first digits of it."""
    counted = counted_in_run(run, counters, scrape_times(run)["at"])
    cut = counted.filter(pl.col("doubt") == Doubt.CUT_NUMBER, pl.col("increase").is_null())
    return frozenset((cut["at"].dt.epoch("us") - _anchor_us(run)).to_list())


def _anchor_us(run: Run) -> int:
    return int(run.sql("select epoch_us(utc(0))").item())


def _take_turns(run: Run, scrapes: Sequence[_Scrape], fallen: frozenset[int], counters: Sequence[str]) -> bool:
    starts = [scrape.started_s for scrape in scrapes]
    if any(start is not None for start in starts):
        return lineage_of(starts, _gateway_times_s(run, scrapes)).in_turn
    if len(fallen) < _LEAST_FALLS:
        return False
    query = """
        select at_us, hash(metric, labels) as series, "value" from samples
        where list_contains($counters, metric) and isfinite("value") order by at_us"""
    states: dict[int, dict[int, float]] = {scrape.end_us: {} for scrape in scrapes}
    for at_us, series, value in run.sql(query, {"counters": list(counters)}).iter_rows():
        if at_us in states:
            states[at_us][series] = value
    return take_turns(list(states.values()))


def _scrapes(run: Run) -> list[_Scrape]:
    """Give the successful scrapes of which none overlaps the next, with the gateway's start time."""
    starts = run.sql(
        f"""
        select at_us, coalesce(max("value") filter (metric = '{STARTS[0]}'), max("value")) as started_s
        from samples where metric in {STARTS} group by at_us"""  # noqa: S608 - our own names
    )
    started_s = dict(starts.iter_rows())
    rows = run.sql(
        "select at_us - duration_us as begin_us, at_us, ok from scrapes where endpoint = 'metrics' order by at_us"
    )
    until_us = _recorded_until_us(run)
    kept: list[_Scrape] = []
    failed = 0
    for begin_us, at_us, ok in rows.iter_rows():
        if until_us is not None and at_us > until_us:
            break
        if not ok:
            failed += 1
            continue
        while kept and kept[-1].end_us >= begin_us:
            failed += kept.pop().failed_before
        kept.append(_Scrape(begin_us, at_us, failed, started_s.get(at_us)))
        failed = 0
    return kept


def _recorded_until_us(run: Run) -> int | None:
    """Give until when a run's calls are surely on disk; None when all are."""
    if run.info.status != RunStatus.RUNNING:
        return None
    query = "select max(done_at_us) - coalesce(max(done_at_us - sent_at_us), 0) from outcomes"
    until_us = run.sql(query).item()
    return -1 if until_us is None else int(until_us) - _RECORDED_WITHIN_US


def _fallen(run: Run, at_us: list[int], counters: Sequence[str]) -> frozenset[int]:
    """Give the times of the scrapes at which a counter stood lower than at the one before."""
    query = f"""
        with kept as (
            select at_us,
                   "value" < lag("value") over (partition by metric, labels order by at_us) * (1 - {ROUNDING}) as fell
            from samples where list_contains($counters, metric) and at_us in (select unnest($at_us::BIGINT[]))
        )
        select distinct at_us from kept where fell"""  # noqa: S608 - our own number
    return frozenset(run.sql(query, {"counters": list(counters), "at_us": at_us})["at_us"])


def _zero_moment(run: Run, scrape: _Scrape, after_us: int) -> tuple[int, int] | None:
    """Give between which times the gateway began that answered a scrape; None where its clock cannot be read."""
    ahead = _ahead_us(run, after_us, scrape.end_us)
    if ahead is None or scrape.started_s is None:
        return None
    least_us, most_us = ahead
    started_us = round(scrape.started_s * 1e6) - _anchor_us(run)
    begin_us = max(started_us - max(least_us, most_us) - _ROUNDED_US, after_us)
    end_us = min(started_us - min(least_us, most_us) + _ROUNDED_US, scrape.begin_us)
    return None if begin_us > end_us else (begin_us, end_us)


def _ahead_us(run: Run, from_us: int, until_us: int) -> tuple[int, int] | None:
    """Give how far the gateway's clock is ahead around some time, at least and at most; None where nothing tells."""
    query = """
        with read as (
            select try_cast(regexp_extract(correlation_id, '^req_(\\d{13})_', 1) as BIGINT) * 1000
                       - epoch_us(utc(0)) as stamp_us, sent_at_us, done_at_us
            from outcomes where done_at_us >= $from_us and sent_at_us <= $until_us
        )
        select max(stamp_us - done_at_us) as least_us, min(stamp_us + $rounded_us - sent_at_us) as most_us from read"""
    least_us, most_us = run.sql(
        query,
        {
            "from_us": from_us - _NEIGHBOURHOOD_US,
            "until_us": until_us + _NEIGHBOURHOOD_US,
            "rounded_us": _ROUNDED_US,
        },
    ).row(0)
    return None if least_us is None else (least_us, most_us)


def _gateway_times_s(run: Run, scrapes: Sequence[_Scrape]) -> list[float] | None:
    """Give when each scrape came by the gateway's clock, which start times are of; None where none of them moves.

    Where the clock cannot be read, it is taken to be right.
    """
    told = [scrape for scrape in scrapes if scrape.started_s is not None]
    moves = next(((last, now) for last, now in pairwise(told) if last.started_s != now.started_s), None)
    if moves is None:
        return None
    ahead = _ahead_us(run, moves[0].end_us, moves[1].end_us) or (0, 0)
    shift_us = _anchor_us(run) + sum(ahead) // 2
    return [(scrape.end_us + shift_us) / 1e6 for scrape in scrapes]
