"""What calls met around an event that happened many times, all its times laid over one another.

Whether the profile around the events is anything but chance is asked of the same run: the same number of placebo times,
each an event moved at random to where nothing happened, gives a profile too, and many such give the band in which the
profile of the events would lie if they meant nothing.

A placebo holds what else happens at the event's minute: it is moved by whole minutes, which probes and scrapes keep to.
What happens less often is no part of either: an event that a snapshot or a change coincides with is left aside, as long
as others are left, and so is a placebo near one. What remains is associated with the event, not shown to be its doing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np
import polars as pl

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from soaklib.analysis.sources.run import Run

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

__all__ = ["CONFIDENCE", "aligned", "each_time"]

_PLACEBOS: Final = 400
CONFIDENCE: Final = 0.95
_SEED: Final = 20_261_124
_FINE: Final = 10  # cells a step: an event is placed to a tenth of a step
_LEAST_PLACES: Final = 2
_MINUTE_S: Final = 60.0  # what comes every minute comes at the same second of it
_OTHERS: Final = """
    select soak_seconds(at_us) as soak_s from events
    where name <> $name and (name = 'METRICS_SNAPSHOT' or event_key like 'change:%') order by 1"""
"""What the plan makes besides, less often than every minute."""


def aligned(
    run: Run,
    event: str = "TOKENS_ROTATED",
    *,
    window_s: float = 240.0,
    step_s: float = 10.0,
    leave_out: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Give what calls of the load met before and after an event, over all its times, with the placebo band.

    Parameters
    ----------
    run
        The run.
    event
        Name of the event.
    window_s
        How far to look before and after it, soak seconds.
    step_s
        Width of a step, soak seconds.
    leave_out
        ``start_s`` and ``end_s`` (soak seconds) of windows whose calls do not count, such as
        :func:`~soaklib.analysis.measures.marks.planned_windows`: what happens in them is not the event's doing.

    Returns
    -------
    polars.DataFrame
        ``offset_s`` (start of the step, relative to the event), ``measure`` (``failures``: percent of the calls that
        count and did not succeed; ``response``: mean response time, ms), ``value``, ``low`` and ``high`` (between them
        lie 95 % of the placebo profiles at that step, not at all steps at once; null where events are too close to one
        another for placebos), ``n`` (calls), ``events`` (times of the event that are looked at).

    Raises
    ------
    SettingsError
        The event never happened, or the window is shorter than a step.
    """
    cells, events, apart, reach = _looked_at(run, event, window_s, step_s, leave_out)
    cell_s = step_s / _FINE
    edges = np.arange(-reach, reach + 1) * _FINE
    minute = max(round(_MINUTE_S / cell_s), 1)
    real = cells.profile(apart.events, edges)
    rooms = _rooms(apart, events, reach * _FINE, cells.size, minute)
    placebos = [cells.profile(moved, edges) for moved in _placebos(rooms)]
    widened = _widened(rooms)
    tails = (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)
    frames = []
    for measure, value, made in (
        ("failures", real.failures, np.array([placebo.failures for placebo in placebos])),
        ("response", real.response_ms, np.array([placebo.response_ms for placebo in placebos])),
    ):
        low, high = band = np.full((2, value.size), np.nan)
        if placebos and (known := ~np.isnan(made).all(axis=0)).any():  # a step without any call has no band
            band[:, known] = np.nanquantile(made[:, known], tails, axis=0)
            middle = np.nanmedian(made[:, known], axis=0)
            band[:, known] = np.maximum(middle + widened * (band[:, known] - middle), 0.0)
        frames.append(
            pl.DataFrame({"offset_s": edges[:-1] * cell_s, "value": value, "low": low, "high": high, "n": real.n})
            .with_columns(pl.col("value", "low", "high").fill_nan(None), measure=pl.lit(measure))
            .with_columns(events=pl.lit(apart.events.size, pl.Int64))
            .select("offset_s", "measure", "value", "low", "high", "n", "events")
        )
    return pl.concat(frames)


