"""The calls of a run counted once, in cells of soak time that every window of whole minutes is made of.

A statistic that counts need not look at every call: ``call_partials`` has a row for each cell and each kind of call in
it, a hundredth of the calls of a large run, and counts and first moments are the same whether they are made of calls or
of partials. Quantiles, sums over milliseconds and conditions on a call's end are not: they ask the calls.

A window of whole minutes and each of its sixteen parts is a whole number of cells, in floating point, too: the cell's
length, and every number of it, is an exact double, and so is each start. Then a quotient is rounded to a whole number
only where it is one.

====================  ==============================================================================================
soak_s                start of the cell
purpose, kind,        as in ``calls``, with ``succeeded`` and ``counted``
expected, reason,
tool, action, role,
phase
is_sent, is_ended     whether they were sent; whether they ended
is_valid              whether they are of ``valid_calls``
n                     how many calls
first_us, last_us     when the first and the last of them were planned, on the run's clock
at, first_s           when the first of them was planned: UTC, soak seconds
====================  ==============================================================================================
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from soaklib.store.foreign import FileState, is_kept_inside
from soaklib.store.quoting import parquet_sql, text_sql
from soaklib.store.scratch import scratch_folder
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CELL_S", "PARTIALS", "TOLD_APART", "has_whole_cells", "make_partials", "sharing_partials"]

PARTIALS: Final = "call_partials"
"""What a query names them: they are made when one does for the first time."""

CELL_S: Final = 3.75
"""A sixteenth of a minute, in soak seconds."""

TOLD_APART: Final = ("purpose", "kind", "expected", "reason", "tool", "action", "role", "phase")
"""Columns of ``calls`` that partials tell apart."""

_WHOLE_S: Final = 60.0
_TOLD: Final = ", ".join(f'"{name}"' for name in TOLD_APART)
_SHARED_FOLDER: Final = "SOAKLIB_SHARED_PARTIALS"
"""The variable that says where processes share partials; what is started meanwhile has it, too."""
_PARTIALS_SQL: Final = f"""
    select soak_s, {_TOLD}, is_sent, is_ended, is_valid, n, first_us, last_us, utc(first_us) as "at", first_s,
           is_success(kind, expected) as succeeded,
           counts_towards_success(purpose, kind, expected, reason) as counted
    from (
        select floor(soak_s / {CELL_S!r}) * {CELL_S!r} as soak_s, {_TOLD}, sent_at_us is not null as is_sent,
               done_at_us is not null as is_ended, is_valid, count(*) as n, min(planned_at_us) as first_us,
               max(planned_at_us) as last_us, min(soak_s) as first_s
        from judged_calls group by all
    )"""  # noqa: S608 - our own names and numbers


def has_whole_cells(every_s: float | None) -> bool:
    """Say whether windows of so many soak seconds, or one over everything, and their parts are made of whole cells."""
    return every_s is None or every_s % _WHOLE_S == 0


def make_partials(connection: duckdb.DuckDBPyConnection, *, whole: Path | None = None) -> None:
    """Make the table ``call_partials`` of a reader's calls, unless it is there: one look at all of them.

    Parameters
    ----------
    connection
        The reader's.
    whole
        The run's file, if the reader sees all of it and nobody writes it any more: such readers share their partials
        where :func:`sharing_partials` lets them.
    """
    try:  # to ask for the table itself takes a tenth of a look through the catalogue
        connection.execute(f"from temp.{PARTIALS} limit 0").fetchall()
    except duckdb.CatalogException:
        made = _PARTIALS_SQL if whole is None else _shared_sql(connection, whole)
        connection.execute(f"create temp table {PARTIALS} as {made}").fetchall()


@contextmanager
def sharing_partials() -> Iterator[None]:
    """Let this process and those that it starts count the calls of a run once between them, for so long."""
    before = os.environ.get(_SHARED_FOLDER)
    with tempfile.TemporaryDirectory(prefix="partials-", dir=scratch_folder()) as folder:
        os.environ[_SHARED_FOLDER] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[_SHARED_FOLDER]
            else:
                os.environ[_SHARED_FOLDER] = before


def _shared_sql(connection: duckdb.DuckDBPyConnection, database: Path) -> str:
    """Give SQL for the partials of a file as it stands: those that are shared, or else for making them."""
    folder = os.environ.get(_SHARED_FOLDER)
    state = None if folder is None or is_kept_inside(connection) else FileState.of(database)
    if folder is None or state is None:
        return _PARTIALS_SQL
    place = Path(folder, "-".join(map(str, state)) + ".parquet")
    try:
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # who comes while they are made waits for them
            if not place.exists():
                with whole_file(place) as part:
                    connection.execute(f"copy ({_PARTIALS_SQL}) to {text_sql(part)} (format parquet)").fetchall()
    except (OSError, duckdb.IOException):  # the folder is full, or went with whoever shared: each counts for itself
        return _PARTIALS_SQL
    return f"from {parquet_sql(place)}"
