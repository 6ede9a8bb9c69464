"""How much one runner can send and record, and what recording and being scraped cost: ratios within one run.

    .venv/bin/python scripts/bench/generator.py [--rps 4000] [--seconds 60] [--peer]
    .venv/bin/python scripts/bench/generator.py --lanes 4 [--rounds 5]

Four legs against the same fast local server on the other core: without recording, with it, with it and its own metrics
scraped every second, without again. Printed are schedule lag, CPU a call (runner and recorder), the share of CPU time
that recording and scraping add, and bytes a row. With `--peer` there is a leg of hey (Debian package hey), which sends
as many calls a second and writes each to a table of CSV: what a call takes of the processor there, in the same run. Its
calls have no planned time, so that it has no schedule lag to be compared.

With `--lanes` the legs are those of one runner and of one lane of so many, each at the same calls a second, in turn:
single, lane, lane, single, round after round. Printed is what a call of a lane takes of the processor against one of a
single runner, round by round: other work on the machine, and its clock rate, are in both.
"""

import argparse
import asyncio
import datetime as dt
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace

import duckdb
import psutil
import uvloop

from soaklib.fleet.lanes import Lane
from soaklib.fleet.report import LaneReport
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.plan.pacer import Pacer
from soaklib.plan.workload import Workload
from soaklib.records import Outcome
from soaklib.runner.client import Client
from soaklib.runner.clock import RunClock, SoakClock
from soaklib.runner.garbage import settle_garbage
from soaklib.runner.load import Load, Schedule
from soaklib.runner.metrics_server import MetricsServer, listen_for_scrapes
from soaklib.runner.recorder import Recorder
from soaklib.runner.timeslice import ask_for_short_slices
from soaklib.runner.vitals import Vitals
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import Manifest, RunWriter
from soaklib.targets.base import Identity
from soaklib.targets.fourrunr.target import FourRunrTarget


class OneToken:
    """A pool of one token."""

    def take(self, role):
        """Give it."""
        return Identity(role, role, "TOKEN" * 60)


class Silent:
    """Takes events and forgets them."""

    def write(self, name, detail="", *, key=None):
        """Forget an event."""
        del name, detail, key


PEER_WORKERS = 100
PEER_BODY = json.dumps({"tool": "openai", "action": "chat", "input": {"prompt": "word " * 12}})
SCRAPE_EVERY_SECOND = """
import sys, time, urllib.request
while True:
    urllib.request.urlopen(sys.argv[1]).read()
    time.sleep(1)
"""


async def tell(lane, load, vitals):
    """Tell how a lane does, as a sender does to its conductor."""
    while True:
        await asyncio.sleep(1)  # what is measured is real time
        sender = SimpleNamespace(vitals=vitals, lane=lane, has_sent=False, slots_passed=load.next_slot)
        LaneReport.of(sender).line()


def cpu_seconds(whose):
    """Give the CPU seconds of this process or of its children, of those that are over."""
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


async def leg(port, folder, *, rps, seconds, recording, scraped=False, lane=None):
    """Send slots for a while; give lags (us), rows, dropped, CPU seconds of runner and recorder."""
    anchor = dt.datetime.now(dt.UTC)
    clock = RunClock(anchor)
    recorder = None
    lags, kinds = [], {}

    def look(row: Outcome):
        kinds[row.kind] = kinds.get(row.kind, 0) + 1
        if row.step == 0 and row.sent_at_us is not None:
            lags.append(row.sent_at_us - row.planned_at_us)

    record = look
    if recording:
        writer = RunWriter(folder / DATABASE_NAME)
        writer.begin_run(
            Manifest(
                run_id="bench", soaklib_version="0", anchor_utc=anchor, speed=1.0, rps=rps, hours=seconds / 3600,
                seed=1, target="", embedded=True, settings="{}", plan="{}", environment="{}",
            )
        )  # fmt: skip
        writer.close()
        recorder = Recorder(folder / DATABASE_NAME)
        await recorder.start()

        def record(row):
            look(row)
            recorder.outcome(row)

    vitals = Vitals()
    plan = load_plan()
    number, of = (None, 1) if lane is None else (lane.number, lane.of)
    slots_per_s = rps / plan.calls_per_slot * of
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            Client(f"http://127.0.0.1:{port}", now_us=clock.now_us, timeout_s=30, max_connections=2000)
        )
        if scraped:
            job = SimpleNamespace(run_id="bench", target="", settings=load_settings([]), plan=plan, senders=None)
            soak = SimpleNamespace(job=job, vitals=vitals, recorder=recorder, soak_s=0.0)
            metrics = await stack.enter_async_context(MetricsServer(soak, listen_for_scrapes(0)))
            scraping = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRAPE_EVERY_SECOND, metrics.url)
            stack.callback(scraping.terminate)
        started = clock.now_us() + 200_000
        schedule = Schedule(
            pacer=Pacer(slots_per_s), workload=Workload(plan, 1),
            soak_clock=SoakClock(Segment(segment=0, started_at_us=started, soak_started_s=0.0), 1.0),
            phases=[(0.0, "baseline")], total_slots=round(slots_per_s * seconds), lane=number, stride=of,
        )  # fmt: skip
        load = Load(
            schedule, target=FourRunrTarget(), client=client, pool=OneToken(), clock=clock, vitals=vitals,
            events=Silent(), record=record, max_in_flight=2000,
        )  # fmt: skip
        streaming = asyncio.create_task(recorder.run()) if recorder else None
        settle_garbage()  # as a soak does before its load; and so does the next
        ask_for_short_slices()
        before_s = cpu_seconds(resource.RUSAGE_SELF)
        if lane is not None:
            telling = asyncio.create_task(tell(lane, load, vitals))
            stack.callback(telling.cancel)
        await load.send_slots(number or 0)
        await load.drain(10)
        cpu_s = cpu_seconds(resource.RUSAGE_SELF) - before_s
    recorder_cpu_s = 0.0
    if recorder:
        streaming.cancel()
        times = psutil.Process(recorder._process.pid).cpu_times()  # noqa: SLF001 - a benchmark may look inside
        recorder_cpu_s = times.user + times.system
        await recorder.close()
    return lags, kinds, cpu_s, recorder_cpu_s


