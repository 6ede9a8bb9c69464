"""What is said while a terminal stands still: nobody waits for it, and what must come after words does."""

import contextlib
import errno
import fcntl
import io
import itertools
import os
import signal
import subprocess
import sys
import threading

import pytest

from soaklib.commands import streams
from soaklib.commands.streams import Words, lasting_streams
from soaklib.commands.terminal import new_console, say, say_at_last

_PIPE_BYTES = 4096
_LINE = 100


@pytest.fixture
def pipe(monkeypatch):
    """Give the reading end of a pipe that holds a page, and a stream to its other end.

    Nobody who reads from it is given up for being slow, however busy the machine is.
    """
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    monkeypatch.setattr(streams, "_MOMENT_S", 60.0)
    with open(reading, "rb", buffering=0) as reader, open(writing, "w") as stream:  # noqa: PTH123 - descriptors
        yield reader, stream


def _lasting(*, urgent=False):
    return lasting_streams(is_urgent=lambda: urgent)


def _word(text):
    print(text, file=sys.stderr)  # noqa: T201 - as commands do, which is two pieces


def _read_to_the_end(reader, thread):
    """Read until the thread that writes has ended, and what it wrote last."""
    os.set_blocking(reader.fileno(), False)
    said, is_writing = b"", True
    while is_writing:
        thread.join(0.01)
        is_writing = thread.is_alive()  # asked before the pipe is read: one that ended has written all by now
        with contextlib.suppress(BlockingIOError):
            said += os.read(reader.fileno(), _PIPE_BYTES)
    return said.decode()


def _reader(reader, read):
    """Give a thread that reads what the thread of standard error writes, and adds it to what was read."""
    writer = sys.stderr.thread
    return threading.Thread(target=lambda: read.append(_read_to_the_end(reader, writer)))


@pytest.mark.parametrize("urgent", [False, True])
def test_who_speaks_to_a_terminal_that_stands_still_is_not_held_up(pipe, monkeypatch, urgent):
    """However much is said, and at the end: what it took is whole and in order, and the stream is there again."""
    (reader, stream), console = pipe, new_console()
    monkeypatch.setattr(streams, "_MOMENT_S", 0.02)
    monkeypatch.setattr(sys, "stderr", stream)
    with _lasting(urgent=urgent):
        thread = sys.stderr.thread
        for number in range(1000):
            say(console, f"{number:0{_LINE}}")
        say_at_last(console, "left")
    assert sys.stderr is stream
    said = _read_to_the_end(reader, thread).splitlines()
    assert 40 <= len(said) <= 42
    assert {len(line) for line in said} == {_LINE}
    assert said == sorted(said)


def test_a_terminal_that_is_behind_is_told_what_was_said_last_and_that_words_are_missing(pipe, monkeypatch):
    """The oldest fall away, whole lines of them; the newest are kept until it reads on."""
    reader, stream = pipe
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(streams, "_MOST_WAITING", 50 * (_LINE + 1))
    read = []
    with _lasting():
        for number in range(1000):
            _word(f"{number:0{_LINE}}")
        thread = _reader(reader, read)
        thread.start()
    thread.join()
    lines = read[0].splitlines()
    numbers = [int(line) for line in lines if line.isdigit()]
    assert len(numbers) < 1000
    assert numbers[-50:] == list(range(950, 1000))
    for before, line in itertools.pairwise(lines):  # more than once, where the thread that writes is slow as well
        if line.isdigit() and before.isdigit():
            assert int(line) == int(before) + 1
    assert {line for line in lines if not line.isdigit()} == {"[words are missing here: they were not read]"}


def test_a_burst_is_not_taken_for_a_reader_that_stands_still(tmp_path, monkeypatch):
    """Whoever says much at once says it to a file as fast as that takes it."""
    path = tmp_path / "words"
    with path.open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with _lasting():
            for number in range(3000):
                _word(f"{number} \N{EURO SIGN}")
        sys.stderr.write("after\n")
    assert path.read_text() == "".join(f"{number} \N{EURO SIGN}\n" for number in range(3000)) + "after\n"


def test_a_reader_that_is_slow_is_waited_for_at_the_end(pipe, monkeypatch):
    """As long as it reads on, however much there is; but not once a signal asked for the end."""
    reader, stream = pipe
    monkeypatch.setattr(sys, "stderr", stream)
    read = []
    with _lasting():
        thread = _reader(reader, read)
        _word("x" * 100_000)
        _word("the end")
        thread.start()
    thread.join()
    assert read[0].splitlines() == ["x" * 100_000, "the end"]


