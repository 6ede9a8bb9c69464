"""Is a database that someone handed over a run's, and nothing but that? Asked before any of it is queried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from soaklib.store import TABLES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["foreign_schema"]

_VIEWS: Final = "select view_name from duckdb_views() where not internal"
_COLUMNS: Final = """
    select table_name, list(column_name || ' ' || data_type || if(is_nullable, '', ' NOT NULL') order by column_index)
    from duckdb_columns() where not internal group by table_name"""


def foreign_schema(database: Path) -> list[str]:
    """Compare a DuckDB file's tables with those of a run, names, columns, order and types.

    The file is opened without access to anything outside it: a view in it could read other files.

    Returns
    -------
    list of str
        A sentence for each thing that is not as in a run.
    """
    with duckdb.connect() as ours:
        for table, columns in TABLES.items():
            ours.execute(f"create table {table} ({columns})").fetchall()
        expected = dict(ours.execute(_COLUMNS).fetchall())
    try:
        with duckdb.connect(str(database), read_only=True, config={"enable_external_access": "false"}) as theirs:
            found = dict(theirs.execute(_COLUMNS).fetchall())
            views = {name for (name,) in theirs.execute(_VIEWS).fetchall()}
    except duckdb.Error as exc:
        return [f"it cannot be opened: {str(exc).splitlines()[0]}"]
    problems = [f"it has no table {table!r}" for table in expected if table not in found]
    problems += [f"it has a view {name!r}" for name in sorted(views)]
    for table in sorted(set(found) - views):
        if table not in expected:
            problems.append(f"it has a table {table!r} that no run has")
        elif found[table] != expected[table]:
            differing = [column for column in found[table] if column not in expected[table]]
            differing += [f"no {column}" for column in expected[table] if column not in found[table]]
            problems.append(f"its table {table!r} has {', '.join(differing) or 'its columns in another order'}")
    return problems
