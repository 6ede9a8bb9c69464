"""Aggregation over windows of soak time, the same for a run (inside DuckDB) and for a frame of its outcomes."""

from __future__ import annotations

import math
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import duckdb
import numpy as np
import polars as pl

from soaklib.analysis.sources.frames import frame_of
from soaklib.analysis.sources.run import Run
from soaklib.analysis.statistics.series import times_us
from soaklib.errors import SettingsError, near_miss
from soaklib.records import SUCCESS_SQL
from soaklib.safety.memory import database_memory
from soaklib.store.partials import PARTIALS, TOLD_APART, has_whole_cells
from soaklib.store.quoting import parquet_sql
from soaklib.store.scratch import scratch_folder, spill_aside
from soaklib.store.views import READER_MEMORY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    class Ask(Protocol):
        """Runs a query over ``calls`` and gives its rows."""

        def __call__(self, query: str, params: Mapping[str, object] | None = None) -> pl.DataFrame:
            """Run it."""


__all__ = [
    "GROUPS", "OF_CALLS", "OF_PARTIALS", "PARTS", "Ask", "Counting", "WholeRun", "aggregate", "asking", "counting",
    "every_for", "groups_of", "part_sql", "seconds_of", "summed", "window_end", "window_ends_sql", "window_sql",
]  # fmt: skip

_UNIT_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_EVERY: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_NEEDED: Final = ("purpose", "kind", "expected", "reason")
WholeRun: Final = "all"
GROUPS: Final = ("tool", "action", "role", "phase", "purpose", "kind", "expected", "reason", "identity", "key_id")
"""Columns of ``calls`` that ``by=`` tells apart."""

PARTS: Final = 16
"""Parts of a window; see :func:`part_sql`."""
_LONG_PART_S: Final = 60.0
_NEVER_US: Final = np.iinfo(np.int64).max
_ROUND: Final = (
    "1s", "2s", "5s", "10s", "15s", "30s", "1m", "2m", "5m", "10m", "15m", "30m", "1h", "2h", "3h", "6h", "12h", "1d",
)  # fmt: skip


def seconds_of(every: str) -> float | None:
    """Give the soak seconds of ``"30s"``, ``"1m"``, ``"1h"`` or ``"1d"``; None for ``"all"``, one window over it all.

    Raises
    ------
    SettingsError
        It is none of these.
    """
    if every == WholeRun:
        return None
    match = _EVERY.fullmatch(str(every))
    length_s = round(float(match[1]) * _UNIT_S[match[2]], 6) if match else 0.0  # 1.1 h are 3960 s, not a hair more
    if not 0 < length_s < math.inf:
        msg = f'every={every!r} is no length of time; pass for example "1m", "15m", "1h" or "all"'
        raise SettingsError(msg)
    return length_s


def every_for(run: Run, *, most: int = 300, least: int = 60, calls: int = 30, at_least_s: float = 0.0) -> str:
    """Give the length of window at which a figure of a run reads well, whether it took three minutes or a week.

    Parameters
    ----------
    run
        The run, or a stretch of it; its planned length counts, which is that of the time axis.
    most
        The shortest round length that makes no more windows than these is taken, or
    least, calls
        a longer one, as long as a window has fewer planned slots than `calls` and at least `least` windows are left.
    at_least_s
        No shorter than these soak seconds, such as what lies between two readings of what is drawn.

    Returns
    -------
    str
        As ``every=`` takes it: ``"30s"`` for half an hour at one slot a soak-second, ``"5m"`` for a day, ``"1h"`` for a
        week.
    """
    lengths_s = {every: float(seconds_of(every) or 0.0) for every in _ROUND}
    span_s, rate = run.end_s - run.start_s, run.info.rps
    shortest_s = max(span_s / most, at_least_s)
    fitting = [every for every, every_s in lengths_s.items() if every_s >= shortest_s] or [_ROUND[-1]]
    wanted = [every for every in fitting if rate * lengths_s[every] >= calls]
    allowed = [every for every in fitting if span_s >= least * lengths_s[every]]
    if not allowed:
        return fitting[0]
    return next((every for every in wanted if every in allowed), allowed[-1])