def test_a_reader_of_one_long_text_is_seen_to_read(tmp_path, monkeypatch):
    """It is told of piece by piece: whoever waits for a reader waits on."""
    seen = []
    monkeypatch.setattr(streams._HandedOver, "_go_on", lambda words: seen.append(os.fstat(words.fileno()).st_size))
    with (tmp_path / "words").open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with _lasting():
            _word("x" * 3 * _PIPE_BYTES)
    assert seen == [_PIPE_BYTES, 2 * _PIPE_BYTES, 3 * _PIPE_BYTES, 3 * _PIPE_BYTES + 1]


def test_a_result_comes_after_the_words_before_it(tmp_path, monkeypatch):
    """Where both go to one place they stand in the order in which they were said."""
    path = tmp_path / "both"
    with path.open("a") as stream, path.open("a") as out:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(sys, "stdout", out)
        with _lasting():
            for number in range(50):
                _word(f"word {number}")
                print(f"result {number}", flush=True)  # noqa: T201
    assert path.read_text().splitlines() == [f"{what} {n}" for n in range(50) for what in ("word", "result")]


def test_words_that_nobody_reads_any_more_go_nowhere(monkeypatch):
    """Its reader is gone: that fails nothing, as everywhere."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stderr", stream)
        with _lasting():
            thread = sys.stderr.thread
            say(new_console(), "lost")
        thread.join()
        stream.write("lost as well")


def test_a_stream_that_is_no_file_is_written_as_it_is(monkeypatch):
    """There is nothing that could stand still."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with _lasting():
        say_at_last(new_console(), "there")
        assert stream.getvalue() == "there\n"
    assert sys.stderr is stream


def test_a_full_disk_costs_the_words_alone(monkeypatch):
    """The thread that writes goes on."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        monkeypatch.setattr(sys, "stderr", full)
        with _lasting():
            say_at_last(new_console(), "lost")
            assert sys.stderr.thread.is_alive()
            assert sys.stderr._words._missing == os.strerror(errno.ENOSPC)


def test_words_that_are_missing_are_said_when_there_is_room_again():
    """Once, before the first that get through."""

    class Disk(io.StringIO):
        full = True

        def write(self, text):
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(text)

    disk = Disk()
    words = Words(disk)
    words.write("lost\n")
    words.write("lost\n")
    disk.full = False
    words.write("there\n")
    words.write("and there\n")
    assert disk.getvalue() == "[words are missing here: No space left on device]\nthere\nand there\n"


_SPEAKS = """
import sys, time
from soaklib.commands.process import command

@command
def main(_=None):
    for _ in range(100):
        print("y" * 1000, file=sys.stderr)
    open(sys.argv[1], "w").close()
    if "x" in sys.argv[2]:
        print("x" * 1_000_000)
    if "w" in sys.argv[2]:
        time.sleep(60)
    return 7

sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("does", ["waits", "ends", "xwaits"])
def test_a_command_whose_words_nobody_reads_does_its_work_and_hears_signals(tmp_path, does):
    """While it works, while it waits for its readers at the end, and while a result is not read either."""
    done = tmp_path / "done"
    with subprocess.Popen(
        [sys.executable, "-c", _SPEAKS, str(done), does], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        while not done.exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(8) == 128 + signal.SIGTERM


@pytest.mark.slow
def test_a_command_whose_words_nobody_reads_comes_to_its_end(tmp_path):
    """With the code of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", _SPEAKS, str(tmp_path / "done"), ""], stderr=subprocess.PIPE
    ) as process:
        assert process.wait(60) == 7


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_was_set_not_to_wait_is_waited_for(pipe, monkeypatch, name):
    """A program that shares it may have set it so; whoever reads on reads all of it, and in order."""
    reader, stream = pipe
    os.set_blocking(stream.fileno(), False)
    monkeypatch.setattr(sys, name, stream)
    read = []

    def read_all():
        while said := os.read(reader.fileno(), _PIPE_BYTES):
            read.append(said)

    thread = threading.Thread(target=read_all)
    with _lasting():
        thread.start()
        for number in range(1000):
            print(f"{number:0{_LINE}}", file=getattr(sys, name))
    stream.close()
    thread.join()
    assert b"".join(read).decode().splitlines() == [f"{number:0{_LINE}}" for number in range(1000)]


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("utf-8", b"caf\xe9 \xe2\x82\xac\n"), ("ascii", b"caf\\udce9 \\u20ac\n")],
    ids=["utf-8", "ascii"],
)
def test_a_result_with_a_name_that_is_no_text_is_said(tmp_path, monkeypatch, encoding, written):
    """It goes out as the bytes that it is; a character that the stream's encoding lacks costs no result."""
    path = tmp_path / "out"
    with path.open("w", encoding=encoding) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with _lasting():
            print("caf\udce9 \N{EURO SIGN}")  # noqa: T201 - as commands do
    assert path.read_bytes() == written
