"""A run that is opened: its tables as typed frames, by SQL, as files, and a stretch of it.

What is asked of a run here and answered by what stands above it in the house (verdicts, metrics, charts) is loaded when
it is first asked for.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

import duckdb

from soaklib.analysis.sources.card import run_card
from soaklib.analysis.sources.exporting import export
from soaklib.analysis.sources.frames import frame_of
from soaklib.analysis.sources.lending import lent
from soaklib.analysis.sources.stretch import connect_stretch
from soaklib.errors import RunError, SettingsError, needing_extra
from soaklib.plan.settings import Thresholds
from soaklib.records import RunStatus, Verdict
from soaklib.records.moments import soak_s_of, soak_text
from soaklib.store.partials import PARTIALS, make_partials
from soaklib.store.quoting import name_sql
from soaklib.store.tables import DATABASE_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from soaklib.analysis.sources.exporting import ExportFormat
    from soaklib.analysis.sources.run_info import RunInfo
    from soaklib.records.moments import SoakTime
    from soaklib.reports.plots import Plots

__all__ = ["Params", "Run", "Stretch"]

Params: TypeAlias = "Sequence[object] | Mapping[str, object]"
"""Values for ``?`` or ``$name`` in a query."""

_AT: Final = re.compile(r"\bat\b", re.IGNORECASE)
_AT_HINT: Final = "\n`at` is a word of SQL: the column is named at_utc, too"
_LABELS: Final = re.compile(r"\blabels\s*\[\s*'", re.IGNORECASE)
_LABELS_HINT: Final = "\nlabels are by name in the view `readings`; of `samples` take label(labels, 'tool')"


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
        self._answered, self._answers = connection, cast("dict[tuple[str, str], pl.DataFrame]", {})
        self.info = info

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @property
    def whole(self) -> Run:
        """The run itself, of which this may be a stretch."""
        return self

    @property
    def start_s(self) -> float:
        """Soak second from which on this tells: 0, or where the stretch begins."""
        return 0.0

    @property
    def end_s(self) -> float:
        """Soak second up to which this tells: the planned length, or where the stretch ends."""
        return self.info.planned_soak_s

    @property
    def thresholds(self) -> Thresholds:
        """What the run's acceptance criteria require."""
        return Thresholds.model_validate(self.info.settings.get("thresholds", {}))

    def between(self, start: SoakTime, end: SoakTime) -> Stretch:
        """Give a stretch of the run, which every function and every chart takes in place of the run.

        Its tables, frames and SQL hold what was planned, scraped or happened from `start` to before `end`. Its
        ``info`` and stored verdicts are those of the whole run.

        Parameters
        ----------
        start, end
            Moments of the soak: ``"H+11:50"``, or soak seconds.

        Raises
        ------
        SettingsError
            One is no moment, they are the wrong way round, or there is nothing of the run between them.
        """
        start_s, end_s = soak_s_of(start), soak_s_of(end)
        if not 0 <= start_s < end_s:
            msg = f"between({start!r}, {end!r}) is no stretch: pass a start at H+0 or later and an end after it"
            raise SettingsError(msg)
        first_s, last_s = max(start_s, self.start_s), min(end_s, self.end_s)
        if first_s >= last_s:
            if self.end_s < self.whole.end_s or first_s > self._last_event_s():
                of = "the stretch" if self is not self.whole else "the run"
                msg = (
                    f"{soak_text(start_s)} to {soak_text(end_s)} lies outside of {of}, which goes from "
                    f"{soak_text(self.start_s)} to {soak_text(self.end_s)}"
                )
                raise SettingsError(msg)
            last_s = end_s  # the steps after the load: its last calls, its last events
        return Stretch(self.whole, first_s, last_s)

    def sql(
        self, query: str, params: Params | None = None, *, tables: Mapping[str, object] | None = None
    ) -> pl.DataFrame:
        """Run SQL over the run's tables and give a frame.

        Beside the tables of :mod:`soaklib.store.tables` there are the views ``calls`` (``outcomes`` with ``at_utc``,
        ``soak_s``, ``service_us``, ``response_us``, ``succeeded``, ``counted``) and ``readings`` (``samples`` with
        ``at_utc``, ``soak_s`` and labels by name: ``labels['tool']``), the table ``call_partials`` (calls counted in
        cells of soak time: :mod:`soaklib.store.partials`), and the macros ``utc(us)``, ``soak_seconds(us)``,
        ``label(labels, name)``, ``is_success(kind, expected)`` and ``counts_towards_success(...)``.

        Parameters
        ----------
        query
            One SELECT.
        params
            Values for ``?`` or ``$name``.
        tables
            Frames of one's own that the query may name: ``tables={"mine": frame}``.

        Raises
        ------
        RunError
            DuckDB refuses the query; the text has its words.
        SettingsError
            A table has no name that can be used, or is no frame.
        """
        try:
            if PARTIALS in query:
                make_partials(self._connection, whole=self._settled())
            with lent(self._connection, tables or {}):
                return frame_of(self._connection.sql(query, params=params))
        except duckdb.Error as exc:
            msg = f"the query cannot be run: {exc}{_hint(exc, query)}"
            raise RunError(msg) from exc

    def asked(self, query: str, params: Mapping[str, object] | None = None) -> pl.DataFrame:
        """Run SQL as :meth:`sql` does, but once: what it gave is kept for as long as the run shows the same.

        For what several criteria ask of all calls and has few rows.
        """
        self.refresh()
        asked = query, repr(params)
        if self._answered is self._connection and asked in self._answers:
            return self._answers[asked].clone()
        answer = self.sql(query, params)
        if self._answered is not self._connection:  # a run that goes on was looked at anew
            self._answered, self._answers = self._connection, {}
        self._answers[asked] = answer
        return answer.clone()

    def _settled(self) -> Path | None:
        """Give the run's file, if this shows all of it and nobody writes it any more."""
        return self.folder / DATABASE_NAME

    def outcomes(self, columns: Sequence[str] | None = None, where: str | None = None) -> pl.DataFrame:
        """Give planned calls, one a row, in order of their planned time.

        Parameters
        ----------
        columns
            Names of the columns wanted; None for all: ``at`` (UTC, planned; in SQL ``at_utc``, since ``at`` is one of
            its words), ``soak_s``, the columns of ``outcomes``, ``service_us``, ``response_us``, ``succeeded``,
            ``counted``.
        where
            A condition in SQL, for example ``"tool = 'openai' and kind <> 'ok'"``.
        """
        wanted = "* exclude (at_utc)" if columns is None else ", ".join(name_sql(column) for column in columns)
        condition = "" if where is None else f"where {where}"
        return self.sql(f"select {wanted} from all_calls {condition} order by planned_at_us, purpose, slot, step")  # noqa: S608 - our own names

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
        """Give the events, in order of time.

        Columns are ``at`` (UTC), ``soak_s``, ``name``, ``detail``; of one that is about a change ``change`` and
        ``subject``; ``data``, a JSON object with what else there is to know; ``event_key`` of one that was scheduled.
        """
        return self.sql(
            'select utc(at_us) as "at", soak_seconds(at_us) as soak_s, name, detail, change, subject, data, event_key '
            "from events order by at_us, row_number() over ()"
        )

    def health(self) -> pl.DataFrame:
        """Give how the generator itself did: ``at`` (UTC), ``soak_s`` and ``runner_health``, a row a wall second."""
        return self.sql('select utc(at_us) as "at", soak_seconds(at_us) as soak_s, * from runner_health order by at_us')

    def verdicts(self) -> pl.DataFrame:
        """Give the verdicts that were written when the run ended."""
        return self.sql("select * from verdicts")

    def verdict(self, name: str) -> Verdict:
        """Give the verdict of one criterion: as written when the run ended, or judged now where none was.

        Parameters
        ----------
        name
            Name of the criterion, such as ``"no false-allow"``; ``soaklib.criteria(run)`` lists them.

        Raises
        ------
        SettingsError
            There is no such criterion.
        """
        judged = _above("run.verdict", "analysis.verdicts.criteria", "known_verdicts")
        return Verdict(*cast("pl.DataFrame", judged(self, name)).row(0))

    def metric(
        self, name: str, *, every: str | None = None, by: str | Sequence[str] = (), how: str | None = None
    ) -> pl.DataFrame:
        """Give a scraped metric over soak time: the one door to gauges and counters.

        Parameters
        ----------
        name
            The metric: ``gateway_requests_total``, ``health_memory_used_bytes``; a counter is found without ``_total``.
        every
            Length of a window in soak time; ``"all"`` for one over everything; None for each scrape by itself.
        by
            Label to tell apart, or several; without, series are added up.
        how
            ``"value"`` (as it was read: median, least and largest of a window), ``"increase"`` (what a counter
            counted, reset-aware) or ``"rate"`` (increase a soak-second of the window's time that scrapes tell of).
            None: increase for a name that ends in ``_total``, ``_count``, ``_sum`` or ``_bucket``, otherwise value.

        Returns
        -------
        polars.DataFrame
            ``soak_s`` and ``end_s`` (of the window, or of the time since the scrape before), or for values of each
            scrape ``soak_s`` and ``at``; the labels; ``value``; for values of windows ``low``, ``high`` and ``n``
            (readings). Where several processes answer the scrapes in turn there is no rate, and without start times no
            increase: null.

        Raises
        ------
        SettingsError
            No such metric was scraped, or it has no such label, or `how` is none of these; the nearest is named. Or it
            is a gauge, which has no increase and no rate.
        """
        frame = _above("run.metric", "analysis.measures.metrics", "metric")(self, name, every=every, by=by, how=how)
        return cast("pl.DataFrame", frame)

    def _last_event_s(self) -> float:
        """Give the soak second of the last event, which may come after the planned end."""
        [(last_s,)] = self.whole.sql("select coalesce(max(soak_seconds(at_us)), 0.0) from events").rows()
        return float(last_s)

    @property
    def plot(self) -> Plots:
        """Charts of the run by name: ``run.plot.success_rate(every="15m")``; see :mod:`soaklib.reports.plots`."""
        return cast("Plots", _above("run.plot", "reports.plots", "Plots", extra="charts,statistics")(self))

    def export(self, folder: Path | str, format: ExportFormat = "parquet") -> list[Path]:  # noqa: A002 - users' word
        """Write the run's tables to files: outcomes, samples, scrapes, events, health, verdicts, run, segments.

        Parameters
        ----------
        folder
            Where to; made if it is not there. Files of the same names are replaced.
        format
            ``"parquet"`` or ``"csv"``; in CSV labels are JSON objects and times ISO 8601 in UTC.

        Returns
        -------
        list of pathlib.Path
            The files.

        Raises
        ------
        SettingsError
            The format is neither.
        RunError
            A file cannot be written.
        """
        self.refresh()
        return export(self._connection, Path(folder).expanduser(), format)

    def refresh(self) -> None:
        """See what there is now; only a run that goes on has anything new."""

    def __repr__(self) -> str:
        return f"<Run {self.info.run_id} ({self.info.status}) in {self.folder}>"

    def _repr_html_(self) -> str:
        """Show the run as a card in a notebook."""
        return run_card(self, self._standing())

    def _standing(self) -> str:
        if self.info.status == RunStatus.RUNNING:
            return "cut off: it was not ended, and no process writes it any more"
        return self.info.status


