"""What is watched for drift and compared between runs: each endpoint as a series over windows of soak time.

Each tool has a series of its own. Together they would take a change of the mix for a change of the gateway: a quota
that is cut takes a slow tool's calls out of the ok ones, and the latency of all falls though no tool got faster. A
figure draws the series with the trend of each, as the criteria on drift judge them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from soaklib.analysis.measures.metrics import in_soak_time
from soaklib.analysis.measures.windows import OF_PARTIALS
from soaklib.analysis.statistics.daily import covers_the_day, returns_to_its_start
from soaklib.analysis.statistics.drift import drift
from soaklib.analysis.verdicts.masks import calls_not_judged
from soaklib.analysis.verdicts.reference import kept_days
from soaklib.store.partials import has_whole_cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soaklib.analysis.sources.run import Run, RunInfo
    from soaklib.analysis.statistics.drift import Drift
    from soaklib.plan.settings import Thresholds

__all__ = [
    "ENDPOINTS",
    "FIRST_TOKEN",
    "Endpoint",
    "EndpointTrends",
    "days_beside",
    "endpoint_days",
    "endpoint_query",
    "endpoint_series",
    "endpoint_trends",
    "generator_lag_ms",
    "series_level",
    "window_s",
]

_WINDOWS: Final = 144  # ten minutes each in a run of 24 hours
_LEAST_WINDOW_S: Final = 60.0
_DAY_S: Final = 86_400.0
_ERRORS: Final = "100 * count(*) filter (counted and not succeeded) / nullif(count(*) filter (counted), 0)"
_CHUNK_CALLS: Final = 4_000_000
"""So many calls are looked at in one go for their quantiles, which hold them all in memory; or one window's."""


@dataclass(frozen=True)
class Endpoint:
    """One quantity of the load.

    Attributes
    ----------
    name
        What it is called.
    unit
        Of its values.
    quantile
        Which quantile of the service time of ok calls it is; None for the share of counted calls that failed.
    threshold
        The setting that holds its margin.
    floor
        The setting that holds the change that never matters; None where the margin is no share of the level.
    took
        SQL of how long a call took, microseconds; NULL for one that the quantile is not of.
    """

    name: str
    unit: str
    quantile: float | None
    threshold: str
    floor: str | None = None
    took: str = "service_us"

    def margin(self, thresholds: Thresholds, level: float | None, lag_ms: float = 0.0) -> float:
        """Give the largest change that does not matter: a share of the level, no less than the floor.

        No claim is finer than the generator was punctual: its lag is a floor, too.

        Parameters
        ----------
        thresholds
            Of the run.
        level
            Middle of the series, in its unit; None where there is none.
        lag_ms
            As :func:`generator_lag_ms` gives it.
        """
        most = float(getattr(thresholds, self.threshold))
        if self.floor is None or level is None:
            return most
        least = max(float(getattr(thresholds, self.floor)), lag_ms)
        return min(most, max(thresholds.drift_share / 100 * abs(level), least))

    @property
    def calls(self) -> str:
        """SQL that says whether a call of ``valid_calls`` is one that the value is of."""
        if self.quantile is None:
            return "counted"
        return "kind = 'ok'" if self.took == "service_us" else f"kind = 'ok' and {self.took} is not null"

    @property
    def value(self) -> str:
        """SQL of the value over a window of ``valid_calls``."""
        if self.quantile is None:
            return _ERRORS
        return f"quantile_disc({self.took}, {self.quantile}) filter (kind = 'ok') / 1000"


ENDPOINTS: Final = (
    Endpoint("latency (median)", "ms", 0.5, "drift_median_ms", "drift_median_floor_ms"),
    Endpoint("latency (p99)", "ms", 0.99, "drift_tail_ms", "drift_tail_floor_ms"),
    Endpoint("errors", "percentage points", None, "drift_errors"),
)
"""Every endpoint, in the order in which they are read."""

FIRST_TOKEN: Final = Endpoint(
    "time to first token", "ms", 0.5, "drift_median_ms", "drift_median_floor_ms", "first_token_at_us - sent_at_us"
)
"""Of a load that streams; of any other there is none."""


def window_s(run: Run) -> float:
    """Give the length of a window in soak seconds: at most 144 in the run, a minute at least."""
    return max(run.info.planned_soak_s / _WINDOWS, _LEAST_WINDOW_S)


