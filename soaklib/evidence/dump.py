"""The snapshot of the gateway's database, which is never more than it says: good, insufficient, or not applicable."""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.errors import SoaklibError
from soaklib.evidence.dump_postgres import dump_postgres
from soaklib.evidence.dump_sqlite import dump_sqlite
from soaklib.evidence.manifest import DatabaseSnapshot, SnapshotState

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["DUMP_NAME", "holds_secrets", "take_snapshot"]

DUMP_NAME: Final = "database-snapshot.sql.gz"

_SECRET_TABLE: Final = re.compile(r"token|credential|secret|private|password|session|api_?key", re.IGNORECASE)
_SECRET_COLUMN: Final = re.compile(
    r"(private_?key|secret|password|credential|api_?key|(agent_?)?token|encrypted|proof_?payload|authorization)",
    re.IGNORECASE,
)


def holds_secrets(table: str, columns: Collection[str]) -> bool:
    """Say whether a table may hold tokens, keys or credentials, by its name or by a column's.

    It knows the reference gateway's ``tokens`` and ``credentials`` and the real one's ``Token``, ``TokenRegistry`` and
    ``ToolCredential``; a name that is only like them counts too, since a table too few is a smaller loss than a secret.
    """
    return _SECRET_TABLE.search(table) is not None or any(_SECRET_COLUMN.fullmatch(column) for column in columns)


def take_snapshot(url: str, dump: Path, *, include_secrets: bool, prove_restore: bool = False) -> DatabaseSnapshot:
    """Dump a database, and read the dump to its end to count its rows; one of SQLite is restored for that.

    Parameters
    ----------
    url
        ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or ``postgresql://user:password@host:port/name``.
    dump
        The file to put in place, when there is a whole dump.
    include_secrets
        Whether tables that hold secrets go in with their rows.
    prove_restore
        Whether a dump of PostgreSQL is restored into a scratch database of the same server.

    Returns
    -------
    DatabaseSnapshot
        Its state is ``insufficient``, and its detail says why, when anything of it failed. `dump` is then as it was
        before, unless only the count failed.
    """
    is_secret = _never if include_secrets else holds_secrets
    taken_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix=".soaklib-", dir=dump.parent) as name:
        scratch = Path(name)
        part = scratch / dump.name
        doubt = None
        try:
            if url.startswith("sqlite:///"):
                kind = "sqlite"
                tables = dump_sqlite(Path(url.removeprefix("sqlite:///")), part, scratch, holds_secrets=is_secret)
            else:
                kind = "postgresql"
                tables, doubt = dump_postgres(url, part, holds_secrets=is_secret, prove_restore=prove_restore)
        except (SoaklibError, OSError) as exc:
            return DatabaseSnapshot(state=SnapshotState.INSUFFICIENT, detail=f"not taken: {exc}")
        part.replace(dump)
    rows = sum(table.rows for table in tables)
    left = [table.table for table in tables if table.schema_only]
    detail = f"{rows:,} rows of {len(tables)} tables, as schema only: {', '.join(left) or 'none'}; "
    is_restored = kind == "sqlite" or prove_restore
    proved = "restored into a scratch database and counted" if is_restored else "counted in the dump"
    detail += proved if doubt is None else f"not shown to be {'restorable' if is_restored else 'whole'}: {doubt}"
    return DatabaseSnapshot(
        state=SnapshotState.GOOD if doubt is None else SnapshotState.INSUFFICIENT,
        detail=detail, kind=kind, taken_at=taken_at, tables=tables, includes_secrets=include_secrets,
    )  # fmt: skip


def _never(_table: str, _columns: Collection[str]) -> bool:
    return False
