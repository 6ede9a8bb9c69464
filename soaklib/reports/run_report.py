"""``soak-test-report-<run-id>.md``: the run in numbers, each table with the query that gave it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.reports.text_table import cell, markdown_table

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["QUERIES", "report_name", "run_report"]


class _Section(NamedTuple):
    """A question, and the query whose rows answer it."""

    title: str
    query: str
    note: str = ""


_SECTIONS: Final = (
    _Section(
        "Verdicts",
        """
        select state, name as criterion, threshold as required, detail as seen, n
        from (select *, row_number() over () as place from verdicts) order by place""",
        "`insufficient` and `not applicable` neither pass nor fail. The query behind each measure is in the table "
        "`verdicts`.",
    ),
    _Section(
        "What became of every planned call",
        """
        select purpose, kind, count(*) as calls,
               round(100 * count(*) / sum(count(*)) over (partition by purpose), 3) as percent
        from outcomes group by purpose, kind order by purpose, calls desc, kind""",
    ),
    _Section(
        "Success by phase of the plan",
        """
        select phase, count(*) filter (counted) as counted,
               round(100 * count(*) filter (counted and succeeded) / nullif(count(*) filter (counted), 0), 3)
                   as success_percent,
               count(*) filter (kind = 'denied') as denied,
               count(*) filter (kind not in ('ok', 'denied')) as failed
        from calls where purpose = 'load' group by phase order by min(planned_at_us)""",
        "Left out of `counted` are skipped chain steps and denials by a quota that the plan has cut.",
    ),
    _Section(
        "Load by tool and action",
        """
        with waited as (
            select tool, action, 'service' as measure, service_us as us, count(*) as n
            from calls where purpose = 'load' and kind = 'ok' group by all
            union all
            select tool, action, 'response', response_us, count(*)
            from calls where purpose = 'load' and kind = 'ok' group by all
        ),
        ranked as (
            select *, sum(n) over (partition by tool, action, measure order by us)
                       / sum(n) over (partition by tool, action, measure) as share,
                   sum(n) over (partition by tool, action, measure) >= 1000 as is_enough
            from waited
        ),
        latencies as (
            select tool, action,
                   round(min(us) filter (measure = 'service' and share >= 0.5) / 1000, 3) as service_p50_ms,
                   round(min(us) filter (measure = 'service' and share >= 0.99 and is_enough) / 1000, 3)
                       as service_p99_ms,
                   round(min(us) filter (measure = 'response' and share >= 0.99 and is_enough) / 1000, 3)
                       as response_p99_ms,
                   round(max(us) filter (measure = 'response') / 1000, 3) as response_max_ms
            from ranked group by tool, action
        )
        select * from (
            select tool, action, count(*) as calls, count(*) filter (kind = 'ok') as ok,
                   count(*) filter (kind = 'denied') as denied,
                   count(*) filter (kind not in ('ok', 'denied')) as failed
            from outcomes where purpose = 'load' group by tool, action
        ) left join latencies using (tool, action) order by tool, action""",
        "Service time runs from the sending, response time from the planned moment. Wall milliseconds, of ok calls; a "
        "percentile is the smallest time that so many calls did not exceed, and the 99th needs ten calls beyond it.",
    ),
    _Section(
        "Why calls were not ok",
        """
        select kind, reason, tool, count(*) as calls from outcomes where kind <> 'ok' and purpose <> 'trial'
        group by kind, reason, tool order by calls desc, kind, reason, tool""",
    ),
    _Section(
        "Events by name",
        """
        select name, count(*) as times, min(utc(at_us)) as first, max(utc(at_us)) as last
        from events group by name order by min(at_us), name""",
    ),
    _Section(
        "Changes and what went wrong",
        """
        select utc(at_us) as "at", round(greatest(soak_seconds(at_us), 0) / 3600, 3) as soak_hour, name, detail
        from (select *, row_number() over () as place from events)
        where name not in ('METRICS_SNAPSHOT', 'TOKENS_ROTATED', 'TOKENS_KEPT', 'HEALTH_GATE_PASSED', 'AGENTS_CREATED',
                           'LANE_STARTED', 'LANE_ENDED', 'LANE_TOKENS_ROTATED', 'CLOCK_OFFSET')
        order by at_us, place limit 200""",
        "At most 200; all are in soak-events.log.",
    ),
    _Section(
        "Scrapes of the gateway",
        """
        select endpoint, count(*) as scrapes, count(*) filter (not ok) as failed,
               round(quantile_disc(duration_us, 0.99) / 1000, 3) as p99_ms, max(size_bytes) as largest_bytes
        from scrapes group by endpoint order by endpoint""",
    ),
    _Section(
        "The gateway's memory, by its /health",
        """
        select metric, arg_min("value", at_us) as first_bytes, arg_max("value", at_us) as last_bytes,
               min("value") as least_bytes, max("value") as most_bytes, count(*) as samples
        from samples where starts_with(metric, 'health_memory') group by metric order by metric""",
    ),
    _Section(
        "The generator itself",
        """
        select count(*) as wall_seconds, round(max(schedule_lag_max_us) / 1000, 3) as schedule_lag_max_ms,
               round(quantile_disc(schedule_lag_max_us, 0.99) / 1000, 3) as schedule_lag_p99_ms,
               round(max(loop_lag_max_us) / 1000, 3) as loop_lag_max_ms,
               (select sum(most)::BIGINT from (select max(in_flight) as most from runner_health group by lane))
                   as in_flight_max,
               max(queue_rows) as queue_rows_max, max(rss_bytes) as rss_max_bytes,
               (select count(*) from invalid_windows) as invalid_windows,
               coalesce((select sum(most) from (select max(connections_open) as most from runner_health group by lane)),
                        0)::BIGINT as connections_max,
               coalesce(sum(connections_opened), 0)::BIGINT as connections_opened,
               coalesce(sum(connections_lost), 0)::BIGINT as connections_lost
        from runner_health""",
        "An invalid window is a soak-minute in which the generator was late; verdicts leave it out. Of a fleet the "
        "most that each sender had in flight and open are added up: there were no more at a time.",
    ),
)

QUERIES: Final = {section.title: section.query for section in _SECTIONS}
"""The query behind each table, by the table's title; the whitepaper asks the same."""


