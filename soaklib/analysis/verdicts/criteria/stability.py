"""Does anything creep over the run, do rotations hurt?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from soaklib.analysis.measures.alignment import aligned, each_time
from soaklib.analysis.measures.marks import planned_windows
from soaklib.analysis.measures.meanings import series_of
from soaklib.analysis.measures.processes import (
    gateway_query,
    longest_lived,
    request_falls,
    starts_seen,
    tells_its_start,
    unplanned_starts,
)
from soaklib.analysis.verdicts.criteria.drifts import WORST_FIRST, found_of, judged_gauge, judged_tools
from soaklib.analysis.verdicts.criteria.wording import is_asked_for, many, passed
from soaklib.analysis.verdicts.endpoints import (
    ENDPOINTS,
    FIRST_TOKEN,
    days_beside,
    endpoint_query,
    endpoint_series,
    generator_lag_ms,
    series_level,
    window_s,
)
from soaklib.analysis.verdicts.masks import calls_not_judged, readings_not_judged
from soaklib.analysis.verdicts.memory import (
    LEAST_MEMORY_WALL_S,
    OBVIOUS_WALL_S,
    first_exposed,
    gauge_trend,
    memory_query,
    untold_of_the_run,
)
from soaklib.records import State, Verdict
from soaklib.records.moments import soak_text
from soaklib.targets.base import Meaning

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run
    from soaklib.analysis.verdicts.criteria.drifts import Found
    from soaklib.analysis.verdicts.endpoints import Endpoint

__all__ = [
    "no_drift_in_errors",
    "no_drift_in_event_loop_lag",
    "no_drift_in_first_token",
    "no_drift_in_gateway_files",
    "no_drift_in_gateway_memory",
    "no_drift_in_generator_memory",
    "no_drift_in_latency_median",
    "no_drift_in_latency_tail",
    "no_spike_at_rotations",
]

_LEAST_ERRORS: Final = 5
_OPEN_FILES: Final = "process_open_fds"
_MS_PER_S: Final = 1000.0


def no_drift_in_latency_median(run: Run) -> Verdict:
    """Does the median service time of each tool's ok calls stay where it is?"""
    return _of_endpoint(run, ENDPOINTS[0])


def no_drift_in_latency_tail(run: Run) -> Verdict:
    """Does the 99th percentile of the service time of each tool's ok calls stay where it is?"""
    return _of_endpoint(run, ENDPOINTS[1])


def no_drift_in_first_token(run: Run) -> Verdict:
    """Does the median time to first token of each tool's streams stay where it is?"""
    if not run.sql("select exists(from calls where purpose = 'load' and first_token_at_us is not null)").item():
        name, query = f"no drift in {FIRST_TOKEN.name}", endpoint_query(run, FIRST_TOKEN)
        detail = "nothing was streamed"
        return Verdict(name, None, _within_share(run, FIRST_TOKEN), 0, None, None, State.NOT_APPLICABLE, detail, query)
    return _of_endpoint(run, FIRST_TOKEN)


def no_drift_in_errors(run: Run) -> Verdict:
    """Does the share of each tool's calls that fail stay where it is?"""
    return _of_endpoint(run, ENDPOINTS[2])


def no_drift_in_gateway_memory(run: Run) -> Verdict:
    """Does the gateway's memory stay where it is, by its resident size or else by what /health says?"""
    query, name = memory_query(run, "gateway"), "no drift in gateway memory"
    if not is_asked_for(run, "metrics") and not is_asked_for(run, "health"):
        threshold, detail = (
            _within(run.thresholds.drift_memory_mib, "MiB"),
            "the gateway does not say how much it holds",
        )
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
    return _of_memory(run, name, query)


def no_drift_in_generator_memory(run: Run) -> Verdict:
    """Does the generator's own memory stay where it is?"""
    return _of_memory(run, "no drift in generator memory", memory_query(run, "generator"), is_own=True)


def no_drift_in_gateway_files(run: Run) -> Verdict:
    """Does the number of files that the gateway holds open stay where it is?"""
    absent = "the gateway does not say how many files it has open"
    gauge = _Gauge("no drift in gateway files", run.thresholds.drift_files, "files", absent, floor=True)
    told = series_of(run, Meaning.OPEN_FILES)
    metric = first_exposed(run, *([] if told is None else [told.metric]), _OPEN_FILES)
    labels = told.wanted if told is not None and told.metric == metric else None
    return _of_gauge(run, gauge, gateway_query(run, metric, labels=labels))


def no_drift_in_event_loop_lag(run: Run) -> Verdict:
    """Does the lag of the gateway's event loop stay where it is, by its 99th percentile or else by its last value?"""
    metric = first_exposed(run, "nodejs_eventloop_lag_p99_seconds", "nodejs_eventloop_lag_seconds")
    absent = "the gateway does not say how late its event loop is"
    gauge = _Gauge("no drift in event-loop lag", run.thresholds.drift_loop_lag_ms, "ms", absent)
    return _of_gauge(run, gauge, gateway_query(run, metric, _MS_PER_S))


