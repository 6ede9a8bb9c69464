"""Make the folder of a finished run of any size, without sending a call: data to try the analysis on.

    .venv/bin/python scripts/bench/bigrun.py FOLDER [--rps 10 | --rows 86000000] [--hours 24] [--seed 1] [--no-judge]

The run has the shape of the default plan at speed 1 with the embedded gateway: operations by their shares, probes,
chaos with its breaker, the quota cut, some upstream errors and timeouts; service times with a long tail. All rows are
made by SQL inside DuckDB, one soak-hour at a time, and the same seed gives the same rows. The counters are counted from
the rows, so that the books balance. At the end the run is judged, as `run` does, unless `--no-judge` says otherwise.
"""

# ruff: noqa: S608 - the queries are made of our own numbers and of names of the plan

import argparse
import datetime as dt
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import duckdb

from soaklib.evidence.judging import judge_folder
from soaklib.plan.changes import ChaosChange, CredentialsChange, PolicyChange
from soaklib.plan.model import load_plan
from soaklib.plan.settings import SoakSettings
from soaklib.records import RunStatus
from soaklib.runner.events import EVENTS_SQL, write_event_log
from soaklib.store.names import EVENT_LOG_NAME
from soaklib.store.tables import DATABASE_NAME, defined_columns, tables_of
from soaklib.store.views import Segment
from soaklib.store.writer import Manifest, RunWriter, segment_row

ANCHOR = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
START_US = 300_000
SCRAPE_US = 3_000  # when in its minute a scrape ends
SCRAPE_TAKES_US = 2_000
DRAIN_US = 5_000_000
MEDIAN_US = {"serpapi": 21_000, "http_fetch": 12_000, "openai": 42_000, "gmail_send": 15_000}
BUCKETS_MS = (25, 50, 100, 200, 400, 800, 1600, 3200, 6400)
GIB = 1 << 30
SECOND_US = 1_000_000
HOUR_S = 3600
FILLED = {table: ", ".join(name for name, _ in defined_columns(columns)) for table, columns in tables_of(1).items()}


