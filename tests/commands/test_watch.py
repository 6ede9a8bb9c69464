"""The page of a run, served by a command."""

import asyncio
import os
import signal
from pathlib import Path

from soaklib.commands import watch
from soaklib.page.server import PageServer

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


def test_a_signal_ends_it_whatever_it_is_doing(capsys, monkeypatch):
    """Also one that comes in the midst of an answer, which is a task of its own."""

    async def answering():
        os.kill(os.getpid(), signal.SIGTERM)

    async def until_idle(_self, _idle_s):
        await asyncio.wait({asyncio.create_task(answering())})
        async with asyncio.timeout(10):  # a bound: the signal ends the wait
            await asyncio.Event().wait()

    monkeypatch.setattr(PageServer, "wait_until_idle", until_idle)
    assert watch.main([str(SAMPLE), "--until-idle", "1"]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "soaklib: stopped by SIGTERM\n"
