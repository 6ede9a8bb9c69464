"""Opens what a run left and gives its tables as typed frames."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb

from soaklib.analysis.sources.reading import Run
from soaklib.analysis.sources.run_info import RunInfo, read_info
from soaklib.errors import BusyError, RunError, near_miss
from soaklib.records import RunStatus, Verdict
from soaklib.store.bundle import is_unpacked, unpack
from soaklib.store.live import is_published, open_live
from soaklib.store.lock import owned_since
from soaklib.store.names import SUMMARY_NAME
from soaklib.store.reader import open_read_only
from soaklib.store.tables import DATABASE_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from soaklib.analysis.sources.reading import Params

__all__ = ["Glance", "Run", "RunInfo", "find_run", "glance_at", "is_being_written", "open_foreign_run", "open_run"]

FRESH_S: Final = 2.0
"""How old, in wall seconds, what is shown of a live run may get before it is read anew."""

PATIENCE_S: Final = 15.0
"""How long, in wall seconds, a run is waited for whose process has the file to itself."""

_ASK_EVERY_S: Final = 0.1
_RUNS_FOLDER: Final = Path("data") / "runs"
_SAMPLE_FOLDER: Final = Path("data") / "sample"
_NO_RUN_YET: Final = (
    f"there is no run yet in {_RUNS_FOLDER}, here or above: make one with 'soaklib run' (a rehearsal of two minutes), "
    "or look at the one that comes with soaklib: 'sample' in a checkout, and elsewhere what 'soaklib sample' copies"
)


class LiveRun(Run):
    """A run that is still being written; what it shows is never more than :data:`FRESH_S` old.

    The rows it sees are those of one moment, so that the queries of one look agree with each other.
    """

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection, info: RunInfo) -> None:
        super().__init__(folder, connection, info)
        self._goes_on = True
        self._looked_s = time.monotonic()

    def sql(
        self, query: str, params: Params | None = None, *, tables: Mapping[str, object] | None = None
    ) -> pl.DataFrame:
        """Run SQL over the run's tables as they are now; see :meth:`Run.sql`."""
        self.refresh()
        try:
            return super().sql(query, params, tables=tables)
        except RunError as exc:
            if not isinstance(exc.__cause__, duckdb.IOException):
                raise
            self._look_again()  # what was published went away: the run has ended since the last look, or was moved
            return super().sql(query, params, tables=tables)

    def _settled(self) -> None:
        return

    def refresh(self) -> None:
        """See what there is now, if the last look is longer ago than :data:`FRESH_S`."""
        if time.monotonic() - self._looked_s > FRESH_S:
            self._look_again()

    def _look_again(self) -> None:
        self._connection.close()
        self._goes_on = is_being_written(self.folder)
        self._connection, self.info = _connect(self.folder)
        self._looked_s = time.monotonic()

    def _standing(self) -> str:
        if self.info.status == RunStatus.RUNNING and self._goes_on:
            return f"running, seen at {dt.datetime.now(dt.UTC):%H:%M:%S} UTC"
        return super()._standing()


def find_run(path_or_id: Path | str) -> Path:
    """Find a run's folder by its path, its bundle, its id, ``latest`` or ``sample``.

    An id is looked for in data/runs of the working directory and of the directories above it, so that it is found from
    notebooks/ too.

    Raises
    ------
    RunError
        There is none.
    """
    path = Path(path_or_id).expanduser()
    if path.is_dir():
        return path
    if path.name == DATABASE_NAME and path.is_file():
        return path.parent
    if path.is_file() and path.name.endswith(".tar.gz"):
        return unpack(path)
    if len(path.parts) == 1:
        here = Path.cwd()
        for above in (here, *here.parents):
            folder = above / (_SAMPLE_FOLDER if path.name == "sample" else _RUNS_FOLDER / path)
            if folder.is_dir():
                return folder
        if path.name == "latest":
            raise RunError(_NO_RUN_YET)
    near = near_miss(path.name, _ids_near(Path.cwd())) if len(path.parts) == 1 else ""
    msg = (
        f"there is no run {str(path_or_id)!r}{near}; pass its folder, its id (a folder in {_RUNS_FOLDER}), or 'latest'"
    )
    raise RunError(msg)