def endpoint_query(run: Run, endpoint: Endpoint) -> str:
    """Give the SQL of an endpoint's series; see :func:`endpoint_series`."""
    return f"""
        with windows as (
            select tool, {_window_sql(run)} as soak_s, count(*) filter ({endpoint.calls}) as n,
                   ({endpoint.value})::DOUBLE as "value"
            from valid_calls where purpose = 'load' group by 1, 2
        )
        select tool, soak_s, n,
               case when 2 * n >= median(nullif(n, 0)) over (partition by tool) then "value" end as "value"
        from windows order by tool, soak_s"""  # noqa: S608 - our own texts


def _window_sql(run: Run) -> str:
    length = repr(window_s(run))
    return f"floor(soak_s / {length}) * {length}"


def endpoint_series(run: Run, endpoint: Endpoint) -> pl.DataFrame:
    """Give an endpoint's series, one a tool.

    Returns
    -------
    polars.DataFrame
        ``tool``, ``soak_s`` (start of the window), ``n`` (calls that the value is of), ``value`` and ``at`` (soak time,
        see :func:`~soaklib.analysis.measures.metrics.in_soak_time`), by tool and in order of time. ``value`` is null
        where a window has less than half of the calls that the tool's windows have in the middle: the tail of few calls
        lies lower than that of many, which would pass for a change.
    """
    if not has_whole_cells(window_s(run)):
        return in_soak_time(run.asked(endpoint_query(run, endpoint)))
    # the same by way of partials, which is less work, and does not hold the times of all calls in memory
    windows = _shares(run) if endpoint.quantile is None else _quantiles(run, endpoint, endpoint.quantile)
    usual = pl.when(pl.col("n") > 0).then("n").median().over("tool")
    series = windows.sort("tool", "soak_s").with_columns(value=pl.when(2 * pl.col("n") >= usual).then("value"))
    return in_soak_time(series)


def _shares(run: Run) -> pl.DataFrame:
    """Give the share of counted calls that failed, by tool and window."""
    told = OF_PARTIALS
    failed, n = told.where("counted and not succeeded"), told.where("counted")
    return run.sql(
        f"""
        select tool, {_window_sql(run)} as soak_s, {n} as n, (100 * {failed} / nullif({n}, 0))::DOUBLE as "value"
        from {told.valid} where purpose = 'load' group by 1, 2"""  # noqa: S608 - our own texts
    )


