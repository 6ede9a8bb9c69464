"""Is a DuckDB file a run's tables and nothing else? Asked of every file before any of it is queried.

Whoever made a file may have put SQL into it that runs when the file is read: a view in place of a table, a macro that
goes before ``round`` or ``=``, a generated column, a default. Such a file is refused. What asks is safe from the same
tricks: it calls nothing but DuckDB's own table functions, by their full names, and compares in Python.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import duckdb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "Columns",
    "FileState",
    "column_names",
    "columns_of",
    "is_kept_inside",
    "log_of",
    "not_data",
    "seal_off",
    "unlike",
]

Columns = list[tuple[Any, ...]]
"""What a database says of its columns: table, name, type, whether it may be NULL, default, whether it is generated."""

_OBJECTS: Final = " union all ".join(
    f"select '{sort}', database_name, schema_name, {name} from system.main.duckdb_{which}()"  # noqa: S608 - our own names
    for sort, which, name in (
        ("a view", "views", "view_name"),
        ("a macro", "functions", "function_name"),
        ("a sequence", "sequences", "sequence_name"),
        ("a type", "types", "type_name"),
        ("an index", "indexes", "index_name"),
        ("a trigger", "triggers", "trigger_name"),
        ("a schema", "schemas", "schema_name"),
    )
)
"""A query for all there is of what a run's file has none of of its own: what it is, the database, the schema, the name.

Whether one is ``internal`` is not asked: a file could say so of anything.
"""

_DUCKDBS_OWN: Final = frozenset({"system", "temp"})
_TABLES: Final = "select schema_name, table_name, sql from system.main.duckdb_tables()"
_COLUMNS: Final = """
    select table_name, column_name, data_type, is_nullable, column_default, is_generated
    from system.main.duckdb_columns()"""


def seal_off(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a connection load no further extension, from the disk or from the network."""
    connection.execute("set autoinstall_known_extensions = false").fetchall()
    connection.execute("set autoload_known_extensions = false").fetchall()


def is_kept_inside(connection: duckdb.DuckDBPyConnection) -> bool:
    """Say whether its queries reach no file outside the folders that it was allowed, as those of a foreign run."""
    return connection.execute("select current_setting('enable_external_access')").fetchone() == (False,)


class FileState(NamedTuple):
    """What tells the content of a file from any other that this process has looked at."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Look at a database's file; None where it is not all there is: a write-ahead log belongs to it."""
        if log_of(path).exists():
            return None
        try:
            seen = path.stat()
        except FileNotFoundError:
            return None
        return cls(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)

    def remember(self, version: int | None = None) -> None:
        """Take note that this is data and nothing else, and the tables of which version of the schema, if known."""
        _DATA[self] = version
        if len(_DATA) > _REMEMBERED:
            del _DATA[next(iter(_DATA))]

    @property
    def is_data(self) -> bool:
        """Whether it is known to be."""
        return self in _DATA

    @property
    def version(self) -> int | None:
        """Which version's tables it is known to hold, and none but those."""
        return _DATA.get(self)


_DATA: Final[dict[FileState, int | None]] = {}
_REMEMBERED: Final = 256


def log_of(path: Path) -> Path:
    """Give where DuckDB keeps the write-ahead log of a file."""
    return path.with_name(f"{path.name}.wal")


def columns_of(connection: duckdb.DuckDBPyConnection) -> Columns:
    """Ask a database for its columns, in their order."""
    return connection.execute(_COLUMNS).fetchall()


def not_data(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Give a sentence for each thing in a database that is no plain table: for what could run when it is read."""
    surplus = _objects(connection) - _in_every_database()
    if surplus:
        return [
            f"it has {sort} {name!r}" for sort, _, name in sorted(surplus)
        ]  # columns of a view are those of what it reads
    return [
        f"its column {table}.{name} is {'generated' if is_generated else f'by default {default}'}"
        for table, name, _, _, default, is_generated in columns_of(connection)
        if is_generated or default is not None
    ]


def unlike(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, str], described: Columns) -> list[str]:
    """Compare a database that is data alone with the tables that it should have.

    Parameters
    ----------
    connection
        A connection to it.
    tables
        Table name -> its columns, as in CREATE TABLE.
    described
        The columns that it has.

    Returns
    -------
    list of str
        A sentence for each table that is missing, too much, or has other columns, types or constraints.
    """
    expected, columns = _defined(tuple(tables.items()))
    found = {str(name): str(sql) for _, name, sql in connection.execute(_TABLES).fetchall()}
    problems = [f"it has no table {name!r}" for name in expected if name not in found]
    has = _columns(described)
    for name in sorted(found):
        if name not in expected:
            problems.append(f"it has a table {name!r} that no run has")
        elif found[name] != expected[name]:
            differing = [column for column in has[name] if column not in columns[name]]
            differing += [f"no {column}" for column in columns[name] if column not in has[name]]
            if not differing:
                differing = ["its columns in another order" if has[name] != columns[name] else "other constraints"]
            problems.append(f"its table {name!r} has {', '.join(differing)}")
    return problems


def _objects(connection: duckdb.DuckDBPyConnection) -> Counter[tuple[str, str, str]]:
    """Give the objects in databases other than DuckDB's own: what it is, the schema, the name."""
    rows = connection.execute(_OBJECTS).fetchall()
    found = ((sort, str(schema), str(name)) for sort, database, schema, name in rows if database not in _DUCKDBS_OWN)
    return Counter(found)


@lru_cache(maxsize=1)
def _in_every_database() -> Counter[tuple[str, str, str]]:
    """Give the objects of an empty database, such as the names of DuckDB's types."""
    with duckdb.connect() as connection:
        return _objects(connection)


def column_names(described: Columns) -> dict[str, list[str]]:
    """Give the tables of a database that is data alone, each with the names of its columns in their order."""
    names: dict[str, list[str]] = {}
    for table, name, *_ in described:
        names.setdefault(table, []).append(name)
    return names


@lru_cache(maxsize=4)
def _defined(tables: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Give what DuckDB says of these tables when it has just made them: their definitions, and their columns."""
    with duckdb.connect() as connection:
        for name, columns in tables:
            connection.execute(f"create table {name} ({columns})").fetchall()
        return {str(name): str(sql) for _, name, sql in connection.execute(_TABLES).fetchall()}, _columns(
            columns_of(connection)
        )


def _columns(described: Columns) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {}
    for table, name, data_type, is_nullable, _, _ in described:
        columns.setdefault(table, []).append(f"{name} {data_type}{'' if is_nullable else ' NOT NULL'}")
    return columns
