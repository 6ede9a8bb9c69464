"""A run's tables as files that anything can read."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import duckdb

from soaklib.errors import RunError, SettingsError, near_miss
from soaklib.store.faults import first_line
from soaklib.store.foreign import is_kept_inside
from soaklib.store.quoting import text_sql
from soaklib.store.scratch import scratch_folder
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ExportFormat", "export"]

ExportFormat: TypeAlias = Literal["parquet", "csv"]

_HOW: Final = {
    "parquet": "format parquet, compression zstd",
    "csv": "format csv, header true, timestampformat '%Y-%m-%dT%H:%M:%S.%fZ'",
}

_QUERIES: Final = {
    "outcomes": 'select * exclude ("at") from all_calls',
    "samples": 'select at_utc, soak_s, metric, labels, "value" from readings',
    "scrapes": "select utc(at_us) as at_utc, soak_seconds(at_us) as soak_s, * exclude (at_us) from scrapes",
    "events": """
        select utc(at_us) as at_utc, soak_seconds(at_us) as soak_s, name, detail, change, subject, data, event_key
        from events""",
    "health": "select utc(at_us) as at_utc, soak_seconds(at_us) as soak_s, * exclude (at_us) from runner_health",
    "verdicts": "select * from verdicts",
    "run": "select * from run",
    "segments": """
        select utc(started_at_us) as started_utc, utc(ended_at_us) as ended_utc,
            * exclude (started_at_us, ended_at_us) from segments""",
}
_SAMPLES_CSV: Final = 'select at_utc, soak_s, metric, to_json(labels) as labels, "value" from readings'


def export(connection: duckdb.DuckDBPyConnection, folder: Path, fmt: str) -> list[Path]:
    """Write each table of a run to a file of its own; see :meth:`soaklib.analysis.sources.run.Run.export`."""
    if fmt not in _HOW:
        msg = f"format={fmt!r} is none that a run is written in{near_miss(fmt, _HOW)}; pass 'parquet' or 'csv'"
        raise SettingsError(msg)
    queries = _QUERIES | ({"samples": _SAMPLES_CSV} if fmt == "csv" else {})
    folder.mkdir(parents=True, exist_ok=True)
    # what somebody else handed over may write nowhere but here
    is_sealed = is_kept_inside(connection)
    written = []
    for name, query in queries.items():
        path = folder / f"{name}.{fmt}"
        with whole_file(path) as part:
            target = scratch_folder() / path.name if is_sealed else part
            try:
                connection.execute(f"copy ({query}) to {text_sql(target)} ({_HOW[fmt]})").fetchall()
            except duckdb.Error as exc:
                msg = f"{name} cannot be written to {path}: {first_line(exc)}"
                raise RunError(msg) from exc
            if is_sealed:
                shutil.move(target, part)
        written.append(path)
    return written
