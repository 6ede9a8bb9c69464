"""Do the books balance? What the client saw, what the gateway counted and what its database holds, compared.

Every answer of the gateway to a call of the run should be counted once in certain counters and have one row in the
request log (:mod:`soaklib.analysis.books.pairs` says which). :func:`reconcile` compares them window by window, a
window being the time between two readings of the counters, and says of each difference why it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.books.lines import counter_lines, log_lines, unseen_lines
from soaklib.analysis.books.logmatch import log_rows
from soaklib.analysis.books.pairs import FINDINGS, Cause, Pair
from soaklib.analysis.books.readings import is_in_turn, readings
from soaklib.analysis.books.spare import spare_calls
from soaklib.analysis.books.tallies import answers_in_windows, counter_names, counters_at_readings
from soaklib.analysis.measures.lineage import IN_TURN
from soaklib.analysis.sources.kept_log import kept_request_log
from soaklib.analysis.sources.samples import AT
from soaklib.plan.model import TargetTable
from soaklib.records import State, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from soaklib.analysis.books.lines import Line
    from soaklib.analysis.books.readings import Reading
    from soaklib.analysis.sources.run import Run

__all__ = ["RECONCILIATION_SCHEMA", "books_balanced", "reconcile"]

RECONCILIATION_SCHEMA: Final = pl.Schema(
    {
        "start_s": pl.Float64(), "end_s": pl.Float64(), "at": AT, "pair": pl.String(), "outcome": pl.String(),
        "tool": pl.String(), "action": pl.String(), "reason": pl.String(), "client_rows": pl.Int64(),
        "counter_increase": pl.Float64(), "factor": pl.Int64(), "database_rows": pl.Int64(),
        "residual": pl.Float64(), "explained": pl.Float64(), "discrepancy": pl.Float64(), "cause": pl.String(),
        "detail": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`reconcile`."""


def reconcile(run: Run, *, database: str | Path | pl.DataFrame | None = None) -> pl.DataFrame:
    """Compare what the client saw with the gateway's counters and, if given, with its request log.

    A window lies between two readings of /metrics (a restart of the gateway, at which all counters are 0, is a reading
    too); answers are in the window in which they came. Windows and outcomes in which nothing happened have no row.

    Parameters
    ----------
    run
        The run, finished or not; of a stretch, the windows that reach into it.
    database
        The gateway's request log: its URL, what :func:`soaklib.read_database` gave, or a Parquet file of that. Rows
        reach it a moment after their answers, so read it when the load is over. None for the one that the run has kept
        (:mod:`soaklib.analysis.sources.kept_log`), if any.

    Returns
    -------
    polars.DataFrame
        By window, pair and outcome:

        ==================== ======================================================================================
        start_s, end_s       the window, soak seconds
        at                   its end, UTC
        pair                 which sources are compared (soaklib.analysis.books.pairs.Pair)
        outcome              the book (soaklib.analysis.books.pairs.BOOKS) or kind of answer
        tool, action, reason null where the counter does not tell them apart
        client_rows          answers that the client saw
        counter_increase     what the counter counted, as exposed; null for the other pair and where it is not known
        factor               how often the counter counts each answer, found in the data: 2 if everything is counted
                             twice
        database_rows        rows of the request log; null for the other pair
        residual             counter_increase / factor, or database_rows, less client_rows, in calls; null where the
                             counter is not known
        explained            the part of it that has a harmless cause
        discrepancy          the rest: under 0 what is lost, over 0 what is too many
        cause                why, of the discrepancy if there is one: see soaklib.analysis.books.pairs.Cause
        detail               one sentence, or null
        ==================== ======================================================================================

        What each comparison can and cannot prove: :func:`soaklib.reconciliation_proofs`.

    Raises
    ------
    RunError, SettingsError, SourceError
        The run, the frame or the database cannot be read.
    """
    if run is not run.whole:  # counters are known at scrapes, which reach over the edges of a stretch
        books = reconcile(run.whole, database=database)
        return books.filter(pl.col("end_s") > run.start_s, pl.col("start_s") < run.end_s)
    names = counter_names(run)
    at = readings(run, list(names))
    counters = counters_at_readings(run, at, names)
    answers = answers_in_windows(run, at)
    spare = spare_calls(answers)
    lines = [*counter_lines(at, answers, counters, spare), *unseen_lines(answers)]
    log = kept_request_log(run) if database is None else database
    if log is not None:
        lines += log_lines(log_rows(run, at, log, spare))
    return _with_times(run, at, lines)


