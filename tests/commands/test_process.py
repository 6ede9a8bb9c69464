"""What every command shares as a process."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path

import duckdb
import pytest
from stored_rows import ANCHOR

from soaklib.analysis.sources.run import find_run
from soaklib.commands import run
from soaklib.commands.ending import costing
from soaklib.commands.folder import new_folder
from soaklib.commands.process import (
    Stopped,
    command,
    find_folder,
    keeping_stops,
    leave_at_once,
    run_on_the_fastest_loop,
)
from soaklib.errors import RunError
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.runner.job import SoakJob
from soaklib.store.writer import RunWriter

_LONG_S = 5.0  # longer than any signal takes; nobody waits for it


@pytest.mark.usefixtures("hangup_is_heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_in_order(capsys, number):
    """With a sentence and 128 + n; what is temporary is removed, and the handlers from before are back."""
    before = signal.getsignal(number)
    made = []

    @command
    def main(_=None):
        with tempfile.TemporaryDirectory() as folder:
            made.append(Path(folder))
            os.kill(os.getpid(), number)
            signal.pause()
        return 0

    assert main() == 128 + number
    assert capsys.readouterr().err == f"soaklib: stopped by {number.name}\n"
    assert not made[0].exists()
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("is_costing", [False, True])
@pytest.mark.parametrize("raising", [signal.raise_signal, lambda number: os.kill(os.getpid(), number)])
def test_a_signal_within_a_query_ends_a_command_in_order(capsys, is_costing, raising):
    """DuckDB makes an error of what the handler raises, or loses it: not even a step that bears errors goes on."""
    seen = []

    def interrupted(number):
        raising(signal.SIGTERM)
        return number

    @command
    def main(_=None):
        with duckdb.connect() as connection, costing(seen.append) if is_costing else nullcontext():
            connection.create_function("interrupted", interrupted, ["BIGINT"], "BIGINT")
            connection.execute("select interrupted(1)").fetchall()
        return 0

    assert main() == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "soaklib: stopped by SIGTERM\n"
    assert seen == []


async def _in_a_callback():
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)


async def _in_a_background_task():
    async def background():
        signal.raise_signal(signal.SIGTERM)

    _BACKGROUND.append(asyncio.create_task(background()))


async def _while_it_waits():
    waiting = threading.main_thread().ident
    threading.Timer(0.05, signal.pthread_kill, (waiting, signal.SIGTERM)).start()


_BACKGROUND = []  # a task that nothing holds may be collected before it ran


@pytest.mark.parametrize("run", [asyncio.run, run_on_the_fastest_loop])
@pytest.mark.parametrize("hearing", [_in_a_callback, _in_a_background_task, _while_it_waits])
def test_a_signal_within_an_event_loop_ends_a_command_in_order(capsys, hearing, run):
    """Loops keep to themselves what callbacks and background tasks raise: nothing else goes on, what is open closes."""
    seen = []

    async def work():
        try:
            await hearing()
            await asyncio.sleep(_LONG_S)
            seen.append("went on")
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    @command
    def main(_=None):
        run(work())
        seen.append("went on to what stands after the loop")
        return 0

    before = signal.getsignal(signal.SIGTERM)
    assert main() == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "soaklib: stopped by SIGTERM\n"
    assert seen == ["closed"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_loop_that_has_ended_leaves_the_handlers_of_its_command(capsys):
    """A signal that comes after it stops the command like any other."""
    seen = []

    @command
    def main(_=None):
        run_on_the_fastest_loop(asyncio.sleep(0))
        signal.raise_signal(signal.SIGTERM)
        seen.append("went on")
        return 0

    assert main() == 128 + signal.SIGTERM
    assert seen == []
    assert capsys.readouterr().err == "soaklib: stopped by SIGTERM\n"


def test_a_signal_of_an_earlier_command_does_not_end_the_next():
    """Its own error is its own, however the command before it in this process has ended."""

    @command
    def stopped(_=None):
        signal.raise_signal(signal.SIGTERM)
        return 0

    @command
    def failing(_=None):
        find_run("no such run")

    assert stopped() == 128 + signal.SIGTERM
    with keeping_stops():
        pass  # nor whatever is done in this process outside of any command
    assert failing() == RunError.exit_code


def test_a_command_under_nohup_does_not_hear_that_the_terminal_is_closed():
    """SIGHUP that was ignored stays ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        @command
        def main(_=None):
            os.kill(os.getpid(), signal.SIGHUP)
            return 7

        assert main() == 7
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "out of memory; everything recorded is on disk"),
        (duckdb.OutOfMemoryException("no block"), "out of memory; everything recorded is on disk"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "/data/x: No space left on device"),
        (OSError(errno.EROFS, "Read-only file system", "/data"), "/data: Read-only file system"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found"), "No usable temporary directory found"),
    ],
)
def test_what_the_machine_lacks_is_a_sentence_and_code_4(capsys, error, sentence):
    """Memory, disk, permission."""

    @command
    def main(_=None):
        raise error

    assert main() == 4
    assert capsys.readouterr().err == f"soaklib: {sentence}\n"


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "No such file", "/x"), KeyError("a defect")])
def test_a_defect_stays_one(error):
    """It is raised as it is."""

    @command
    def main(_=None):
        raise error

    with pytest.raises(type(error)):
        main()


