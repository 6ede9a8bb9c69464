"""From a DuckDB query to a polars frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import duckdb

__all__ = ["frame_of"]


def frame_of(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """Run a query and give its rows, through Arrow's C stream and so without pyarrow."""
    return pl.DataFrame(_Stream(relation))


class _Stream:
    """What polars is shown in place of the relation.

    Polars remembers the class of whatever it has read for as long as the process lives. Were that DuckDB's own class,
    every program that made a frame would end with a page of leak reports on its standard error.
    """

    def __init__(self, relation: duckdb.DuckDBPyRelation) -> None:
        self._relation = relation

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._relation.__arrow_c_stream__(requested_schema)
