"""Copies of a run that a test changes in rows alone: they are known to be data, as what they were copied from is."""

import shutil

import duckdb

import soaklib
from soaklib.store.foreign import FileState
from soaklib.store.tables import DATABASE_NAME

_CHANGES_ROWS = ("update ", "insert ", "delete ")


def changed_copy(source, folder, *statements):
    """Copy a run's file into a new folder, change it with SQL, and give the folder.

    What is asked of any file before it is read, DuckDB's list of all its functions for the most part, takes as long as
    a criterion does; of a copy in which statements changed nothing but rows it is known.
    """
    path = folder / DATABASE_NAME
    folder.mkdir()
    shutil.copy(source / DATABASE_NAME, path)
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement).fetchall()
    if all(statement.lower().startswith(_CHANGES_ROWS) for statement in statements):
        _remember(path, like=source)
    return folder


def _remember(path, *, like):
    """Let a file be known as far as the one it was copied from is."""
    if (known := FileState.of(like / DATABASE_NAME)) is None or (copied := FileState.of(path)) is None:
        return
    if known.version is None:
        soaklib.open_run(like).close()
    if known.version is not None:
        copied.remember(known.version)