def books_balanced(run: Run, database: str | Path | pl.DataFrame | None = None) -> Verdict:
    """Judge whether the client's answers, the gateway's counters and, if there is one, its request log agree.

    Parameters
    ----------
    run, database
        As for :func:`reconcile`.

    Returns
    -------
    soaklib.records.Verdict
        ``measure`` is the sum of all discrepancies, books and pairs added up; ``n`` the answers that were compared;
        insufficient where there are no two readings of the counters to compare, as where several processes answer
        /metrics in turn, or where the counters agree and the
        run knows of a database of the gateway whose request log could not be read.
    """
    extra = "" if database is None else ", database=..."
    name, threshold = "books balanced", "0 calls lost, counted twice, or unexplained"
    query = f"soaklib.reconcile(run{extra})  # its selects: answers in outcomes, counters in samples and scrapes"
    frame = reconcile(run, database=database)
    by_counter = frame.filter(pl.col("counter_increase").is_not_null())
    if not by_counter.height:
        if not counter_names(run) and run.info.plan.target.kind != TargetTable().kind:
            detail = "the gateway has none of the counters that are compared"
            return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
        detail = "no two scrapes of /metrics with counters that could be compared"
        if is_in_turn(run, list(counter_names(run))):
            detail = IN_TURN
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, detail, query)
    found = frame.filter(pl.col("cause").is_in([str(cause) for cause in FINDINGS]))
    measure = float(found["discrepancy"].abs().sum())
    windows = by_counter["end_s"].n_unique()
    detail = f"{_sums(found)}in {windows:,} windows{_regular(by_counter)}{_unkept(frame)}"
    state = State.FAIL if found.height else State.PASS
    if frame.filter(pl.col("pair") == Pair.DATABASE).height:
        detail += _log_agrees(found)
    elif database is None:
        detail += "; without the gateway's request log"
        if run.info.settings.get("database_url") is not None:
            detail += ", since the gateway's database could not be read when the run ended"
            state = State.INSUFFICIENT if state is State.PASS else state
    return Verdict(name, measure, threshold, _answers(by_counter), None, None, state, detail, query)


def _log_agrees(found: pl.DataFrame) -> str:
    """Say that the request log agrees; where it does not, the findings have said it."""
    if not found.height:
        return "; the gateway's request log agrees too"
    return "" if (found["pair"] == Pair.DATABASE).any() else "; the gateway's request log agrees with the answers"


def _unkept(frame: pl.DataFrame) -> str:
    """Say which outcomes no counter counts."""
    unkept = (
        frame.filter(pl.col("cause") == Cause.NOT_COUNTED, pl.col("pair") == Pair.COUNTER)["outcome"].unique().sort()
    )
    return f"; no counter for {', '.join(unkept)}" if len(unkept) else ""


def _answers(by_counter: pl.DataFrame) -> int:
    """Give how many answers were compared: several books count the same, so it is those of the largest."""
    return int(by_counter.group_by("outcome").agg(pl.col("client_rows").sum())["client_rows"].max() or 0)  # type: ignore[arg-type]  # integers


def _sums(found: pl.DataFrame) -> str:
    if not found.height:
        return "every difference is explained "
    sums = found.group_by("pair", "outcome", "cause").agg(pl.col("discrepancy").abs().sum()).sort(pl.all())
    words = [f"{number:g} {outcome} {cause} ({pair})" for pair, outcome, cause, number in sums.iter_rows()]
    return f"{', '.join(words)} "


def _regular(frame: pl.DataFrame) -> str:
    """Say which outcomes are counted several times as a rule."""
    factors = frame.filter(pl.col("factor") > 1).group_by("outcome").agg(pl.col("factor").max()).sort("outcome")
    return "".join(f"; every {outcome} is counted {factor} times" for outcome, factor in factors.iter_rows())


def _with_times(run: Run, at: Sequence[Reading], lines: Iterable[Line]) -> pl.DataFrame:
    """Put the window's bounds in place of its number, and the rows in order."""
    query = """
        with edges as (
            select -1 as number, coalesce(min(started_at_us), 0) as us from segments
            union all select unnest(range(len($end_us::BIGINT[]))), unnest($end_us::BIGINT[])
            union all select len($end_us::BIGINT[]), greatest(max(done_at_us), list_last($end_us::BIGINT[]), 0)
            from outcomes
        )
        select number as win, soak_seconds(lag(us) over (order by number)) as start_s, soak_seconds(us) as end_s,
               utc(us) as "at" from edges order by number"""
    times = run.sql(query, {"end_us": [reading.end_us for reading in at]}).filter(pl.col("win") >= 0)
    schema = {
        "win": pl.Int64(),
        **{name: kind for name, kind in RECONCILIATION_SCHEMA.items() if name not in times.columns},
    }
    frame = pl.DataFrame([tuple(line) for line in lines], schema=schema, orient="row")
    keys = ["win", "pair", "outcome", "tool", "action", "reason"]
    return (
        frame.join(times, on="win", how="left")
        .sort(keys, maintain_order=True)
        .select(RECONCILIATION_SCHEMA.names())
        .cast(RECONCILIATION_SCHEMA)
    )
