"""Proxy requests a second that the reference gateway answers on one core, beside a bare aiohttp echo.

    python scripts/bench/gateway_throughput.py [--seconds 5] [--connections 32] [--rounds 3]

Each server runs on one core, in turn, and is loaded over loopback from the other cores by the same client: `wrk` when
it is on the PATH, else a small asyncio client. The gateway runs with everything on: signed tokens, policies with a
quota, metrics, cache, breakers, the request log in SQLite, whose rows are counted at the end.
The mixed load is what a soak sends: searches (one in ten from the cache), fetches, chats and mails.

Printed: the medians over the rounds of requests a second and of requests a CPU second of the server, all its threads
included. The second is what one whole core gives, also where others use the machine meanwhile; the ratio to the echo
is taken from it. Requests are sent to 127.0.0.1 only, for a bounded time.
"""

import argparse
import asyncio
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
from aiohttp import web

from soaklib.gateway.server import loop_factory

CALLS: tuple[tuple[str, str, Mapping[str, object]], ...] = (
    *(("serpapi", "search", {"query": f"q{n}", "q": f"q{n}", "num": 3, "engine": "google"}) for n in range(60)),
    *(("http_fetch", "get", {"url": f"https://example.com/{n}"}) for n in range(15)),
    *(
        ("openai", "chat", {"model": "m", "messages": [{"role": "user", "content": f"c{n}"}], "input": f"text {n}"})
        for n in range(15)
    ),
    *(
        ("gmail_send", "send", {"to": "a@example.com", "subject": "s", "body": f"b{n}", "text": f"b{n}"})
        for n in range(10)
    ),
)
SCOPES = ["serpapi:search", "http_fetch:get", "openai:chat", "gmail_send:send"]


class Round(NamedTuple):
    """What a round measured."""

    requests_per_s: float
    sent: int
    not_ok: int


class Target(NamedTuple):
    """A server: where it is and which process."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Return the CPU seconds it has used."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system


def pin(cores: set[int], pid: int = 0) -> None:
    """Keep a process (0: this one) on some cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, cores)


def cores() -> tuple[set[int], set[int]]:
    """Return one core for the server and the others for the client."""
    available = (
        sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    )
    return {available[0]}, set(available[1:]) or {available[0]}


@contextmanager
def server(*command: str) -> Iterator[Target]:
    """Run a server that prints a JSON line with its URL; stop it by its pid."""
    core, _ = cores()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    pin(core, process.pid)
    try:
        if process.stdout is None:
            raise SystemExit(1)
        yield Target(json.loads(process.stdout.readline())["url"], process.pid)
    finally:
        process.terminate()
        process.wait(10)


def post(url: str, body: Mapping[str, object]) -> dict[str, str]:
    """Send JSON, return JSON."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
        answered: dict[str, str] = json.loads(answer.read())
        return answered


def bodies(url: str) -> list[bytes]:
    """Make an agent, a policy and a token; return the bodies of the load."""
    agent = post(f"{url}/api/create-agent", {"name": "bench", "created_by": "bench", "role": "bench"})
    quota = {"action": "openai:chat", "limit": 10**9, "window": "24h"}
    post(f"{url}/api/policies", {"name": "bench", "role": "bench", "spec": {"scopes": SCOPES, "quotas": [quota]}})
    expires_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3_600))
    body = {"agent_id": agent["agent_id"], "tools": ["serpapi"], "permissions": ["read"], "expires_at": expires_at}
    token = post(f"{url}/api/generate-token", body)["agent_token"]
    calls: list[bytes] = []
    for number, (tool, action, params) in enumerate(CALLS * 100):
        fresh = dict(params)
        if tool == "serpapi" and number % 10:  # one in ten repeats itself and is found in the cache
            fresh["query"] = fresh["q"] = f"{number} {fresh['q']}"
        if tool == "http_fetch":
            fresh["url"] = f"{fresh['url']}?n={number}"
        calls.append(json.dumps({"agent_token": token, "tool": tool, "action": action, "params": fresh}).encode())
    return calls


class Connection(asyncio.Protocol):
    """One keep-alive connection: a request, its answer, the next request."""

    def __init__(self, requests: Iterator[bytes], counts: dict[bool, int]) -> None:
        self._requests, self._counts = requests, counts
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = transport
        transport.write(next(self._requests))  # type: ignore[attr-defined]  # a TCP transport can write

    def data_received(self, data: bytes) -> None:
        """Count an answer when it is whole, and send the next request."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._counts[head.startswith(b"HTTP/1.1 200")] += 1
            self._buffer = b""
            self._transport.write(next(self._requests))  # type: ignore[attr-defined]  # a TCP transport can write


