"""A run that is going on, copied as it is at one moment, so that its evidence can be made like that of any other."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import duckdb

from soaklib.errors import RunError
from soaklib.evidence.manifest import run_files
from soaklib.store.live import open_live
from soaklib.store.quoting import text_sql
from soaklib.store.tables import DATABASE_NAME, TABLES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["copy_live_run"]


def copy_live_run(folder: Path, into: Path) -> None:
    """Copy what the recorder publishes and the files beside it into an empty folder, past the recorder's lock.

    Raises
    ------
    RunError
        The recorder does not answer, or has ended meanwhile.
    """
    try:
        with closing(open_live(folder)) as connection:
            connection.execute(f"attach {text_sql(into / DATABASE_NAME)} as copied").fetchall()
            for table, columns in TABLES.items():
                connection.execute(f"create table copied.{table} ({columns})").fetchall()
                connection.execute(f"insert into copied.{table} select * from {table}").fetchall()  # noqa: S608 - our names
            connection.execute("detach copied").fetchall()
    except duckdb.IOException as exc:
        msg = f"the run in {folder} cannot be copied as it goes on: {exc}"
        raise RunError(msg) from exc
    for name in run_files(folder):
        if not name.startswith(DATABASE_NAME):
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, into / name)
