"""Opens what a run left and gives its tables as typed frames."""

from __future__ import annotations

import datetime as dt
import html
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import duckdb

from soaklib.analysis.sources.frames import frame_of
from soaklib.errors import BusyError, RunError
from soaklib.plan.model import Plan
from soaklib.plan.settings import Thresholds
from soaklib.records import RunStatus
from soaklib.store.bundle import is_unpacked, unpack
from soaklib.store.live import is_published, open_live
from soaklib.store.lock import owned_since
from soaklib.store.names import SUMMARY_NAME
from soaklib.store.quoting import name_sql
from soaklib.store.reader import open_read_only
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import read_segments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from soaklib.store.views import Segment

__all__ = ["Run", "RunInfo", "find_run", "is_being_written", "open_foreign_run", "open_run"]

FRESH_S: Final = 2.0
"""How old, in wall seconds, what is shown of a live run may get before it is read anew."""

PATIENCE_S: Final = 15.0
"""How long, in wall seconds, a run is waited for whose process has the file to itself."""

_ASK_EVERY_S: Final = 0.1
_RUN_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. +-]{0,199}")
_CARD_CELL: Final = "text-align:left;vertical-align:top"
_CARD_VALUE: Final = f"{_CARD_CELL};white-space:normal;overflow-wrap:anywhere"
_RUNS_FOLDER: Final = Path("data") / "runs"
_SAMPLE_FOLDER: Final = Path("data") / "sample"


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The manifest of a run.

    Attributes
    ----------
    run_id, soaklib_version, target, embedded, status, seed
        As written when the run started and ended.
    anchor_utc, completed_utc
        UTC; the second is None unless the run ended by itself.
    speed, rps, hours
        Soak seconds a wall second, slots a soak-second, planned soak-hours.
    duration_s
        Wall seconds from start to end; None unless the run ended by itself.
    settings, environment
        The settings in force; host, Python and package versions.
    plan
        The plan.
    segments
        The stretches in which a runner lived.
    """

    run_id: str
    soaklib_version: str
    anchor_utc: dt.datetime
    speed: float
    rps: float
    hours: float
    seed: int
    target: str
    embedded: bool
    settings: Mapping[str, Any]
    plan: Plan
    environment: Mapping[str, Any]
    status: str
    completed_utc: dt.datetime | None
    duration_s: float | None
    segments: tuple[Segment, ...]

    @property
    def planned_soak_s(self) -> float:
        """Planned length in soak seconds."""
        return self.hours * 3600

    @property
    def started_utc(self) -> dt.datetime:
        """UTC time of soak second 0."""
        start_us = self.segments[0].started_at_us if self.segments else 0
        return self.anchor_utc + dt.timedelta(microseconds=start_us)


class Run:
    """A run, opened to be read.

    Attributes
    ----------
    folder
        Where its files are.
    info
        Its manifest.
    """

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection, info: RunInfo) -> None:
        self.folder = folder
        self._connection = connection
        self.info = info

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @property
    def thresholds(self) -> Thresholds:
        """What the run's acceptance criteria require."""
        return Thresholds.model_validate(self.info.settings.get("thresholds", {}))

    def sql(self, query: str, params: Sequence[object] | Mapping[str, object] | None = None) -> pl.DataFrame:
        """Run SQL over the run's tables and give a frame.

        Beside the tables of :mod:`soaklib.store.writer` there are the view ``calls`` and the macros ``utc(us)``,
        ``soak_seconds(us)``, ``is_success(kind, expected)`` and ``counts_towards_success(...)``.

        Parameters
        ----------
        query
            One SELECT.
        params
            Values for ``?`` or ``$name``.

        Raises
        ------
        RunError
            DuckDB refuses the query; the text has its words.
        """
        try:
            return frame_of(self._connection.sql(query, params=params))
        except duckdb.Error as exc:
            msg = f"the query cannot be run: {exc}"
            raise RunError(msg) from exc

    def outcomes(self, columns: Sequence[str] | None = None, where: str | None = None) -> pl.DataFrame:
        """Give planned calls, one a row, in order of their planned time.

        Parameters
        ----------
        columns
            Names of the columns wanted; None for all: ``at`` (UTC, planned), ``soak_s``, the columns of ``outcomes``,
            ``service_us``, ``response_us``, ``succeeded``, ``counted``.
        where
            A condition in SQL, for example ``"tool = 'openai' and kind <> 'ok'"``.
        """
        wanted = "*" if columns is None else ", ".join(name_sql(column) for column in columns)
        condition = "" if where is None else f"where {where}"
        return self.sql(f"select {wanted} from calls {condition} order by planned_at_us, purpose, slot, step")  # noqa: S608

    def samples(self, metric: str | None = None) -> pl.DataFrame:
        """Give scraped samples: ``at`` (UTC), ``metric``, ``labels``, ``value``, in order of time.

        Parameters
        ----------
        metric
            Only this one, named with its suffix; None for all.
        """
        return self.sql(
            'select utc(at_us) as "at", metric, labels, "value" from samples '
            "where $metric is null or metric = $metric order by at_us, row_number() over ()",
            {"metric": metric},
        )

    def events(self) -> pl.DataFrame:
        """Give the events: ``at`` (UTC), ``soak_s``, ``name``, ``detail``, in order of time."""
        return self.sql(
            'select utc(at_us) as "at", soak_seconds(at_us) as soak_s, name, detail from events '
            "order by at_us, row_number() over ()"
        )

    def health(self) -> pl.DataFrame:
        """Give how the generator itself did: ``at`` (UTC), ``soak_s`` and ``runner_health``, a row a wall second."""
        return self.sql('select utc(at_us) as "at", soak_seconds(at_us) as soak_s, * from runner_health order by at_us')

    def verdicts(self) -> pl.DataFrame:
        """Give the verdicts that were written when the run ended."""
        return self.sql("select * from verdicts")

    def __repr__(self) -> str:
        return f"<Run {self.info.run_id} ({self.info.status}) in {self.folder}>"

    def _repr_html_(self) -> str:
        """Show the run as a card in a notebook."""
        counts = self.sql("select kind, count(*) as n from outcomes group by kind order by n desc, kind")
        judged = self.sql("select state, count(*) as n from verdicts group by state order by n desc, state")
        last_s = self.sql("select soak_seconds(max(planned_at_us)) from outcomes").item()
        rows = {
            "status": self._standing(),
            "reached": "no call yet" if last_s is None else f"H+{last_s / 3600:.2f} of H+{self.info.hours:g}",
            "verdicts": ", ".join(f"{n} {state}" for state, n in judged.iter_rows()) or "none yet",
            "outcomes": ", ".join(f"{kind} {n:,}" for kind, n in counts.iter_rows()) or "none yet",
            "target": f"{self.info.target}{' (embedded reference gateway)' if self.info.embedded else ''}",
            "plan": f"{self.info.plan.name}, here {self.info.hours:g} h of soak time, "
            f"{self.info.rps:g} slots a soak-second, speed {self.info.speed:g}",
            "started": f"{self.info.started_utc:%Y-%m-%d %H:%M:%S} UTC",
        }
        body = "".join(
            f"<tr><th style='{_CARD_CELL}'>{name}</th><td style='{_CARD_VALUE}'>{html.escape(value)}</td></tr>"
            for name, value in rows.items()
        )
        caption = f"<caption style='text-align:left'><b>Run {html.escape(self.info.run_id)}</b></caption>"
        return f"<table>{caption}{body}</table>"

    def _standing(self) -> str:
        if self.info.status == RunStatus.RUNNING:
            return "cut off: it was not ended, and no process writes it any more"
        return self.info.status


