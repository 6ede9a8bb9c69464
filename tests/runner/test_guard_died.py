"""A guard that dies while something is on: it is noticed, told, and another one has its place. Without a process."""

import asyncio
import contextlib
import io
import json
import subprocess
from types import SimpleNamespace

import pytest
from kept_events import KeptEvents
from virtual_time import run_virtually

from soaklib.errors import TargetError
from soaklib.runner.changes import Changes
from soaklib.runner.chaos_guard import ChaosGuard
from soaklib.runner.journal import UndoJournal
from soaklib.runner.preflight.debts import Debts
from soaklib.runner.preflight.findings import Found
from soaklib.targets.base import Wire

WIRES = [Wire("DELETE", f"/{name}", {}, None) for name in "ab"]


class Pipe(io.BytesIO):
    """A pipe, of which stays what was written."""

    lines = ()

    def close(self):
        if not self.closed:
            self.lines = [json.loads(line)["url"] for line in self.getvalue().splitlines() if line[:1] == b"{"]
        super().close()


class Process:
    """A guard that was started: what it was told, and how it has ended."""

    def __init__(self, *_, **__):
        self.stdin, self.code = Pipe(), None

    def poll(self):
        return self.code

    def wait(self, _within_s=None):
        return self.code

    def told(self):
        return [json.loads(line)["url"] for line in self.stdin.getvalue().splitlines()]


@pytest.fixture
def started(monkeypatch):
    """Give what is started in place of processes; what is no process is raised."""
    processes, answers = [], []

    def start(*arguments, **keywords):
        if answers and (problem := answers.pop(0)) is not None:
            raise problem
        processes.append(Process(*arguments, **keywords))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return SimpleNamespace(processes=processes, answers=answers)


def guard():
    return ChaosGuard("http://g", {}, ca_file=None, dies_with_runner=False)


@contextlib.asynccontextmanager
async def looked_after(events):
    """Give a guard that watches a change, and whom a run looks after."""
    watching = guard()
    await watching.watch(WIRES[0])
    context = SimpleNamespace(guard=watching, events=events, journal=None, guards_what_was_made=False)
    keeping = asyncio.create_task(Changes(context).keep_guarded())
    yield watching
    keeping.cancel()


def test_one_that_died_is_started_again_with_everything_it_watched(started):
    """Once, and what it is told of later goes to the new one."""

    async def main():
        watching = guard()
        assert watching.revive() is None  # nothing is on, and nobody has to watch
        await watching.watch(WIRES[0])
        assert watching.revive() is None
        started.processes[0].code = -9
        assert (watching.revive(), watching.revive()) == (-9, None)
        await watching.watch(WIRES[1])

    asyncio.run(main())
    assert started.processes[0].stdin.closed
    assert [process.told() for process in started.processes[1:]] == [["http://g/a", "http://g/b"]]


@pytest.mark.parametrize("end", ["dismiss", "hand_over"])
def test_one_that_ended_as_it_was_told_to_is_let_be(started, end):
    """All is taken back, or it was handed over to take it back itself."""

    async def main():
        watching = guard()
        await watching.watch(WIRES[0])
        await getattr(watching, end)()
        started.processes[0].code = 0
        return watching.revive()

    assert asyncio.run(main()) is None
    assert len(started.processes) == 1


def test_one_that_died_unnoticed_is_replaced_before_it_is_handed_over(started):
    """The end of a run may come sooner than the next look, and what stays on then is the guard's to take back."""
    events = KeptEvents()

    async def main():
        watching = guard()
        await watching.watch(WIRES[0])
        started.processes[0].code = -9
        plan = SimpleNamespace(changes=[])
        await Changes(SimpleNamespace(guard=watching, events=events, journal=["owed"], plan=plan)).end_all(1.0)

    asyncio.run(main())
    assert [process.stdin.lines for process in started.processes[1:]] == [["http://g/a"]]
    assert started.processes[1].stdin.closed
    assert [detail for _, detail, _ in events.written] == ["the guard had died (exit -9): another one has its place"]


