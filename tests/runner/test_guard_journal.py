"""A guard, and what the undo journal of its run says meanwhile."""

import shutil

import pytest

import soaklib.runner.guard
from soaklib.runner.chaos_guard import ChaosGuard
from soaklib.runner.guard import clear_all
from soaklib.runner.journal import Debt, UndoJournal
from soaklib.targets.base import Wire


class Time:
    """A clock that moves by what is slept."""

    def __init__(self):
        self.now_s = 0.0

    def now(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


def order_of(path, journal):
    """Give the order of a runner to take something back at its gateway, ``http://g``."""
    watching = ChaosGuard("http://g", {}, ca_file=None, dies_with_runner=False, journal=journal.path)
    return watching._order(Wire("DELETE", path, {}, None))


@pytest.mark.parametrize(
    ("taken_back", "made_again", "is_left"),
    [
        (["chaos"], ["chaos"], False), (["chaos"], [], False), (["chaos", "http"], ["chaos"], False),
        (["http"], [], True), ([], [], True),
    ],
)  # fmt: skip
def test_what_a_later_runner_has_taken_back_is_not_taken_back_again(
    taken_back, made_again, is_left, tmp_path, monkeypatch
):
    """What that one makes next would go off by it; what nobody has taken back is tried to the end."""
    journal, time, asked = UndoJournal(tmp_path), Time(), []
    undoing = {do: Wire("DELETE", f"/{do}", {}, None) for do in ("chaos", "http")}
    for do, wire in undoing.items():
        journal.owe(Debt(do, "x"), wire)

    def ask(order):
        asked.append(order.url)
        if len(asked) == 3:  # the gateway is away yet, and back for the runner that comes after this try
            for do in taken_back:
                journal.settle(Debt(do, "x"))
            for do in made_again:
                journal.owe(Debt(do, "x"), undoing[do])
        raise ConnectionRefusedError

    monkeypatch.setattr(soaklib.runner.guard, "ask", ask)
    left = clear_all([order_of("/chaos", journal)], now=time.now, sleep=time.sleep)
    assert [(one.method, one.url) for one, _ in left] == [("DELETE", "http://g/chaos")] * is_left
    assert (len(asked) > 3) is is_left


def test_what_no_journal_knows_of_is_tried_whatever_becomes_of_the_journal(tmp_path, monkeypatch):
    """A policy of the run, for example: a later runner makes others."""
    journal, time, asked = UndoJournal(tmp_path), Time(), []
    journal.owe(Debt("chaos", "x"), Wire("DELETE", "/chaos", {}, None))

    def ask(order):
        asked.append(order.url)
        journal.settle(Debt("chaos", "x"))
        return 503 if len(asked) < 3 else 204

    monkeypatch.setattr(soaklib.runner.guard, "ask", ask)
    order = order_of("/api/policies/1", journal)
    assert clear_all([order], now=time.now, sleep=time.sleep) == []
    assert len(asked) == 3


@pytest.mark.parametrize("path", ["/faults/a b", "/faults/\N{LATIN SMALL LETTER A WITH DIAERESIS}", "http://upstream"])
def test_what_a_later_runner_has_taken_back_is_known_however_its_path_is_sent(path, tmp_path, monkeypatch):
    """The journal has it as the plan says it, and the request quotes it."""
    journal, time, asked = UndoJournal(tmp_path), Time(), []
    journal.owe(Debt("http", "x"), Wire("DELETE", path, {}, None))

    def ask(order):
        asked.append(order.url)
        journal.settle(Debt("http", "x"))
        raise ConnectionRefusedError

    monkeypatch.setattr(soaklib.runner.guard, "ask", ask)
    assert clear_all([order_of(path, journal)], now=time.now, sleep=time.sleep) == []
    assert len(asked) == 1


def test_of_a_run_whose_folder_is_gone_everything_is_still_taken_back(tmp_path, monkeypatch):
    """Nobody can have resumed it."""
    journal, time, asked = UndoJournal(tmp_path), Time(), []
    journal.owe(Debt("chaos", "x"), Wire("DELETE", "/chaos", {}, None))

    def ask(order):
        asked.append(order.url)
        shutil.rmtree(tmp_path, ignore_errors=True)
        return 503 if len(asked) < 3 else 204

    monkeypatch.setattr(soaklib.runner.guard, "ask", ask)
    assert clear_all([order_of("/chaos", journal)], now=time.now, sleep=time.sleep) == []
    assert len(asked) == 3


def test_a_guard_is_told_where_the_journal_is(tmp_path):
    """With each order: the folder may be named from where the runner was started."""
    path = UndoJournal(tmp_path).path
    watching = ChaosGuard("http://g", {}, ca_file=None, dies_with_runner=False, journal=path)
    assert watching._order(Wire("DELETE", "/x", {}, None)).journal == str(path)
