"""Somebody's own frames beside a run's tables, for as long as a query takes."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.errors import SettingsError
from soaklib.store.quoting import name_sql, parquet_sql
from soaklib.store.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

__all__ = ["lent"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@contextmanager
def lent(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, object]) -> Iterator[None]:
    """Let queries of a connection see frames by name.

    They go by way of temporary Parquet files: reading a frame in place would need pyarrow.

    Raises
    ------
    SettingsError
        A name is none, or is that of one of the run's own tables, or it names no frame.
    """
    if not tables:
        yield
        return
    own = {
        name
        for (name,) in connection.execute(
            "select table_name from duckdb_tables() union select view_name from duckdb_views()"
        ).fetchall()
    }
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        views: list[str] = []
        try:
            for number, (name, frame) in enumerate(tables.items()):
                if not _NAME.fullmatch(name) or name in own:
                    why = "is one of the run's own" if name in own else "is no name"
                    msg = f"tables={{{name!r}: ...}}: {name!r} {why}; pass another"
                    raise SettingsError(msg)
                path = Path(folder) / f"{number}.parquet"
                _as_frame(name, frame).write_parquet(path)
                connection.execute(
                    f"create temp view {name_sql(name)} as select * from {parquet_sql(path)}"  # noqa: S608 - quoted
                ).fetchall()
                views.append(name)
            yield
        finally:
            for name in views:
                connection.execute(f"drop view {name_sql(name)}").fetchall()


def _as_frame(name: str, frame: object) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame
    try:
        return pl.DataFrame(frame)  # type: ignore[arg-type]  # whatever polars can read: pandas, Arrow, columns by name
    except (TypeError, ValueError, pl.exceptions.PolarsError) as exc:
        msg = f"tables={{{name!r}: ...}}: a {type(frame).__name__} is no frame: {exc}"
        raise SettingsError(msg) from exc