def no_spike_at_rotations(run: Run) -> Verdict:
    """Do calls fail more in the minute after a token rotation, all rotations together, than at placebo times?"""
    name, threshold = (
        "no error spike at rotations",
        f"failures within the placebo band, or below {_LEAST_ERRORS} failures",
    )
    query = (
        "soaklib.aligned(run, 'TOKENS_ROTATED', window_s=240, step_s=60, leave_out=soaklib.planned_windows(run))"
        "  # measure = 'failures', offset_s = 0; its selects: calls and events"
    )
    rotations = run.sql("select count(*) from events where name = 'TOKENS_ROTATED'").item()
    if rotations == 0:
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, "no rotation happened", query)
    profile = aligned(run, "TOKENS_ROTATED", window_s=240.0, step_s=60.0, leave_out=planned_windows(run))
    after = profile.filter(pl.col("measure") == "failures", pl.col("offset_s").abs() < 1).row(0, named=True)
    value, high, n = after["value"], after["high"], after["n"]
    if value is None or high is None:
        detail = f"{after['events']} rotations and {n} calls leave no band to hold them against"
        return Verdict(name, value, threshold, n, None, None, State.INSUFFICIENT, detail, query)
    is_spike = value > high and value * n / 100 >= _LEAST_ERRORS
    failed = f"{value:.3f} % of {n} calls in the minute after {after['events']} rotations failed"
    if (aside := rotations - after["events"]) > 0:
        failed += f" ({aside} more, with a snapshot or a change beside them, are left aside)"
    detail = f"{failed}; placebos reach {high:.3f} %"
    if is_spike and after["events"] > 1:
        is_spike, said = _beside_the_worst(run, high)
        detail += said
    return Verdict(name, value, threshold, n, after["low"], high, passed(not is_spike), detail, query)


def _beside_the_worst(run: Run, high: float) -> tuple[bool, str]:
    """Say whether calls failed more at rotations beside the one with most failures, too: one of many is no pattern."""
    each = each_time(run, "TOKENS_ROTATED", window_s=240.0, step_s=60.0, leave_out=planned_windows(run))
    worst = each.row(int(each["failed"].arg_max() or 0), named=True)
    failed, n = int(each["failed"].sum() - worst["failed"]), int(each["n"].sum() - worst["n"])
    share = 100.0 * failed / n if n else 0.0
    is_spike = share > high
    where = f"without the one at {soak_text(worst['soak_s'])}, where {many(worst['failed'], 'call')} failed,"
    return is_spike, f"; {where} {share:.3f} % ({failed}){'' if is_spike else ': one rotation is no pattern'}"


class _Gauge(NamedTuple):
    """How readings of a process are judged.

    ``absent`` says that there are none, of a gauge which not every gateway has; ``least_wall_s`` is how long the
    readings of one that every run has must last; ``is_own`` says that it is the generator's.
    """

    name: str
    margin: float
    unit: str
    absent: str = ""
    floor: bool = False
    least_wall_s: float = 0.0
    is_own: bool = False


def _of_endpoint(run: Run, endpoint: Endpoint) -> Verdict:
    """Judge an endpoint of the load: as bad as its worst tool, chance alarms of several tools allowed for (Holm)."""
    name, query = f"no drift in {endpoint.name}", endpoint_query(run, endpoint)
    threshold = _within_share(run, endpoint)
    series, mask = endpoint_series(run, endpoint), calls_not_judged(run, window_s(run))
    if endpoint is FIRST_TOKEN:  # a tool that streams nothing has none
        series = series.filter(pl.col("n").sum().over("tool") > 0)
    tools = series["tool"].unique(maintain_order=True).to_list()
    if not tools:
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, "no valid call", query)
    parts = {tool: series.filter(tool=tool) for tool in tools}
    lag_ms = generator_lag_ms(run, endpoint)
    margins = {tool: endpoint.margin(run.thresholds, series_level(part), lag_ms) for tool, part in parts.items()}
    days = days_beside(run, endpoint, parts)
    found = judged_tools(parts, margins, mask=mask, days=days)
    state = next(state for state in WORST_FIRST if any(one.state == state for one in found.values()))
    alike = [tool for tool, one in found.items() if one.state == state]
    tool = max(alike, key=lambda tool: found[tool].reach / found[tool].margin)
    worst = found[tool]
    detail = f"{tool}: {worst.detail}{_others(tool, found)}"
    if tool in days and run.info.reference is not None:
        detail += f" Judged against the day of {run.info.reference.run_id}."
    if endpoint.quantile is not None:
        detail += f" The generator's own lag is {lag_ms:.3g} ms there, and no claim is finer."
    return Verdict(name, worst.change, threshold, worst.n, worst.low, worst.high, state, detail, query)


