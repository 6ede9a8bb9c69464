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

from typing import Final

import duckdb

__all__ = ["CELL_S", "PARTIALS", "TOLD_APART", "has_whole_cells", "make_partials"]

PARTIALS: Final = "call_partials"
"""What a query names them: they are made when one does for the first time."""

CELL_S: Final = 3.75
"""A sixteenth of a minute, in soak seconds."""

TOLD_APART: Final = ("purpose", "kind", "expected", "reason", "tool", "action", "role", "phase")
"""Columns of ``calls`` that partials tell apart."""

_WHOLE_S: Final = 60.0
_TOLD: Final = ", ".join(f'"{name}"' for name in TOLD_APART)
_MAKE: Final = f"""
    create temp table call_partials as
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


def make_partials(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table ``call_partials`` of a reader's calls, unless it is there: one look at all of them."""
    try:  # to ask for the table itself takes a tenth of a look through the catalogue
        connection.execute(f"from temp.{PARTIALS} limit 0").fetchall()
    except duckdb.CatalogException:
        connection.execute(_MAKE).fetchall()
