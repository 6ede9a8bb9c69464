"""Does anything creep over the run, do rotations hurt?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.aligned import aligned
from soaklib.analysis.criteria.verdicts import passed
from soaklib.analysis.drift import drift
from soaklib.analysis.endpoints import ENDPOINTS, endpoint_query
from soaklib.analysis.timeline import planned_windows
from soaklib.records import State, Verdict

if TYPE_CHECKING:
    from soaklib.analysis.drift import Drift
    from soaklib.analysis.endpoints import Endpoint
    from soaklib.analysis.load import Run

__all__ = [
    "no_drift_in_errors",
    "no_drift_in_gateway_files",
    "no_drift_in_gateway_memory",
    "no_drift_in_generator_memory",
    "no_drift_in_latency_median",
    "no_drift_in_latency_tail",
    "no_spike_at_rotations",
]

_LEAST_MEMORY_WALL_S: Final = 1800.0
_LEAST_ERRORS: Final = 5
_STATES: Final = {"stable": State.PASS, "drift": State.FAIL, "inconclusive": State.INSUFFICIENT}
_MIB: Final = 1 << 20


def no_drift_in_latency_median(run: Run) -> Verdict:
    """Does the median service time of ok calls stay where it is?"""
    return _of_endpoint(run, ENDPOINTS[0])


def no_drift_in_latency_tail(run: Run) -> Verdict:
    """Does the 99th percentile of the service time of ok calls stay where it is?"""
    return _of_endpoint(run, ENDPOINTS[1])


def no_drift_in_errors(run: Run) -> Verdict:
    """Does the share of calls that fail stay where it is?"""
    return _of_endpoint(run, ENDPOINTS[2])


def no_drift_in_gateway_memory(run: Run) -> Verdict:
    """Does the gateway's memory stay where it is, by its resident size or else by what /health says?"""
    metric = "process_resident_memory_bytes"
    if run.samples(metric).is_empty():
        metric = "health_memory_used_bytes"
    query = f"""select utc(at_us) as "at", "value" / {_MIB} as "value" from samples
            where metric = '{metric}' order by at_us"""  # noqa: S608 - our own name
    return _of_memory(run, "no drift in gateway memory", query)


def no_drift_in_generator_memory(run: Run) -> Verdict:
    """Does the generator's own memory stay where it is?"""
    query = f"""select utc(at_us) as "at", rss_bytes / {_MIB} as "value" from runner_health order by at_us"""  # noqa: S608
    return _of_memory(run, "no drift in generator memory", query)


def no_drift_in_gateway_files(run: Run) -> Verdict:
    """Does the number of files that the gateway holds open stay where it is?"""
    query = """select utc(at_us) as "at", "value" from samples where metric = 'process_open_fds' order by at_us"""
    name, margin = "no drift in gateway files", run.thresholds.drift_files
    series = run.sql(query)
    if series.is_empty():
        detail = "the gateway does not say how many files it has open"
        return Verdict(name, None, _within(margin, "files"), 0, None, None, State.NOT_APPLICABLE, detail, query)
    return _judged(name, series, drift(series, margin=margin, mask=_mask(run)), _within(margin, "files"), query)


def no_spike_at_rotations(run: Run) -> Verdict:
    """Do calls fail more in the minute after a token rotation, all rotations together, than at placebo times?"""
    name, threshold = "no error spike at rotations", "failures within the placebo band"
    query = (
        "soaklib.aligned(run, 'TOKENS_ROTATED', window_s=240, step_s=60, leave_out=soaklib.planned_windows(run))"
        "  -- measure = 'failures', offset_s = 0; its selects: calls and events"
    )
    if run.sql("select count(*) from events where name = 'TOKENS_ROTATED'").item() == 0:
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, "no rotation happened", query)
    profile = aligned(run, "TOKENS_ROTATED", window_s=240.0, step_s=60.0, leave_out=planned_windows(run))
    after = profile.filter(pl.col("measure") == "failures", pl.col("offset_s").abs() < 1).row(0, named=True)
    value, high, n = after["value"], after["high"], after["n"]
    if value is None or high is None:
        detail = f"{after['events']} rotations and {n} calls leave no band to hold them against"
        return Verdict(name, value, threshold, n, None, None, State.INSUFFICIENT, detail, query)
    is_spike = value > high and value * n / 100 >= _LEAST_ERRORS
    failed = f"{value:.3f} % of {n} calls in the minute after {after['events']} rotations failed"
    detail = f"{failed}; placebos reach {high:.3f} %"
    return Verdict(name, value, threshold, n, after["low"], high, passed(not is_spike), detail, query)


def _of_endpoint(run: Run, endpoint: Endpoint) -> Verdict:
    """Judge an endpoint of the load."""
    name, query = f"no drift in {endpoint.name}", endpoint_query(run, endpoint)
    margin = float(getattr(run.thresholds, endpoint.threshold))
    threshold = _within(margin, endpoint.unit)
    series = run.sql(query)
    if series.is_empty():
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, "no valid call", query)
    return _judged(name, series, drift(series, margin=margin, mask=_mask(run)), threshold, query)


def _of_memory(run: Run, name: str, query: str) -> Verdict:
    """Judge a series of memory readings on its floors; half an hour is the least that says anything about a leak."""
    margin = run.thresholds.drift_memory_mib
    series = run.sql(query)
    wall_s = (series["at"][-1] - series["at"][0]).total_seconds() if series.height else 0.0
    if wall_s < _LEAST_MEMORY_WALL_S:
        detail = f"{wall_s / 60:.1f} wall minutes of readings; at least {_LEAST_MEMORY_WALL_S / 60:.0f} are needed"
        return Verdict(name, None, _within(margin, "MiB"), series.height, None, None, State.INSUFFICIENT, detail, query)
    found = drift(series, margin=margin, mask=_mask(run), floor=True)
    return _judged(name, series, found, _within(margin, "MiB"), query)


def _judged(name: str, series: pl.DataFrame, found: Drift, threshold: str, query: str) -> Verdict:
    hours = (series["at"][-1] - series["at"][0]).total_seconds() / 3600
    low, high = found.interval or (None, None)
    return Verdict(
        name, None if found.slope_per_hour is None else found.slope_per_hour * hours, threshold, found.n,
        None if low is None else low * hours, None if high is None else high * hours, _STATES[found.state],
        found.detail, query,
    )  # fmt: skip


def _within(margin: float, unit: str) -> str:
    return f"change over the run within {margin:g} {unit}"


def _mask(run: Run) -> pl.DataFrame:
    """Give the planned and the invalid windows as `start` and `end` in UTC."""
    windows = pl.concat([planned_windows(run), run.sql("select start_s, end_s from invalid_windows")])
    per_second = pl.lit(1e6 / run.info.speed)
    return windows.select(
        (pl.lit(run.info.started_utc) + pl.duration(microseconds=(pl.col(name) * per_second).cast(pl.Int64))).alias(new)
        for name, new in (("start_s", "start"), ("end_s", "end"))
    )