def _ids_near(here: Path) -> list[str]:
    """Give the ids of the runs that are found from a folder."""
    return [
        "latest",
        "sample",
        *(run.name for above in (here, *here.parents) for run in (above / _RUNS_FOLDER).glob("*")),
    ]


def open_run(path_or_id: Path | str = "latest") -> Run:
    """Open a run to read it.

    A run's database is data: one that holds a view, a macro or anything else but the tables of a run is refused before
    any of it is queried. Queries of a run from a bundle reach no file outside the folder that it was unpacked to, and
    no network. Those of a folder may read other files, so that a run can be joined with one's own; what they read is
    said by the query alone, never by the run.

    Parameters
    ----------
    path_or_id
        Folder of a run, its bundle, id of a run in data/runs, ``latest`` for the newest, ``sample`` for the one in
        data/sample.

    Raises
    ------
    RunError
        There is no such run, or its file cannot be opened, or holds more than the data of a run.
    BusyError
        Its process has had the file to itself for :data:`PATIENCE_S`: it starts, ends or judges the run.
    SchemaError
        It is of another schema version.
    """
    folder = find_run(path_or_id).resolve()
    if is_unpacked(folder):
        return open_foreign_run(folder)
    kind = LiveRun if is_being_written(folder) else Run
    return kind(folder, *_connect(folder))


def open_foreign_run(folder: Path) -> Run:
    """Open a run that somebody else may have made, as :func:`open_run` opens one from a bundle."""
    folder = folder.resolve()
    return Run(folder, *_with_info(open_read_only(folder / DATABASE_NAME, is_foreign=True), folder))


class Glance(NamedTuple):
    """What is told of a run without making ready to ask it more.

    Attributes
    ----------
    info
        Its manifest.
    verdicts
        Those that were written when it ended.
    """

    info: RunInfo
    verdicts: list[Verdict]


def glance_at(folder: Path) -> Glance:
    """Read a run's manifest and verdicts, in less than half of what it takes to open it; errors as :func:`open_run`."""
    folder = folder.resolve()
    connection, info = _connect(folder, is_glance=True)
    try:
        columns = ", ".join(Verdict._fields)
        rows = connection.execute(f"select {columns} from verdicts").fetchall()  # noqa: S608 - our own names
        return Glance(info, [Verdict(*row) for row in rows])
    finally:
        connection.close()


def is_being_written(folder: Path) -> bool:
    """Say whether another live process owns a run and has yet to write its last rows, the verdicts, and its summary."""
    since = owned_since(folder)
    if since is None:
        return False
    try:
        return (folder / SUMMARY_NAME).stat().st_mtime < since
    except FileNotFoundError:
        return True


def _connect(folder: Path, *, is_glance: bool = False) -> tuple[duckdb.DuckDBPyConnection, RunInfo]:
    """Connect to what a live recorder publishes, or to the file itself, once no process is to write it any more.

    A reader that had the file open then would lock the writer out, and the run would end without its verdicts.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        if not folder.is_dir():
            msg = f"the run in {folder} is not there any more: it was moved or removed"
            raise RunError(msg)
        if is_published(folder):
            with suppress(RunError, duckdb.IOException):  # it has ended meanwhile, and its parts have gone
                return _with_info(open_live(folder), folder)
        if not is_being_written(folder):
            with suppress(BusyError):  # one that starts at this moment, or the recorder of a killed one
                return _with_info(open_read_only(folder / DATABASE_NAME, is_glance=is_glance), folder)
        if time.monotonic() > deadline_s:
            msg = f"the run in {folder} is being started, ended or judged by its process: look again in a moment"
            raise BusyError(msg)
        time.sleep(_ASK_EVERY_S)


def _with_info(connection: duckdb.DuckDBPyConnection, folder: Path) -> tuple[duckdb.DuckDBPyConnection, RunInfo]:
    try:
        return connection, read_info(connection)
    except ValueError as exc:  # settings, environment or plan that are no JSON, or a plan that is none
        connection.close()
        msg = f"the run in {folder} has a row that no run has: {' '.join(str(exc).split())}"
        raise RunError(msg) from exc
    except BaseException:
        connection.close()
        raise
