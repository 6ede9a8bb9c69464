"""What open pages of `soaklib watch` cost a runner: schedule lag and CPU a call with and without them, in one run.

    .venv/bin/python scripts/bench/watching.py [--pages 5] [--rps 500] [--blocks 8] [--block-seconds 15]

A rehearsal runs against the reference gateway; blocks with no page open and blocks with all pages open follow one
another, so that whatever else the machine does meets both alike. Each page asks as the browser's does: for its data,
and again a second after it came. The first second after each switch is left out.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import psutil

import soaklib

_PAUSE_S = 1.0
_SETTLE_S = 1.0
_GATEWAY = "soaklib.gateway"


class Page(threading.Thread):
    """An open page: asks for the newest data until it is closed."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.asked, self.closed = url, 0, threading.Event()

    def run(self):
        """Ask again and again."""
        while not self.closed.is_set():
            with urllib.request.urlopen(f"{self.url}data.json", timeout=60) as answer:  # noqa: S310 - our own server
                answer.read()
            self.asked += 1
            self.closed.wait(_PAUSE_S)


def cpu_s(runner):
    """Give the CPU seconds of a runner and of what it started for itself: the gateway under load is not its own."""
    own = [runner, *(child for child in runner.children() if _GATEWAY not in " ".join(child.cmdline()))]
    return sum(sum(process.cpu_times()[:2]) for process in own)


def started_run(out, seconds, rps):
    """Start a rehearsal of so many wall seconds; give its process and its folder once it has begun to send."""
    speed = 720
    run = subprocess.Popen(
        [sys.executable, "-m", "soaklib.run", "--speed", str(speed), "--rps", str(rps / speed), "--hours",
         str(seconds * speed / 3600), "--out", str(out), "--no-report", "--yes"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (found := [path.parent for path in out.glob("*/run.duckdb")]) or sent_until_now(found[0]) == 0:
        if run.poll() is not None:
            sys.exit(f"the run ended at once, with code {run.returncode}")
        time.sleep(1)
    return run, found[0]


def sent_until_now(folder):
    """Give how many calls a run has sent, 0 where nothing can be seen of it yet."""
    try:
        with soaklib.open_run(folder) as run:
            return run.sql("select count(sent_at_us) as n from outcomes")["n"].item()
    except soaklib.SoaklibError:
        return 0


def main():
    """Run the blocks and print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--rps", type=float, default=500.0, help="calls a wall second, about")
    parser.add_argument("--blocks", type=int, default=8, help="half of them with the pages open")
    parser.add_argument("--block-seconds", type=float, default=15.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        run, folder = started_run(Path(out), options.blocks * options.block_seconds + 15, options.rps)
        watch = subprocess.Popen(
            [sys.executable, "-m", "soaklib", "watch", str(folder)], stdout=subprocess.PIPE, text=True
        )
        try:
            url = next(word for line in watch.stdout for word in line.split() if word.startswith("http://"))
            runner, blocks = psutil.Process(run.pid), []
            for number in range(options.blocks):
                pages = [Page(url) for _ in range(options.pages if number % 2 else 0)]
                for page in pages:
                    page.start()
                time.sleep(_SETTLE_S)
                begun, used = time.time(), cpu_s(runner)
                time.sleep(options.block_seconds - _SETTLE_S)
                blocks.append(
                    (bool(pages), begun, time.time(), cpu_s(runner) - used, sum(page.asked for page in pages))
                )
                for page in pages:
                    page.closed.set()
            run.wait()
        finally:
            watch.terminate()
            watch.wait()
            if run.poll() is None:
                run.terminate()
                run.wait()
        with soaklib.open_run(folder) as done:
            report(done, blocks)


def report(run, blocks):
    """Print a line a block, and the medians with and without pages."""
    anchor = run.info.started_utc.timestamp()
    found = {False: [], True: []}
    for is_open, begun, ended, used, asked in blocks:
        first_us, last_us = ((moment - anchor) * 1e6 for moment in (begun, ended))
        calls, lag_ms = run.sql(
            f"""select count(*), quantile_cont(sent_at_us - planned_at_us, 0.99) / 1000 from outcomes
                where step = 0 and purpose = 'load' and sent_at_us between {first_us} and {last_us}"""  # noqa: S608 - numbers
        ).row(0)
        sent = f"sent_at_us between {first_us} and {last_us}"
        all_calls = run.sql(f"select count(*) as n from outcomes where {sent}")  # noqa: S608 - numbers
        a_call_us = 1e6 * used / max(1, all_calls["n"].item())
        found[is_open].append((lag_ms, a_call_us))
        what = f"{asked:4} looks" if is_open else "no page   "
        print(f"{what}: {calls:6} slots, lag p99 {lag_ms:7.2f} ms, {a_call_us:6.1f} us of CPU a call")
    for is_open, told in found.items():
        lags, costs = (sorted(values) for values in zip(*told, strict=True))
        middle = len(told) // 2
        what = "with" if is_open else "without"
        print(f"{what} pages, median: lag p99 {lags[middle]:.2f} ms, {costs[middle]:.1f} us of CPU a call")


if __name__ == "__main__":
    main()
