"""What every reader of a run adds to the plain tables: the clock's two mappings, the one definition of success, views.

``utc(us)`` and ``soak_seconds(us)`` map the run's clock. The view ``calls`` is ``outcomes`` with ``at_utc`` (and, as
frames have it, ``at``, which SQL takes for one of its own words unless it is quoted), ``soak_s``, ``service_us``,
``response_us``, ``succeeded`` and ``counted`` beside the recorded columns. ``readings`` are samples with soak time and
with labels by name, ``labels['tool']``; ``label(labels, name)`` does the same on ``samples``. ``invalid_windows`` are
the soak-minutes in which the generator was late or out of ports, each a lane's of a fleet, and ``valid_calls`` the
calls that do not touch one of their own lane: verdicts rest on those, so that a gateway is not blamed for its tester.

Of a call that was answered with 429, ``calls`` says ``either`` where its agent had used up the limit that is known (the
data of the run's first RATE_LIMITED event), else ``allow``: a limiter that works is no failure of the gateway's. And it
says ``either`` of a call that a quota which the plan cut may deny (:mod:`soaklib.store.cuts`).
``generator_ticks`` are the generator's looks at itself, and ``chaos_windows`` says when the plan had chaos on which
tool, or another change that it took back again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from soaklib.errors import RunError
from soaklib.records import SUCCESS_SQL
from soaklib.safety.memory import database_memory
from soaklib.store.cuts import GATE_NUMBER, IS_OF_A_CUT, IS_OF_VERSION_1, may_be_cut_sql
from soaklib.store.scratch import spill_aside

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

__all__ = ["READER_MEMORY_BYTES", "Segment", "prepare_reader", "read_segments", "soak_seconds_sql"]

_BEFORE_THE_END_S: Final = 1e-6
_LIMITED: Final = """
    create temp table used_up_limits as
    with known as (
        select (data->>'calls')::BIGINT as most, ((data->>'window_s')::DOUBLE * 1.05e6)::BIGINT as window_us
        from events where name = 'RATE_LIMITED' and data is not null order by at_us limit 1
    ),
    sent as (
        -- agents take turns: of a run that does not say who made a call, the role's are as if each had its share
        select purpose, slot, step, kind, sent_at_us, coalesce(identity, role) as agent,
               case when identity is not null then 1
                    else coalesce((select settings->>'$.agents_per_role' from run)::BIGINT, 1) end as agents
        from outcomes
        where sent_at_us is not null and exists (from known)
          and kind not in ('denied', 'unauthorized', 'invalid_request')
    ),
    counted as (
        select purpose, slot, step, kind, agents, most,
               count(*) filter (kind <> 'rate_limited') over (
                   partition by agent order by sent_at_us range between window_us preceding and current row) as let_in
        from sent cross join known
    )
    select purpose, slot, step from counted where kind = 'rate_limited' and let_in >= most * agents"""
"""The calls answered with 429 whose agent had been let in as often as it may be: those before the limit is asked
(policy, token, parameters) do not count."""
# The ticks in which the generator was late, widened to whole soak-minutes, and those in which its machine had no port
# or descriptor left for a call (without a lag).
_LAG: Final = "greatest(schedule_lag_max_us, loop_lag_max_us)"
_IS_EXHAUSTED: Final = "reason = 'sender_exhausted' and sent_at_us is not null"
_INVALID: Final = f"""
    insert into invalid_windows
    select floor(soak_seconds(start_us) / 60) * 60 as start_s, ceil(soak_seconds(end_us) / 60) * 60 as end_s,
           lag_us, lane
    from generator_ticks where lag_us > $late_us
    union all
    select distinct floor(soak_seconds(sent_at_us) / 60) * 60, floor(soak_seconds(sent_at_us) / 60 + 1) * 60,
           null, lane
    from outcomes where {_IS_EXHAUSTED}"""  # noqa: S608 - our own words
# Invalid windows are whole soak-minutes, so a call touches one if the first invalid minute from its own on is not later
# than the minute of its end. A table of that first minute makes it one look-up a call.
_NEXT_INVALID: Final = """
    create temp table next_invalid_minute as
    with invalid as (
        select distinct unnest(range((start_s / 60)::BIGINT, (end_s / 60)::BIGINT)) as minute, lane
        from invalid_windows
    )
    select minutes.minute, coalesce(lane, -1) as lane, min(invalid.minute) as invalid_minute
    from (select unnest(range(coalesce((select max(minute) + 1 from invalid), 0))) as minute) minutes
    join invalid on invalid.minute >= minutes.minute group by all"""
_JUDGED: Final = """
    select calls.*, invalid_minute is null
           or invalid_minute > floor(soak_seconds(coalesce(done_at_us, planned_at_us)) / 60) as is_valid
    from calls left join next_invalid_minute as next
      on next.minute = greatest(floor(soak_s / 60), 0)::BIGINT and next.lane = coalesce(calls.lane, -1)"""
# From the gate before it on a call may meet chaos, though its event comes when the gateway has answered. off_us is NULL
# while it is on, and where nobody lived to write down that it went off. What was taken back as a runner stopped, or as
# the next one began, that one makes once more, in an event without a key: its end is that of the last time.
# Which change a gate was before its key says. Of a run of version 1, whose gates have none and whose events have no
# columns for it, the line says that, and what it was done to.
_IS_ON: Final = "name in ('CHAOS_MODE_ON', 'CHANGE_MADE')"
_IS_CHAOS: Final = f"event_key like 'change:%' and {_IS_ON}"
# One join with the few events that bound a window: a subquery for each of its ends takes longer to plan.
_CHAOS: Final = rf"""
    insert into chaos_windows
    with windows as (
        select split_part(event_key, ':', 2)::INTEGER as number, min(at_us) as noted_us, any_value(name) as name,
               any_value(split_part(event_key, ':', 3)) as what,
               any_value(coalesce(subject, regexp_extract(detail, 'tool=(\S+)', 1))) as subject,
               any_value(coalesce(data->>'tool', nullif(regexp_extract(detail, 'tool=(\S+)', 1), ''))) as tool,
               any_value(coalesce(data->>'mode', nullif(regexp_extract(detail, 'mode=(\S+)', 1), ''))) as mode
        from events where {_IS_CHAOS}
        group by number
    ),
    made_again as (
        select number, max(at_us) as again_us
        from (select *, lead(noted_us) over (partition by name, subject order by noted_us) as next_us from windows)
        join (select name, at_us, coalesce(subject, regexp_extract(detail, 'tool=(\S+)', 1)) as subject
              from events where event_key is null and {_IS_ON}) using (name, subject)
        where at_us >= noted_us and coalesce(at_us < next_us, true)
        group by number
    ),
    bounds as (
        select at_us, detail, name = 'HEALTH_GATE_PASSED' as is_gate,
               {GATE_NUMBER} as number, {IS_OF_VERSION_1} as is_of_version_1,
               coalesce(subject, regexp_extract(detail, 'tool=(\S+)', 1)) as subject
        from events where name in ('HEALTH_GATE_PASSED', 'CHAOS_MODE_OFF', 'CHANGE_UNDONE')
    )
    select windows.number, tool, mode, coalesce(max(at_us) filter (is_gate), noted_us) as on_us,
           min(at_us) filter (not is_gate) as off_us
    from windows left join made_again on made_again.number = windows.number left join bounds
      on case when is_gate then at_us <= noted_us and (bounds.number = windows.number
                                   or is_of_version_1 and detail like 'before ' || what || ':%')
              else at_us >= coalesce(again_us, noted_us) and bounds.subject = windows.subject end
    group by windows.number, tool, mode, noted_us"""  # noqa: S608 - our own words
# What is true of few runs is asked once, so that the views of the others need not look for it in every query.
_TOLD: Final = ("name = 'RATE_LIMITED' and data is not null", _IS_CHAOS, IS_OF_A_CUT)
_ARE_TOLD: Final = f"select {', '.join(f'coalesce(bool_or({said}), false)' for said in _TOLD)} from events"  # noqa: S608 - our own words
READER_MEMORY_BYTES: Final = 640 << 20
"""How much memory DuckDB may take for the queries of a reader; what needs more goes by way of the disk. More would be
filled with pages of the file, which the system keeps anyway."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of the run in which one runner lived; soak time stands still between two of them.

    Attributes
    ----------
    segment
        0-based number.
    started_at_us, ended_at_us
        On the run's clock; the end is None while it lasts and after a crash.
    soak_started_s, soak_ended_s
        Soak time at its start and end.
    lane
        Which sender of a fleet lived in it; None where there is one sender.
    """

    segment: int
    started_at_us: int
    soak_started_s: float
    ended_at_us: int | None = None
    soak_ended_s: float | None = None
    lane: int | None = None


def soak_seconds_sql(segments: Sequence[Segment], speed: float) -> str:
    """Give SQL that maps a ``us`` on the run's clock to soak seconds, gap by gap.

    Within a segment soak time runs at `speed`; between two it stands still at the earlier one's end.

    Parameters
    ----------
    segments
        All segments of the run, at least one, in order.
    speed
        Soak seconds per wall second.

    Returns
    -------
    str
        An expression over ``us`` of type DOUBLE.
    """
    branches = []
    for segment, following in zip(reversed(segments), [None, *reversed(segments[1:])], strict=True):
        running = f"{segment.soak_started_s!r} + (us - {segment.started_at_us}) * {speed / 1e6!r}"
        if following is not None:
            running = f"least({running}, {following.soak_started_s!r})"
        branches.append((segment.started_at_us, running))
    if len(branches) == 1:
        return f"({branches[0][1]})::DOUBLE"
    whens = " ".join(f"when us >= {start} then {value}" for start, value in branches[:-1])
    return f"(case {whens} else {branches[-1][1]} end)::DOUBLE"


def prepare_reader(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the macros and the view ``calls`` to a connection that sees the run's tables."""
    run_row = connection.execute(
        "select epoch_us(anchor_utc), speed, coalesce((settings->>'$.thresholds.late_ms')::DOUBLE, 100.0), hours"
        " from run"
    ).fetchone()
    if run_row is None:
        msg = "the run has no manifest row: it ended before it began"
        raise RunError(msg)
    anchor_us, speed, late_us = int(run_row[0]), float(run_row[1]), float(run_row[2]) * 1000
    last_s = float(run_row[3]) * 3600 - _BEFORE_THE_END_S
    segments = read_segments(connection) or [Segment(segment=0, started_at_us=0, soak_started_s=0.0)]
    [(is_limited, has_chaos, has_cuts)] = connection.execute(_ARE_TOLD).fetchall()
    cut = may_be_cut_sql(connection) if has_cuts else "false"
    limited = "when (purpose, slot, step) in (from used_up_limits) then 'either'" if is_limited else ""
    statements = [
        "set timezone = 'UTC'",
        f"set memory_limit = '{database_memory(READER_MEMORY_BYTES)}'",
        f"create temp macro utc(us) as make_timestamptz({anchor_us} + us)",
        f"create temp macro soak_seconds(us) as {soak_seconds_sql(segments, speed)}",
        f"create temp macro is_success(kind, expected) as {SUCCESS_SQL['is_success']}",
        "create temp macro counts_towards_success(purpose, kind, expected, reason) as "
        + SUCCESS_SQL["counts_towards_success"],
        *([_LIMITED] if is_limited else []),
        # a chain's second call, planned as the first comes back after the end, belongs to the last window
        f"""create temp view all_calls as
           select utc(planned_at_us) as "at", utc(planned_at_us) as at_utc,
                  least(soak_seconds(planned_at_us), {last_s!r}) as soak_s,
                  *,
                  done_at_us - sent_at_us as service_us, done_at_us - planned_at_us as response_us,
                  is_success(kind, expected) as succeeded,
                  counts_towards_success(purpose, kind, expected, reason) as counted
           from (select * replace (case when kind <> 'rate_limited'
                                        then case when expected = 'allow' and ({cut})
                                             then 'either' else expected end
                                        {limited}
                                        when purpose = 'load' then 'allow' else expected end as expected)
                 from outcomes)""",  # noqa: S608 - our own numbers and quoted names
        # trials are calls that a gateway must refuse: they count in no rate and no total
        "create temp view calls as select * from all_calls where purpose <> 'trial'",
        'create temp macro label(labels, name) as list_filter(labels, lambda pair: pair."key" = name)[1]."value"',
        """create temp view readings as
           select at_us, utc(at_us) as at_utc, soak_seconds(at_us) as soak_s, metric,
                  map_from_entries(labels) as labels, "value"
           from samples""",
        # each look at the generator, with the time since the one before: a second, or as long as it stood still
        f"""create temp view generator_ticks as
           select lane,
                  coalesce(greatest(lag(at_us) over (partition by lane order by at_us),
                                    (select max(started_at_us) from segments
                                     where started_at_us <= at_us and lane is not distinct from runner_health.lane)),
                           at_us - 1000000) as start_us,
                  at_us as end_us, {_LAG} as lag_us
           from runner_health""",  # noqa: S608 - our own words
        "create temp table invalid_windows (start_s DOUBLE, end_s DOUBLE, lag_us BIGINT, lane SMALLINT)",
        "create temp table chaos_windows (number INTEGER, tool VARCHAR, mode VARCHAR, on_us BIGINT, off_us BIGINT)",
    ]
    # DuckDB draws it on standard output, under `python -c` for one. Where it is off already, a notebook without
    # ipywidgets for one, even switching it off is refused.
    if connection.execute("select current_setting('enable_progress_bar')").fetchone() == (True,):
        statements.append("set enable_progress_bar = false")
    for statement in statements:
        connection.execute(statement).fetchall()
    if has_chaos:
        connection.execute(_CHAOS).fetchall()
    if _any(connection, f"runner_health where {_LAG} > {late_us!r}") or _any(
        connection, f"outcomes where {_IS_EXHAUSTED}"
    ):
        connection.execute(_INVALID, {"late_us": late_us}).fetchall()
        connection.execute(_NEXT_INVALID).fetchall()
        judged = _JUDGED
    else:
        judged = "select *, true as is_valid from calls"
    connection.execute(f"create temp view judged_calls as {judged}").fetchall()
    connection.execute(
        "create temp view valid_calls as select * exclude (is_valid) from judged_calls where is_valid"
    ).fetchall()
    spill_aside(connection)


def _any(connection: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return connection.execute(f"select 1 from {rows} limit 1").fetchone() is not None  # noqa: S608 - our own text


def read_segments(connection: duckdb.DuckDBPyConnection) -> list[Segment]:
    """Give the run's segments in order; those of a fleet's lanes lie in them and map no time."""
    rows = connection.execute(
        "select segment, started_at_us, soak_started_s, ended_at_us, soak_ended_s, lane from segments"
        " where lane is null order by segment"
    ).fetchall()
    return [
        Segment(
            segment=int(row[0]), started_at_us=int(row[1]), soak_started_s=float(row[2]),
            ended_at_us=_optional_int(row[3]), soak_ended_s=None if row[4] is None else float(row[4]),
            lane=_optional_int(row[5]),
        )
        for row in rows
    ]  # fmt: skip


def _optional_int(value: Any) -> int | None:
    return None if value is None else int(value)
