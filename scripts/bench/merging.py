"""Seconds and peak memory of a merge of lanes of any size: ``merging.py FOLDER --rows 100000000 --lanes 4``."""

from __future__ import annotations

import argparse
import datetime as dt
import multiprocessing
import resource
import time
from pathlib import Path

import duckdb

from soaklib.fleet.job import LaneJob, lane_folder
from soaklib.fleet.lane_run import begin_or_resume
from soaklib.fleet.lanes import Lane
from soaklib.fleet.merge import merge
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.store.tables import DATABASE_NAME

_SLOTS_AT_ONCE = 4_000_000
_ANCHOR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def main() -> None:
    """Make lanes, merge them, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--lanes", type=int, default=4)
    options = parser.parse_args()
    settings = load_settings(["--gateway-url", "http://127.0.0.1:1"])
    job = LaneJob(
        run_id="bench", anchor_utc=_ANCHOR, lanes=options.lanes, start_us=0, target="http://127.0.0.1:1",
        settings=settings.model_dump(mode="json"), plan=load_plan(),
    )  # fmt: skip
    lanes = [Lane(number, options.lanes) for number in range(options.lanes)]
    with multiprocessing.get_context("spawn").Pool(1) as apart:  # so that the memory that is told is the merge's
        paths = apart.starmap(_make, [(job, lane, options.folder, options.rows) for lane in lanes])
    made = options.folder / "merged"
    made.mkdir()
    before, cpu_before_s = time.perf_counter(), time.process_time()
    merge(made, paths)
    seconds, cpu_s = time.perf_counter() - before, time.process_time() - cpu_before_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = (made / DATABASE_NAME).stat().st_size / options.rows
    what = f"{options.rows:,} rows of {options.lanes} lanes"
    print(f"{what}: {seconds:.1f} s, {cpu_s:.1f} s of CPU, {peak:.0f} MiB at most, {size:.1f} bytes a row")


def _make(job: LaneJob, lane: Lane, folder: Path, rows: int) -> Path:
    """Make a lane's database, its rows all but in the order in which calls end."""
    home = lane_folder(folder, lane.number)
    home.mkdir(parents=True)
    begin_or_resume(job, lane, home)
    with duckdb.connect(str(home / DATABASE_NAME), config={"memory_limit": "1GB"}) as connection:
        for first in range(0, rows, _SLOTS_AT_ONCE):  # what is sorted at once is sorted in memory
            connection.execute(
                """insert into outcomes by name
                   select 'load' as purpose, n as slot, 0 as step, 'scraper' as role, 'serpapi' as tool,
                          'search' as "action", n * 1000 as planned_at_us, n * 1000 + 40 as sent_at_us,
                          n * 1000 + 40 + (hash(n) % 200000)::BIGINT as done_at_us, 200 as status, 'ok' as kind,
                          'allow' as expected, 1 as attempts, 3 as token_generation,
                          substr(md5(n::VARCHAR), 1, 32) as correlation_id, 'baseline' as phase, $lane as lane,
                          'bench-lane' || $lane || '-scraper-0' as identity, done_at_us - 60 as first_byte_at_us
                   from range($first, $end, $of) as t(n) order by done_at_us""",
                {
                    "lane": lane.number, "of": lane.of, "end": min(first + _SLOTS_AT_ONCE, rows),
                    "first": lane.first_from(first),
                },
            ).fetchall()  # fmt: skip
    return home / DATABASE_NAME


if __name__ == "__main__":
    main()
