"""The Parquet seal: every table of a run as one Parquet file, for readers that know nothing of DuckDB or of us."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import duckdb

from soaklib.errors import RecordingError, RunError
from soaklib.store.quoting import parquet_sql, text_sql
from soaklib.store.reader import open_read_only
from soaklib.store.tables import DATABASE_NAME, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SEAL_FOLDER", "broken_seals", "write_seal"]

SEAL_FOLDER: Final = "parquet"

# Rows as a multiset: how many, and the sum of their hashes, which does not depend on their order and fits in memory.
_CONTENT: Final = "select count(*), sum(hash(r)::HUGEINT) from {source} as r"


def write_seal(folder: Path) -> None:
    """Write ``parquet/<table>.parquet`` (zstd) for every table of the run in a folder; the same rows, the same bytes.

    Raises
    ------
    RecordingError
        They cannot be written.
    """
    part, sealed = folder / f".{SEAL_FOLDER}.part", folder / SEAL_FOLDER
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        with open_read_only(folder / DATABASE_NAME) as connection:
            connection.execute("set threads = 1").fetchall()  # one thread writes row groups in their order
            for table in TABLES:
                connection.execute(
                    f"copy {table} to {text_sql(part / f'{table}.parquet')} (format parquet, compression zstd)"
                ).fetchall()
        shutil.rmtree(sealed, ignore_errors=True)
        part.rename(sealed)
    except (duckdb.Error, OSError) as exc:
        shutil.rmtree(part, ignore_errors=True)
        msg = f"the Parquet seal in {sealed} cannot be written: {str(exc).splitlines()[0]}"
        raise RecordingError(msg) from exc


def broken_seals(folder: Path) -> Iterator[str]:
    """Compare a run's tables with its Parquet files; give a sentence for each that does not hold the same rows.

    Raises
    ------
    RunError
        The run itself cannot be read.
    """
    with open_read_only(folder / DATABASE_NAME, is_foreign=True) as connection:
        for table in TABLES:
            path = folder / SEAL_FOLDER / f"{table}.parquet"
            if not path.is_file():
                yield f"{SEAL_FOLDER}/{table}.parquet is missing from the seal"
                continue
            try:
                recorded = connection.execute(_CONTENT.format(source=table)).fetchone()
            except duckdb.Error as exc:
                msg = f"table {table} cannot be read: {str(exc).splitlines()[0]}"
                raise RunError(msg) from exc
            try:
                sealed = connection.execute(_CONTENT.format(source=parquet_sql(path))).fetchone()
            except duckdb.Error as exc:
                yield f"{SEAL_FOLDER}/{table}.parquet cannot be read: {str(exc).splitlines()[0]}"
                continue
            if sealed != recorded:
                yield f"{SEAL_FOLDER}/{table}.parquet does not hold the rows of table {table} of {DATABASE_NAME}"