def peer_leg(port, *, rps, seconds):
    """Let hey send for a while; print it as a leg, and give its CPU seconds a call."""
    words = ["hey", "-z", f"{seconds:g}s", "-c", str(PEER_WORKERS), "-q", f"{rps / PEER_WORKERS:g}", "-o", "csv"]
    words += ["-m", "POST", "-T", "application/json", "-H", f"Authorization: Bearer {'TOKEN' * 60}", "-d", PEER_BODY]
    with tempfile.TemporaryFile("w+") as table:
        before_s = cpu_seconds(resource.RUSAGE_CHILDREN)
        subprocess.run([*words, f"http://127.0.0.1:{port}/"], stdout=table, check=True)
        cpu_s = cpu_seconds(resource.RUSAGE_CHILDREN) - before_s
        table.seek(0)
        calls = sum(1 for _ in table) - 1  # the table's head
    print(f"{'hey':<18} {calls / seconds:8.0f} calls/s  {cpu_s / calls * 1e6:6.1f} us/call")
    return cpu_s / calls


def compare(port, options):
    """Print what a lane's call takes of the processor against a single runner's."""
    ratios = []
    for _ in range(options.rounds):
        costs = {None: 0.0, Lane(1, options.lanes): 0.0}
        for lane in (*costs, *reversed(costs)):
            with tempfile.TemporaryDirectory() as folder:
                result = uvloop.run(
                    leg(port, Path(folder), rps=options.rps, seconds=options.seconds, recording=True, lane=lane)
                )
                costs[lane] += show("single" if lane is None else f"lane {lane}", options.seconds, result) / 2
        single, lane = costs.values()
        ratios.append(lane / single)
        print(f"single {single * 1e6:.1f} us/call, lane {lane * 1e6:.1f} us/call: {100 * (lane / single - 1):+.1f} %")
    middle, low, high = (100 * (at(ratios) - 1) for at in (statistics.median, min, max))
    print(f"a call of a lane takes {middle:+.1f} % of CPU ({low:+.1f} to {high:+.1f} %, {len(ratios)} rounds)")


def show(name, seconds, result):
    """Print one leg; give its CPU seconds a call."""
    lags, kinds, cpu_s, recorder_cpu_s = result
    lags.sort()
    calls = sum(kinds.values())
    print(
        f"{name:<18} {calls / seconds:8.0f} calls/s {kinds}  lag p50 {lags[len(lags) // 2] / 1000:6.2f} ms "
        f"p99 {lags[int(len(lags) * 0.99)] / 1000:6.2f} ms max {lags[-1] / 1000:6.2f} ms  "
        f"runner {cpu_s / calls * 1e6:6.1f} us/call, recorder {recorder_cpu_s / calls * 1e6:5.1f} us/call"
    )
    return (cpu_s + recorder_cpu_s) / calls


def main():
    """Run the legs and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rps", type=float, default=4000, help="calls a second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--lanes", type=int, help="compare a lane of so many with a single runner")
    parser.add_argument("--rounds", type=int, default=5, help="of --lanes")
    parser.add_argument("--peer", action="store_true", help="with a leg of hey")
    options = parser.parse_args()
    if options.peer and shutil.which("hey") is None:
        parser.error("no hey here: install the Debian package hey")
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fast_server.py"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    port = int(server.stdout.readline())
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(server.pid, {cores[-1]})  # the runner and its recorder share what is left
    try:
        if options.lanes is not None:
            compare(port, options)
            return
        costs = {}
        for name, what in (
            ("without recording", {"recording": False}),
            ("with recording", {"recording": True}),
            ("and scraped", {"recording": True, "scraped": True}),
            ("without again", {"recording": False}),
        ):
            with tempfile.TemporaryDirectory() as folder:
                result = uvloop.run(leg(port, Path(folder), rps=options.rps, seconds=options.seconds, **what))
                costs[name] = show(name, options.seconds, result)
                if what["recording"]:
                    size = (Path(folder) / DATABASE_NAME).stat().st_size
                    with duckdb.connect(str(Path(folder) / DATABASE_NAME), read_only=True) as connection:
                        rows = connection.execute("select count(*) from outcomes").fetchone()[0]
        plain = (costs["without recording"] + costs["without again"]) / 2
        print(
            f"recording adds {100 * (costs['with recording'] / plain - 1):.1f} % of CPU time, a scrape every second "
            f"{100 * (costs['and scraped'] / costs['with recording'] - 1):.1f} % more; {size / rows:.1f} bytes a row "
            f"of {rows}"
        )
        if options.peer:
            cost = peer_leg(port, rps=options.rps, seconds=options.seconds)
            print(f"a recorded call takes {costs['with recording'] / cost:.2f} times what one of hey takes")
    finally:
        server.stdin.close()
        server.wait(10)


if __name__ == "__main__":
    main()