@pytest.mark.slow
def test_words_that_nobody_reads_any_more_fail_nothing():
    """The reader of both streams is gone: the command goes on and gives its own code; a full disk still counts."""
    program = (
        "import sys\nfrom soaklib.commands.process import command\n"
        "@command\ndef main(_=None):\n"
        "    sys.stdin.readline()\n"
        "    for _ in range(3):\n"
        "        print('x' * 100_000, flush=True)\n        print('y' * 100_000, file=sys.stderr)\n"
        "    return 7\n"
        "sys.exit(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        process.stderr.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(timeout=30) == 7
    with Path("/dev/full").open("w") as full:
        process = subprocess.run([sys.executable, "-c", program], input=b"\n", stdout=full, check=False)
    assert process.returncode == 4


def test_nothing_is_written_beside_the_unpacked_copy_of_a_bundle(tmp_path):
    """A bundle can be read as a run, and is refused where something is to be written."""
    (tmp_path / "soak-artifacts-x.tar.gz").touch()
    with pytest.raises(RunError, match="is a bundle, to which nothing is added: unpack it, and pass the folder"):
        find_folder(str(tmp_path / "soak-artifacts-x.tar.gz"))
    assert find_folder(str(tmp_path)) == tmp_path.resolve() == find_run(tmp_path).resolve()


@pytest.mark.slow
@pytest.mark.parametrize("flush", ["True", "False"])
def test_words_that_a_full_disk_does_not_take_fail_nothing_and_a_result_does(flush):
    """Standard error is for words, standard output for the result; neither ends in a traceback or code 120."""
    program = (
        "import sys\nfrom soaklib.commands.process import command\n"
        "@command\ndef main(_=None):\n"
        "    for _ in range(3):\n        print('words', file=sys.stderr)\n"
        f"    print('result', flush={flush})\n"
        "    return 7\n"
        "sys.exit(main())\n"
    )
    with Path("/dev/full").open("w") as full:
        words = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, check=False)
        result = subprocess.run([sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (words.returncode, words.stdout) == (7, b"result\n")
    assert result.returncode == 4
    assert result.stderr.decode().splitlines() == ["words"] * 3 + ["soaklib: No space left on device"]


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["1", "2", "0"])
def test_a_stream_that_is_closed_from_the_start_fails_nothing(closed):
    """As under some schedulers: there is no standard output, no standard error, or no standard input at all."""
    program = (
        "import sys\nfrom soaklib.commands.process import command\n"
        "@command\ndef main(_=None):\n    print('out')\n    print('err', file=sys.stderr)\n"
        "    sys.stdout.flush()\n    return 7\nsys.exit(main())\n"
    )
    redirection = {"0": "<&-", "1": ">&-", "2": "2>&-"}[closed]
    ended = subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, program], check=False)  # noqa: S607
    assert ended.returncode == 7


@pytest.mark.parametrize("step", ["__init__", "begin_run"])
def test_a_run_that_is_stopped_as_it_begins_leaves_nothing(tmp_path, monkeypatch, step):
    """Its folder would be that of a run without a manifest, or without tables, which nobody can resume or report."""
    settings = load_settings(["--gateway-url", "http://127.0.0.1:9", "--out", str(tmp_path / "runs")])
    monkeypatch.setattr(run, "ask_gateway", lambda *_: {})
    monkeypatch.setattr(run.platform, "platform", lambda: "asks a process")
    done = getattr(RunWriter, step)

    def stopped(writer, *arguments, **options):
        done(writer, *arguments, **options)
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(RunWriter, step, stopped)

    def begin():
        with new_folder(settings.out) as folder:
            run._begin(
                SoakJob(
                    run_id=folder.name, folder=folder, settings=settings, plan=load_plan(), target="http://127.0.0.1:9",
                    anchor_utc=ANCHOR,
                )
            )  # fmt: skip

    with pytest.raises(Stopped):
        begin()
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("why", [None, "no such lane"])
def test_who_asks_twice_leaves_whatever_goes_wrong_on_the_way(monkeypatch, why):
    """Lanes are told to stop first; that one could not be is said, and keeps nobody."""
    told, said, codes = [], [], []
    monkeypatch.setattr(os, "_exit", codes.append)

    def drop():
        told.append("stop")
        if why is not None:
            raise OSError(why)

    leave_at_once(signal.SIGINT, drop, said.append)
    assert (told, codes) == (["stop"], [130])
    assert said == ([] if why is None else [f"left, and not all was told to stop: OSError: {why}"])