class Stretch(Run):
    """A run from one soak second to before another, read as a run is; made by :meth:`Run.between`."""

    def __init__(self, whole: Run, start_s: float, end_s: float) -> None:
        self._whole, self._start_s, self._end_s = whole, start_s, end_s
        self._seen = whole._connection  # noqa: SLF001 - another run
        super().__init__(whole.folder, connect_stretch(self._seen, whole.info, start_s, end_s), whole.info)

    @property
    def whole(self) -> Run:
        """The run of which this is a stretch."""
        return self._whole

    @property
    def start_s(self) -> float:
        """Soak second at which it begins."""
        return self._start_s

    @property
    def end_s(self) -> float:
        """Soak second before which it ends."""
        return self._end_s

    def sql(
        self, query: str, params: Params | None = None, *, tables: Mapping[str, object] | None = None
    ) -> pl.DataFrame:
        """Run SQL over what lies within the stretch; see :meth:`Run.sql`."""
        self.refresh()
        return super().sql(query, params, tables=tables)

    def _settled(self) -> None:
        return

    def refresh(self) -> None:
        """See what the run shows now."""
        self._whole.refresh()
        if self._whole._connection is not self._seen:  # noqa: SLF001 - another run
            self._connection.close()
            self._seen, self.info = self._whole._connection, self._whole.info  # noqa: SLF001 - a stretch is a view of its whole
            self._connection = connect_stretch(self._seen, self.info, self._start_s, self._end_s)

    def __repr__(self) -> str:
        return f"<{soak_text(self._start_s)} to {soak_text(self._end_s)} of {self._whole!r}>"


def _hint(exc: duckdb.Error, query: str) -> str:
    """Say what a query that was refused has to say in place of what it said, where that is known."""
    if isinstance(exc, duckdb.ParserException) and _AT.search(query):
        return _AT_HINT
    return _LABELS_HINT if isinstance(exc, duckdb.ConversionException) and _LABELS.search(query) else ""


def _above(what: str, module: str, name: str, *, extra: str | None = None) -> Any:
    """Give what stands above this room in the house, loaded when a method first asks for it."""
    with needing_extra(what, extra):
        return getattr(import_module(f"soaklib.{module}"), name)
