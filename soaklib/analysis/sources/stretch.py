"""A stretch of a run: a connection in which each table holds no more than what happened between two soak seconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import duckdb

from soaklib.errors import RunError
from soaklib.store.faults import first_line
from soaklib.store.reader import add_what_it_lacks, stored_sql, stored_version
from soaklib.store.views import prepare_reader

if TYPE_CHECKING:
    from soaklib.analysis.sources.run_info import RunInfo

__all__ = ["connect_stretch"]

_BY_TIME: Final = {
    "outcomes": "planned_at_us", "samples": "at_us", "scrapes": "at_us", "events": "at_us", "runner_health": "at_us",
}  # fmt: skip
"""Table -> the column by which its rows are within the stretch or not."""

_KEPT_WHOLE: Final = "generator_ticks"
"""A view that needs what came before the stretch: it is made of the whole run, as the tables of windows are."""


def connect_stretch(
    connection: duckdb.DuckDBPyConnection, info: RunInfo, start_s: float, end_s: float
) -> duckdb.DuckDBPyConnection:
    """Give a connection to the same run that sees the rows from `start_s` to before `end_s`, soak seconds.

    What came before the start belongs to a stretch from soak second 0 on, and what came after the end of the load to
    one that reaches there. The tables are shadowed by temporary views, which the views of a reader then see.

    Raises
    ------
    RunError
        The run's file has gone.
    """
    inner = connection.cursor()
    try:
        version = stored_version(inner)
        add_what_it_lacks(inner, version)
        prepare_reader(inner)
        low = "-1e999" if start_s <= 0 else repr(start_s)
        high = "1e999" if end_s >= info.planned_soak_s or math.isinf(end_s) else repr(end_s)
        inner.execute(f"create temp table whole as select * from {_KEPT_WHOLE}").fetchall()  # noqa: S608 - ours
        inner.execute(f"drop view {_KEPT_WHOLE}").fetchall()
        inner.execute(f"alter table whole rename to {_KEPT_WHOLE}").fetchall()
        for table, column in _BY_TIME.items():
            inner.execute(
                f"create or replace temp view {table} as {stored_sql(inner, table, version)} "
                f"where soak_seconds({column}) >= {low}::DOUBLE and soak_seconds({column}) < {high}::DOUBLE"
            ).fetchall()
    except duckdb.Error as exc:
        inner.close()
        msg = f"the stretch cannot be looked at: {first_line(exc)}"
        raise RunError(msg) from exc
    except BaseException:
        inner.close()
        raise
    return inner