def parsed():
    """Give the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--rps", type=float, default=10.0, help="slots a second")
    size.add_argument("--rows", type=int, help="planned calls, in place of --rps")
    parser.add_argument("--hours", type=int, default=24, help="whole soak-hours")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-judge", dest="judge", action="store_false", help="leave verdicts and summary out")
    return parser.parse_args()


class BigRun:
    """A run that is made up: its plan, its clock, and the statements that fill its tables."""

    def __init__(self, folder, *, rps, hours, seed):
        self.folder, self.rps, self.hours, self.seed = folder, rps, hours, seed
        self.plan = load_plan(None)
        self.soak_s = hours * HOUR_S
        self.slots = round(rps * self.soak_s)
        self.end_us = START_US + self.soak_s * SECOND_US
        self.last_us = self.end_us + DRAIN_US
        self.scrapes = self.soak_s // round(self.plan.intervals.scrape_s)

    def make(self):
        """Make everything but the verdicts."""
        self.folder.mkdir(parents=True)
        path = self.folder / DATABASE_NAME
        writer = RunWriter(path)
        writer.begin_run(self.manifest())
        segment = Segment(
            segment=0, started_at_us=START_US, soak_started_s=0.0, ended_at_us=self.end_us,
            soak_ended_s=float(self.soak_s),
        )  # fmt: skip
        writer.append({"segments": [segment_row(segment, runner_pid=os.getpid())]})
        writer.close()
        limits = {"memory_limit": "2GB", "temp_directory": str(self.folder / ".tmp")}
        with duckdb.connect(str(path), config=limits) as con:
            con.execute("set timezone = 'UTC'").fetchall()
            con.execute("create temp macro u(key) as ((hash(key) >> 11) + 0.5) / pow(2, 53)").fetchall()
            self.outcomes(con)
            self.tallies(con)
            self.scraped(con)
            self.generator_health(con)
            snapshots = self.snapshots(con)
            con.executemany(
                f"insert into events ({FILLED['events']}) values (?, ?, ?, ?)", sorted(self.events(con, snapshots))
            )
            con.execute("checkpoint").fetchall()
        writer = RunWriter(path)
        write_event_log(self.folder / EVENT_LOG_NAME, ANCHOR, writer.read(EVENTS_SQL))
        completed = ANCHOR + dt.timedelta(microseconds=self.last_us)
        writer.end_run(RunStatus.COMPLETED, completed_utc=completed, duration_s=float(self.soak_s))
        writer.close()

    def manifest(self):
        """Give the run's manifest."""
        settings = SoakSettings.model_validate(
            {"rps": self.rps, "hours": self.hours, "speed": 1.0, "seed": self.seed, "out": str(self.folder.parent)}
        )
        environment = {
            "host": platform.node(), "platform": platform.platform(), "python": platform.python_version(),
            "cpus": os.cpu_count(), "packages": {"duckdb": version("duckdb")},
        }  # fmt: skip
        return Manifest(
            run_id=self.folder.name, soaklib_version=version("soaklib"), anchor_utc=ANCHOR, speed=1.0, rps=self.rps,
            hours=float(self.hours), seed=self.seed, target="http://127.0.0.1:1", embedded=True,
            settings=settings.public_json(), plan=self.plan.model_dump_json(), environment=json.dumps(environment),
        )  # fmt: skip

    def change(self, kind):
        """Give the plan's change of a kind with its number and the soak seconds at which it begins and ends."""
        number, change = next((n, c) for n, c in enumerate(self.plan.changes) if isinstance(c, kind))
        begins_s = change.at * self.soak_s
        return number, change, begins_s, begins_s + getattr(change, "lasts", 0) * self.soak_s

    def steps(self):
        """Give the rows that say what each step of each operation calls."""
        rows = []
        for number, operation in enumerate(self.plan.operations):
            for step, call in enumerate(operation.steps):
                before = MEDIAN_US[operation.steps[0].tool] if step else 0
                rows.append(
                    f"({number}, {step}, '{operation.role}', '{call.tool}', '{call.action}', {MEDIAN_US[call.tool]}, "
                    f"{before})"
                )
        return ", ".join(rows)

    def outcomes(self, con):
        """Fill `outcomes`, one soak-hour at a time, so that memory stays bounded."""
        _, chaos, on_s, off_s = self.change(ChaosChange)
        _, cut, cut_s, _ = self.change(PolicyChange)
        shares, chooses = 0.0, ""
        for number, operation in enumerate(self.plan.operations[:-1]):
            shares += operation.share
            chooses += f"when u(slot * 8) < {shares!r} then {number} "
        chooses = f"case {chooses}else {len(self.plan.operations) - 1} end"
        phases = "'baseline'"
        for change in self.plan.changes:
            phases = f"case when soak_s >= {change.at * self.soak_s!r} then '{change.phase}' else {phases} end"
            if isinstance(change, ChaosChange):
                after_s = (change.at + change.lasts) * self.soak_s
                phases = f"case when soak_s >= {after_s!r} then '{change.phase_after}' else {phases} end"
        probe = self.plan.probes[0]
        lifetime_s = self.plan.intervals.rotate_tokens_s
        con.execute(f"""
            create temp table steps as
            select * from (values {self.steps()}) as t(op, step, role, tool, action, median_us, before_us)
            """).fetchall()
        # a log-logistic time: the median times (u / (1 - u)) ** 0.25; its 99th percentile is 3.2 medians
        con.execute("""create temp macro taken(key, median_us) as
            (median_us * pow(u(key) / (1 - u(key)), 0.25))::BIGINT + 300""").fetchall()
        for hour in range(self.hours):
            first, last = (round(self.rps * HOUR_S * h) for h in (hour, hour + 1))
            con.execute(f"""
                insert into outcomes ({FILLED["outcomes"]})
                with planned as (
                    select 'load' as purpose, slot, steps.step::SMALLINT as step, role, tool, action,
                           hash(slot * 8 + steps.step, {self.seed}) as key, 'allow' as expected,
                           ({START_US} + slot * {SECOND_US / self.rps!r})::BIGINT as due_us, median_us, before_us
                    from (select range as slot, {chooses} as op from range({first}, {last})) join steps using (op)
                    union all
                    select 'probe', range, 0, '{probe.role}', '{probe.tool}', '{probe.action}',
                           hash(range, {self.seed}, 'probe'), 'deny',
                           {START_US} + range * {round(probe.every_s * SECOND_US)}, {MEDIAN_US[probe.tool]} // 4, 0
                    from range({hour * HOUR_S} // {round(probe.every_s)},
                               {(hour + 1) * HOUR_S} // {round(probe.every_s)})
                ),
                timed as (
                    select *, if(before_us = 0, due_us, due_us + 50 + (hash(slot * 8, {self.seed}) % 900)::BIGINT
                              + taken(hash(slot * 8, {self.seed}), before_us)) as planned_us from planned
                ),
                placed as (
                    select *, (planned_us - {START_US}) / 1e6 as soak_s,
                           planned_us + 50 + (key % 900)::BIGINT as sent_us,
                           taken(key, median_us) as taken_us, u(key + 1) as luck from timed
                ),
                judged as (
                    select *,
                        case when expected = 'deny' then 'scope'
                             when tool = '{chaos.tool}' and soak_s >= {on_s!r} and soak_s < {off_s!r}
                                then case when floor(soak_s / 40)::INTEGER % 2 = 1 then 'breaker_open'
                                          when luck < {chaos.pct / 100!r} then 'chaos' end
                             when soak_s >= {cut_s!r} and tool || ':' || action = '{cut.action}'
                                  and soak_s % {HOUR_S} >= {HOUR_S * 0.49!r} then 'quota'
                             when luck > 1 - 5e-5 and tool <> '{chaos.tool}' then 'upstream'
                             when luck < 1e-5 then 'read_timeout' end as reason
                    from placed
                )
                select purpose, slot, step, role, tool, action, planned_us, sent_us,
                       sent_us + case when reason = 'read_timeout' then 30000000
                                      when reason in ('scope', 'quota', 'breaker_open') then taken_us // 20
                                      else taken_us end as done_us,
                       case when reason is null then 200 when reason in ('scope', 'quota') then 403
                            when reason <> 'read_timeout' then 502 end,
                       case when reason is null then 'ok' when reason in ('scope', 'quota') then 'denied'
                            when reason = 'breaker_open' then 'fast_fail' when reason = 'read_timeout' then 'timeout'
                            else 'upstream_error' end,
                       expected, reason, 1, floor(soak_s / {lifetime_s!r})::INTEGER,
                       if(reason = 'read_timeout', null,
                          'req_' || ({round(ANCHOR.timestamp() * 1000)} + sent_us // 1000) || '_'
                          || lower(to_base((key % {36**9})::BIGINT, 36, 9))),
                       {phases}
                from judged""").fetchall()

    def tallies(self, con):
        """Count answers by the scrape that is the first to see them."""
        first_us = START_US + SCRAPE_US - SCRAPE_TAKES_US
        les = " ".join(f"when ms <= {le} then {le}" for le in BUCKETS_MS)
        con.execute(f"""
            create temp table tallies as
            select least(greatest(ceil((done_at_us - {first_us}) / {60 * SECOND_US}), 0), {self.scrapes})::INTEGER
                       as scrape,
                   tool, action, kind, reason, status, case {les} else 'infinity'::DOUBLE end as le,
                   count(*) as n, sum(ms) as sum_ms
            from (select *, (done_at_us - sent_at_us) / 1000 as ms from outcomes) where status is not null
            group by all""").fetchall()

    def scraped(self, con):
        """Fill `samples` and `scrapes`: a scrape a minute, with counters as they stood just before it."""
        _, chaos, on_s, off_s = self.change(ChaosChange)
        minute_us = 60 * SECOND_US
        con.execute(f"""
            create temp table scraped as
            select range::INTEGER as scrape, if(range = {self.scrapes}, {self.last_us},
                   {START_US} + range * {minute_us} + {SCRAPE_US}) as at_us, (at_us - {START_US}) / 1e6 as soak_s,
                   soak_s >= {on_s!r} and soak_s < {off_s!r} and floor(soak_s / 40)::INTEGER % 2 = 1 as is_open
            from range({self.scrapes + 1})""").fetchall()
        tool, action, code = ("{'key': 'tool', 'value': tool}", "{'key': 'action', 'value': action}",
                              "{'key': 'code', 'value': status::VARCHAR}")  # fmt: skip
        edges = ", ".join(f"({le}, '{le}.0')" for le in BUCKETS_MS) + ", ('infinity'::DOUBLE, '+Inf')"
        counters = f"""
            select scrape, 'gateway_requests_total' as metric, [{action}, {code}, {tool}] as labels, n::DOUBLE as n
                from tallies where status in (200, 502)
            union all select scrape, 'gateway_request_duration_ms_count', [{action}, {tool}], n
                from tallies where status in (200, 502)
            union all select scrape, 'gateway_request_duration_ms_sum', [{action}, {tool}], sum_ms
                from tallies where status in (200, 502)
            union all select scrape, 'gateway_request_duration_ms_bucket',
                [{action}, {{'key': 'le', 'value': edge}}, {tool}], n
                from tallies, (values {edges}) as edges(most, edge)
                where status in (200, 502) and le <= most
            union all select scrape, 'gateway_policy_denials_total', [{{'key': 'kind', 'value': reason}}], n
                from tallies where kind = 'denied'
            union all select scrape, 'gateway_breaker_fastfail_total', [{tool}], n from tallies where kind = 'fast_fail'
            union all select scrape, 'gateway_token_validations_total', [], n from tallies"""
        agents = len(self.plan.roles)
        rotation_s = self.plan.intervals.rotate_tokens_s
        gauges = f"""
            select at_us, 'gateway_breaker_state' as metric, [{tool}] as labels,
                if(is_open and tool = '{chaos.tool}', 2, 0)::DOUBLE as value
                from scraped, (select distinct tool from steps)
            union all select at_us, 'gateway_token_generations_total', [],
                {agents} * (1 + least(floor(soak_s / {rotation_s!r}), {self.soak_s / rotation_s - 1!r})) from scraped
            union all select at_us, 'gateway_process_start_time_seconds', [], {ANCHOR.timestamp()!r} from scraped
            union all select at_us, 'process_start_time_seconds', [], {ANCHOR.timestamp()!r} from scraped
            union all select at_us, 'process_cpu_seconds_total', [], soak_s * 0.05 from scraped
            union all select at_us, 'process_open_fds', [], 30 + (hash(scrape) % 8)::INTEGER from scraped
            union all select at_us, 'process_resident_memory_bytes', [], 64e6 + (hash(scrape, 1) % 4000000)::INTEGER
                from scraped
            union all select at_us, 'health_memory_used_bytes', [], 42e6 + (hash(scrape, 2) % 4000000)::INTEGER
                from scraped"""
        con.execute(f"""
            insert into samples
            with counted as (select scrape, metric, labels, sum(n) as n from ({counters}) group by all),
            known as (select distinct metric, labels from counted)
            select at_us, metric, labels, value from (
                select at_us, metric, labels,
                       sum(coalesce(n, 0)) over (partition by metric, labels order by scrape) as value
                from scraped cross join known left join counted using (scrape, metric, labels)
                union all {gauges})
            order by at_us, metric, labels""").fetchall()
        con.execute(f"""
            insert into scrapes
            select at_us, 'metrics', 200, true, {SCRAPE_TAKES_US}, 9600, null from scraped
            union all select at_us + 1000, 'health', 200, true, 1500, 192, null from scraped
            union all select at_us + 2000, 'ready', if(is_open, 503, 200), not is_open, 1200, 304,
                if(is_open, 'breaker open: openai', null) from scraped""").fetchall()

    def generator_health(self, con):
        """Fill `runner_health`, a row a second."""
        con.execute(f"""
            insert into runner_health ({FILLED["runner_health"]})
            with seconds as (select range as second from range({self.soak_s})),
            planned as (select (planned_at_us - {START_US}) // {SECOND_US} as second, count(*) as n
                        from outcomes group by all),
            done as (select (done_at_us - {START_US}) // {SECOND_US} as second, count(*) as n
                     from outcomes group by all)
            select {START_US} + (second + 1) * {SECOND_US}, coalesce(planned.n, 0), coalesce(planned.n, 0),
                   coalesce(done.n, 0),
                   greatest(sum(coalesce(planned.n, 0) - coalesce(done.n, 0)) over (order by second), 0),
                   coalesce(done.n, 0) // 10, 900 + (hash(second) % 3000)::BIGINT,
                   200 + (hash(second, 1) % 2000)::BIGINT,
                   500, 140000000 + (hash(second, 2) % 2000000)::BIGINT, second * 0.2, 40, 80 * {GIB}::BIGINT, 0
            from seconds left join planned using (second) left join done using (second) order by second
            """).fetchall()

    def snapshots(self, con):
        """Write each hour's /metrics and the final one as files; give number, time and size of each."""
        every = round(self.plan.intervals.snapshot_s) // 60
        written = []
        for scrape in [*range(0, self.scrapes, every), self.scrapes]:
            rows = con.execute(
                """
                select metric, list_transform(labels, lambda pair: pair."key" || '="' || pair."value" || '"'), value,
                       at_us
                from samples join scraped using (at_us)
                where scrape = ? and not starts_with(metric, 'health_') order by metric, labels""",
                [scrape],
            ).fetchall()
            number = "final" if scrape == self.scrapes else str(scrape // every)
            text, last = "", ""
            for metric, labels, value, _ in rows:
                family, kind = _family(metric)
                if family != last:
                    text, last = f"{text}# TYPE {family} {kind}\n", family
                text += f"{metric}{'{' + ','.join(labels) + '}' if labels else ''} {value!r}\n"
            (self.folder / f"soak-{number if number == 'final' else 'h' + number}.prom").write_text(text, "utf-8")
            written.append((number, rows[0][3], len(text)))
        return written

    def events(self, con, snapshots):
        """Give the rows of `events`."""

        def at(soak_s):
            return START_US + round(soak_s * SECOND_US)

        yield START_US - 50_000, "AGENTS_CREATED", "1 each for scraper, enricher, engager", None
        yield START_US - 40_000, "POLICIES_CREATED", "scraper=1 enricher=2 engager=3", None
        yield START_US, "SOAK_TEST_STARTED", f"run={self.folder.name} rps={self.rps:g} slots={self.slots}", None
        interval_s = self.plan.intervals.rotate_tokens_s
        for number in range(1, round(self.soak_s / interval_s)):
            detail = f"generation={number} agents=3 took_ms=5.0"
            yield at(number * interval_s), "TOKENS_ROTATED", detail, f"rotation:{number}"
        for number, at_us, size in snapshots:
            name = f"soak-{'final' if number == 'final' else 'h' + number}.prom"
            yield at_us + 1, "METRICS_SNAPSHOT", f"{name} {size} bytes", f"snapshot:{number}"
        number, change, begins_s, _ = self.change(CredentialsChange)
        key = f"change:{number}:{change.do}"
        yield at(begins_s), "CREDENTIALS_ROTATED_SUCCESSFULLY", f"tool={change.tool} version=1 id=1", key
        number, change, begins_s, ends_s = self.change(ChaosChange)
        key = f"change:{number}:{change.do}"
        yield at(begins_s), "CHAOS_MODE_ON", f"tool={change.tool} mode={change.mode} pct={change.pct}", key
        yield at(ends_s), "CHAOS_MODE_OFF", f"tool={change.tool}", f"{key}:off"
        number, change, begins_s, _ = self.change(PolicyChange)
        planned = self.plan.planned_calls(change.role, change.action, rps=self.rps, seconds=HOUR_S)
        detail = f"role={change.role} action={change.action} limit={round(planned * change.planned_ratio)} window=1h"
        yield at(begins_s), "POLICY_UPDATED_OPENAI_QUOTA_REDUCED", detail, f"change:{number}:{change.do}"
        yield self.last_us + 2, "POLICIES_REMOVED", "scraper enricher engager", None
        kinds = con.execute("select kind, count(*) from outcomes group by kind order by kind").fetchall()
        yield self.last_us + 3, "SOAK_TEST_COMPLETED", " ".join(f"{kind}={n}" for kind, n in kinds), None


def _family(metric):
    """Give a sample's family and its type, told by its suffix."""
    for suffix in ("_bucket", "_count", "_sum"):
        if metric.endswith(suffix):
            return metric.removesuffix(suffix), "histogram"
    return metric, "counter" if metric.endswith("_total") else "gauge"


def main():
    """Make the run."""
    options = parsed()
    if options.folder.exists():
        sys.exit(f"{options.folder} exists already; pass a new folder")
    plan = load_plan(None)
    seconds = options.hours * HOUR_S
    rps = options.rps
    if options.rows is not None:
        probes = sum(seconds // round(probe.every_s) for probe in plan.probes)
        rps = (options.rows - probes) / plan.calls_per_slot / seconds
    started = time.perf_counter()
    BigRun(options.folder.resolve(), rps=rps, hours=options.hours, seed=options.seed).make()
    print(f"made in {time.perf_counter() - started:.1f} s", file=sys.stderr)
    if options.judge:
        started = time.perf_counter()
        judge_folder(options.folder)
        print(f"judged in {time.perf_counter() - started:.1f} s", file=sys.stderr)
    print(options.folder.resolve())


if __name__ == "__main__":
    main()
