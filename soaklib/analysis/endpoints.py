"""What is watched for drift and compared between runs: each endpoint as a series over windows of soak time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.load import Run

__all__ = ["ENDPOINTS", "Endpoint", "endpoint_query", "endpoint_series"]

_WINDOWS: Final = 144  # ten minutes each in a run of 24 hours
_LEAST_WINDOW_S: Final = 60.0


@dataclass(frozen=True)
class Endpoint:
    """One quantity of the load.

    Attributes
    ----------
    name
        What it is called.
    unit
        Of its values.
    value
        SQL over the ``valid_calls`` of a window.
    threshold
        The setting that holds its margin.
    """

    name: str
    unit: str
    value: str
    threshold: str


ENDPOINTS: Final = (
    Endpoint("latency (median)", "ms", "quantile_cont(service_us, 0.5) filter (kind = 'ok') / 1000", "drift_median_ms"),
    Endpoint("latency (p99)", "ms", "quantile_cont(service_us, 0.99) filter (kind = 'ok') / 1000", "drift_tail_ms"),
    Endpoint(
        "errors",
        "percent",
        "100 * count(*) filter (counted and not succeeded) / nullif(count(*) filter (counted), 0)",
        "drift_errors",
    ),
)
"""Every endpoint, in the order in which they are read."""


def endpoint_query(run: Run, endpoint: Endpoint) -> str:
    """Give the SQL of an endpoint's series: at most 144 windows, a soak-minute at least."""
    window_s = max(run.info.planned_soak_s / _WINDOWS, _LEAST_WINDOW_S)
    return f"""
        select min("at") as "at", floor(soak_s / {window_s!r}) * {window_s!r} as soak_s,
               ({endpoint.value})::DOUBLE as "value"
        from valid_calls where purpose = 'load' group by 2 order by 1"""  # noqa: S608 - our own texts


def endpoint_series(run: Run, endpoint: Endpoint) -> pl.DataFrame:
    """Give ``at`` (UTC), ``soak_s`` (start of the window) and ``value`` of an endpoint."""
    return run.sql(endpoint_query(run, endpoint))
