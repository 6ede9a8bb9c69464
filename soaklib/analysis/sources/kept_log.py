"""The gateway's request log as a run keeps it: ``request-log.parquet`` in its folder, beside its own database.

The gateway and its database may be gone when somebody asks whether a verdict follows from the data. So what the verdict
rests on is kept: the rows of the log that were written while the run called, with the columns of
:data:`soaklib.analysis.sources.request_log.REQUEST_LOG_SCHEMA`. No row holds a token or a payload.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from soaklib.analysis.sources.request_log import read_batches
from soaklib.errors import SourceError
from soaklib.safety.memory import database_memory
from soaklib.store.quoting import file_pattern, text_sql
from soaklib.store.scratch import scratch_folder, spill_aside
from soaklib.store.views import READER_MEMORY_BYTES
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["REQUEST_LOG_NAME", "keep_request_log", "kept_request_log", "retire_request_log"]

REQUEST_LOG_NAME: Final = "request-log.parquet"

_STILL_S: Final = 0.5
_WAIT_S: Final = 10.0
_MARGIN: Final = "interval 60 seconds"

_OURS: Final = """
    select min(log."at"), max(log."at") from read_parquet($parts) as log
    where log.correlation_id in (select correlation_id from outcomes where correlation_id is not null)"""


def kept_request_log(run: Run) -> Path | None:
    """Give the request log that a run has kept; None where it has none."""
    path = run.folder / REQUEST_LOG_NAME
    return path if path.is_file() else None


def keep_request_log(run: Run, url: str) -> Path:
    """Keep the rows of the gateway's request log that were written while a run called.

    A gateway writes them a moment after its answers, so they are read when the log has stopped to grow. Rows of other
    callers at the same time are kept: they are told apart when the books are compared.

    Parameters
    ----------
    run
        The run, ended.
    url
        The gateway's database; see :func:`~soaklib.analysis.sources.request_log.read_database`.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    SettingsError, SourceError
        The database cannot be read; an earlier file stays.
    """
    path = run.folder / REQUEST_LOG_NAME
    with tempfile.TemporaryDirectory(prefix="log-", dir=scratch_folder()) as name:
        parts = f"{file_pattern(_still(url, Path(name)))}/*.parquet"
        first, last = run.sql(_OURS, {"parts": parts}).row(0)
        limits = {"memory_limit": database_memory(READER_MEMORY_BYTES)}
        with whole_file(path) as part, duckdb.connect(config=dict(limits)) as connection:
            spill_aside(connection)
            connection.execute("set timezone = 'UTC'").fetchall()
            during = "" if first is None else f'where "at" between $first - {_MARGIN} and $last + {_MARGIN}'
            query = f"""copy (select * from read_parquet($parts) {during} order by "at", correlation_id)
                        to {text_sql(part)} (format parquet, compression zstd)"""  # noqa: S608 - our own names
            values = {"parts": parts} | ({} if first is None else {"first": first, "last": last})
            try:
                connection.execute(query, values).fetchall()
            except duckdb.Error as exc:
                msg = f"the request log cannot be written to {path}: {str(exc).splitlines()[0]}"
                raise SourceError(msg) from exc
    return path


def retire_request_log(folder: Path, segment: int) -> None:
    """Set aside what was kept of the log before a run goes on, as ``request-log-until-segment-<n>.parquet``.

    It is compared with all calls of the run no more, since it holds those of its first segments alone; and it is not
    thrown away, since what it was made of may be gone.

    Parameters
    ----------
    folder
        The run's folder.
    segment
        Number of the segment that is to come.
    """
    path = folder / REQUEST_LOG_NAME
    if path.exists():
        path.rename(path.with_stem(f"{path.stem}-until-segment-{segment}"))


def _still(url: str, folder: Path) -> Path:
    """Read the log until it has as many rows as before, at most for a while; give the folder of its files."""
    rows, ends = -1, time.monotonic() + _WAIT_S
    while True:
        parts = folder / f"{max(rows, 0)}"
        parts.mkdir(exist_ok=True)
        found = 0
        for number, batch in enumerate(read_batches(url)):
            batch.write_parquet(parts / f"{number:06}.parquet")
            found += batch.height
        if found == rows or time.monotonic() > ends:
            return parts
        rows = found
        time.sleep(_STILL_S)