def window_sql(every: str) -> str:
    """Give SQL for the start, in soak seconds, of the window that a row of ``calls`` belongs to."""
    every_s = seconds_of(every)
    return "0.0::DOUBLE" if every_s is None else f"floor(soak_s / {every_s!r}) * {every_s!r}"


def window_ends_sql(every: str) -> str:
    """Give SQL for start and end, ``soak_s`` and ``end_s``, of the window that a row of ``calls`` belongs to.

    A window ends exactly where the next begins, to the last bit, so that windows of one length can be joined. What is
    one window over everything has no end: null.
    """
    every_s = seconds_of(every)
    end = "null::DOUBLE" if every_s is None else f"(floor(soak_s / {every_s!r}) + 1) * {every_s!r}"
    return f"{window_sql(every)} as soak_s, {end} as end_s"


def window_end(every: str, column: str = "soak_s") -> pl.Expr:
    """Give ``end_s`` of the windows that begin at a column, as :func:`window_ends_sql` does."""
    every_s = seconds_of(every)
    if every_s is None:
        return pl.lit(None, pl.Float64).alias("end_s")
    return (((pl.col(column) / every_s).round() + 1) * every_s).alias("end_s")


def summed(parts: pl.DataFrame, column: str, *by: str) -> pl.DataFrame:
    """Sum a column by others, in their order: the same rows give the same last digit, in whatever order they come.

    Fractions are rounded at each addition, so that a sum in the order of whichever thread is first differs between two
    runs of one report, and with it the fingerprint of the frame behind a figure. A sum of which no part is known is
    null.
    """
    known = pl.when(pl.col(column).count() > 0).then(pl.col(column).sum())
    return parts.sort(*by, column).group_by(*by, maintain_order=True).agg(known)


def groups_of(by: str | Sequence[str]) -> tuple[str, ...]:
    """Give the columns to tell apart, each once; one name may stand alone.

    Raises
    ------
    SettingsError
        One is no column that can be grouped by.
    """
    names = (by,) if isinstance(by, str) else tuple(dict.fromkeys(by))
    for name in names:
        if name not in GROUPS:
            msg = f"cannot group by {name}{near_miss(name, GROUPS)}; pass some of {', '.join(sorted(GROUPS))}"
            raise SettingsError(msg)
    return names


def part_sql(every: str) -> str:
    """Give SQL for the number of the part of its window that a row of ``calls`` belongs to.

    How alike calls are that lie close together is measured between the parts: sixteen of a window, soak-minutes of a
    window over everything.
    """
    every_s = seconds_of(every)
    if every_s is None:
        return f"greatest(floor(soak_s / {_LONG_PART_S!r}), 0)::INTEGER"
    within = f"soak_s - floor(soak_s / {every_s!r}) * {every_s!r}"
    # A call at the very start of a window may lie a hair before it: no window's start is an exact float.
    return f"least(greatest(floor(({within}) / {every_s / PARTS!r}), 0), {PARTS - 1})::INTEGER"


class Counting(NamedTuple):
    """How a query counts calls: the calls themselves, or the partials that a run has of them.

    Attributes
    ----------
    rows, valid
        What it counts: ``calls`` or ``call_partials``, with the same columns for windows, groups and ``at``; those of
        them that touch no window in which the generator was late.
    n
        SQL of how many calls they are.
    is_sent, is_ended
        SQL of whether those of a row were sent; whether they were, and ended.
    first_us, last_us
        SQL of when the first and the last of them were planned.
    """

    rows: str
    valid: str
    n: str
    is_sent: str
    is_ended: str
    first_us: str
    last_us: str

    def where(self, condition: str) -> str:
        """Give SQL of how many of the calls meet a condition."""
        return f"coalesce({self.n} filter ({condition}), 0)::BIGINT"


