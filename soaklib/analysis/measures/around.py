"""What happened around a moment of a run: events, outcomes, slowest calls and metrics of a stretch, side by side."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.rates import outcome_counts
from soaklib.analysis.measures.windows import seconds_of
from soaklib.errors import SettingsError, near_miss
from soaklib.records.moments import soak_s_of, soak_text

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run
    from soaklib.records.moments import SoakTime

__all__ = ["Around", "around"]

_SLOWEST: Final = 10
_CALL: Final = (
    '"at", soak_s, purpose, slot, step, role, tool, action, kind, status, reason, attempts, service_us, response_us, '
    "correlation_id"
)
_METRICS: Final = """
    with counted as (
        select metric, labels, at_us, soak_s, "value",
               lag("value") over (partition by metric, labels order by at_us) as before
        from readings
    )
    select metric, labels, arg_min("value", at_us) as first, arg_max("value", at_us) as last, min("value") as low,
           max("value") as high, count(*)::BIGINT as n
    from counted where soak_s >= $start and soak_s < $end
    group by all having low < high or first <> coalesce(arg_min(before, at_us), first)
    order by metric, labels"""


@dataclass(frozen=True)
class Around:
    """What a run shows around a moment; in a notebook it shows itself.

    Attributes
    ----------
    stretch
        The run from before the moment to after it; every function and chart takes it.
    when_s
        The moment, soak seconds.
    events
        As ``run.events()`` gives them.
    outcomes
        Planned calls by ``tool``, ``purpose``, ``kind``: ``before`` and ``after`` the moment.
    slowest
        The calls with the longest response time, with their ids: longest first.
    metrics
        Series that changed: ``metric``, ``labels``, ``first``, ``last``, ``low``, ``high``, ``n`` (readings).
    """

    stretch: Run
    when_s: float
    events: pl.DataFrame
    outcomes: pl.DataFrame
    slowest: pl.DataFrame
    metrics: pl.DataFrame

    def __repr__(self) -> str:
        return (
            f"<{soak_text(self.when_s)} of run {self.stretch.info.run_id}: {self.events.height} events, "
            f"{self.outcomes.select(pl.sum_horizontal('before', 'after')).sum().item()} calls, "
            f"{self.metrics.height} series that changed>"
        )

    def _repr_html_(self) -> str:
        """Show all four in a notebook."""
        span = f"{soak_text(self.stretch.start_s)} to {soak_text(self.stretch.end_s)}"
        title = f"<b>{span} of run {html.escape(self.stretch.info.run_id)}</b>"
        parts = {"events": self.events, "outcomes": self.outcomes, "slowest": self.slowest, "metrics": self.metrics}
        return title + "".join(f"<p>{name}</p>{frame._repr_html_()}" for name, frame in parts.items())


def around(run: Run, when: SoakTime, *, before: str = "10m", after: str = "10m") -> Around:
    """Give what a run shows around a moment.

    Parameters
    ----------
    run
        The run.
    when
        ``"H+12"``, soak seconds, or the name of an event, whose first time is meant: ``"CHAOS_MODE_ON"``.
    before, after
        How far to look, soak time.

    Raises
    ------
    SettingsError
        It is no moment and no event of the run, or a length is none.
    """
    when_s = _moment_s(run, when)
    reach_before, reach_after = seconds_of(before), seconds_of(after)
    if reach_before is None or reach_after is None:
        msg = f'before={before!r}, after={after!r} must be lengths of time; pass for example "10m"'
        raise SettingsError(msg)
    stretch = run.between(max(0.0, when_s - reach_before), max(0.0, when_s) + reach_after)
    in_all = outcome_counts(stretch, "all", by="tool").drop("soak_s", "end_s")
    key = ["tool", "purpose", "kind"]
    if when_s <= stretch.start_s:
        later = in_all
    elif when_s >= stretch.end_s:
        later = in_all.clear()
    else:
        later = outcome_counts(stretch.between(when_s, stretch.end_s), "all", by="tool").drop("soak_s", "end_s")
    outcomes = (
        in_all.rename({"n": "all"})
        .join(later.rename({"n": "after"}), on=key, how="left", maintain_order="left")
        .with_columns(pl.col("after").fill_null(0))
        .select(*key, before=pl.col("all") - pl.col("after"), after="after")
    )
    slowest = stretch.sql(
        f"select {_CALL} from calls where response_us is not null "  # noqa: S608 - our own names
        f"order by response_us desc, planned_at_us, slot, step limit {_SLOWEST}"
    )
    metrics = run.whole.sql(_METRICS, {"start": stretch.start_s, "end": stretch.end_s})
    return Around(stretch, when_s, stretch.events(), outcomes, slowest, metrics)


def _moment_s(run: Run, when: SoakTime) -> float:
    """Give the soak second of a moment, or of an event's first time."""
    if not isinstance(when, str) or when.upper().startswith("H+"):
        return soak_s_of(when)
    events = run.whole.events()
    found = events.filter(name=when)
    if found.is_empty():
        names = events["name"].unique().sort().to_list()
        msg = f'{when!r} is neither a moment such as "H+12" nor an event of the run{near_miss(when, names)}'
        raise SettingsError(msg)
    return float(found["soak_s"][0])