def report_name(run_id: str) -> str:
    """Give the file name of a run's report."""
    return f"soak-test-report-{run_id}.md"


def run_report(run: Run) -> str:
    """Give the report as Markdown; it follows from the run's tables alone.

    Raises
    ------
    RunError
        A query cannot be answered.
    """
    info = run.info
    facts = {
        "Status": info.status,
        "Gateway": f"{info.target}{' (the embedded reference gateway)' if info.embedded else ''}",
        "Started": cell(info.started_utc),
        "Completed": cell(info.completed_utc),
        "Wall duration": "-" if info.duration_s is None else f"{info.duration_s:,.1f} s",
        "Plan": info.plan.name,
        "Load": f"{info.hours:g} soak-hours at {info.rps:g} slots a soak-second, speed {info.speed:g}",
        "Seed": str(info.seed),
        "Segments": str(len(info.segments)),
        "Made with": f"soaklib {info.soaklib_version} on {info.environment.get('host', 'an unknown host')}",
    }
    parts = [f"# Soak test {info.run_id}", markdown_table(["", ""], facts.items())]
    queries = []
    for number, section in enumerate(_SECTIONS, start=1):
        frame = run.sql(section.query)
        table = markdown_table(frame.columns, frame.rows()) if frame.height else "None."
        notes = f"{section.note} [Query {number}]".strip()
        parts.append(f"## {section.title}\n\n{table}\n\n{notes}")
        queries.append(f"Query {number}:\n\n```sql\n{_dedented(section.query)}\n```")
    parts.append("## Queries\n\nEach can be run again: `soaklib.open_run(folder).sql(query)`.")
    return "\n\n".join(parts + queries) + "\n"


def _dedented(query: str) -> str:
    lines = query.strip("\n").splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[margin:] for line in lines)