OF_CALLS: Final = Counting(
    rows="calls", valid="valid_calls", n="count(*)", is_sent="sent_at_us is not null",
    is_ended="sent_at_us is not null and done_at_us is not null", first_us="planned_at_us", last_us="planned_at_us",
)  # fmt: skip
OF_PARTIALS: Final = Counting(
    rows=PARTIALS, valid=f"(from {PARTIALS} where is_valid)", n="sum(n)", is_sent="is_sent",
    is_ended="is_sent and is_ended", first_us="first_us", last_us="last_us",
)  # fmt: skip


def counting(source: Run | pl.DataFrame, every: str, groups: Sequence[str] = ()) -> Counting:
    """Say how to count the calls of a source by windows: by partials where that gives the same counts."""
    is_whole = isinstance(source, Run) and has_whole_cells(seconds_of(every)) and set(groups) <= set(TOLD_APART)
    return OF_PARTIALS if is_whole else OF_CALLS


def aggregate(source: Run | pl.DataFrame, query: str, params: Mapping[str, object] | None = None) -> pl.DataFrame:
    """Run an aggregating query over ``calls`` of a run or of a frame.

    Parameters
    ----------
    source
        A run, or a frame such as ``run.outcomes()`` with at least ``at`` (with a time zone), purpose, kind, expected
        and reason. Without ``soak_s``, soak time is taken to be the seconds since the first ``at``.
    query
        A SELECT over ``calls``.
    params
        Values for ``$name``.

    Raises
    ------
    RunError, SettingsError
        The query fails; the frame lacks columns or has times that are none.
    """
    with asking(source) as ask:
        return ask(query, params)


@contextmanager
def asking(source: Run | pl.DataFrame) -> Iterator[Ask]:
    """Give a function that runs queries over ``calls``, as :func:`aggregate` does, for several on one source."""
    if isinstance(source, Run):
        yield source.sql
        return
    with _frame_connection(source) as connection:

        def ask(query: str, params: Mapping[str, object] | None = None) -> pl.DataFrame:
            try:
                return frame_of(connection.sql(query, params=params))
            except duckdb.BinderException as exc:
                msg = f"the frame does not have what is asked of it: {str(exc).splitlines()[0]}"
                raise SettingsError(msg) from exc

        yield ask


@contextmanager
def _frame_connection(frame: object) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection in which ``calls`` is the frame.

    It goes by way of a temporary Parquet file: reading a polars frame in place would need pyarrow.
    """
    if not isinstance(frame, pl.DataFrame):
        msg = f"a {type(frame).__name__} is neither a run nor a frame; pass soaklib.open_run(...) or its outcomes()"
        raise SettingsError(msg)
    missing = [name for name in ("at", *_NEEDED) if name not in frame.columns]
    if missing:
        msg = f"the frame has no column {', '.join(missing)}; pass run.outcomes() or a part of it with these columns"
        raise SettingsError(msg)
    at_us = times_us(frame, "at", "frame")
    if "soak_s" not in frame.columns:
        frame = frame.with_columns(soak_s=pl.Series((at_us - at_us.min(initial=_NEVER_US)) / 1e6, dtype=pl.Float64))
    elif not frame.schema["soak_s"].is_numeric() or not frame["soak_s"].is_finite().fill_null(value=False).all():
        msg = "column soak_s of the frame holds something that is no finite number; drop those rows or the column"
        raise SettingsError(msg)
    limits = {"memory_limit": database_memory(READER_MEMORY_BYTES)}
    scratch = tempfile.TemporaryDirectory(dir=scratch_folder())
    with scratch as folder, duckdb.connect(config=dict(limits)) as connection:
        path = Path(folder) / "calls.parquet"
        frame.drop("succeeded", "counted", "at_utc", strict=False).write_parquet(path)
        spill_aside(connection)
        connection.execute("set timezone = 'UTC'").fetchall()
        connection.execute(
            'create view calls as select *, "at" as at_utc, '  # noqa: S608 - our own texts
            f"{SUCCESS_SQL['is_success']} as succeeded, {SUCCESS_SQL['counts_towards_success']} as counted "
            f"from {parquet_sql(path)} where purpose <> 'trial'"
        ).fetchall()
        yield connection
