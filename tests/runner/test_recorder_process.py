"""The recorder's other process: whatever it says, or does not say, is told."""

import asyncio
import os
import sys

import pytest
from stored_rows import all_acknowledged, outcome

from soaklib.errors import RecordingError
from soaklib.runner.recorder import Recorder

pytestmark = pytest.mark.slow


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Give what puts a Python text in place of the recorder's process; `say(x)` in it acknowledges."""

    def replace(text):
        script = tmp_path / "recorder"
        script.write_text(
            f"#!{sys.executable}\nimport json, os, sys, time\n"
            "def say(text): os.write(1, text.encode() + b'\\n')\n"
            f'say(\'{{"frames": 0, "rows": 0}}\')\n{text}\n'
        )
        script.chmod(0o700)
        monkeypatch.setattr(sys, "executable", os.fspath(script))

    return replace


async def started_and_streaming(recorder):
    """Start it, give it a row and stream until something ends it."""
    await recorder.start()
    recorder.outcome(outcome(1))
    await asyncio.wait_for(recorder.run(), 10)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("say('hello'); sys.stdin.read()", "says what is no acknowledgement: 'hello'"),
        ("say('5'); sys.stdin.read()", "says what is no acknowledgement: '5'"),
        ('say(\'{"frames": "x"}\'); sys.stdin.read()', "says what is no acknowledgement"),
        ("say('x' * 200_000); sys.stdin.read()", "says what is no acknowledgement"),
        ("os.write(1, b'{\"fr'); sys.exit(0)", "says what is no acknowledgement: '{\"fr'"),
        ("os.close(1); sys.stdin.read()", "acknowledges nothing more"),
        ("os.close(0); time.sleep(30)", "takes no more rows"),
        ("sys.exit(3)", "ended by itself with code 3"),
        ('say(\'{"error": "the disk is full"}\'); time.sleep(30)', "the disk is full"),
    ],
)
def test_a_recorder_that_does_not_acknowledge_ends_the_run(tmp_path, process, monkeypatch, text, said):
    """Whatever it says or does instead is told, and nothing waits for it for long."""
    monkeypatch.setattr("soaklib.runner.recorder._TELLS_WITHIN_S", 0.5)
    monkeypatch.setattr("soaklib.runner.recorder._CLOSE_WITHIN_S", 2.0)
    process(text)

    async def main():
        recorder = Recorder(tmp_path / "x")
        with pytest.raises(RecordingError) as told:
            await started_and_streaming(recorder)
        assert said in str(told.value)
        with pytest.raises(RecordingError):
            await asyncio.wait_for(recorder.close(), 10)
        assert recorder.queued_rows in (0, 1)

    asyncio.run(main())


def test_what_the_process_warns_of_is_handed_on_and_the_run_goes_on(tmp_path, process):
    """A line, whole, whenever it comes."""
    process('say(\'{"warning": "the publisher: no space left"}\'); sys.stdin.read()')
    said = []

    async def main():
        recorder = Recorder(tmp_path / "x", on_warning=said.append)
        await recorder.start()
        async with asyncio.timeout(10):
            while not said:  # noqa: ASYNC110 - it has no event for what only tests want
                await asyncio.sleep(0.01)
        await recorder.close()

    asyncio.run(main())
    assert said == ["the publisher: no space left"]


def test_what_an_acknowledgement_says_besides_ends_nothing(tmp_path, process):
    """A key that this version does not know."""
    process('sys.stdin.read(9); say(\'{"frames": 1, "rows": 1, "live": "no space left"}\'); sys.stdin.read()')

    async def main():
        recorder = Recorder(tmp_path / "x")
        await recorder.start()
        streaming = asyncio.create_task(recorder.run())
        recorder.outcome(outcome(1))
        await all_acknowledged(recorder)
        await asyncio.wait({streaming}, timeout=0.3)
        assert not streaming.done()
        streaming.cancel()
        await recorder.close()

    asyncio.run(main())


def test_a_process_that_cannot_be_started_is_told(tmp_path, monkeypatch):
    """As what it is: recording has failed."""
    monkeypatch.setattr(sys, "executable", os.fspath(tmp_path / "nothing"))
    with pytest.raises(RecordingError, match=r"the recorder of .* cannot be started: No such file"):
        asyncio.run(Recorder(tmp_path / "x").start())
