"""A private folder of this process for what is only there for a while; nobody else of the machine may look into it."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.store.quoting import text_sql

if TYPE_CHECKING:
    import duckdb

__all__ = ["scratch_folder", "spill_aside", "spill_name"]

_SPILL_PREFIX: Final = "spill-"

_folders: dict[int, Path] = {}


def scratch_folder() -> Path:
    """Give the folder, under the system's for temporary files (``TMPDIR``); it goes when the process ends."""
    owner = os.getpid()  # a forked child has one of its own, and leaves its parent's alone
    folder = _folders.get(owner)
    if folder is None or not folder.is_dir():
        folder = _folders[owner] = Path(tempfile.mkdtemp(prefix="soaklib-scratch-"))  # mode 0700
        atexit.register(_remove, folder, owner)
    return folder


def spill_aside(connection: duckdb.DuckDBPyConnection) -> None:
    """Let what does not fit into memory go to a private folder: not beside the database, nor into the one worked in.

    DuckDB makes the folder when it needs it and removes it on closing. Connections of one process to one file share it,
    and it cannot be changed once it is in use.
    """
    if spill_name(connection) is None:
        folder = scratch_folder() / f"{_SPILL_PREFIX}{secrets.token_hex(8)}"
        connection.execute(f"set temp_directory = {text_sql(folder)}").fetchall()


def spill_name(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Give the name of the folder, if this connection, or one that it shares a database with, was told to spill aside.

    As long as one of them is open it names the database that they share, and no other ever has it.
    """
    row = connection.execute("select system.main.current_setting('temp_directory')").fetchone()
    name = "" if row is None else Path(row[0]).name
    return name if name.startswith(_SPILL_PREFIX) else None


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
