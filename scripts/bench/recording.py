"""What recording costs over a long run: memory, commit times, and what a reader of the live run costs the writer.

    .venv/bin/python scripts/bench/recording.py [--rows 10000000]

Rows are appended as the recorder's process does, in batches as at 4,000 calls a second, but as fast as they go.
Printed are resident memory at the start and the end, commit times without and with a reader that looks all the time,
the size of a row, and how long the first look and a later one take at that size.
"""

import argparse
import datetime as dt
import tempfile
import threading
import time
from pathlib import Path

import psutil

from soaklib.store.live import Publisher, open_live
from soaklib.store.lock import RunLock
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import Manifest, RunWriter, segment_row

BATCH_ROWS = 400
SETTLED_ROWS = 400_000
CALLS = [("scraper", "serpapi", "search")] * 6 + [("enricher", "openai", "chat")] * 4
MIB = 1 << 20


def rows(start, count):
    """Give outcomes as a steady load makes them."""
    made = []
    for slot in range(start, start + count):
        at_us = slot * 250 + (slot * 7919) % 97
        sent_us = at_us + (slot * 31) % 900
        call = CALLS[slot % len(CALLS)]
        correlation_id = f"req_{1795508424284 + at_us // 1000}_{(slot * 2654435761) % 36**9:09x}"[:27]
        made.append(
            ("load", slot, 0, *call, at_us, sent_us, sent_us + 500 + (slot * 104729) % 4000, 200, "ok", "allow", None,
             1, slot // 3_600_000, correlation_id, "baseline")
        )  # fmt: skip
    return made


def quantiles(times):
    """Word the commit times."""
    times = sorted(times)
    p50, p99, most = times[len(times) // 2], times[int(len(times) * 0.99)], times[-1]
    return f"p50 {p50 * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms, max {most * 1000:.1f} ms"


def main():
    """Append, look, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with RunLock(folder):
            writer = RunWriter(folder / DATABASE_NAME)
            writer.begin_run(
                Manifest(
                    run_id="bench", soaklib_version="0", anchor_utc=dt.datetime.now(dt.UTC), speed=1.0, rps=4000,
                    hours=1, seed=1, target="", embedded=True, settings="{}", plan="{}", environment="{}",
                )
            )  # fmt: skip
            begun = Segment(segment=0, started_at_us=0, soak_started_s=0.0)
            writer.append({"segments": [segment_row(begun, runner_pid=1)]})
            publisher = Publisher(folder, writer.cursor, warn=print)
            publisher.start()
            written, times, resident = 0, [], 0
            while written < options.rows:
                batch = rows(written, BATCH_ROWS)
                started = time.perf_counter()
                written += writer.append({"outcomes": batch})
                times.append(time.perf_counter() - started)
                if written == SETTLED_ROWS:
                    resident = process.memory_info().rss
            grown = (process.memory_info().rss - resident) / MIB
            print(f"{written} rows: resident memory grew by {grown:.1f} MiB since row {SETTLED_ROWS}")
            print(f"without a reader: commits {quantiles(times)}")

            looks, stop = [], threading.Event()

            def look():
                while not stop.is_set():
                    started = time.perf_counter()
                    connection = open_live(folder)
                    connection.close()
                    looks.append(time.perf_counter() - started)

            reader = threading.Thread(target=look)
            reader.start()
            times, ends = [], time.perf_counter() + 30
            while time.perf_counter() < ends:
                batch = rows(written, BATCH_ROWS)
                started = time.perf_counter()
                written += writer.append({"outcomes": batch})
                times.append(time.perf_counter() - started)
                time.sleep(0.1)  # as the recorder is fed
            stop.set()
            reader.join()
            publisher.stop()
            print(f"with a reader that looks all the time: commits {quantiles(times)}")
            print(
                f"the first look took {looks[0]:.2f} s, later ones at most {max(looks[1:]):.2f} s ({len(looks)} looks)"
            )
            writer.close()
        print(f"{(folder / DATABASE_NAME).stat().st_size / written:.1f} bytes a row")


if __name__ == "__main__":
    main()
