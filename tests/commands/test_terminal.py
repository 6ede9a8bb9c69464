"""What is said while a terminal stands still: nobody waits for it."""

import contextlib
import errno
import fcntl
import io
import os
import sys

import pytest

from soaklib.commands import terminal
from soaklib.commands.terminal import handing_words_over, new_console, say, say_at_last

_PIPE_BYTES = 4096


@pytest.fixture
def pipe(monkeypatch):
    """Give the reading end of a pipe that holds a page, and a stream to its other end."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    monkeypatch.setattr(terminal, "_LAST_WORDS_WITHIN_S", 0.05)
    with open(reading, "rb", buffering=0) as reader, open(writing, "w") as stream:  # noqa: PTH123 - descriptors
        yield reader, stream


def _read_to_the_end(reader, thread):
    """Read until the thread that writes has ended."""
    os.set_blocking(reader.fileno(), False)
    said = b""
    while thread.is_alive():
        thread.join(0.01)
        with contextlib.suppress(BlockingIOError):
            said += os.read(reader.fileno(), _PIPE_BYTES)
    return said.decode()


def test_who_speaks_to_a_terminal_that_stands_still_is_not_held_up(pipe, monkeypatch):
    """However much is said, and at the end: what it took is whole and in order, and the stream is there again."""
    (reader, stream), console = pipe, new_console()
    monkeypatch.setattr(sys, "stderr", stream)
    with handing_words_over():
        thread = sys.stderr.thread
        for number in range(1000):
            say(console, f"{number:0100}")
        say_at_last(console, "left")
    assert sys.stderr is stream
    said = _read_to_the_end(reader, thread).splitlines()
    assert 40 <= len(said) <= 42
    assert {len(line) for line in said} == {100}
    assert said == sorted(said)


def test_a_terminal_that_is_behind_is_told_what_was_said_last(pipe, monkeypatch):
    """The oldest words fall away, and the newest are kept until it reads on."""
    (reader, stream), console = pipe, new_console()
    monkeypatch.setattr(sys, "stderr", stream)
    with handing_words_over():
        words = sys.stderr
        for number in range(1000):
            say(console, f"{number:0100}")
        words._changed.acquire()
        waiting = list(words._waiting)
        words._changed.release()
    assert len(waiting) == terminal._MOST_WAITING
    assert waiting[-1] == f"{999:0100}\n"
    _read_to_the_end(reader, words.thread)


def test_what_is_said_to_a_terminal_that_reads_is_all_there(tmp_path, monkeypatch):
    """When it ends, all that was said is written, and what comes after comes after it."""
    path = tmp_path / "words"
    with path.open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with handing_words_over():
            for number in range(100):
                say(new_console(), f"{number} \N{EURO SIGN}")
        sys.stderr.write("after\n")
    assert path.read_text() == "".join(f"{number} \N{EURO SIGN}\n" for number in range(100)) + "after\n"


def test_words_that_nobody_reads_any_more_go_nowhere(monkeypatch):
    """Its reader is gone: that fails nothing, as everywhere."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stderr", stream)
        with handing_words_over():
            thread = sys.stderr.thread
            say(new_console(), "lost")
        thread.join()
        stream.write("lost as well")


def test_a_stream_that_is_no_file_is_written_as_it_is(monkeypatch):
    """There is nothing that could stand still."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with handing_words_over():
        assert sys.stderr is stream
        say_at_last(new_console(), "there")
    assert stream.getvalue() == "there\n"


def test_a_full_disk_costs_the_words_alone(monkeypatch):
    """The thread that writes goes on."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        monkeypatch.setattr(sys, "stderr", full)
        with handing_words_over():
            say_at_last(new_console(), "lost")
            assert sys.stderr.thread.is_alive()
            assert sys.stderr._words._missing == os.strerror(errno.ENOSPC)
