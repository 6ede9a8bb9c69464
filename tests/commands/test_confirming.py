"""The question before a load to another machine: what counts as a no, and that nobody's words are markup."""

import io
import sys

import pytest

from soaklib.commands import run
from soaklib.commands.terminal import new_console
from soaklib.errors import SettingsError, SoaklibError
from soaklib.plan.loading import load_settings


def test_an_end_in_place_of_an_answer_is_a_no(monkeypatch):
    """Ctrl-D at the question: no load is sent, and that is said."""

    def ended():
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)
    with pytest.raises(SettingsError, match="not confirmed; no load was sent"):
        run._confirm(load_settings(["--gateway-url", "http://gateway.example"]), new_console())


def test_the_question_and_errors_are_no_markup(monkeypatch, capsys):
    """An address in brackets, and the choice at the end, are shown as they are; so is what an error says."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    settings = load_settings(["--gateway-url", "http://[fd00::1]:3000"])
    with pytest.raises(SettingsError):
        run._confirm(settings, new_console())
    asked = " ".join(capsys.readouterr().err.split())
    assert "10 slots a second to http://[fd00::1]:3000 for 24.0 hours. Go on? [y/N]" in asked

    def fail(*_, **__):
        message = "a gateway says [/app/x.js:12] [red]no[/red] :smile:"
        raise SoaklibError(message)

    monkeypatch.setattr(run, "load_plan", fail)
    assert run.main([]) == 1
    assert capsys.readouterr().err == "soaklib: a gateway says [/app/x.js:12] [red]no[/red] :smile:\n"
