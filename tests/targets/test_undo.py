"""What changes by hand replaced is kept on disk, for one command at a time."""

import asyncio
import json
import multiprocessing
import stat

import pytest
from virtual_time import VirtualTimeLoop

from soaklib.errors import SettingsError
from soaklib.targets.undo import UndoLog

URL = "http://127.0.0.1:1"


def on_virtual_time(main):
    """Run a coroutine without waiting for any time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main)


def kept(path, url=URL):
    """Give what a command would find."""

    async def main():
        async with UndoLog(path, url).held() as replaced:
            return replaced

    return asyncio.run(main())


def keep(path, tool, url=URL):
    """Keep a credential as a command does."""

    async def main():
        log = UndoLog(path, url)
        async with log.held() as replaced:
            replaced.credentials[tool] = "first"
            log.save()

    asyncio.run(main())


def test_what_was_replaced_is_kept_by_gateway(tmp_path):
    """Another gateway has nothing to restore, and what it has is kept beside."""
    path = tmp_path / "state" / "changes.json"
    keep(path, "openai")
    keep(path, "serpapi", "http://another")
    assert kept(path).credentials == {"openai": "first"}
    assert kept(path, "http://another").credentials == {"serpapi": "first"}
    assert kept(path, "http://third").credentials == {}


def test_it_is_the_users_alone(tmp_path):
    """The file, its lock and its folder, whatever stood there before."""
    path = tmp_path / "state" / "changes.json"
    keep(path, "openai")
    part = path.with_name(".changes.json.part")
    part.write_text("left by a command that was killed")
    part.chmod(0o666)
    keep(path, "serpapi")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (path.parent, *path.parent.iterdir())}
    assert modes == {"state": 0o700, "changes.json": 0o600, ".changes.json.lock": 0o600}
    assert kept(path).credentials == {"openai": "first", "serpapi": "first"}


def test_a_gateway_with_nothing_left_to_restore_is_left_out(tmp_path):
    """The file does not grow for ever."""
    path = tmp_path / "changes.json"
    keep(path, "openai")

    async def forget():
        log = UndoLog(path, URL)
        async with log.held() as replaced:
            del replaced.credentials["openai"]
            log.save()

    asyncio.run(forget())
    assert json.loads(path.read_text()) == {"gateways": {}}


@pytest.mark.parametrize("text", ["{", "[]", '{"gateways": {"x": {"limits": 7}}}', "\xff"])
def test_a_damaged_file_is_a_sentence(tmp_path, text):
    """It says what to do."""
    path = tmp_path / "changes.json"
    path.write_text(text, "latin-1")
    with pytest.raises(SettingsError, match="which holds what to restore, cannot be read: remove it"):
        kept(path)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    """Before anything is changed."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(SettingsError, match=r"cannot be written: .*; set XDG_STATE_HOME"):
        kept(tmp_path / "state" / "changes.json")


def test_two_commands_side_by_side_lose_nothing(tmp_path):
    """The second begins to read when the first has ended, though it started in the middle of it."""
    path, order = tmp_path / "changes.json", []

    async def command(tool, *, waits_for=None, tells=None):
        if waits_for is not None:
            await waits_for.wait()
        log = UndoLog(path, URL)
        async with log.held() as replaced:
            order.append(f"{tool} reads {sorted(replaced.credentials)}")
            if tells is not None:
                tells.set()
            await asyncio.sleep(10)  # as long as the gateway takes
            replaced.credentials[tool] = "first"
            log.save()

    async def main():
        has_read = asyncio.Event()
        await asyncio.gather(command("a", tells=has_read), command("b", waits_for=has_read))

    on_virtual_time(main())
    assert order == ["a reads []", "b reads ['a']"]
    assert kept(path).credentials == {"a": "first", "b": "first"}


@pytest.mark.slow
def test_processes_side_by_side_lose_nothing(tmp_path):
    """Each keeps a tool of its own, all at once."""
    path, context = tmp_path / "changes.json", multiprocessing.get_context("spawn")
    processes = [context.Process(target=keep, args=(path, f"tool-{number}")) for number in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    assert kept(path).credentials == {f"tool-{number}": "first" for number in range(6)}


def test_a_command_that_holds_it_for_ever_does_not_hold_the_others_for_ever(tmp_path):
    """They end with a sentence after five minutes."""

    async def main():
        first, second = (UndoLog(tmp_path / "changes.json", URL) for _ in range(2))
        async with first.held(), second.held():
            pass

    with pytest.raises(SettingsError, match="another change by hand is under way, and has been for 5 minutes"):
        on_virtual_time(main())