def _quantiles(run: Run, endpoint: Endpoint, quantile: float) -> pl.DataFrame:
    """Give a quantile of ok calls by tool and window; all that are watched of the same times are asked for at once."""
    alike = [other for other in (*ENDPOINTS, FIRST_TOKEN) if other.took == endpoint.took]
    watched = [other.quantile for other in alike if other.quantile is not None]
    windows = run.sql(
        f"""
        select sum(n)::BIGINT as n, min(first_us) as first_us, max(last_us) as last_us
        from call_partials where purpose = 'load' group by {_window_sql(run)} order by first_us"""  # noqa: S608 - our own texts
    )
    query = f"""
        select tool, {_window_sql(run)} as soak_s, count(*) filter ({endpoint.calls}) as n,
               list_transform(quantile_disc({endpoint.took}, {watched}) filter (kind = 'ok'),
                              lambda took_us: took_us / 1000) as took_ms
        from valid_calls where purpose = 'load' and planned_at_us between $first_us and $last_us group by 1, 2"""  # noqa: S608 - our own texts
    chunks = windows.group_by(pl.col("n").cum_sum() // _CHUNK_CALLS, maintain_order=True)
    parts = [
        run.asked(query, {"first_us": chunk["first_us"].min(), "last_us": chunk["last_us"].max()})
        for _, chunk in chunks
    ] or [run.asked(query, {"first_us": 0, "last_us": 0})]
    of_one = pl.col("took_ms").list.get(watched.index(quantile))
    return pl.concat(parts).select("tool", "soak_s", "n", value=of_one)


class EndpointTrends(NamedTuple):
    """What is drawn of an endpoint.

    Attributes
    ----------
    series
        As :func:`~soaklib.analysis.verdicts.endpoints.endpoint_series` gives it.
    trends
        Tool -> its trend, judged as the criterion does: with its margin, outside what
        :func:`~soaklib.analysis.verdicts.masks.calls_not_judged` leaves out. The
        criterion allows for chance alarms of several tools on top of that.
    """

    series: pl.DataFrame
    trends: Mapping[str, Drift]


def series_level(series: pl.DataFrame) -> float | None:
    """Give the middle of a series' values, which its margin is a share of; None without any."""
    middle = series["value"].drop_nulls().median()
    return middle if isinstance(middle, float) else None


def generator_lag_ms(run: Run, endpoint: Endpoint) -> float:
    """Give how late the generator sent its calls, at the endpoint's quantile; 0 where it is none of latency."""
    if endpoint.quantile is None:
        return 0.0
    # counted by microsecond, since a quantile of all calls would hold them all in memory
    lags = run.asked(
        "select sent_at_us - planned_at_us as lag_us, count(*) as n from valid_calls"
        " where purpose = 'load' and attempts > 0 and sent_at_us is not null group by lag_us order by lag_us"
    )
    up_to = lags["n"].cum_sum()
    if not lags.height:
        return 0.0
    rank = math.ceil(Fraction(str(endpoint.quantile)) * up_to[-1])
    return int(lags["lag_us"][int(up_to.search_sorted(rank))]) / 1000


def endpoint_margins(run: Run, endpoint: Endpoint, series: pl.DataFrame) -> dict[str, float]:
    """Give each tool's margin: how much its series may change over the run without that mattering.

    Parameters
    ----------
    run
        The run.
    endpoint
        What is measured.
    series
        As :func:`endpoint_trends` gives it.
    """
    lag_ms = generator_lag_ms(run, endpoint)
    return {
        tool: endpoint.margin(run.thresholds, series_level(part), lag_ms) for tool, part in _by_tool(series).items()
    }


def _by_tool(series: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {tool: series.filter(tool=tool) for tool in series["tool"].unique(maintain_order=True)}


def endpoint_days(reference: Run, endpoint: Endpoint, judged: RunInfo) -> dict[str, pl.DataFrame]:
    """Give tool -> what a good run shows at each time of another run's day, as a reference of its series.

    A tool is left out whose series does not end the day where it began it: it drifts in the good run, and would take as
    much of a drift away. So a reference hides no more of a drift than the margin.

    Parameters
    ----------
    reference, endpoint
        The good run, of a day at least, and what of it.
    judged
        The run that is judged. Where both follow the clock, its times are those of the same time of day; of faster
        runs, those of the same soak time.
    """
    series, mask = endpoint_series(reference, endpoint), calls_not_judged(reference, window_s(reference))
    apart_s = (reference.info.started_utc - judged.started_utc).total_seconds() % _DAY_S
    shift_s = apart_s if reference.info.follows_the_clock and judged.follows_the_clock else 0.0
    margins = endpoint_margins(reference, endpoint, series)
    windows = mask.select("start_s", "end_s").rows()
    length = window_s(reference)
    planned = pl.any_horizontal(
        pl.lit(value=False),
        *(pl.col("soak_s").add(length).gt(start) & pl.col("soak_s").lt(end) for start, end in windows),
    )
    days = {}
    for tool, part in _by_tool(series).items():
        quiet = part.with_columns(value=pl.when(~planned).then("value"))
        if returns_to_its_start(quiet, margins[tool]):
            days[tool] = in_soak_time(quiet.drop_nulls("value").select(pl.col("soak_s") + shift_s, "value"))
    return days


def days_beside(
    run: Run, endpoint: Endpoint, parts: Mapping[str, pl.DataFrame], reference: Run | None = None
) -> dict[str, pl.DataFrame]:
    """Give tool -> the day of a good run that its series is judged against; a tool that it does not cover has none.

    Parameters
    ----------
    run, endpoint
        Of which run, and what of it.
    parts
        Tool -> its series.
    reference
        The good run; None for the one that is kept with the run, if there is one.
    """
    days = kept_days(run, endpoint.name) if reference is None else endpoint_days(reference, endpoint, run.info)
    return {tool: day for tool, day in days.items() if tool in parts and covers_the_day(parts[tool], day)}


def endpoint_trends(run: Run, endpoint: Endpoint, *, reference: Run | None = None) -> EndpointTrends:
    """Give an endpoint's series and their trends.

    Parameters
    ----------
    run, endpoint
        Of which run, and what of it.
    reference
        Another run that is known to be good: what each of its tools shows at a time of day is taken out of the trends,
        see :func:`endpoint_days`. None for the one that is kept with the run. A tool that it lacks is judged without.
    """
    series = endpoint_series(run, endpoint)
    mask = calls_not_judged(run, window_s(run))
    parts, margins = _by_tool(series), endpoint_margins(run, endpoint, series)
    days = days_beside(run, endpoint, parts, reference)
    trends = {
        tool: drift(part, margin=margins[tool], mask=mask, reference=days.get(tool)) for tool, part in parts.items()
    }
    return EndpointTrends(series, trends)