async def load(url: str, calls: list[bytes], seconds: float, connections: int) -> Round:
    """Load a server with the asyncio client."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: "
    requests = cycle([f"{head}{len(body)}\r\n\r\n".encode() + body for body in calls])
    counts = {True: 0, False: 0}
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Connection(requests, counts), parts.hostname or "", parts.port or 80)
        for _ in range(connections)
    ]
    await asyncio.sleep(0.5)  # warm
    before, started_s = dict(counts), time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed_s = time.perf_counter() - started_s
    done = {ok: counts[ok] - before[ok] for ok in counts}
    for transport, _ in opened:
        transport.abort()
    return Round((done[True] + done[False]) / elapsed_s, sum(counts.values()), done[False])


def load_with_wrk(url: str, calls: list[bytes], seconds: float, connections: int) -> Round:
    """Load a server with wrk."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        lines = ["local bodies = {"]
        lines += [f"  {json.dumps(body.decode())}," for body in calls[:2_000]]
        lines += ["}", "local n = 0", "request = function()", "  n = n % #bodies + 1"]
        lines += ['  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, bodies[n])', "end"]
        lines += ["done = function(summary) io.write(summary.requests, ' ', summary.duration, ' ', "]
        lines += ["  summary.errors.status, '\\n') end"]
        script.write("\n".join(lines))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", script.name, url]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    requests, duration_us, not_ok = output.strip().splitlines()[-1].split()
    return Round(int(requests) / (int(duration_us) / 1e6), int(requests), int(not_ok))


async def echo(request: web.Request) -> web.Response:
    """Answer what was sent."""
    return web.Response(body=await request.read(), content_type="application/json")


async def serve_echo() -> None:
    """Serve the bare echo until this process is ended."""
    app = web.Application()
    app.router.add_post("/echo", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await asyncio.Event().wait()


def measure(name: str, target: Target, path: str, calls: list[bytes], options: argparse.Namespace) -> float:
    """Run the rounds, print them, return the median of requests a CPU second."""
    rounds, per_cpu_s = [], []
    for _ in range(options.rounds):
        before_s = target.cpu_s()
        if shutil.which("wrk"):
            found = load_with_wrk(target.url + path, calls, options.seconds, options.connections)
        else:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                found = runner.run(load(target.url + path, calls, options.seconds, options.connections))
        rounds.append(found)
        per_cpu_s.append(found.sent / (target.cpu_s() - before_s))
    wall, cpu = statistics.median(found.requests_per_s for found in rounds), statistics.median(per_cpu_s)
    not_ok = sum(found.not_ok for found in rounds)
    print(f"{name:<28} {wall:>8,.0f} requests/s   {cpu:>8,.0f} requests a CPU second   not 200: {not_ok}")
    return cpu


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve-echo", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_echo:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve_echo())
        return
    _, others = cores()
    pin(others)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.sqlite"
        with server("-m", "soaklib.gateway", "--database-url", f"sqlite:///{path}") as gateway:
            ours = measure("soaklib.gateway, mixed load", gateway, "/api/proxy-request", bodies(gateway.url), options)
            exposed = urllib.request.urlopen(f"{gateway.url}/metrics", timeout=10).read().decode()  # noqa: S310 - loopback
        with closing(sqlite3.connect(path)) as database:
            rows, hits = database.execute("SELECT count(*), sum(cache_hit) FROM proxy_logs").fetchone()
    counted = sum(
        float(line.rsplit(" ", 1)[1]) for line in exposed.splitlines() if line.startswith("gateway_requests_total{")
    )
    print(f"rows in the request log {rows:,} ({hits:,} cache hits), counted in requests_total {counted:,.0f}")
    with server(__file__, "--serve-echo") as bare:
        theirs = measure("bare aiohttp echo", bare, "/echo", [json.dumps({"body": "x" * 500}).encode()], options)
    print(f"the gateway answers {ours / theirs:.0%} of what the bare echo does")


if __name__ == "__main__":
    main()
