"""One door to all commands."""

import os
import signal
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest

import soaklib
from soaklib.commands.main import COMMANDS, main


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_it_says_which_soaklib_it_is(capsys, words):
    """The package says the same."""
    assert main(words) == 0
    assert capsys.readouterr().out == f"soaklib {version('soaklib')}\n"
    assert soaklib.__version__ == version("soaklib")


def test_help_says_what_each_command_is_for(capsys):
    """All of them are there, and each has a main."""
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for name, (module, _, purpose) in COMMANDS.items():
        assert f"  {name} " in told
        assert purpose in told
        assert callable(import_module(module).main)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_a_reader_that_is_gone_costs_nothing_and_a_full_disk_is_an_error(capfd, monkeypatch, word):
    """As of every command: no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stdout", gone)
        assert main([word]) == 0
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        monkeypatch.setattr(sys, "stdout", full)
        assert main([word]) == 4
    monkeypatch.undo()
    assert capfd.readouterr().err == "soaklib: No space left on device\n"


@pytest.mark.slow
@pytest.mark.parametrize("door", ["soaklib.commands.main", "soaklib.run"])
def test_an_interrupt_before_a_command_can_hear_it_shows_no_trace(door):
    """While its modules are imported the process ends by the signal itself, as a shell expects it."""
    interrupted = (
        "import os, signal, sys, soaklib.commands.main as doors\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whoever started the tests may ignore it
        "doors.import_module = lambda name: os.kill(os.getpid(), signal.SIGINT)\n"
        f"import {door} as door\n"
        "sys.exit(door.main(['run']))\n"
    )
    ended = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


def test_without_a_word_it_tells_its_help_as_an_error(capsys):
    """A script that forgot the command does not go on."""
    assert main([]) == 2
    assert "usage: soaklib COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("rnu", "there is no command 'rnu': did you mean run?; soaklib --help lists them all"),
        ("--verson", "there is no command '--verson': did you mean --version?; soaklib --help lists them all"),
        ("xyzzy", "there is no command 'xyzzy'; soaklib --help lists them all"),
    ],
)
def test_a_command_that_is_none_is_one_line(capsys, word, said):
    """With a near miss, if there is one."""
    assert main([word]) == 2
    assert capsys.readouterr().err == f"soaklib: {said}\n"


def test_a_command_has_the_exit_code_of_its_module():
    """`soaklib verify X` is `python -m soaklib.verify X`."""
    assert main(["verify", "no-such-bundle"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run", "report", "collect", "verify", "changes", "weekly", "gateway"])
def test_each_module_is_a_command_of_its_own_too(name):
    """Users' scripts hold on to these names."""
    ended = subprocess.run(
        [sys.executable, "-m", f"soaklib.{name}", "--help"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0
    assert "usage:" in ended.stdout