class LiveRun(Run):
    """A run that is still being written; what it shows is never more than :data:`FRESH_S` old.

    The rows it sees are those of one moment, so that the queries of one look agree with each other.
    """

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection, info: RunInfo) -> None:
        super().__init__(folder, connection, info)
        self._goes_on = True
        self._looked_s = time.monotonic()

    def sql(self, query: str, params: Sequence[object] | Mapping[str, object] | None = None) -> pl.DataFrame:
        """Run SQL over the run's tables as they are now; see :meth:`Run.sql`."""
        if time.monotonic() - self._looked_s > FRESH_S:
            self._look_again()
        try:
            return super().sql(query, params)
        except RunError as exc:
            if not isinstance(exc.__cause__, duckdb.IOException):
                raise
            self._look_again()  # what was published went away: the run has ended since the last look, or was moved
            return super().sql(query, params)

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
    notebooks/ too. Where there is no run yet, ``latest`` is the sample.

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
            return find_run("sample")
    msg = f"there is no run {str(path_or_id)!r}: pass its folder, its id (a folder in {_RUNS_FOLDER}), or 'latest'"
    raise RunError(msg)


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


def is_being_written(folder: Path) -> bool:
    """Say whether another live process owns a run and has yet to write its last rows, the verdicts, and its summary."""
    since = owned_since(folder)
    if since is None:
        return False
    try:
        return (folder / SUMMARY_NAME).stat().st_mtime < since
    except FileNotFoundError:
        return True


def _connect(folder: Path) -> tuple[duckdb.DuckDBPyConnection, RunInfo]:
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
                return _with_info(open_read_only(folder / DATABASE_NAME), folder)
        if time.monotonic() > deadline_s:
            msg = f"the run in {folder} is being started, ended or judged by its process: look again in a moment"
            raise BusyError(msg)
        time.sleep(_ASK_EVERY_S)


def _with_info(connection: duckdb.DuckDBPyConnection, folder: Path) -> tuple[duckdb.DuckDBPyConnection, RunInfo]:
    try:
        return connection, _read_info(connection)
    except ValueError as exc:  # settings, environment or plan that are no JSON, or a plan that is none
        connection.close()
        msg = f"the run in {folder} has a row that no run has: {' '.join(str(exc).split())}"
        raise RunError(msg) from exc
    except BaseException:
        connection.close()
        raise


def _read_info(connection: duckdb.DuckDBPyConnection) -> RunInfo:
    names = [
        "run_id", "soaklib_version", "anchor_utc", "speed", "rps", "hours", "seed", "target", "embedded", "settings",
        "plan", "environment", "status", "completed_utc", "duration_s",
    ]  # fmt: skip
    row = connection.execute(f"select {', '.join(names)} from run").fetchone()  # noqa: S608 - our own names
    if row is None:
        msg = "the run has no manifest row"
        raise RunError(msg)
    values = dict(zip(names, row, strict=True))
    if not _RUN_ID.fullmatch(values["run_id"]):
        msg = f"the run's id {values['run_id']!r} is none: files are named by it"
        raise RunError(msg)
    for name in ("anchor_utc", "completed_utc"):
        if values[name] is not None:
            values[name] = values[name].astimezone(dt.UTC)
    values["settings"] = json.loads(values["settings"])
    values["environment"] = json.loads(values["environment"])
    values["plan"] = Plan.model_validate_json(values["plan"])
    return RunInfo(**values, segments=tuple(read_segments(connection)))
