"""The page's server: a token, one look for all, newer data while the run goes on, the final page after it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import aiohttp
import pytest

from soaklib.errors import BusyError, SettingsError
from soaklib.page import server as served
from soaklib.page.server import PageServer

_SAMPLE = Path(__file__).parents[2] / "data" / "sample"


@pytest.fixture
def folder(tmp_path):
    """A run that has ended."""
    shutil.copy(_SAMPLE / "run.duckdb", tmp_path)
    return tmp_path


def _served(folder, ask):
    async def serve():
        async with PageServer(folder) as server, aiohttp.ClientSession() as session:
            return await ask(server, session)

    return asyncio.run(serve())


def test_there_is_nothing_without_the_token(folder):
    """Any other address is not found; the one with the token is the page, which no cache keeps."""

    async def ask(server, session):
        base = server.url.rsplit("/", 2)[0]
        codes = []
        for path in ("/", "/data.json", "/wrong/", "/wrong/data.json", f"{server.url.removeprefix(base)[:-2]}/"):
            async with session.get(f"{base}{path}") as answer:
                codes.append(answer.status)
        async with session.get(server.url) as answer:
            return codes, answer.status, answer.headers["Cache-Control"], await answer.text()

    codes, status, cache, text = _served(folder, ask)
    assert (codes, status, cache) == ([404] * 5, 200, "no-store")
    assert '"live":true' in text


def test_pages_that_ask_together_cost_one_look_and_later_ones_see_newer_data(folder, monkeypatch):
    """Five pages cost the run one look; a second later there is another, until the run has ended."""
    looks = []

    def look(_):
        looks.append(1)
        return {"run": {"goes_on": len(looks) < 2, "id": "r"}, "verdict": {"word": "none"}, "look": len(looks)}

    monkeypatch.setattr(served, "look", look)
    now_s = [0.0]
    monkeypatch.setattr(served.time, "monotonic", lambda: now_s[0])

    async def ask(server, session):
        async def one():
            async with session.get(f"{server.url}data.json") as answer:
                return (await answer.json())["pages"][0]["look"]

        together = await asyncio.gather(*(one() for _ in range(5)))
        now_s[0] = 2.0
        newer = await one()
        now_s[0] = 4.0
        return together, newer, await one()

    assert _served(folder, ask) == ([1] * 5, 2, 2)


def test_a_run_that_is_being_judged_shows_what_was_seen_last(folder, monkeypatch):
    """While the run's process has the file to itself, the last look stays on the page; without one it is a 503."""
    seen = [{"run": {"goes_on": True, "id": "r"}, "look": 1}]

    def look(_):
        if not seen:
            msg = "the run is being judged"
            raise BusyError(msg)
        return seen.pop()

    monkeypatch.setattr(served, "look", look)
    monkeypatch.setattr(served, "_FRESH_S", 0.0)

    async def ask(server, session):
        found = []
        for _ in range(2):
            async with session.get(f"{server.url}data.json") as answer:
                found.append((answer.status, (await answer.json())["pages"][0]["look"]))
        return found

    async def ask_early(server, session):
        async with session.get(f"{server.url}data.json") as answer:
            return answer.status, await answer.text()

    assert _served(folder, ask) == [(200, 1), (200, 1)]
    assert _served(folder, ask_early) == (503, "the run is being judged\n")


def test_a_port_that_is_taken_is_said(folder):
    """A second server on the same port is refused with a sentence that says what to pass."""

    async def ask(server, _):
        port = int(server.url.split(":")[2].split("/")[0])
        with pytest.raises(SettingsError, match=rf"--port {port}: cannot listen .*; pass another port, or 0"):
            async with PageServer(folder, port=port):
                pass

    _served(folder, ask)


def test_an_idle_server_of_an_ended_run_ends(folder):
    """A server that nobody asks any more ends once its run has ended."""

    async def ask(server, _):
        await asyncio.wait_for(server.wait_until_idle(0.0), 5)

    _served(folder, ask)
