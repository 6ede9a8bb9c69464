"""What is seen at the terminal while a soak runs: it says what there is, and costs the soak nothing."""

import asyncio
import errno
import io
from collections import Counter
from types import SimpleNamespace

import pytest
from virtual_time import run_virtually

from soaklib.commands import display
from soaklib.commands.display import show_progress
from soaklib.commands.terminal import new_console
from soaklib.plan.loading import load_settings
from soaklib.runner.vitals import Vitals

MARKUP = "[/app/x.js:12] [red]boom[/] [link=file:///x]:smile: \x1b[2J"
SHOWN = "[/app/x.js:12] [red]boom[/] [link=file:///x]:smile: \N{REPLACEMENT CHARACTER}[2J"


class Terminal(io.StringIO):
    """A stream that is a terminal or none, and takes no word while it is `broken`."""

    def __init__(self, *, is_terminal, broken=None):
        super().__init__()
        self.is_terminal = is_terminal
        self.broken = broken

    def isatty(self):
        return self.is_terminal

    def write(self, text):
        if self.broken is not None:
            raise self.broken
        return super().write(text)


def a_soak(**parts):
    """Give what the display looks at of a soak."""
    vitals = Vitals(outcomes=Counter({("load", "serpapi", "ok"): 7, ("load", "openai", "timeout"): 2}))
    usual = {
        "job": SimpleNamespace(senders=None, settings=load_settings(["--hours", "24", "--speed", "720"]), run_id="r1", target="http://g"),
        "vitals": vitals, "soak_s": 3600.0, "recorder": SimpleNamespace(queued_rows=3),
        "timeline": SimpleNamespace(next_change=lambda _: (8 * 3600.0, "rotate-credentials")),
        "events": SimpleNamespace(last="SOAK_TEST_STARTED run=r1"),
    }  # fmt: skip
    return SimpleNamespace(**(usual | parts))


def show(soak, terminal, *, seconds, then=lambda: None, again_seconds=0.0):
    """Show a soak for a while of virtual time, let something happen, and go on for another while."""

    async def showing(_):
        task = asyncio.create_task(show_progress(soak, new_console(terminal)))
        await asyncio.sleep(seconds)
        then()
        await asyncio.sleep(again_seconds)
        assert not task.done(), "it goes on until it is cancelled"
        task.cancel()
        await asyncio.wait({task})

    run_virtually(showing)
    return terminal.getvalue()


def test_a_log_gets_a_line_every_ten_seconds():
    """With the state in it, and no escape sequence."""
    lines = show(a_soak(), Terminal(is_terminal=False), seconds=25).splitlines()
    assert len(lines) == 2
    assert "H+1:00:00 of 24:00:00 | sent 0/s | ok=7 timeout=2 | p50 - p99 - | in flight 0" in lines[0]
    assert lines[0].endswith("SOAK_TEST_STARTED run=r1")


def test_a_terminal_gets_a_panel():
    """The next change, the queue and the last event are in it."""
    shown = show(a_soak(), Terminal(is_terminal=True), seconds=1)
    for words in ("soak r1 on http://g", "7", "3 rows", "rotate-credentials at H+8:00, in 0:00:35"):
        assert words in shown


@pytest.mark.parametrize("is_terminal", [True, False])
def test_foreign_words_are_no_markup(is_terminal):
    """A gateway's message in the last event, a plan's name and an address are shown as they are, steering nothing."""
    soak = a_soak(events=SimpleNamespace(last=f"CHANGE_FAILED {MARKUP}"))
    soak.job.target = "http://[fd00::1]:3000"
    soak.timeline.next_change = lambda _: (8 * 3600.0, "[b]x[/nothing]")
    shown = show(soak, Terminal(is_terminal=is_terminal), seconds=11)
    assert f"CHANGE_FAILED {SHOWN[:20]}" in shown
    assert "\x1b[2J" not in shown
    assert "cannot be shown" not in shown
    if is_terminal:
        assert "soak r1 on http://[fd00::1]:3000" in shown
        assert "[b]x[/nothing] at H+8:00" in shown
    else:
        assert f"CHANGE_FAILED {SHOWN}" in shown


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("number", [errno.EIO, errno.EPIPE, errno.ENOSPC, errno.EBADF])
def test_a_terminal_that_takes_no_word_costs_nothing(is_terminal, number):
    """From the start to the end, and when it is cancelled: nothing is raised, and nothing ends the process."""
    broken = OSError(number, "no")
    assert show(a_soak(), Terminal(is_terminal=is_terminal, broken=broken), seconds=300) == ""


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_that_was_gone_for_a_while_is_written_to_again(is_terminal):
    """A disk under a log may have room again."""
    terminal = Terminal(is_terminal=is_terminal, broken=OSError(errno.ENOSPC, "No space left on device"))

    def mend():
        terminal.broken = None

    assert "SOAK_TEST_STARTED run=r1" in show(a_soak(), terminal, seconds=60, then=mend, again_seconds=60)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_goes_wrong_with_showing_is_said_once(is_terminal, monkeypatch):
    """A defect in the panel or the line: one sentence in an hour, and the soak is not touched."""

    def fail(_):
        message = "a defect"
        raise KeyError(message)

    monkeypatch.setattr(display, "_panel", fail)
    monkeypatch.setattr(display, "_line", fail)
    shown = show(a_soak(), Terminal(is_terminal=is_terminal), seconds=3600)
    assert shown.count("how the soak goes cannot be shown (KeyError: 'a defect'); the soak goes on") == 1


def test_a_terminal_that_breaks_at_the_very_end_keeps_nobody_waiting():
    """The panel cannot be taken away when showing it is cancelled."""
    terminal = Terminal(is_terminal=True)

    def breaks():
        terminal.broken = OSError(errno.EIO, "Input/output error")

    show(a_soak(), terminal, seconds=2, then=breaks)