def each_time(
    run: Run,
    event: str = "TOKENS_ROTATED",
    *,
    window_s: float = 240.0,
    step_s: float = 10.0,
    leave_out: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Give what calls of the load met in the step after an event, each of its times by itself.

    Parameters
    ----------
    run, event, window_s, step_s, leave_out
        As for :func:`aligned`; the times are those that it looks at.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` (start of the step, to a tenth of a step), ``n`` (calls that count), ``failed``, in order of time.

    Raises
    ------
    SettingsError
        As :func:`aligned`.
    """
    cells, _, apart, _ = _looked_at(run, event, window_s, step_s, leave_out)
    first, last = (np.clip(apart.events + cell, 0, cells.size) for cell in (0, _FINE))
    told = {"n": cells.counted[last] - cells.counted[first], "failed": cells.failed[last] - cells.failed[first]}
    return pl.DataFrame({"soak_s": apart.events * (step_s / _FINE), **told})


class _LookedAt(NamedTuple):
    """Calls by cell, all times of an event and those that are looked at, and how many steps lie on either side."""

    cells: _Cells
    events: Ints
    apart: _Apart
    reach: int


def _looked_at(run: Run, event: str, window_s: float, step_s: float, leave_out: pl.DataFrame | None) -> _LookedAt:
    if not 0 < step_s <= window_s:
        msg = f"window_s={window_s:g} must be at least step_s={step_s:g}, and both positive"
        raise SettingsError(msg)
    at_s = run.sql("select soak_seconds(at_us) as soak_s from events where name = $name order by 1", {"name": event})
    if at_s.is_empty():
        msg = f"the run has no event {event}; run.events() has those that happened"
        raise SettingsError(msg)
    others = run.sql(_OTHERS, {"name": event})
    cell_s = step_s / _FINE
    cells = _Cells.of(run, cell_s, leave_out)
    events = np.floor(at_s["soak_s"].to_numpy() / cell_s).astype(np.int64)  # no call after an event is before it
    reach = round(window_s / step_s)
    apart = _Apart.of(events, np.rint(others["soak_s"].to_numpy() / cell_s).astype(np.int64), reach * _FINE)
    return _LookedAt(cells, events, apart, reach)


class _Profile(NamedTuple):
    """Around an event, step by step: share of failures in percent, mean response time, calls."""

    failures: Floats
    response_ms: Floats
    n: Ints


class _Cells(NamedTuple):
    """Running totals over cells of soak time, each of shape (size + 1,), so that any stretch is one difference."""

    counted: Ints
    failed: Ints
    answered: Ints
    response_ms: Floats

    @property
    def size(self) -> int:
        return int(self.counted.size) - 1

    @classmethod
    def of(cls, run: Run, cell_s: float, leave_out: pl.DataFrame | None) -> Self:
        """Add up a run's load in cells of `cell_s` soak seconds."""
        windows = () if leave_out is None else leave_out.select("start_s", "end_s").iter_rows()
        outside = "".join(f" and not (soak_s >= {start_s!r} and soak_s < {end_s!r})" for start_s, end_s in windows)
        rows = run.sql(
            f"""
            select floor(soak_s / $cell_s)::BIGINT as cell, count(*) filter (counted) as counted,
                   count(*) filter (counted and not succeeded) as failed, count(response_us) as answered,
                   coalesce(sum(response_us), 0)::DOUBLE / 1000 as response_ms
            from valid_calls where purpose = 'load' and soak_s >= 0{outside} group by cell""",  # noqa: S608 - our own names
            {"cell_s": cell_s},
        )
        place = rows["cell"].to_numpy()
        size = int(place.max(initial=-1)) + 1
        totals = []
        for name in ("counted", "failed", "answered", "response_ms"):
            column = rows[name].to_numpy()
            total = np.zeros(size + 1, dtype=column.dtype)
            total[place + 1] = column
            totals.append(np.cumsum(total))
        return cls(*totals)

    def profile(self, events: Ints, edges: Ints) -> _Profile:
        """Add up the steps between `edges` (cells relative to an event) over all events."""
        places = np.clip(events[:, None] + edges, 0, self.size)
        counted, failed, answered, response_ms = (np.diff(total[places], axis=1).sum(axis=0) for total in self)
        with np.errstate(divide="ignore", invalid="ignore"):  # a step without calls is NaN: a gap
            return _Profile(100.0 * failed / counted, response_ms / answered, counted)


class _Apart(NamedTuple):
    """The events that nothing else coincides with, or all if that leaves none; and the cells of what else happens."""

    events: Ints
    others: Ints

    @classmethod
    def of(cls, events: Ints, others: Ints, reach: int) -> Self:
        alone = ~_is_near(events, others, reach)
        return cls(events[alone], others) if alone.any() else cls(events, others[:0])


def _is_near(places: Ints, others: Ints, reach: int) -> npt.NDArray[np.bool_]:
    """Say which places lie less than `reach` from one of the others, which are in order."""
    if not others.size:
        return np.zeros(places.size, dtype=bool)
    following = np.searchsorted(others, places)
    after = np.abs(others[np.minimum(following, others.size - 1)] - places)
    before = np.abs(places - others[np.maximum(following - 1, 0)])
    return np.asarray(np.minimum(before, after) < reach)


def _some(room: Ints, wanted: npt.NDArray[np.bool_]) -> Ints:
    """Keep the wanted places, or all where that leaves fewer than two."""
    return room[wanted] if np.count_nonzero(wanted) >= _LEAST_PLACES else room


def _rooms(apart: _Apart, events: Ints, reach: int, size: int, minute: int) -> list[Ints]:
    """Give where each event could be moved to between its neighbours, with nothing within reach; none if one has none.

    It is moved by whole minutes where its room has several, and away from what else happens where that leaves room.
    """
    bounds = np.concatenate([[-reach], events, [size + reach]])
    rooms = []
    for before, event, after in zip(bounds[:-2], bounds[1:-1], bounds[2:], strict=True):
        if event in apart.events:
            room = np.concatenate(
                [np.arange(before + reach, event - reach + 1), np.arange(event + reach, after - reach + 1)]
            )
            room = room[(room >= reach) & (room <= size - reach)]
            room = _some(room, (room - event) % minute == 0)
            rooms.append(_some(room, ~_is_near(room, apart.others, reach)))
    return rooms if all(room.size for room in rooms) else []


def _placebos(rooms: list[Ints]) -> Iterator[Ints]:
    """Give the events, each moved at random within its room."""
    if rooms:
        rng = np.random.default_rng(_SEED)
        for _ in range(_PLACEBOS):
            yield np.array([room[rng.integers(room.size)] for room in rooms])


def _widened(rooms: list[Ints]) -> float:
    """Give by how much placebos drawn from few places scatter less about their middle than one more event would.

    Of `k` places that share no step a draw has (1 - 1 / k) of the variance, and an event differs from their mean by
    (1 + 1 / k) of it.
    """
    places = [np.minimum(np.diff(room), _FINE).sum() / _FINE + 1 for room in rooms]
    k = max(float(np.mean(places)), _LEAST_PLACES) if places else _LEAST_PLACES
    return float(np.sqrt((k + 1) / (k - 1)))