def _others(judged: str, found: dict[str, Found]) -> str:
    """Name the states of the tools beside the one whose numbers are shown."""
    words = {State.FAIL: "drifting", State.INSUFFICIENT: "not told", State.PASS: "stable"}
    by_state = {
        state: ", ".join(tool for tool, one in found.items() if one.state == state and tool != judged)
        for state in WORST_FIRST
    }
    said = "; ".join(f"{words[state]}: {tools}" for state, tools in by_state.items() if tools)
    return f" Also {said}." if said else ""


def _of_memory(run: Run, name: str, query: str, *, is_own: bool = False) -> Verdict:
    """Judge memory on its floors; what is not obvious takes half an hour of readings to tell."""
    gauge = _Gauge(
        name, run.thresholds.drift_memory_mib, "MiB", floor=True, least_wall_s=LEAST_MEMORY_WALL_S, is_own=is_own
    )
    return _of_gauge(run, gauge, query)


def _of_gauge(run: Run, gauge: _Gauge, query: str) -> Verdict:
    """Judge readings of a process, of several the one that was read for longest."""
    threshold, readings = _within(gauge.margin, gauge.unit), run.sql(query)
    if readings.is_empty() and not gauge.least_wall_s:
        return Verdict(gauge.name, None, threshold, 0, None, None, State.NOT_APPLICABLE, gauge.absent, query)
    judged = longest_lived(readings)
    series, observed_s, processes, _ = judged
    of = f" of the longest of {processes} processes{_anew(run, gauge, readings)}" if processes > 1 else ""
    seen = f"{observed_s / 60:.1f} wall minutes of readings{of}"
    too_short = Verdict(
        gauge.name, None, threshold, series.height, None, None, State.INSUFFICIENT,
        f"{seen}; at least {gauge.least_wall_s / 60:.0f} are needed for what is not obvious", query,
    )  # fmt: skip
    if observed_s < min(gauge.least_wall_s, OBVIOUS_WALL_S):
        return too_short
    drifts = gauge_trend(run, judged, margin=gauge.margin, floor=gauge.floor).trend
    found = found_of(series, drifts, gauge.margin)
    if observed_s < gauge.least_wall_s and not (found.state == State.FAIL and found.is_obvious):
        return too_short
    mask = readings_not_judged(run, judged.lane)
    found = judged_gauge(series, gauge.margin, drifts, mask=mask, floor=gauge.floor)
    if found.state == State.PASS and (said := untold_of_the_run(drifts, series, readings, gauge.margin, gauge.unit)):
        found = found._replace(state=State.INSUFFICIENT, detail=f"{said} {found.detail}")
    if drifts.on_floors and not gauge.is_own:
        found = _of_one_process(run, found)
    detail = f"{seen}: {found.detail}" if of else found.detail
    return Verdict(gauge.name, found.change, threshold, found.n, found.low, found.high, found.state, detail, query)


def _anew(run: Run, gauge: _Gauge, readings: pl.DataFrame) -> str:
    """Say how often a process of the gateway took another's place."""
    starts = [] if gauge.is_own else starts_seen(readings)
    if not starts:
        return ""
    return f" ({many(len(starts), 'start')} seen, {len(unplanned_starts(run, starts))} of them beside no change)"


def _of_one_process(run: Run, found: Found) -> Found:
    """Doubt floors that may be those of processes which died, where no start time tells one from the next."""
    if found.state != State.PASS or run.info.embedded or tells_its_start(run):
        return found
    counted = request_falls(run)
    if counted is None:
        said = "The gateway tells no start time: a fall may be a collection, or a process that died."
        return found._replace(detail=f"{found.detail} {said}")
    if not counted.falls:
        return found
    fell = many(counted.falls, "time")
    said = (
        f"The gateway tells no start time, and its count of requests fell {fell}, as that of a new process does: what "
        "looks like collections may be processes that died."
    )
    return found._replace(state=State.INSUFFICIENT, detail=f"{said} {found.detail}")


def _within_share(run: Run, endpoint: Endpoint) -> str:
    """Word the margin of an endpoint of each tool."""
    most = float(getattr(run.thresholds, endpoint.threshold))
    if endpoint.floor is None:
        return f"{_within(most, endpoint.unit)} for each tool"
    least = float(getattr(run.thresholds, endpoint.floor))
    share = run.thresholds.drift_share
    bounds = f"{least:g} {endpoint.unit} at least, {most:g} {endpoint.unit} at most"
    return f"ok calls: change within {share:g} % of each tool's level over the run, {bounds}"


def _within(margin: float, unit: str) -> str:
    return f"change within {margin:g} {unit} over the run"
