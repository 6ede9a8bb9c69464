"""The gateway does not drift by itself: a detector that finds a trend in it is right about something else."""

import asyncio
import json
import urllib.request
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from running_gateway import running_gateway

pytestmark = pytest.mark.slow

CONNECTIONS = 8
HEAD = "POST /api/proxy-request HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
WARM, MEASURED = 12_000, 24_000
MOST_GROWN_BYTES = 1_000_000


def post(url, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def used_bytes(url):
    with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:  # noqa: S310 - loopback
        return json.load(answer)["memory"]["used"]


async def load(url, token, times):
    """Send so many searches, each for something else, over a few connections."""
    numbers = iter(range(times))

    async def connection():
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        for number in numbers:
            params = {"query": f"{number}", "q": f"{number}"}
            body = {"agent_token": token, "tool": "serpapi", "action": "search", "params": params}
            data = json.dumps(body).encode()
            writer.write(f"{HEAD}{len(data)}\r\n\r\n".encode() + data)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200")
            await reader.readexactly(int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))


def test_memory_stays_flat():
    """After a warm-up 24,000 further calls add less than a megabyte."""
    with running_gateway() as own:
        url = own.url
        agent_id = post(f"{url}/api/create-agent", {"name": "n", "created_by": "c", "role": "r"})["agent_id"]
        post(f"{url}/api/policies", {"name": "p", "role": "r", "spec": {"scopes": ["serpapi:search"]}})
        expires_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        body = {"agent_id": agent_id, "tools": [], "permissions": [], "expires_at": expires_at}
        token = post(f"{url}/api/generate-token", body)["agent_token"]
        asyncio.run(load(url, token, WARM))
        before = used_bytes(url)
        asyncio.run(load(url, token, MEASURED))
        grown = used_bytes(url) - before
    assert grown < MOST_GROWN_BYTES
