"""How a lane's command ends when it can no longer tell of itself, without a process."""

import asyncio
from types import SimpleNamespace

import pytest

from soaklib.commands import send
from soaklib.commands.process import command
from soaklib.fleet.lanes import Lane
from soaklib.fleet.sender import SenderResult
from soaklib.records import RunStatus


@pytest.fixture
def lane(monkeypatch, tmp_path):
    """Give a lane's sender that sends until it could not tell of itself, and what is done with how it ended."""
    made = SimpleNamespace(raises=None, told=0, ended=[])

    class Sender:
        def __init__(self, **_):
            self.was_asked = asyncio.Event()

        @property
        def vitals(self):
            self.was_asked.set()
            made.told += 1
            raise made.raises

        async def run(self, _stop):
            await self.was_asked.wait()
            return SenderResult(status=RunStatus.COMPLETED, segments=())

    for name, given in {
        "Sender": Sender, "Surroundings": lambda *_, **__: None, "_REPORT_EVERY_S": 0.0, "catch_up": lambda *_: None,
        "begin_or_resume": lambda *_: None, "applied_before": lambda *_: 0,
        "end_lane": lambda _, result: made.ended.append(result.status),
        # what a test captures in its place may be no file
        "sys": SimpleNamespace(stdout=(tmp_path / "out").open("wb"), stderr=None),
    }.items():  # fmt: skip
        monkeypatch.setattr(send, name, given)
    job = SimpleNamespace(
        settings_of=lambda _: SimpleNamespace(headers=dict), target="http://gateway", ends_with_conductor=False
    )
    made.main = command(lambda _=None: send._send(job, Lane(0, 1), tmp_path))
    yield made
    send.sys.stdout.close()


def test_what_keeps_a_lane_from_telling_of_itself_is_said_once_all_is_on_disk(lane, capsys):
    """A lack of memory has its sentence and its code; the lane had sent to its end all the same."""
    lane.raises = MemoryError()
    assert lane.main([]) == 4
    assert capsys.readouterr().err == "soaklib: out of memory; everything recorded is on disk\n"
    assert (lane.ended, lane.told) == ([RunStatus.COMPLETED], 1)


def test_a_defect_in_what_a_lane_tells_of_itself_is_loud(lane, capsys):
    """It is shown where it came from, and not left to whoever collects the garbage."""
    lane.raises = TypeError("no number")
    assert lane.main([]) == 1
    shown, said = capsys.readouterr().err.strip().rsplit("\n", 1)
    assert (shown.split(" ", 1)[0], shown.rsplit("\n", 1)[-1]) == ("Traceback", "TypeError: no number")
    assert said.startswith("soaklib: lane 0/1 no longer told how it does, by a defect: ")
    assert said.endswith("no number; all that it sent is on disk")
    assert lane.ended == [RunStatus.COMPLETED]
