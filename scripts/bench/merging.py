"""Seconds and peak memory of a merge of lanes of any size: ``merging.py FOLDER --rows 100000000 --lanes 4``."""

from __future__ import annotations

import argparse
import datetime as dt
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
    paths = [_make(job, lane, options.folder, options.rows) for lane in lanes]
    made = options.folder / "merged"
    made.mkdir()
    before = time.perf_counter()
    merge(made, paths)
    seconds = time.perf_counter() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = (made / DATABASE_NAME).stat().st_size / options.rows
    what = f"{options.rows:,} rows of {options.lanes} lanes"
    print(f"{what}: {seconds:.1f} s, {peak:.0f} MiB at most, {size:.1f} bytes a row")


def _make(job: LaneJob, lane: Lane, folder: Path, rows: int) -> Path:
    """Make a lane's database, its rows in the order in which calls end."""
    home = lane_folder(folder, lane.number)
    home.mkdir(parents=True)
    begin_or_resume(job, lane, home)
    with duckdb.connect(str(home / DATABASE_NAME), config={"memory_limit": "1GB"}) as connection:
        connection.execute(
            """insert into outcomes
               select 'load', n, 0, 'scraper', 'serpapi', 'search', n * 1000, n * 1000 + 40,
                      n * 1000 + 40 + (hash(n) % 200000)::BIGINT, 200, 'ok', 'allow', null, 1, 3, 'req_' || n,
                      'baseline', $lane, null, null, null, null, null, null, null, null
               from range($lane, $rows, $of) as t(n)""",
            {"lane": lane.number, "rows": rows, "of": lane.of},
        ).fetchall()
    return home / DATABASE_NAME


if __name__ == "__main__":
    main()