@pytest.mark.parametrize(
    ("cannot", "told", "said"),
    [
        (None, [["http://g/a"]], ("note", "the guard had died (exit -9): another one has its place")),
        (
            OSError(11, "no"),
            [],
            ("problem", "the guard has died, and nobody takes back what stays on: the process that"),
        ),
    ],
    ids=["replaced", "alone"],
)
def test_a_preflight_too_replaces_one_before_it_hands_over(started, tmp_path, cannot, told, said):
    """What it could not take back is on still, and its end comes as soon as a run's."""
    found = Found()
    watching = guard()

    async def main():
        debts = Debts(UndoJournal(tmp_path), watching, send=None)
        await debts.owe("chaos", "openai", WIRES[0])
        started.processes[0].code = -9
        started.answers.append(cannot)
        await debts.hand_over(found)

    asyncio.run(main())
    assert [process.stdin.lines for process in started.processes[1:]] == told
    assert all(process.stdin.closed for process in started.processes)
    [(what, standing, detail, _)] = found.findings
    assert (what, standing) == ("clean-up", said[0])
    assert detail.startswith(said[1])


@pytest.mark.parametrize("is_known", [False, True])
def test_one_that_the_next_change_replaces_is_told_too(started, is_known):
    """As it ended, whether it was noticed before that no other could be started, or not."""
    events = KeptEvents()

    async def main(_):
        async with looked_after(events) as watching:
            started.processes[0].code = -9
            if is_known:
                started.answers.append(OSError(11, "no"))
                await asyncio.sleep(3)
            await watching.watch(WIRES[1])
            await asyncio.sleep(3)

    run_virtually(main)
    assert [detail for _, detail, _ in events.written][is_known:] == [
        "the guard had died (exit -9): another one has its place"
    ]


def test_of_one_that_is_needed_no_more_no_other_is_told(started):
    """It could not be replaced, and what was on has been taken back without it: nobody has its place."""
    events = KeptEvents()

    async def main(_):
        async with looked_after(events) as watching:
            started.processes[0].code = -9
            started.answers.append(OSError(11, "no"))
            await asyncio.sleep(3)
            await watching.dismiss(WIRES[0])
            await asyncio.sleep(3)

    run_virtually(main)
    [(_, detail, _)] = events.written
    assert detail.startswith("the guard has died, and what is on would outlive a kill")


def test_a_run_tells_of_a_guard_that_died_and_of_what_nobody_watches(started):
    """Within seconds: of one that cannot be started once, and again when there is one."""
    events = KeptEvents()

    async def main(loop):
        async with looked_after(events):
            await asyncio.sleep(3)
            assert events.written == []
            started.processes[0].code = -9
            began_s = loop.time()
            await asyncio.sleep(2.5)
            told_within_s = loop.time() - began_s
            first = list(events.written)
            started.processes[1].code = 1
            started.answers += [OSError(11, "Resource temporarily unavailable")] * 3
            await asyncio.sleep(20)
        return first, told_within_s

    first, within_s = run_virtually(main)
    assert [detail for _, detail, _ in first] == ["the guard had died (exit -9): another one has its place"]
    assert within_s < 3
    nobody, another = (detail for _, detail, _ in events.written[1:])
    assert nobody.startswith("the guard has died, and what is on would outlive a kill: the process that guards the ")
    assert nobody.endswith(" cannot be started: Resource temporarily unavailable")
    assert another == "the guard had died (exit 1): another one has its place"
    assert set(events.names()) == {"CHANGE_FAILED"}
    assert started.processes[2].told() == ["http://g/a"]


def test_a_change_whose_guard_cannot_be_started_is_not_watched(started):
    """It must not be made, and one that is started later is not told of it."""
    started.answers += [OSError(11, "no")]

    async def main():
        watching = guard()
        with pytest.raises(TargetError):
            await watching.watch(WIRES[0])
        await watching.watch(WIRES[1])

    asyncio.run(main())
    assert [process.told() for process in started.processes] == [["http://g/b"]]
