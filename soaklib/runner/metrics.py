"""The runner's own metrics for a team's Prometheus: counters that the run keeps anyway, read when they are asked for.

Names follow Prometheus' conventions: base units, ``_total`` on counters. Counters of calls go on where a resumed run
left off, so that at the end they equal the rows of ``outcomes``; lags, service times and acknowledged rows are of this
process. ``process_*`` are the standard ones, resident memory among them.

======================================== ========= ===================================================================
metric                                   type      meaning
======================================== ========= ===================================================================
soaklib_run_info                         info      run id, version of soaklib, gateway under load
soaklib_calls_planned_total              counter   calls whose planned time has come, by purpose and tool
soaklib_calls_sent_total                 counter   calls put on the wire, by purpose and tool
soaklib_outcomes_total                   counter   calls that ended, by purpose, tool and kind: rows of ``outcomes``
soaklib_schedule_lag_seconds             histogram how late calls left
soaklib_service_time_seconds             histogram sending to whole answer, by tool
soaklib_event_loop_lag_seconds           histogram how late the loop's own timer was, looked at 20 times a second
soaklib_operations_in_flight             gauge     operations under way
soaklib_operations_in_flight_limit       gauge     the in-flight cap
soaklib_recorder_queue_rows              gauge     rows handed to the recorder and not yet on disk
soaklib_recorder_rows_acknowledged_total counter   rows of all tables that the recorder says are on disk
soaklib_recorder_lag_seconds             gauge     age of the oldest batch that is not yet on disk
soaklib_soak_time_seconds                gauge     soak time
soaklib_soak_duration_seconds            gauge     planned soak time
soaklib_soak_speed_ratio                 gauge     soak seconds a wall second
soaklib_phase                            gauge     1 for the phase of the plan that it is, 0 for the others
soaklib_lane_up                          gauge     of a fleet: 1 for a lane whose sender is thought to live, by lane
soaklib_lane_outcomes_total              counter   of a fleet: calls that ended, by lane and kind
soaklib_lane_sent_calls_per_second       gauge     of a fleet: calls sent in the last second, by lane
soaklib_lane_schedule_lag_seconds        gauge     of a fleet: largest lag of the last second, by lane
soaklib_lane_operations_in_flight        gauge     of a fleet: operations under way, by lane
======================================== ========= ===================================================================

Of a fleet, the calls are those of all lanes and the conductor's probes; lags and service times are of its probes alone.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric

    from soaklib.runner.senders import LaneSight
    from soaklib.runner.soak import Soak

__all__ = ["metrics_registry"]

_PER_CALL: Final = ("purpose", "tool")


def metrics_registry(soak: Soak) -> CollectorRegistry:
    """Give a registry with the metrics of a soak under way and of its process."""
    registry = CollectorRegistry()
    registry.register(_SoakCollector(soak))
    ProcessCollector(registry=registry)
    return registry


class _SoakCollector(Collector):
    """Reads the soak's counters when it is scraped; between two scrapes it costs nothing."""

    def __init__(self, soak: Soak) -> None:
        self._soak = soak
        self._run = {"run_id": soak.job.run_id, "version": version("soaklib"), "target": soak.job.target}

    def collect(self) -> Iterator[Metric]:
        """Give all metrics; must be called by the thread of the soak's loop, which owns what is read."""
        yield InfoMetricFamily("soaklib_run", "The run that this process makes.", self._run)
        yield from self._calls()
        yield from self._times()
        yield from self._recording()
        yield from self._progress()
        if self._soak.job.senders is not None:
            yield from self._lanes(self._soak.job.senders.lanes_seen())

    def _lanes(self, lanes: Sequence[LaneSight]) -> Iterator[Metric]:
        up = GaugeMetricFamily("soaklib_lane_up", "1 for a sender that is thought to live.", labels=("lane",))
        outcomes = CounterMetricFamily("soaklib_lane_outcomes", "Calls of a lane that ended.", labels=("lane", "kind"))
        rate = GaugeMetricFamily(
            "soaklib_lane_sent_calls_per_second", "Calls that a lane sent in the last second.", labels=("lane",)
        )
        lag = GaugeMetricFamily(
            "soaklib_lane_schedule_lag_seconds", "Largest lag of a lane in its last second.", labels=("lane",)
        )
        open_ = GaugeMetricFamily(
            "soaklib_lane_operations_in_flight", "Operations of a lane under way.", labels=("lane",)
        )
        for seen in lanes:
            label = (str(seen.lane),)
            up.add_metric(label, seen.is_alive)
            rate.add_metric(label, seen.sent_per_s)
            lag.add_metric(label, seen.lag_us / 1e6)
            open_.add_metric(label, seen.in_flight)
            for kind, count in seen.outcomes.items():
                outcomes.add_metric((*label, kind), count)
        yield from (up, outcomes, rate, lag, open_)

    def _calls(self) -> Iterator[Metric]:
        vitals = self._soak.vitals
        planned = CounterMetricFamily("soaklib_calls_planned", "Calls whose planned time has come.", labels=_PER_CALL)
        sent = CounterMetricFamily("soaklib_calls_sent", "Calls put on the wire.", labels=_PER_CALL)
        outcomes = CounterMetricFamily("soaklib_outcomes", "Calls that ended.", labels=(*_PER_CALL, "kind"))
        for key, count in vitals.planned_calls.items():
            planned.add_metric(key, count)
        for key, count in vitals.sent_calls.items():
            sent.add_metric(key, count)
        for labels, count in vitals.outcomes.items():
            outcomes.add_metric(labels, count)
        yield from (planned, sent, outcomes)
        yield GaugeMetricFamily(
            "soaklib_operations_in_flight", "Operations (calls or chains) under way.", vitals.in_flight
        )
        yield GaugeMetricFamily(
            "soaklib_operations_in_flight_limit", "Operations that may be under way; past it slots are dropped.",
            self._soak.job.settings.in_flight_cap,
        )  # fmt: skip

    def _times(self) -> Iterator[Metric]:
        vitals = self._soak.vitals
        for name, text, histogram in (
            ("soaklib_schedule_lag_seconds", "How late calls left, after their planned time.", vitals.schedule_lag),
            ("soaklib_event_loop_lag_seconds", "How late the event loop's own timer was.", vitals.loop_lag),
        ):
            family = HistogramMetricFamily(name, text)
            family.add_metric((), histogram.cumulative(), histogram.sum_s)
            yield family
        service = HistogramMetricFamily(
            "soaklib_service_time_seconds", "From sending a call to its whole answer.", labels=("tool",)
        )
        for tool, histogram in vitals.service.items():
            service.add_metric((tool,), histogram.cumulative(), histogram.sum_s)
        yield service

    def _recording(self) -> Iterator[Metric]:
        recorder = self._soak.recorder
        yield GaugeMetricFamily(
            "soaklib_recorder_queue_rows", "Rows handed to the recorder and not yet on disk.", recorder.queued_rows
        )
        yield CounterMetricFamily(
            "soaklib_recorder_rows_acknowledged", "Rows that the recorder says are on disk.", recorder.rows_on_disk
        )
        yield GaugeMetricFamily(
            "soaklib_recorder_lag_seconds", "Age of the oldest batch that is not yet on disk.", recorder.lag_s
        )

    def _progress(self) -> Iterator[Metric]:
        settings, soak_s = self._soak.job.settings, self._soak.soak_s
        yield GaugeMetricFamily("soaklib_soak_time_seconds", "Soak time.", soak_s)
        yield GaugeMetricFamily("soaklib_soak_duration_seconds", "Planned soak time.", settings.duration_s)
        yield GaugeMetricFamily("soaklib_soak_speed_ratio", "Soak seconds a wall second.", settings.speed)
        phases = self._soak.job.plan.phase_starts(settings.duration_s)
        current = [name for start_s, name in phases if start_s <= soak_s][-1]
        phase = GaugeMetricFamily("soaklib_phase", "1 for the phase of the plan that it is.", labels=("phase",))
        for name in dict.fromkeys(name for _, name in phases):
            phase.add_metric((name,), name == current)
        yield phase
