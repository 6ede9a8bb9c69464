"""An endpoint's series with the trend of each, as the criteria on drift judge them, for a figure to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from soaklib.analysis.endpoints import endpoint_series, not_judged
from soaklib.analysis.statistics.drift import drift

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from soaklib.analysis.endpoints import Endpoint
    from soaklib.analysis.sources.run import Run
    from soaklib.analysis.statistics.drift import Drift

__all__ = ["EndpointTrends", "endpoint_trends"]


class EndpointTrends(NamedTuple):
    """What is drawn of an endpoint.

    Attributes
    ----------
    series
        As :func:`~soaklib.analysis.endpoints.endpoint_series` gives it.
    trends
        Tool -> its trend, judged as the criterion does: with its margin, without planned and invalid windows. The
        criterion allows for chance alarms of several tools on top of that.
    """

    series: pl.DataFrame
    trends: Mapping[str, Drift]


def endpoint_trends(run: Run, endpoint: Endpoint) -> EndpointTrends:
    """Give an endpoint's series and their trends."""
    series = endpoint_series(run, endpoint)
    mask = not_judged(run)
    margin = float(getattr(run.thresholds, endpoint.threshold))
    tools = series["tool"].unique(maintain_order=True)
    return EndpointTrends(series, {tool: drift(series.filter(tool=tool), margin=margin, mask=mask) for tool in tools})
