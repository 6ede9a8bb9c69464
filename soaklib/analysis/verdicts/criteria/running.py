"""Did the gateway keep running? One that dies and is started again by whoever watches over it may fail few calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.lineage import ran_beside
from soaklib.analysis.measures.processes import request_falls, starts_query, starts_seen, unplanned_starts
from soaklib.analysis.verdicts.criteria.wording import many, number, passed
from soaklib.records import State, Verdict
from soaklib.records.moments import soak_text

if TYPE_CHECKING:
    from soaklib.analysis.measures.processes import Start
    from soaklib.analysis.sources.run import Run

__all__ = ["no_unplanned_restart"]

_NAME: Final = "no unplanned restart"
_THRESHOLD: Final = "0 restarts of the gateway but beside changes"
_LEAST_SHARE: Final = 0.5
"""Share of the time that must lie between the first and the last reading for a pass to be one."""
_COME_S: Final = "select soak_seconds(max(planned_at_us)) from outcomes"


def no_unplanned_restart(run: Run) -> Verdict:
    """Is it the process that it was, but for restarts beside changes and while the runner was away?"""
    query = starts_query(run)
    readings = run.sql(query)
    if readings.is_empty():
        return _by_requests(run, query)
    starts = [start for start in starts_seen(readings) if not _ran_before(run, start, readings)]
    unplanned = unplanned_starts(run, starts)
    processes = readings["process"].n_unique()
    state = passed(not unplanned)
    detail = f"{many(len(starts), 'restart')} seen in {many(readings.height, 'reading')}"
    if starts:
        detail += f", {len(unplanned)} of them beside no change"
    if unplanned:
        first = unplanned[0]
        detail += f", the first between {soak_text(first.after_s)} and {soak_text(first.until_s)}"
    if processes > len(starts) + 1:  # some of them ran beside each other
        detail += f"; {processes} processes answer in turn, of which one may be replaced by design"
        state = State.INSUFFICIENT if unplanned else state
    watched_s = float(readings["soak_s"][-1] - readings["soak_s"][0])
    if state == State.PASS and (unwatched := _unwatched(run, watched_s)):
        state, detail = State.INSUFFICIENT, f"{detail}; {unwatched}"
    return Verdict(_NAME, float(len(unplanned)), _THRESHOLD, readings.height, None, None, state, detail, query)


def _ran_before(run: Run, start: Start, readings: pl.DataFrame) -> bool:
    """Say whether a process ran long before the last reading of the one that it follows: beside it, unread so far."""
    last_us = int(readings.filter(pl.col("soak_s") <= start.after_s)["at_us"].max())  # type: ignore[arg-type]  # a number
    return ran_beside(start.process, run.info.anchor_utc.timestamp() + last_us / 1e6)


def _unwatched(run: Run, watched_s: float) -> str | None:
    """Say that between the first and the last reading lies too little of the run; None where it is enough."""
    come_s = number(run, _COME_S) or 0.0
    if watched_s > 0 and watched_s >= _LEAST_SHARE * come_s:
        return None
    return f"from the first reading to the last it is {watched_s / 3600:.2f} of {come_s / 3600:.2f} soak-hours"


def _by_requests(run: Run, query: str) -> Verdict:
    """Judge by the count of requests, which a new process begins anew."""
    counted = request_falls(run)
    if counted is None:
        detail = "the gateway tells neither its start nor how many requests it counted"
        return Verdict(_NAME, None, _THRESHOLD, 0, None, None, State.NOT_APPLICABLE, detail, query)
    if counted.falls:
        state, fell = State.INSUFFICIENT, many(counted.falls, "time")
        detail = f"its count of requests fell {fell}, as that of a new process does; it tells no start"
    else:
        state, detail = State.PASS, "its count of requests never fell; it tells no start"
        if unwatched := _unwatched(run, counted.watched_s):
            state, detail = State.INSUFFICIENT, f"{detail}; {unwatched}"
    return Verdict(_NAME, float(counted.falls), _THRESHOLD, counted.scrapes, None, None, state, detail, query)
